//! Deterministic simulation of gridmux: whole grids, with the machines, the handles and the driver of
//! production, on simulated nodes that a seed attacks.
//!
//! To simulate a cluster of your own, begin with [`cluster`]. How a seed becomes a verdict:
//!
//! ```text
//!   seed --swarm--> Script --run--> what was seen --oracle--> Outcome
//!           (text, by hand too)    history, trace, wire        failures, excuses, counts
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | [`swarm`] | from a seed to a script; each seed favours some kinds of faults and leaves out others |
//! | [`script`] | nodes, network, calls and faults, at times or at points of the protocol, as text |
//! | [`world`] | virtual time that jumps, tasks, clocks, and a network of bounded pipes |
//! | [`run`] | boot, chaos, heal, probe, drain, quiesce, shutdown |
//! | [`monitor`] | reads the wire with a decoder of its own and judges each message |
//! | [`oracle`] | 25 rules about what applications have seen and what went over the wire |
//! | [`rows`], [`census`], [`effects`] | the kinds of faults, and what their victims have felt of each |
//! | [`batch`], [`minimise`], [`show`] | many seeds; a short script of a long one; pictures |
//! | `prove` (feature `planted`) | bugs on purpose, and which oracle catches each |
//!
//! ```
//! use gridmux_sim::guard;
//! use gridmux_sim::swarm::{Profile, script};
//!
//! let script = script(7, Profile::Quick);
//! let outcome = guard::outcome(&script, &Default::default());
//! assert!(outcome.is_good(), "{:?}", outcome.failures);
//! // The script is all that is needed to do it again.
//! assert_eq!(script.to_string().parse(), Ok(script));
//! ```
//!
//! # What it does not do
//!
//! - Sockets of a system, TLS and real threads are not in it: the behaviour suite of the runtimes and the
//!   `cluster` example run on those, shuttle takes the locks of the handles apart.
//! - Orders of events are drawn, not enumerated, and a byte that is changed in a message without a
//!   checksum (link pings, and all messages between two `https` names) is only asked to do no harm beyond
//!   its pair.
//! - Memory is counted in bytes of queues, tables and buffers; allocations are counted by `allocations` of
//!   the benches.
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
