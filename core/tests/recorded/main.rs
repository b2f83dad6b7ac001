//! Recorded traffic of Go nodes again, with our machine in the place of each side.

#[path = "../support/mod.rs"]
mod support;

mod reactions;
mod replay;
