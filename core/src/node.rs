//! What a node is, read-only: every link of it shares one of these.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::auth::Auth;
use crate::error::ConfigError;
use crate::limits::Limits;
use crate::route::RouteTable;
use crate::timings::Timings;

/// The HTTP route of the upgrade unless another is set (PROTOCOL.md section 1).
pub const DEFAULT_ROUTE: &str = "/minio/grid/v1";

/// Characters of a DNS name, and of a part of it between dots (RFC 1035 section 2.3.4).
const MAX_HOST_LEN: usize = 253;
const MAX_LABEL_LEN: usize = 63;

/// A node's own identity, settings and routes. Nothing here changes while it runs.
#[derive(Clone)]
pub struct Node {
    /// The node's name: its base URL.
    pub name: String,
    /// Changes when the process restarts; 16 random bytes (PROTOCOL.md section 4).
    pub instance: [u8; 16],
    /// The HTTP route of the upgrade.
    pub http_route: String,
    /// What is served here.
    pub routes: RouteTable,
    /// How much of everything is accepted.
    pub limits: Limits,
    /// The protocol's durations.
    pub timings: Timings,
    /// Issues our tokens and checks the peers'.
    pub auth: Arc<dyn Auth>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Node {
    /// A node with defaults for all but its identity.
    pub fn new(name: impl Into<String>, instance: [u8; 16], auth: Arc<dyn Auth>) -> Self {
        Self {
            name: name.into(),
            instance,
            http_route: DEFAULT_ROUTE.into(),
            routes: RouteTable::default(),
            limits: Limits::default(),
            timings: Timings::default(),
            auth,
        }
    }

    /// Why there is no peer of this name.
    pub(crate) fn no_peer(&self, name: &str) -> ConfigError {
        if name == self.name {
            ConfigError::OwnName(name.into())
        } else {
            ConfigError::UnknownPeer(name.into())
        }
    }

    /// Refuses what could not work.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_name(&self.name)?;
        self.limits.validate()?;
        self.timings.validate()?;
        let route = &self.http_route;
        if !route.starts_with('/')
            || !route.bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b'?')
        {
            return Err(ConfigError::InvalidRoute(route.clone()));
        }
        Ok(())
    }
}

/// A node's name is its base URL: `http://` or `https://`, a host, a port if it is not the scheme's, and
/// nothing behind (PROTOCOL.md section 1). Names are compared byte for byte: two spellings of one address
/// are two nodes, so a spelling that is never needed, such as a trailing slash or a port `080`, is refused.
///
/// The host is a DNS name, an IPv4 address or an IPv6 address in brackets. A name that no node could ever be
/// dialled by is refused as well: a host that no resolver accepts, an address of no single machine, port 0.
///
/// # Errors
/// [`ConfigError::InvalidName`] says what is wrong.
pub fn check_name(name: &str) -> Result<(), ConfigError> {
    let wrong = |problem| Err(ConfigError::InvalidName { name: name.into(), problem });
    let Some(authority) = authority(name) else {
        return wrong("it does not begin with http:// or https://");
    };
    if authority.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return wrong("it has white space or control characters");
    }
    if authority.contains(['/', '?', '#', '@']) {
        return wrong("it has more than scheme, host and port");
    }
    let checked = split_port(authority).and_then(|(host, port)| {
        port.map_or(Ok(()), check_port)?;
        check_host(host)
    });
    checked.or_else(wrong)
}

/// The host, with its brackets if it has some, and what stands behind the colon, if there is one.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    if !authority.starts_with('[') {
        return match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                Err("it has more than one colon; an IPv6 address stands in brackets")
            }
            Some((host, port)) => Ok((host, Some(port))),
            None => Ok((authority, None)),
        };
    }
    let Some(end) = authority.find(']') else { return Err("its bracket is not closed") };
    match authority.split_at(end + 1) {
        (host, "") => Ok((host, None)),
        (host, behind) => match behind.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None => Err("only a port can stand behind the bracket"),
        },
    }
}

fn check_port(port: &str) -> Result<(), &'static str> {
    if port.is_empty() {
        return Err("it has no port behind the colon");
    }
    // `u16` would parse a sign, too.
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("its port is not a number");
    }
    if port.bytes().all(|byte| byte == b'0') {
        return Err("port 0 cannot be dialled");
    }
    if port.starts_with('0') {
        return Err("its port begins with 0");
    }
    port.parse::<u16>().map(|_| ()).map_err(|_| "its port is over 65535")
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if host.is_empty() {
        return Err("it has no host");
    }
    if let Some(inside) = host.strip_prefix('[') {
        let address = inside.strip_suffix(']').and_then(|inside| inside.parse::<Ipv6Addr>().ok());
        let address = address.ok_or("what stands in brackets is no IPv6 address")?;
        return check_address(address.into());
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return check_address(address.into());
    }
    check_dns_name(host)
}

/// One machine has to be meant by it.
fn check_address(address: IpAddr) -> Result<(), &'static str> {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if address.is_unspecified() || address.is_multicast() || broadcast {
        return Err("its address is not that of one machine");
    }
    Ok(())
}

/// Lengths and characters as resolvers take them. Underscores are no part of DNS host names, but of names
/// that containers are given.
fn check_dns_name(host: &str) -> Result<(), &'static str> {
    if !host.is_ascii() {
        return Err("its host is not ASCII; an international name is written as xn--");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !host.bytes().all(allowed) {
        return Err("its host has characters that no host name has");
    }
    let absolute = host.strip_suffix('.').unwrap_or(host);
    if absolute.len() > MAX_HOST_LEN {
        return Err("its host is longer than 253 characters");
    }
    let labels = || absolute.split('.');
    if labels().any(|label| label.is_empty() || label.len() > MAX_LABEL_LEN) {
        return Err("a part of its host is empty or longer than 63 characters");
    }
    if labels().any(|label| label.starts_with('-')) {
        return Err("a part of its host begins with a hyphen");
    }
    // Resolvers take a last part such as 1 or 0x1f for one of an IPv4 address, as the URL standard does.
    let number = |label: &str| match label.strip_prefix("0x").or(label.strip_prefix("0X")) {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    };
    if labels().next_back().is_some_and(number) {
        return Err("its host ends with a number and is no IPv4 address");
    }
    Ok(())
}

/// Host and port of a name.
pub fn authority(name: &str) -> Option<&str> {
    ["http://", "https://"].iter().find_map(|scheme| name.strip_prefix(scheme))
}

/// What to connect to for a node of this name: `host:port`, with the scheme's port if the name has none.
pub fn dial_target(name: &str) -> Option<String> {
    let (host, port) = dial_host(name)?;
    Some(format!("{host}:{port}"))
}

/// What to connect to for a node of this name: the host, an IPv6 address in brackets, and the port, which
/// is the scheme's if the name has none. `None` if [`check_name`] would refuse the name.
pub fn dial_host(name: &str) -> Option<(&str, u16)> {
    check_name(name).ok()?;
    match split_port(authority(name)?).ok()? {
        (host, Some(port)) => Some((host, port.parse().ok()?)),
        (host, None) => Some((host, if is_secure(name) { 443 } else { 80 })),
    }
}

/// Whether a name asks for TLS.
pub fn is_secure(name: &str) -> bool {
    name.starts_with("https://")
}

/// Every node is configured with the same list of names, its own included.
///
/// # Errors
/// A bad name, a name twice, or the own name missing (PROTOCOL.md section 1).
pub fn check_names(own: &str, names: &[String]) -> Result<(), ConfigError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        check_name(name)?;
        if !seen.insert(name) {
            return Err(ConfigError::DuplicateName(name.clone()));
        }
    }
    if !names.iter().any(|name| name == own) {
        return Err(ConfigError::OwnNameMissing(own.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that cannot work, and a word of the reason that each is refused with.
    const IMPOSSIBLE: &[(&str, &str)] = &[
        ("", "begin"),
        ("host:9000", "begin"),
        ("HTTP://host:9000", "begin"),
        ("http:/host:9000", "begin"),
        ("ws://127.0.0.1:9831", "begin"),
        ("wss://127.0.0.1:9831", "begin"),
        ("http://", "no host"),
        ("http://:9831", "no host"),
        ("https://:443", "no host"),
        ("http://host:", "no port"),
        ("http://[::1]:", "no port"),
        ("http://host:notaport", "not a number"),
        ("http://host:+80", "not a number"),
        ("http://host:-80", "not a number"),
        ("http://host:1\\x", "not a number"),
        ("http://host:٨٠", "not a number"),
        ("http://host:99999", "65535"),
        ("http://host:65536", "65535"),
        ("http://host:18446744073709551617", "65535"),
        ("http://host:0", "port 0"),
        ("http://host:00000", "port 0"),
        ("http://host:080", "begins with 0"),
        ("http://host:80:81", "colon"),
        ("http://::1:9831", "colon"),
        ("http://fe80::1", "colon"),
        ("http://[::1", "not closed"),
        ("http://[::1:9831", "not closed"),
        ("http://[::1]9831", "behind the bracket"),
        ("http://[::1]]:9831", "behind the bracket"),
        ("http://[]:1", "no IPv6"),
        ("http://[127.0.0.1]:1", "no IPv6"),
        ("http://[host]:1", "no IPv6"),
        ("http://[[::1]]:1", "behind the bracket"),
        ("http://[fe80::1%eth0]:1", "no IPv6"),
        ("http://::1]:1", "colon"),
        ("http://host]:1", "characters"),
        ("http://a\"b:1", "characters"),
        ("http://a%20b:1", "characters"),
        ("http://a,b:1", "characters"),
        ("http://a\\b:1", "characters"),
        ("http://a*:1", "characters"),
        ("http://bücher.example:1", "ASCII"),
        ("http://a b:1", "white space"),
        (" http://a:1", "begin"),
        ("http://a:1 ", "white space"),
        ("http://a\r\nX:1", "white space"),
        ("http://a\0:1", "white space"),
        ("http://user@host:1", "more than"),
        ("http://user:word@host:1", "more than"),
        ("http://host:1/", "more than"),
        ("http://host:1/path", "more than"),
        ("http://host:1?query", "more than"),
        ("http://host:1#fragment", "more than"),
        ("http://.:1", "empty"),
        ("http://a..b:1", "empty"),
        ("http://.a:1", "empty"),
        ("http://a.-b:1", "hyphen"),
        ("http://256.1.1.1:1", "no IPv4"),
        ("http://1.2.3:1", "no IPv4"),
        ("http://1.2.3.4.:1", "no IPv4"),
        ("http://127.0.0.01:1", "no IPv4"),
        ("http://0x7f.1:1", "no IPv4"),
        ("http://127.0.0.0x1:1", "no IPv4"),
        ("http://1:1", "no IPv4"),
        ("http://0.0.0.0:1", "one machine"),
        ("http://255.255.255.255:1", "one machine"),
        ("http://224.0.0.1:1", "one machine"),
        ("http://[::]:1", "one machine"),
        ("http://[ff02::1]:1", "one machine"),
    ];

    #[test]
    fn a_name_that_can_never_be_dialled_is_refused_with_the_reason() {
        for (name, reason) in IMPOSSIBLE {
            let refused = check_name(name).expect_err(name);
            let text = refused.to_string();
            assert!(text.contains(reason) && text.contains(&format!("{name:?}")), "{text}");
            assert_eq!(dial_target(name), None, "{name}");
        }
        let long = |labels: usize| format!("http://{}b:1", "a123456.".repeat(labels));
        let refused = |name: String| check_name(&name).map_err(|error| error.to_string());
        assert_eq!(refused(long(31)), Ok(()), "31 * 8 + 1 characters");
        assert!(refused(long(32)).is_err_and(|text| text.contains("253")));
        assert_eq!(refused(format!("http://{}:1", "a".repeat(63))), Ok(()));
        assert!(refused(format!("http://{}:1", "a".repeat(64))).is_err_and(|t| t.contains("63")));
    }

    #[test]
    fn a_name_s_target_is_its_host_and_its_port_or_that_of_the_scheme() {
        let targets = [
            ("http://10.0.0.1:9000", "10.0.0.1:9000"),
            ("https://node-3.example:9000", "node-3.example:9000"),
            ("http://node-3.example.:65535", "node-3.example.:65535"),
            ("http://minio_1:1", "minio_1:1"),
            ("http://Node:1", "Node:1"),
            ("http://3com.example", "3com.example:80"),
            ("http://xn--bcher-kva.example", "xn--bcher-kva.example:80"),
            ("https://node", "node:443"),
            ("http://node-:9", "node-:9"),
            ("http://127.0.0.1", "127.0.0.1:80"),
            ("http://[::1]", "[::1]:80"),
            ("https://[2001:db8::7]:9000", "[2001:db8::7]:9000"),
            ("http://[::ffff:10.0.0.1]:9000", "[::ffff:10.0.0.1]:9000"),
            ("https://[fe80::1]", "[fe80::1]:443"),
        ];
        for (name, target) in targets {
            check_name(name).expect(name);
            assert_eq!(dial_target(name).as_deref(), Some(target));
        }
    }
}
