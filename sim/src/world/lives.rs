//! The lives of the nodes: a node that is killed and started again lives twice.

use super::clock::NodeClock;
use super::executor::{Made, TaskId};
use crate::census::FaultId;
use crate::keyed::mix;

/// One life of a node; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LifeId(pub(crate) u32);

/// The simulation's own tasks: scripts, checks.
pub(crate) const NOBODY: LifeId = LifeId(0);

#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) node: usize,
    /// The how-manieth life of the node this is, from 0.
    pub(crate) number: u64,
    pub(crate) clock: NodeClock,
    pub(crate) alive: bool,
    /// Stopped by the system: its clocks go on, nothing of it runs.
    pub(crate) paused: Option<Paused>,
    /// By others than its tasks.
    pub(crate) made: Made,
    /// How its connections end when it is killed.
    pub(crate) end: Death,
    /// Its clock was tampered with, and it has not looked since.
    pub(crate) clock_fault: Option<FaultId>,
}

impl Life {
    /// What its own choices are drawn with.
    pub(crate) const fn key(&self) -> u64 {
        mix((self.node as u64) << 32 | self.number)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Paused {
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) fault: Option<FaultId>,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Death {
    /// The system closes its connections: the other ends read the end of the stream.
    #[default]
    Closed,
    /// The system resets its connections.
    Reset,
    /// The machine is gone: the other ends learn nothing.
    Silent,
}

#[derive(Debug)]
pub(crate) struct Lives {
    all: Vec<Life>,
    /// By node.
    current: Vec<Option<LifeId>>,
    counts: Vec<u64>,
}

impl Lives {
    pub(crate) fn new(nodes: usize) -> Self {
        let nobody = Life {
            node: usize::MAX,
            number: 0,
            clock: NodeClock::new(0, 0, super::clock::NOMINAL, 1, 0),
            alive: true,
            paused: None,
            made: Made::default(),
            end: Death::default(),
            clock_fault: None,
        };
        Self { all: vec![nobody], current: vec![None; nodes], counts: vec![0; nodes] }
    }

    pub(crate) fn begin(&mut self, node: usize, clock: NodeClock) -> LifeId {
        let id = LifeId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        self.all.push(Life {
            node,
            number: self.counts[node],
            clock,
            alive: true,
            paused: None,
            made: Made::default(),
            end: Death::default(),
            clock_fault: None,
        });
        self.counts[node] += 1;
        self.current[node] = Some(id);
        id
    }

    pub(crate) fn lives_of(&self, node: usize) -> u64 {
        self.counts[node]
    }

    pub(crate) fn current(&self, node: usize) -> Option<LifeId> {
        self.current[node]
    }

    pub(crate) fn set_current(&mut self, node: usize, id: Option<LifeId>) {
        self.current[node] = id;
    }

    pub(crate) fn end(&mut self, id: LifeId, how: Death) {
        let life = &mut self.all[id.0 as usize];
        life.alive = false;
        life.paused = None;
        life.end = how;
        let node = life.node;
        if self.current[node] == Some(id) {
            self.current[node] = None;
        }
    }

    pub(crate) fn get(&self, id: LifeId) -> &Life {
        &self.all[id.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, id: LifeId) -> &mut Life {
        &mut self.all[id.0 as usize]
    }
}
