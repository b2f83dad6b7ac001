//! What the tests of every crate are built on.
//!
//! In memory, with virtual time, for the machines:
//!
//! - A [`Pair`] is a dialler and an acceptor. It hands over frames, or bytes through the real
//!   WebSocket channel in pieces of any size; time jumps to the next arrival or wake-up.
//! - A [`Lone`] node talks to the test itself, which says and reads every message.
//! - A [`Crowd`] is several processes of one name that dial one acceptor.
//!
//! On loopback sockets, for the handles and the runtimes:
//!
//! - A [`TestGrid`] is real nodes, which can be killed, restarted and cut off.
//! - [`suite`]: what a user can rely on, one test a behaviour, for every runtime.

mod builder;
mod cluster;
mod crowd;
mod end;
mod joint;
mod logs;
mod lone;
mod pair;
mod raw;
pub mod suite;
mod tools;

pub use self::builder::PairBuilder;
pub use self::cluster::TestGrid;
pub use self::crowd::Crowd;
pub use self::end::{End, Which};
pub use self::logs::{LogLine, Logs};
pub use self::lone::Lone;
pub use self::pair::{Mode, Pair};
pub use self::raw::Raw;
pub use self::tools::{eventually, spawn, within};
