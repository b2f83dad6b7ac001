//! The life of the one connection between two nodes: PROTOCOL.md section 4.

mod accept;
mod backlog;
mod dial;
mod duplicates;
mod handshake;
mod liveness;
mod retry;
mod state;

pub use self::accept::{Accepting, Acceptor, Door, Hello};
pub use self::dial::dials;
pub use self::handshake::check_connect;
pub use self::state::LinkState;

pub(crate) use self::accept::LINGER;
pub(crate) use self::duplicates::Duplicates;
pub(crate) use self::handshake::{
    base_flags, check_response, connect, connect_response, duplicate_reason, is_duplicate_reason,
    link_message,
};
pub(crate) use self::liveness::{Liveness, Verdict};
pub(crate) use self::retry::Retry;
pub(crate) use self::state::Link;
