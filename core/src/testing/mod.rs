//! Two nodes in memory with virtual time: the harness that all tests of the machines are built on.
//!
//! A [`Pair`] is a dialler and an acceptor. It hands over frames, or bytes through the real
//! WebSocket channel in pieces of any size; time jumps to the next arrival or wake-up.

mod pair;

pub use self::pair::{End, Mode, Pair, PairBuilder, Which};
