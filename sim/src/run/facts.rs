//! All that is known of a run when it is over: what its oracles judge.

use gridmux_core::link::LinkState;

use super::recorder::{ConnectionLife, Dial};
use crate::history::Entry;

/// A node has seen the state of one of its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// When, in simulated nanoseconds.
    pub at: u64,
    /// Who has seen it.
    pub node: usize,
    /// The how-manieth life of it.
    pub life: u64,
    /// The other end of the link.
    pub peer: usize,
    /// What it has seen.
    pub state: LinkState,
}

/// A life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLife {
    /// Which node.
    pub node: usize,
    /// The how-manieth life of it, from 0.
    pub number: u64,
    /// When it began, in simulated nanoseconds.
    pub born: u64,
    /// When it ended.
    pub died: Option<u64>,
    /// A second process of the name, which only dials.
    pub twin: bool,
}

/// What a node still holds of its calls with one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// Who.
    pub node: usize,
    /// With whom.
    pub peer: usize,
    /// Calls and streams of its own that are open.
    pub outgoing: usize,
    /// Calls and streams that it serves.
    pub incoming: usize,
    /// Bytes queued to send.
    pub queued: usize,
    /// Bytes received and not taken.
    pub received: usize,
    /// Nothing of any call is left in the machine: no entry, no queue, no timer.
    pub quiescent: bool,
    /// The state of the link.
    pub state: LinkState,
}

/// Phases of a run, with the simulated times at which they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Faults are lifted within the core.
    pub heal: u64,
    /// All of the core are connected; `None` if that did not happen in time.
    pub connected: Option<u64>,
    /// The probes are made.
    pub probe: u64,
    /// Applications drop what they still have.
    pub drain: u64,
    /// Nothing is left of any call; `None` if something stayed.
    pub quiet: Option<u64>,
    /// The nodes shut down.
    pub shutdown: u64,
    /// All is over.
    pub end: u64,
}

/// All that is known of a run.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the applications have seen.
    pub history: Vec<Entry>,
    /// The calls, by their numbers: those of the script first, then the probes.
    pub calls: Vec<crate::script::Call>,
    /// Connections, by their numbers.
    pub connections: Vec<ConnectionLife>,
    /// Dial attempts, in order.
    pub dials: Vec<Dial>,
    /// What the nodes have seen of their links.
    pub links: Vec<LinkView>,
    /// The lives of the nodes.
    pub lives: Vec<NodeLife>,
    /// When what began.
    pub phases: Phases,
    /// What the nodes of the core held of each other at the beginning of the shutdown.
    pub gauges: Vec<Gauge>,
    /// The largest gauges that were seen at any time.
    pub peaks: Vec<Gauge>,
    /// Calls that were open while nothing was to happen any more.
    pub deadlocked: Vec<usize>,
    /// Tasks that were left when all nodes had shut down.
    pub tasks_left: usize,
    /// The nodes whose shutdown did not end.
    pub not_shut_down: Vec<usize>,
    /// What panicked, in the words of the panic.
    pub panics: Vec<String>,
    /// Machines' panics that the driver has caught.
    pub bugs: u64,
    /// The first invariant of a machine that was broken, and when that was seen.
    pub invariant: Option<(u64, String)>,
    /// Tasks ran and ran while time stood still.
    pub busy_at: Option<u64>,
}
