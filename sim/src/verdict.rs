//! What a run has come to.

use std::collections::BTreeMap;
use std::fmt;

use crate::census::Tally;
use crate::rows::OF_LINES;

/// The oracles, by their numbers in the table of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OracleId(pub u8);

impl fmt::Display for OracleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "O{}", self.0)
    }
}

/// What kind of failure it is: it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Something happened that must not.
    Safety,
    /// Something has not happened in time.
    Liveness,
    /// Two runs of one seed differ.
    Nondeterminism,
    /// A panic, or a bug that the grid has caught itself.
    Panic,
}

/// One failure of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Who says so.
    pub oracle: OracleId,
    /// What kind it is.
    pub class: Class,
    /// The rule that was broken: the same words for the same kind of failure, whatever the seed.
    pub rule: &'static str,
    /// What happened, for a person.
    pub detail: String,
    /// When, in simulated nanoseconds.
    pub at: u64,
    /// The call that it is about, by its number in the script.
    pub call: Option<usize>,
}

/// Figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events.
    pub events: u64,
    /// Simulated nanoseconds.
    pub simulated: u64,
    /// Calls and streams that were made.
    pub calls: u64,
    /// Of these, those that ended in order.
    pub successes: u64,
    /// Of these, those that ended in order before the healing.
    pub successes_in_chaos: u64,
    /// Connections between nodes that were made.
    pub connections: u64,
    /// Nanoseconds from the healing until all of the core were connected, in real time of the
    /// simulation.
    pub healed_after: u64,
    /// What that may take at most.
    pub heal_bound: u64,
    /// Errors that a fault explains, by class of excuse.
    pub excuses: BTreeMap<&'static str, u64>,
}

/// Everything about a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What went wrong, the first thing first; empty if nothing did.
    pub failures: Vec<Failure>,
    /// Figures.
    pub figures: Figures,
    /// Faults by row of the table.
    pub census: BTreeMap<&'static str, Tally>,
    /// How often each oracle had something to judge.
    pub judged: BTreeMap<OracleId, u64>,
    /// A hash over every event, every byte written and every timer.
    pub digest: u64,
    /// The digest after each 1,024 events, for the comparison of two runs.
    pub checkpoints: Vec<u64>,
}

impl Outcome {
    /// Whether nothing went wrong.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    /// Whether a fault of the script had any effect.
    pub fn felt_a_fault(&self) -> bool {
        OF_LINES.iter().any(|row| self.census.get(row).is_some_and(|tally| tally.felt > 0))
    }
}
