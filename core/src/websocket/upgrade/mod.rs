//! The HTTP/1.1 upgrade that a connection begins with (RFC 6455 section 4, PROTOCOL.md section 1).

mod client;
mod limit;
mod server;

pub use client::{ClientUpgrade, MAX_REASON_LEN};
pub(crate) use limit::{max_message, tell_max_message};
pub use server::{Status, UpgradeRequest, refuse};

/// The longest request or response head that is read, in bytes.
pub const MAX_HEAD_LEN: usize = 16 * 1024;

/// The header of a `101` in which an acceptor of this project says its name. Other implementations do
/// not send it, and ignore it.
pub const NODE_HEADER: &str = "X-Gridmux-Node";

/// The most header lines in a head.
const MAX_HEADERS: usize = 64;

/// The header lines of a head, by name.
#[derive(Clone, Copy)]
struct Headers<'h, 'b>(&'h [httparse::Header<'b>]);

impl<'h, 'b> Headers<'h, 'b> {
    /// The values of all lines with this name, trimmed.
    fn all(self, name: &'static str) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        let lines = self.0.iter().filter(move |line| line.name.eq_ignore_ascii_case(name));
        lines.map(|line| line.value.trim_ascii())
    }

    /// The value of the only line with this name: `Ok(None)` without one, an error if there are
    /// several or its value is not text.
    fn one(self, name: &'static str) -> Result<Option<&'b str>, ()> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => std::str::from_utf8(value).map(Some).map_err(|_| ()),
            (Some(_), Some(_)) => Err(()),
        }
    }

    /// Whether `token` is in the comma-separated list that this header is, over all its lines.
    fn lists(self, name: &'static str, token: &str) -> bool {
        self.all(name).any(|value| {
            let mut tokens = value.split(|byte| *byte == b',');
            tokens.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    }
}
