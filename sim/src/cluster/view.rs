//! What checks and judges see of a run.

use std::time::Duration;

use super::board::{Note, State};

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nodes boot, and faults come.
    Chaos,
    /// No fault acts any more, and all nodes run.
    Calm,
    /// All processes are asked to end.
    Shutdown,
    /// No process runs any more.
    Over,
}

/// A life of a node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it started, in simulated time.
    pub born: Duration,
    /// When it ended, if it has.
    pub died: Option<Duration>,
}

/// By node, its lives in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lives(pub(super) Vec<Vec<Life>>);

impl Lives {
    pub(super) fn new(nodes: usize) -> Self {
        Self(vec![Vec::new(); nodes])
    }

    pub(super) fn born(&mut self, node: usize, at: Duration) {
        self.0[node].push(Life { born: at, died: None });
    }

    pub(super) fn died(&mut self, node: usize, at: Duration) {
        if let Some(life) = self.0[node].last_mut() {
            life.died.get_or_insert(at);
        }
    }
}

/// A run at one moment, from outside: what nobody inside could see all at once.
#[derive(Debug)]
pub struct View<'a, N> {
    pub(super) seed: u64,
    pub(super) now: Duration,
    pub(super) phase: Phase,
    pub(super) lives: &'a Lives,
    pub(super) state: &'a State<N>,
}

impl<N> View<'_, N> {
    /// The seed of the run.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Simulated time since the beginning.
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// What part of the run it is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.lives.0.len()
    }

    /// The lives of a node's process so far, in order: [`Note::life`] is the place in it.
    pub fn lives(&self, node: usize) -> &[Life] {
        self.lives.0.get(node).map_or(&[], Vec::as_slice)
    }

    /// Whether a process of the node runs.
    pub fn is_running(&self, node: usize) -> bool {
        self.lives(node).last().is_some_and(|life| life.died.is_none())
    }

    /// All that was noted so far, in order.
    pub fn notes(&self) -> &[Note<N>] {
        &self.state.notes
    }

    /// The events of all notes, in order.
    pub fn events(&self) -> impl Iterator<Item = &N> {
        self.state.notes.iter().map(|note| &note.event)
    }

    /// What a node has of this type on its disk; `None` if it has never written any.
    pub fn disk<T: 'static>(&self, node: usize) -> Option<&T> {
        self.state.disk(node)
    }
}
