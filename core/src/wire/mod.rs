//! Bytes and values.

mod subroute;
mod timestamp;

pub use subroute::SubrouteId;
pub use timestamp::Timestamp;
