//! A passive monitor of the wire.
//!
//! A [`Tap`] reads one direction of one connection, split in any way, and shows each WebSocket
//! message with its place in the stream. A [`Monitor`] watches all connections between two nodes
//! and judges three oracles:
//!
//! - *O16, grammar*: who may send what when, by PROTOCOL.md section 5, as tables; the form of each
//!   message; sequence numbers.
//! - *O9, credit*: nobody sends more than the other end has room for, nor gives back more credits
//!   than it got items.
//! - *O8, connections*: ids are never used again, and nothing of one connection appears on
//!   another.
//!
//! A message is held against what its sender had sent and what had been delivered to it, so
//! messages that cross each other on the wire are never a violation. None of this shares code
//! with the core: a mistake there is not repeated here.

mod calls;
mod decode;
mod judge;
mod pair;
mod report;
mod rules;
mod settings;

pub use self::decode::{
    Body, Crc, Damage, Kind, Message, Op, Payload, Role, Seen, Tap, Time, flag,
};
pub use self::pair::Monitor;
pub use self::report::Violation;
pub use self::settings::{Capacities, Conduct, Settings};
