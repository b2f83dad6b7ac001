//! What a node is, read-only: every link of it shares one of these.

use std::sync::Arc;

use crate::auth::Auth;
use crate::error::ConfigError;
use crate::limits::Limits;
use crate::route::RouteTable;
use crate::timings::Timings;

/// The HTTP route of the upgrade unless another is set (PROTOCOL.md section 1).
pub const DEFAULT_ROUTE: &str = "/minio/grid/v1";

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

/// A node's name is its base URL: a scheme, a host, a port, and nothing behind. Names are
/// compared byte for byte, so a trailing slash would make another node of it and is refused.
///
/// # Errors
/// [`ConfigError::InvalidName`] says what is wrong.
pub fn check_name(name: &str) -> Result<(), ConfigError> {
    let wrong = |problem| Err(ConfigError::InvalidName { name: name.into(), problem });
    let Some(authority) = authority(name) else {
        return wrong("it does not begin with http:// or https://");
    };
    if authority.is_empty() {
        return wrong("it has no host");
    }
    if authority.contains(['/', '?', '#', '@']) {
        return wrong("it has more than scheme, host and port");
    }
    if authority.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return wrong("it has white space or control characters");
    }
    Ok(())
}

/// Host and port of a name.
pub fn authority(name: &str) -> Option<&str> {
    ["http://", "https://", "ws://", "wss://"].iter().find_map(|scheme| name.strip_prefix(scheme))
}

/// What to connect to for a node of this name: `host:port`, with the scheme's port if the name has none.
pub fn dial_target(name: &str) -> Option<String> {
    let authority = authority(name)?;
    let host_end = authority.rfind(']').map_or(0, |at| at + 1);
    if authority[host_end..].contains(':') {
        return Some(authority.into());
    }
    let port = if is_secure(name) { 443 } else { 80 };
    Some(format!("{authority}:{port}"))
}

/// Whether a name asks for TLS.
pub fn is_secure(name: &str) -> bool {
    name.starts_with("https://") || name.starts_with("wss://")
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
