//! Deterministic simulation of gridmux.
#![forbid(unsafe_code)]

pub mod census;
pub mod history;
pub mod keyed;
pub mod oracle;
pub mod script;
pub mod trace;
pub mod verdict;
pub mod world;
