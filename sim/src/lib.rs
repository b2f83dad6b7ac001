//! Deterministic simulation: two nodes, calls both ways, and a network that is cut, delayed and
//! held back, all from one seed.
//!
//! The machines are those of production. A run has a chaos phase and a calm one; throughout,
//! every call has to end exactly once with an outcome that its history explains, and afterwards
//! nothing may be left of any of them.
//!
//! ```
//! let report = gridmux_sim::run(7);
//! assert_eq!(report.verdict, Ok(()));
//! assert_eq!(report, gridmux_sim::run(7), "a seed is a replay");
//! ```
#![forbid(unsafe_code)]

pub mod monitor;
mod random;
mod run;

pub use run::{Failure, Report, run};
