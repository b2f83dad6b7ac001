//! What a hostile peer is going to do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::answers::Answer;
use super::knocks::Knock;
use super::merges::Merge;
use super::rules::Rule;
use crate::census::FaultId;
use crate::keyed::mix;
use crate::peers::here::Here;

/// Something hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Messages on a link that is up.
    Rule(Rule),
    /// A merged message on a link that is up.
    Merge(Merge),
    /// A connection of its own.
    Knock(Knock),
    /// What a victim's connection meets.
    Answer(Answer),
}

impl Deed {
    const fn row(self) -> &'static str {
        match self {
            Self::Rule(_) => "B9",
            Self::Knock(Knock::AtOnce) => "D1",
            Self::Knock(Knock::WrongSide | Knock::Stranger | Knock::VictimsName) => "D2",
            Self::Knock(_) | Self::Answer(_) => "B10",
            Self::Merge(_) => "B11",
        }
    }
}

/// A deed, and what goes with it.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) deed: Deed,
    /// How long it waits before it does it.
    pub(super) wait: Duration,
    /// What its own choices are drawn from.
    pub(super) seed: u64,
    pub(super) fault: FaultId,
}

impl Task {
    pub(super) fn new(here: &Here, deed: Deed, wait: Duration, seed: u64) -> Self {
        let fault = here.runtime.shared.world().census.place(deed.row());
        Self { deed, wait, seed, fault }
    }

    /// One of its own choices, below `bound`.
    pub(super) const fn pick(&self, what: u64, bound: u64) -> u64 {
        mix(self.seed ^ what) % bound
    }

    /// It happens.
    pub(super) fn fires(&self, here: &Here) {
        here.runtime.shared.world().census.fired(self.fault);
    }

    /// Its victim has reacted.
    pub(super) fn is_felt(&self, here: &Here) {
        here.runtime.shared.world().census.felt(self.fault);
    }
}

/// What is left to be done to one victim.
#[derive(Clone, Debug)]
pub(super) struct Plan(Arc<Mutex<VecDeque<Task>>>);

impl Plan {
    pub(super) fn new(tasks: VecDeque<Task>) -> Self {
        Self(Arc::new(Mutex::new(tasks)))
    }

    /// Whether it makes connections that are no links.
    pub(super) fn knocks(&self) -> bool {
        self.tasks().iter().any(|task| matches!(task.deed, Deed::Knock(_)))
    }

    /// The next deed on a link that is up.
    pub(super) fn next_said(&self) -> Option<Task> {
        self.next(|deed| matches!(deed, Deed::Rule(_) | Deed::Merge(_)))
    }

    pub(super) fn next_knock(&self) -> Option<Task> {
        self.next(|deed| matches!(deed, Deed::Knock(_)))
    }

    pub(super) fn next_answer(&self) -> Option<Task> {
        self.next(|deed| matches!(deed, Deed::Answer(_)))
    }

    fn next(&self, is: impl Fn(Deed) -> bool) -> Option<Task> {
        let mut tasks = self.tasks();
        let place = tasks.iter().position(|task| is(task.deed))?;
        tasks.remove(place)
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, VecDeque<Task>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
