//! Routes: what may be called, declared once and used at both ends.
//!
//! A route says which handler a call is for, what travels in each direction, and how much of it
//! may be in flight. The wire carries the handler id alone; both ends must hold the same
//! declaration, so make it a `const` in a crate or module that both use.
//!
//! ```
//! use gridmux_core::payload::{Mss, NoPayload, Payload};
//! use gridmux_core::route::{ClientStream, RouteTable, ServerStream, TwoWay, Unary};
//!
//! const LOCK: Unary<Mss, NoPayload> = Unary::new(1, "lock");
//! const WALK: ServerStream<Mss, Payload> = ServerStream::new(7, "walk-dir").out_capacity(64);
//! const UPLOAD: ClientStream<Mss, Payload, NoPayload> =
//!     ClientStream::new(80, "upload").in_capacity(4).run_to_end();
//! const CHAT: TwoWay<Mss, Payload, Payload> = TwoWay::new(81, "chat");
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut table = RouteTable::new();
//! let lock = table.insert(LOCK.info())?;
//! let walk_1 = table.insert(WALK.at("disk-1").info())?;
//! assert_eq!(table.find(1, None), Some(lock));
//! assert_eq!(table.find(7, WALK.at("disk-1").subroute().as_ref()), Some(walk_1));
//! assert_eq!(table.find(7, None), None);
//! assert_eq!(table.get(walk_1).name, "walk-dir");
//! # Ok(())
//! # }
//! ```
//!
//! # Capacities
//!
//! A stream's capacity in one direction is how many items its sender may have sent that the
//! receiving application has not taken. More hides the latency of the link and costs memory: at
//! most capacity × item size for each stream. At 1, each item waits for a round trip.
//!
//! **Capacities are not on the wire, and the two ends must agree**: a sender with more than its
//! receiver expects breaks the stream. Between nodes that share the declaration they do. For a
//! handler that a Go node serves or calls, declare what is registered there.

mod info;
mod table;
mod typed;

pub use info::{RouteInfo, Shape};
pub use table::{RouteError, RouteIndex, RouteTable};
pub use typed::{ClientStream, ServerStream, TwoWay, Unary};

/// How many items may be in flight where a route does not say: enough that a sender and a
/// receiver on a local network need not wait for each other's every step.
pub const DEFAULT_CAPACITY: u32 = 8;

/// How many messages a [`ClientStream`] may have in flight towards the caller where it does not
/// say: the one result and the end behind it, so that the end waits for no credit.
pub const DEFAULT_RESULT_CAPACITY: u32 = 2;
