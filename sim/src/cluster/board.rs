//! What the processes of a run leave with the simulation: notes, disks, and how they ended.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// By node, then by the type of what is on it; `None` while somebody changes it.
    disks: Vec<BTreeMap<TypeId, Option<Value>>>,
    exits: Vec<Exit>,
}

impl<N> State<N> {
    /// What a node has of a type on its disk; `None` if it has never written any.
    ///
    /// # Panics
    /// If it is being changed: a change that uses the value that it changes is a mistake of its author.
    pub(super) fn disk<T: 'static>(&self, node: usize) -> Option<&T> {
        let value = self.disks.get(node)?.get(&TypeId::of::<T>())?;
        let Some(value) = value else { panic!("{}", in_use::<T>(node)) };
        value.downcast_ref()
    }
}

/// What is on a disk.
type Value = Box<dyn Any + Send>;

fn in_use<T>(node: usize) -> String {
    let of = std::any::type_name::<T>();
    format!("a change of the disk of n{node} uses the `{of}` that it changes")
}

/// A value that is taken from its disk to be changed, and goes back when this is dropped.
pub(super) struct Lent<'a, N> {
    board: &'a Board<N>,
    node: usize,
    of: TypeId,
    value: Option<Value>,
}

impl<N> Lent<'_, N> {
    pub(super) fn value<T: 'static>(&mut self) -> Option<&mut T> {
        self.value.as_mut()?.downcast_mut()
    }
}

impl<N> Drop for Lent<'_, N> {
    fn drop(&mut self) {
        if let Some(disks) = self.board.state().disks.get_mut(self.node) {
            disks.insert(self.of, self.value.take());
        }
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

    /// Takes the value of this type from a node's disk, at first the default, while it is changed.
    ///
    /// # Panics
    /// If it is taken already: see [`State::disk`].
    pub(super) fn lend<T: Default + Send + 'static>(&self, node: usize) -> Lent<'_, N> {
        let of = TypeId::of::<T>();
        let mut state = self.state();
        let disk = state.disks.get_mut(node).map(|disks| disks.insert(of, None));
        drop(state);
        let value = match disk.flatten() {
            Some(Some(value)) => value,
            Some(None) => panic!("{}", in_use::<T>(node)),
            None => Box::new(T::default()),
        };
        Lent { board: self, node, of, value: Some(value) }
    }

    pub(super) fn exit(&self, exit: Exit) {
        self.state().exits.push(exit);
    }

    pub(super) fn take_exits(&self) -> Vec<Exit> {
        std::mem::take(&mut self.state().exits)
    }
}
