//! Calls and streams, as the machine of one side sees them and as two nodes have them.

#[path = "../support/mod.rs"]
mod support;

mod deadlines;
mod ids;
mod input;
mod model;
mod output;
mod pings;
mod requests;
