//! What the processes of a run leave with the simulation: notes, disks, and how they ended.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::context::NodeError;
use crate::world::LifeId;

/// Something that an application has noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<N> {
    /// When, in simulated time since the beginning of the run: the same for all nodes, whatever
    /// their clocks show.
    pub at: Duration,
    /// On which node.
    pub node: usize,
    /// In the how-manieth life of its process, from 0.
    pub life: u64,
    /// What.
    pub event: N,
}

/// The main task of a process has ended.
#[derive(Debug)]
pub(super) struct Exit {
    pub(super) node: usize,
    pub(super) life: LifeId,
    pub(super) result: Result<(), NodeError>,
}

#[derive(Debug)]
pub(super) struct State<N> {
    pub(super) notes: Vec<Note<N>>,
    /// By node, then by the type of what is on it.
    disks: Vec<BTreeMap<TypeId, Box<dyn Any + Send>>>,
    exits: Vec<Exit>,
}

impl<N> State<N> {
    pub(super) fn disk<T: 'static>(&self, node: usize) -> Option<&T> {
        self.disks.get(node)?.get(&TypeId::of::<T>())?.downcast_ref()
    }

    pub(super) fn disk_mut<T: Default + Send + 'static>(&mut self, node: usize) -> Option<&mut T> {
        let disks = self.disks.get_mut(node)?;
        let disk = disks.entry(TypeId::of::<T>()).or_insert_with(|| Box::new(T::default()));
        disk.downcast_mut()
    }
}

/// Shared by all processes of a run.
#[derive(Debug)]
pub(super) struct Board<N>(Mutex<State<N>>);

impl<N> Board<N> {
    pub(super) fn new(nodes: usize) -> Arc<Self> {
        let disks = (0..nodes).map(|_| BTreeMap::new()).collect();
        Arc::new(Self(Mutex::new(State { notes: Vec::new(), disks, exits: Vec::new() })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State<N>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn exit(&self, exit: Exit) {
        self.state().exits.push(exit);
    }

    pub(super) fn take_exits(&self) -> Vec<Exit> {
        std::mem::take(&mut self.state().exits)
    }
}

/// Asks a process to end.
#[derive(Debug, Default)]
pub(super) struct Stop(Mutex<(Option<Duration>, Vec<Waker>)>);

impl Stop {
    fn lock(&self) -> MutexGuard<'_, (Option<Duration>, Vec<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process may take so long.
    pub(super) fn ask(&self, grace: Duration) {
        let mut stop = self.lock();
        stop.0.get_or_insert(grace);
        let wakers = std::mem::take(&mut stop.1);
        drop(stop);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn asked(&self) -> Option<Duration> {
        self.lock().0
    }

    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Duration> {
        let mut stop = self.lock();
        match stop.0 {
            Some(grace) => Poll::Ready(grace),
            None => {
                stop.1.retain(|waker| !waker.will_wake(cx.waker()));
                stop.1.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
