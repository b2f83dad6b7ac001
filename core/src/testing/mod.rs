//! What the tests of every crate are built on.
//!
//! In memory, with virtual time, for the machines:
//!
//! - A [`Pair`] is a dialler and an acceptor. It hands over frames, or bytes through the real
//!   WebSocket channel in pieces of any size; time jumps to the next arrival or wake-up.
//! - A [`Lone`] node talks to the test itself, which says and reads every message.
//! - A [`Crowd`] is several processes of one name that dial one acceptor.
//!
//! On a network, for the handles and the runtimes:
//!
//! - A [`TestGrid`] is real nodes, which can be killed, restarted and cut off; on an
//!   [`InMemory`] runtime, what it takes for sockets is in memory.
//! - `suite`: what a user can rely on, one test a behaviour, for every runtime (feature `suite`).

mod builder;
mod crowd;
mod end;
#[cfg(feature = "suite")]
mod erased;
mod in_memory;
mod joint;
mod logs;
mod lone;
mod pair;
mod raw;
#[cfg(feature = "suite")]
pub mod suite;
mod tools;

pub use self::builder::PairBuilder;
pub use self::crowd::Crowd;
pub use self::end::{End, Which};
#[cfg(feature = "suite")]
pub use self::erased::Erased;
pub use self::in_memory::InMemory;
pub use self::logs::{LogLine, Logs};
pub use self::lone::Lone;
pub use self::pair::{Mode, Pair};
pub use self::raw::Raw;
pub use self::tools::spawn;
pub use crate::test_util::{TestGrid, eventually, sleep, within};
