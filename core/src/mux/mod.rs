//! One call or stream on a link: PROTOCOL.md section 5.

mod by_id;
mod callee;
mod caller;
mod common;
mod credit;
mod id;
mod incoming;
mod items;
mod outgoing;
mod refused;
mod seq;
mod told;

pub use self::caller::Received;
pub use self::common::Refusal;
pub use self::id::{IncomingKey, OutgoingKey};
pub use self::outgoing::Target;
pub use self::refused::CallRefusal;

pub(crate) use self::common::{Common, Draft, SHORT_ANSWER};
pub(crate) use self::incoming::Incoming;
pub(crate) use self::outgoing::{Lookup, Outgoing};
pub(crate) use self::told::Told;
