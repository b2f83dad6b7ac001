//! The life of the one connection between two nodes: PROTOCOL.md section 4.

mod accept;
mod backlog;
mod denial;
mod dial;
mod door_log;
mod duplicates;
mod handshake;
mod liveness;
mod lobby;
mod retry;
mod state;

pub use self::accept::{Accepting, Acceptor, Door, Hello};
pub use self::denial::{Denial, DenialKind};
pub use self::dial::dials;
pub use self::handshake::check_connect;
pub use self::lobby::{Lobby, Origin};
pub use self::state::LinkState;

pub(crate) use self::accept::LINGER;
pub(crate) use self::door_log::{DoorLog, log_accept_error, log_crowd, log_failure};
pub(crate) use self::duplicates::Duplicates;
pub(crate) use self::handshake::{
    base_flags, check_response, connect, connect_response, duplicate_reason, is_duplicate_reason,
    link_message, unknown_name,
};
pub(crate) use self::liveness::{Liveness, Verdict};
pub(crate) use self::retry::Retry;
pub(crate) use self::state::Link;
