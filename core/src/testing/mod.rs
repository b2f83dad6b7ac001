//! Nodes in memory with virtual time: the harness that all tests of the machines are built on.
//!
//! - A [`Pair`] is a dialler and an acceptor. It hands over frames, or bytes through the real
//!   WebSocket channel in pieces of any size; time jumps to the next arrival or wake-up.
//! - A [`Lone`] node talks to the test itself, which says and reads every message.
//! - A [`Crowd`] is several processes of one name that dial one acceptor.

mod builder;
mod crowd;
mod end;
mod joint;
mod lone;
mod pair;

pub use self::builder::PairBuilder;
pub use self::crowd::Crowd;
pub use self::end::{End, Which};
pub use self::lone::Lone;
pub use self::pair::{Mode, Pair};
