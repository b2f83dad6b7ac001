//! Coded applications on simulated nodes: what a user's own simulation can rely on.

mod faults;
mod nodes;
mod operations;
mod support;
