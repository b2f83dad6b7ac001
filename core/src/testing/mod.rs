//! What the tests of every crate are built on.
//!
//! - [`Pair`]: two machines in memory with virtual time. A dialler and an acceptor, to which it hands
//!   over frames, or bytes through the real WebSocket channel in pieces of any size; time jumps to the
//!   next arrival or wake-up.
//! - [`TestGrid`]: real nodes on loopback sockets, which can be killed, restarted and cut off.
//! - [`suite`]: what a user can rely on, one test a behaviour, for every runtime.

mod cluster;
mod logs;
mod pair;
mod raw;
pub mod suite;
mod tools;

pub use self::cluster::TestGrid;
pub use self::logs::{LogLine, Logs};
pub use self::pair::{End, Mode, Pair, PairBuilder, Which};
pub use self::raw::Raw;
pub use self::tools::{eventually, sleep, spawn, within};
