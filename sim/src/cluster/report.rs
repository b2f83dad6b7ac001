//! What runs have come to.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display, Write as _};
use std::time::Duration;

use super::board::Note;
use crate::census::Tally;
use crate::script::{Script, show_time};
use crate::show::{self, Shown};
use crate::trace::Trace;
use crate::verdict::{self, Class, OracleId, Outcome};

use super::simulation::nanos;

/// Something was not true that must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The name of the check, or what went wrong by itself: `a node has failed`, `a task has
    /// panicked`, `a machine of the grid has panicked`, `tasks run while time stands still`.
    pub check: &'static str,
    /// What it says.
    pub problem: String,
    /// When that was found, in simulated time.
    pub at: Duration,
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (at {})", self.check, self.problem, show_time(nanos(self.at)))
    }
}

/// Something that befell the nodes: a fault, an operation, the start or the end of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// When, in simulated time.
    pub at: Duration,
    /// What, in the words of a script if it was a fault or an operation.
    pub text: String,
}

/// What a run has come to.
#[derive(Clone, Debug)]
#[must_use]
pub struct Report<N> {
    /// The seed.
    pub seed: u64,
    /// What was to happen: printed, it is what [`Simulation::replay`] takes.
    ///
    /// [`Simulation::replay`]: super::Simulation::replay
    pub script: Script,
    /// What went wrong, the first thing first; empty if nothing did.
    pub failures: Vec<Failure>,
    /// What the applications have noted, in order.
    pub notes: Vec<Note<N>>,
    /// What befell the nodes, in order.
    pub incidents: Vec<Incident>,
    /// Faults by row of the fault table: in the script, come, and felt.
    pub census: BTreeMap<&'static str, Tally>,
    /// How many events were simulated.
    pub events: u64,
    /// How long the run was, in simulated time.
    pub simulated: Duration,
    /// A hash over every event, every byte written and every timer: that of a replay is the same.
    pub digest: u64,
    /// What happened between the nodes, if [`Simulation::traced`] is set.
    ///
    /// [`Simulation::traced`]: super::Simulation::traced
    pub trace: Option<Trace>,
}

impl<N> Report<N> {
    /// Whether nothing went wrong.
    pub const fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    /// Whether a fault had any effect.
    pub fn felt_a_fault(&self) -> bool {
        self.census.values().any(|tally| tally.felt > 0)
    }

    /// A page for a browser with every message between the nodes, every fault and every failure;
    /// `None` without a [`trace`](Self::trace). What was noted is not in it.
    pub fn html(&self) -> Option<String> {
        let failure = |failure: &Failure| verdict::Failure {
            // Not one of the simulator's own oracles.
            oracle: OracleId(0),
            class: Class::Safety,
            rule: failure.check,
            detail: failure.problem.clone(),
            at: nanos(failure.at),
            call: None,
        };
        let outcome = Outcome {
            failures: self.failures.iter().map(failure).collect(),
            census: self.census.clone(),
            digest: self.digest,
            ..Outcome::default()
        };
        let (script, trace) = (&self.script, self.trace.as_ref()?);
        let shown = Shown { script, played: script, trace, history: &[], outcome: &outcome };
        Some(show::html(&shown))
    }
}

impl<N: Debug> Report<N> {
    /// What was noted and what befell the nodes, a line each, in order.
    pub fn history(&self) -> String {
        let note =
            |note: &Note<N>| (note.at, format!("n{}.{}  {:?}", note.node, note.life, note.event));
        let incident = |incident: &Incident| (incident.at, format!("----  {}", incident.text));
        let notes = self.notes.iter().map(note);
        let mut lines: Vec<_> = self.incidents.iter().map(incident).chain(notes).collect();
        lines.sort_by_key(|(at, _)| *at);
        let mut history = String::new();
        for (at, text) in lines {
            let _ = writeln!(history, "{:>16.9}  {text}", at.as_secs_f64());
        }
        history
    }
}

/// In short: the seed, and what went wrong.
impl<N> Display for Report<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = show_time(nanos(self.simulated));
        write!(f, "seed {}: {} events in {time}", self.seed, self.events)?;
        if self.is_good() {
            return f.write_str(", all is well");
        }
        self.failures.iter().try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}

/// What many runs have come to.
#[derive(Clone, Debug)]
#[must_use]
pub struct Batch<N> {
    /// How many there were.
    pub runs: u64,
    /// The reports of those in which something went wrong.
    pub failed: Vec<Report<N>>,
    /// Faults of all runs, by row of the fault table.
    pub census: BTreeMap<&'static str, Tally>,
    /// How many events were simulated.
    pub events: u64,
    /// How long the runs were together, in simulated time.
    pub simulated: Duration,
}

impl<N> Default for Batch<N> {
    fn default() -> Self {
        Self {
            runs: 0,
            failed: Vec::new(),
            census: BTreeMap::new(),
            events: 0,
            simulated: Duration::ZERO,
        }
    }
}

impl<N> Batch<N> {
    /// Adds a run.
    pub fn add(&mut self, report: Report<N>) {
        self.runs += 1;
        self.events += report.events;
        self.simulated += report.simulated;
        for (row, tally) in &report.census {
            self.census.entry(row).or_default().add(*tally);
        }
        if !report.is_good() {
            self.failed.push(report);
        }
    }

    /// Whether nothing went wrong in any run.
    pub const fn is_good(&self) -> bool {
        self.failed.is_empty()
    }
}
