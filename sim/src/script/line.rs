//! A script as a value.

use gridmux_core::limits::Limits;

use super::call::Call;
use super::fault::{Fault, Moment};
use super::trial::Trial;
use crate::world::Knobs;

/// What a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeKind {
    /// One of ours.
    #[default]
    Ours,
    /// One of ours, whose machines a loop of its own drives: no handles and no driver.
    Loop,
    /// A node that does what a Go node gets wrong (PROTOCOL.md section 7).
    Go,
    /// A peer that means harm.
    Hostile(Conduct),
}

impl NodeKind {
    /// Whether it runs the machines that are under test.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::Loop)
    }
}

/// How a hostile peer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conduct {
    /// Well-formed messages that break the rules (B9).
    Rules,
    /// Handshakes that are slow, cut or wrong (B10).
    Handshakes,
    /// Merged messages of every wrong make (B11).
    Merges,
}

/// Something that a line does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// An application calls.
    Call(Call),
    /// An application drops a call.
    Cancel(String),
    /// Something goes wrong.
    Fault(Fault),
    /// A node of a user's own cluster is told to do something.
    Do(Operation),
}

/// Something that a node of a user's own cluster is told to do: see
/// [`Simulation::operations`](crate::cluster::Simulation::operations).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it is called.
    pub name: String,
    /// The node that is told.
    pub node: usize,
    /// With what: keys and values, each key once.
    pub arguments: Vec<(String, String)>,
}

impl Operation {
    /// The value of an argument.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.arguments.iter().find(|(other, _)| other == key);
        found.map(|(_, value)| value.as_str())
    }
}

/// What stands in a script behind the moment.
impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "do {} n{}", self.name, self.node)?;
        self.arguments.iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

/// A line that does something, at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub moment: Moment,
    /// What.
    pub deed: Deed,
}

/// Everything that a run does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What residual choices are drawn from: latencies, splits, ties.
    pub seed: u64,
    /// The nodes; nodes are named `n0`, `n1` and so on.
    pub nodes: Vec<NodeKind>,
    /// What the machines and the network are like.
    pub knobs: Knobs,
    /// Where the generations of mux ids begin (PROTOCOL.md section 7.1).
    pub first_generation: u32,
    /// Names of all nodes begin with `https`, so that messages have no CRC.
    pub secure: bool,
    /// Nodes know each other by one fixed token.
    pub token: bool,
    /// Names of nodes begin with those of others.
    pub nested: bool,
    /// The limits of all nodes.
    pub limits: Limits,
    /// Nodes whose first process listens for so many nanoseconds before it starts.
    pub gates: Vec<(usize, u64)>,
    /// Mistakes in the configurations of nodes, tried when these start.
    pub trials: Vec<(usize, Trial)>,
    /// What happens.
    pub lines: Vec<Line>,
    /// When everything heals, in nanoseconds.
    pub heal: u64,
    /// The nodes that must be well afterwards; the others stay as they are.
    pub core: Vec<usize>,
}

impl Script {
    /// A script of so many calm nodes in which nothing happens.
    pub fn new(seed: u64, nodes: usize) -> Self {
        Self {
            seed,
            nodes: vec![NodeKind::Ours; nodes],
            knobs: Knobs::default(),
            first_generation: 0,
            secure: false,
            token: false,
            nested: false,
            limits: Limits::default(),
            gates: Vec::new(),
            trials: Vec::new(),
            lines: Vec::new(),
            heal: 10_000_000_000,
            core: (0..nodes).collect(),
        }
    }

    /// The calls, in the order of the lines.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.lines.iter().filter_map(|line| match &line.deed {
            Deed::Call(call) => Some(call),
            Deed::Cancel(_) | Deed::Fault(_) | Deed::Do(_) => None,
        })
    }

    /// The name that a node has in the grid: its base URL.
    pub fn node_name(&self, node: usize) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        if !self.nested {
            return format!("{scheme}://n{node}:9000");
        }
        // Four to a host: ports have five digits at most.
        let (host, port) = (node / 4, [9, 90, 900, 9_000][node % 4]);
        match host {
            0 => format!("{scheme}://n:{port}"),
            _ => format!("{scheme}://n{host}:{port}"),
        }
    }
}
