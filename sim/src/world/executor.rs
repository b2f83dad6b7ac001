//! The tasks of all nodes, on one thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use super::lives::LifeId;

/// A future that a task runs.
pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task; an id is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId {
    index: u32,
    generation: u32,
}

/// Whose code a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// That of the grid: the links, the accept loops.
    Grid,
    /// A handler's.
    Handler,
    /// A caller's, an application's, the simulation's own.
    Script,
}

/// Tasks that were woken since this was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    woken: Mutex<Vec<TaskId>>,
}

impl Ready {
    pub(crate) fn take(&self, into: &mut Vec<TaskId>) {
        into.append(&mut self.woken.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[derive(Debug)]
struct Signal {
    task: TaskId,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            let mut woken = self.ready.woken.lock().unwrap_or_else(PoisonError::into_inner);
            woken.push(self.task);
        }
    }
}

pub(crate) struct Task {
    pub(crate) life: LifeId,
    pub(crate) role: Role,
    /// What its ties are drawn with.
    pub(crate) key: u64,
    pub(crate) polls: u64,
    /// While it runs, it is not here.
    future: Option<TaskFuture>,
    signal: Arc<Signal>,
    waker: Waker,
}

struct Slot {
    generation: u32,
    task: Option<Task>,
}

/// All tasks.
pub(crate) struct Executor {
    slots: Vec<Slot>,
    free: Vec<u32>,
    ready: Arc<Ready>,
    pub(crate) live: usize,
}

impl Executor {
    pub(crate) fn new(ready: Arc<Ready>) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), ready, live: 0 }
    }

    /// A new task, which is ready to run.
    pub(crate) fn spawn(&mut self, life: LifeId, role: Role, key: u64, future: TaskFuture) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, task: None });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        let id = TaskId { index, generation: slot.generation };
        let ready = self.ready.clone();
        let signal = Arc::new(Signal { task: id, queued: AtomicBool::new(false), ready });
        let waker = Waker::from(signal.clone());
        waker.wake_by_ref();
        let future = Some(future);
        slot.task = Some(Task { life, role, key, polls: 0, future, signal, waker });
        self.live += 1;
    }

    pub(crate) fn get_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.task.as_mut() } else { None }
    }

    /// The future of a task that is to be polled now, and its waker.
    pub(crate) fn begin(&mut self, id: TaskId) -> Option<(TaskFuture, Waker)> {
        let task = self.get_mut(id)?;
        task.signal.queued.store(false, Ordering::Relaxed);
        task.polls += 1;
        Some((task.future.take()?, task.waker.clone()))
    }

    /// Puts a future back that is not done. Given back if the task has been dropped meanwhile.
    pub(crate) fn end(&mut self, id: TaskId, future: TaskFuture) -> Option<TaskFuture> {
        match self.get_mut(id) {
            Some(task) => {
                task.future = Some(future);
                None
            }
            None => Some(future),
        }
    }

    pub(crate) fn remove(&mut self, id: TaskId) -> Option<Task> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let task = slot.task.take()?;
        slot.generation += 1;
        self.free.push(id.index);
        self.live -= 1;
        Some(task)
    }

    /// Takes all tasks of a life away; to be dropped without the world's lock.
    pub(crate) fn remove_all(&mut self, life: LifeId) -> Vec<Task> {
        let of_life = |(index, slot): (usize, &Slot)| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let ours = slot.task.as_ref().is_some_and(|task| task.life == life);
            ours.then_some(TaskId { index, generation: slot.generation })
        };
        let ids: Vec<_> = self.slots.iter().enumerate().filter_map(of_life).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// How many tasks of a life are the grid's or its handlers'.
    pub(crate) fn count(&self, life: LifeId) -> usize {
        let tasks = self.slots.iter().filter_map(|slot| slot.task.as_ref());
        tasks.filter(|task| task.life == life && task.role != Role::Script).count()
    }

    /// The wakers of all tasks.
    pub(crate) fn wakers(&self) -> Vec<Waker> {
        let tasks = self.slots.iter().filter_map(|slot| slot.task.as_ref());
        tasks.map(|task| task.waker.clone()).collect()
    }

    /// The waker of one of the tasks of a life, chosen by `pick`.
    pub(crate) fn any_of(&self, life: LifeId, pick: u64) -> Option<Waker> {
        let tasks = || self.slots.iter().filter_map(|slot| slot.task.as_ref());
        let of_life = || tasks().filter(|task| task.life == life);
        let count = of_life().count() as u64;
        let chosen = usize::try_from(pick.checked_rem(count)?).unwrap_or(0);
        of_life().nth(chosen).map(|task| task.waker.clone())
    }
}
