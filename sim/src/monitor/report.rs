//! What is found.

use std::collections::BTreeMap;

use super::{Conduct, Role};

/// Violations that are kept; more are only counted.
const KEPT: usize = 256;

/// The oracles that the monitor judges.
pub(super) const GRAMMAR: &str = "O16";
pub(super) const CREDIT: &str = "O9";
pub(super) const EPOCH: &str = "O8";

/// A rule that one of ours has broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `"O16"` grammar, `"O9"` credit, `"O8"` ids and connections.
    pub oracle: &'static str,
    /// The rule, the same text each time.
    pub rule: &'static str,
    /// What was sent.
    pub detail: String,
    /// The connection, as [`Monitor::connect`](super::Monitor::connect) numbers it.
    pub connection: u64,
    /// Who sent it.
    pub from: Role,
    /// The mux, 0 for the link.
    pub mux: u64,
    /// Where the WebSocket message begins in what this side has sent on the connection.
    pub offset: u64,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { oracle, rule, detail, connection, from, mux, offset } = self;
        write!(f, "{oracle}: {rule}: {detail}, mux {mux:#x} from the {from:?}, ")?;
        write!(f, "connection {connection}, offset {offset}")
    }
}

/// Where a message was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) connection: u64,
    pub(super) from: Role,
    pub(super) offset: u64,
}

/// Collects what is found.
#[derive(Debug)]
pub(super) struct Report {
    conduct: [Conduct; 2],
    pub(super) violations: Vec<Violation>,
    pub(super) uncounted: u64,
    pub(super) oddities: BTreeMap<&'static str, u64>,
    pub(super) excuses: BTreeMap<&'static str, u64>,
}

impl Report {
    pub(super) const fn new(conduct: [Conduct; 2]) -> Self {
        Self {
            conduct,
            violations: Vec::new(),
            uncounted: 0,
            oddities: BTreeMap::new(),
            excuses: BTreeMap::new(),
        }
    }

    /// A rule is broken: a violation by one of ours, an oddity by another.
    pub(super) fn broken(
        &mut self,
        oracle: &'static str,
        rule: &'static str,
        place: Place,
        mux: u64,
        detail: impl FnOnce() -> String,
    ) {
        let Place { connection, from, offset } = place;
        if self.conduct[from.index()] != Conduct::Ours {
            *self.oddities.entry(rule).or_default() += 1;
        } else if self.violations.len() == KEPT {
            self.uncounted += 1;
        } else {
            let detail = detail();
            let violation = Violation { oracle, rule, detail, connection, from, mux, offset };
            self.violations.push(violation);
        }
    }

    /// A rule would be broken, were there not a reason.
    pub(super) fn excused(&mut self, reason: &'static str) {
        *self.excuses.entry(reason).or_default() += 1;
    }
}
