//! Deterministic simulation of gridmux.
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
