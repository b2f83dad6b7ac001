//! What the machines and the monitors of the wire have shown themselves, and how the end went.

use std::collections::BTreeMap;

use crate::monitor::Violation;
use crate::run::Tried;
use crate::verdict::Failure;

/// The largest figures of a node with one peer that were seen at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// Who.
    pub node: usize,
    /// With whom.
    pub peer: usize,
    /// Calls and streams of its own that were open.
    pub outgoing: usize,
    /// Calls and streams that it served.
    pub incoming: usize,
    /// Bytes queued to send.
    pub queued: usize,
    /// Bytes received and not taken.
    pub received: usize,
    /// Bytes of requests whose handlers ran, or were to.
    pub handlers: usize,
    /// Timers of calls.
    pub timers: usize,
    /// Former processes of the peer's name that it remembered.
    pub instances: usize,
}

/// A reader had more room than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hoard {
    /// When, in simulated nanoseconds.
    pub at: u64,
    /// Who reads.
    pub node: usize,
    /// What comes from whom.
    pub peer: usize,
    /// Bytes of room.
    pub room: u64,
    /// Bytes that it may have.
    pub bound: u64,
}

/// What a node has seen one of ours do wrong: one that is not ours, or that one itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Who has seen it.
    pub by: usize,
    /// Of whom.
    pub of: usize,
    /// The rule that was broken.
    pub failure: Failure,
}

/// What the machines themselves have shown.
#[derive(Clone, Debug, Default)]
pub struct Inside {
    /// The largest figures.
    pub peaks: Vec<Peak>,
    /// More timers than calls were seen: when first, and where.
    pub timers: Option<(u64, String)>,
    /// The first invariant of a machine that was broken, and when that was seen.
    pub broken: Option<(u64, String)>,
    /// How often machines were ticked with nothing due.
    pub ticked: u64,
    /// The first such tick that has changed one: when, and which.
    pub stirred: Option<(u64, String)>,
    /// What the nodes that are not ours have seen ours do wrong.
    pub complaints: Vec<Complaint>,
    /// Mistakes in configurations that were tried.
    pub tried: Vec<Tried>,
    /// What panicked, in the words of the panic.
    pub panics: Vec<String>,
    /// When machines have panicked, in order.
    pub bugs: Vec<u64>,
    /// How many of these panics were asked for.
    pub struck: usize,
    /// Somebody who was asked again went on, though nothing had happened: when, and what.
    pub lost_wakes: Vec<(u64, &'static str)>,
    /// Readers that had more room than they may.
    pub hoards: Vec<Hoard>,
    /// What nodes of ours took for malformed though it was as the peer had sent it: when, and what.
    pub misread: Vec<(u64, String)>,
    /// Tasks ran and ran while time stood still.
    pub busy_at: Option<u64>,
}

/// How the end went.
#[derive(Clone, Debug, Default)]
pub struct Farewell {
    /// When all of the core were connected, if they were.
    pub connected: Option<u64>,
    /// When nothing was left of any call, if that came.
    pub quiet: Option<u64>,
    /// The nodes whose shutdown did not end in time.
    pub not_shut_down: Vec<usize>,
    /// The nodes that have dialled after their shutdown.
    pub dialled_after: Vec<usize>,
    /// Tasks that were left when all nodes had shut down.
    pub tasks_left: usize,
    /// When all was over.
    pub end: u64,
}

/// What the monitors of the wire have found.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// What ours have done wrong, and between whom: the dialler first.
    pub violations: Vec<([usize; 2], Violation)>,
    /// What would be wrong, were there not a reason, by reason.
    pub excuses: BTreeMap<&'static str, u64>,
    /// Messages that were judged.
    pub messages: u64,
}
