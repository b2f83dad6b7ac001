//! Deterministic simulation of gridmux.
#![forbid(unsafe_code)]

mod app;
pub mod census;
pub mod cluster;
pub mod history;
pub mod keyed;
pub mod monitor;
pub mod oracle;
pub mod run;
pub mod script;
pub mod show;
pub mod swarm;
pub mod trace;
pub mod verdict;
pub mod world;
