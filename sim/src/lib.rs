//! Deterministic simulation of gridmux.
//!
//! `.ci/coverage` in the repository shows how much of the core it runs, and fails below the floor that
//! stands in it.
#![forbid(unsafe_code)]

mod app;
pub mod batch;
pub mod census;
pub mod cluster;
pub mod effects;
pub mod guard;
pub mod history;
pub mod keyed;
mod looped;
pub mod minimise;
pub mod monitor;
pub mod oracle;
pub mod parallel;
mod peers;
#[cfg(feature = "planted")]
pub mod prove;
pub mod rows;
pub mod run;
pub mod script;
pub mod show;
pub mod swarm;
pub mod trace;
pub mod verdict;
pub mod world;
