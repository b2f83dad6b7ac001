//! Deterministic simulation of gridmux.
#![forbid(unsafe_code)]

mod app;
pub mod census;
pub mod history;
pub mod keyed;
pub mod monitor;
pub mod oracle;
mod peers;
pub mod run;
pub mod script;
pub mod show;
pub mod swarm;
pub mod trace;
pub mod verdict;
pub mod world;
