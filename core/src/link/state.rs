//! Link states.
//!
//! ```text
//!   Down --dial--> Dialling --upgraded--> Handshaking --accepted--> Up
//!    ^  \____________|________________________|______failed_______/ |
//!    |   accept (the other side dials) ----------------------------->|
//!    '------------------------ lost ---------------------------------'
//!   Up --drained--> Closing --closed--> Down for good
//! ```

use super::Liveness;
use crate::event::LinkId;
use crate::time::Instant;

/// What a user sees of a link (PROTOCOL.md section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// Not connected yet: not started, or the other side dials.
    Unconnected,
    /// A dial attempt is under way.
    Connecting,
    /// Calls can be made.
    Connected,
    /// The link was lost or an attempt failed; another will follow.
    ConnectionError,
    /// This node, or this peer of it, is shut down.
    Shutdown,
}

impl std::fmt::Display for LinkState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unconnected => "unconnected",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::ConnectionError => "connection error",
            Self::Shutdown => "shutdown",
        })
    }
}

/// Each state owns what only it needs.
#[derive(Debug)]
pub(crate) enum Link {
    Down,
    /// Until `until`, the runtime connects and upgrades.
    Dialling {
        link: LinkId,
        started: Instant,
        until: Instant,
    },
    /// Until `until`, the acceptor answers our Connect.
    Handshaking {
        link: LinkId,
        started: Instant,
        until: Instant,
    },
    Up {
        link: LinkId,
        since: Instant,
        liveness: Liveness,
    },
    /// Drained; the runtime closes the connection, at the latest at `until`.
    Closing {
        link: LinkId,
        until: Instant,
    },
}

impl Link {
    /// The connection or attempt that inputs may name.
    pub(crate) const fn id(&self) -> Option<LinkId> {
        match self {
            Self::Down => None,
            Self::Dialling { link, .. }
            | Self::Handshaking { link, .. }
            | Self::Up { link, .. }
            | Self::Closing { link, .. } => Some(*link),
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }
}
