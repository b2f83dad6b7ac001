//! The tasks of all nodes, on one thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use super::lives::LifeId;
use crate::keyed::mix;

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

/// How many things somebody has made so far: what each of them draws with is made of that.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Made {
    pub(crate) tasks: u64,
    pub(crate) timers: u64,
    pub(crate) entropy: u64,
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
    pub(crate) made: Made,
    /// When it had its last turn, and the how-manieth that was in that instant.
    turn: (u64, u64),
    /// How many turns it has had.
    pub(crate) turns: u64,
    /// In which of them it has yielded, the last time.
    pub(crate) yielded: u64,
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
    /// The one that has its turn.
    running: Option<TaskId>,
    pub(crate) live: usize,
}

impl Task {
    pub(crate) fn id(&self) -> TaskId {
        self.signal.task
    }

    /// What is drawn for its next turn, if that is asked for at this time.
    pub(crate) const fn turn_key(&self, now: u64) -> [u64; 3] {
        let (at, count) = self.turn;
        [self.key, now, if at == now { count } else { 0 }]
    }
}

impl Executor {
    pub(crate) fn new(ready: Arc<Ready>) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), ready, running: None, live: 0 }
    }

    /// The task that has its turn.
    pub(crate) fn running(&mut self) -> Option<&mut Task> {
        self.running.and_then(|id| self.get_mut(id))
    }

    /// Whether the task has yielded in its turn of this number, and has had none since.
    pub(crate) fn is_awake(&mut self, id: TaskId, turn: u64) -> bool {
        self.get_mut(id).is_some_and(|task| task.turns == turn && task.yielded == turn)
    }

    /// Whether the task has had no turn since the one of this number.
    pub(crate) fn has_yielded(&mut self, id: TaskId, turn: u64) -> bool {
        self.get_mut(id).is_some_and(|task| task.turns == turn)
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
        let (made, turn) = (Made::default(), (u64::MAX, 0));
        slot.task =
            Some(Task { life, role, key, made, turn, turns: 0, yielded: 0, future, signal, waker });
        self.live += 1;
    }

    pub(crate) fn get_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.task.as_mut() } else { None }
    }

    /// The future of a task that is to be polled now, and its waker.
    pub(crate) fn begin(&mut self, now: u64, id: TaskId) -> Option<(TaskFuture, Waker)> {
        let task = self.get_mut(id)?;
        task.signal.queued.store(false, Ordering::Relaxed);
        let [_, _, count] = task.turn_key(now);
        task.turn = (now, count + 1);
        task.turns += 1;
        let begun = (task.future.take()?, task.waker.clone());
        self.running = Some(id);
        Some(begun)
    }

    /// Puts a future back that is not done. Given back if the task has been dropped meanwhile.
    pub(crate) fn end(&mut self, id: TaskId, future: TaskFuture) -> Option<TaskFuture> {
        self.running = None;
        match self.get_mut(id) {
            Some(task) => {
                task.future = Some(future);
                None
            }
            None => Some(future),
        }
    }

    pub(crate) fn remove(&mut self, id: TaskId) -> Option<Task> {
        self.running.take_if(|running| *running == id);
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

    /// The waker of one of the tasks of a life, chosen by `pick`: one task more or less changes
    /// nothing for the others.
    pub(crate) fn any_of(&self, life: LifeId, pick: u64) -> Option<Waker> {
        let tasks = self.slots.iter().filter_map(|slot| slot.task.as_ref());
        let of_life = tasks.filter(|task| task.life == life);
        of_life.min_by_key(|task| mix(task.key ^ pick)).map(|task| task.waker.clone())
    }
}
