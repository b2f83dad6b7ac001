//! The one loop that drives a link, and what a runtime supplies to it.
//!
//! Everything here is written once, on `core::task` and the traits of [`runtime`]; the crates
//! `gridmux-tokio` and `gridmux-smol` supply those and little else. What their clocks and timers
//! have in common is in [`clock`], what their connectors have in [`resolver`]; [`time`] is for applications.

mod accept;
mod active;
pub(crate) mod busy_poll;
pub mod clock;
mod link;
pub mod resolver;
pub mod runtime;
mod tasks;
pub mod tcp_progress;
pub mod time;
pub mod workers;

pub(crate) use self::accept::{Doorway, accept_loop, admit};
pub(crate) use self::active::Active;
pub(crate) use self::link::PeerTask;
