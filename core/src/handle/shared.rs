//! One peer's machine under its lock, and the wakers of those who wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::connection::Connection;
use crate::driver::runtime::{Clock, Transport};
use crate::error::CancelReason;
use crate::event::{Event, IncomingCall, LinkCommand};
use crate::mux::{IncomingKey, OutgoingKey};
use crate::node::Node;
use crate::peer::Peer;
use crate::time::{Instant, Now};

/// What a peer's handles and its task share.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) name: Arc<str>,
    pub(crate) node: Arc<Node>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Two who may wait for one of our calls.
#[derive(Debug, Default)]
struct Outgoing {
    read: Option<Waker>,
    write: Option<Waker>,
}

/// Those who may wait for one of the peer's calls, and why it was cancelled.
#[derive(Debug, Default)]
struct Incoming {
    generation: u32,
    read: Option<Waker>,
    write: Option<Waker>,
    task: Option<Waker>,
    watchers: Vec<Waker>,
    cancelled: Option<CancelReason>,
}

/// The machine and all wakers; everything in here is touched under the lock only.
pub(crate) struct State {
    pub(crate) peer: Peer,
    outgoing: Vec<Outgoing>,
    incoming: Vec<Incoming>,
    /// Waiting for room in the send queue.
    queue: Vec<Waker>,
    /// Waiting for the link's state to change.
    state: Vec<Waker>,
    /// The task that drives the link, while it is parked, and what its timer is set to.
    driver: Option<Waker>,
    armed: Option<Instant>,
    /// An accepted connection that the task is to take over.
    pub(crate) newcomer: Option<(Connection, Box<dyn Transport>)>,
    /// Counts the changes of the link's state.
    pub(crate) changes: u64,
}

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) wakers: Vec<Waker>,
    pub(crate) calls: Vec<IncomingCall>,
    pub(crate) commands: Vec<LinkCommand>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.wakers.is_empty() && self.calls.is_empty() && self.commands.is_empty()
    }

    /// Wakes everyone. Never under the lock.
    pub(crate) fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, peer: Peer) -> Self {
        Self {
            clock,
            name: peer.name().into(),
            node: peer.node().clone(),
            state: Mutex::new(State {
                peer,
                outgoing: Vec::new(),
                incoming: Vec::new(),
                queue: Vec::new(),
                state: Vec::new(),
                driver: None,
                armed: None,
                newcomer: None,
                changes: 0,
            }),
        }
    }

    /// A panic under the lock is one of our own bugs; the task drops the link for it, and
    /// whoever comes next finds a machine that can be used.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the machine on behalf of a user, then wakes whom it concerns.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut wake = WakeList::default();
        let result = {
            let mut state = self.lock();
            let result = act(&mut state);
            state.drain_events(&mut wake);
            state.wake_driver(&mut wake);
            result
        };
        wake.wake();
        result
    }
}

/// Wakers of one user operation: seldom more than two, so that no memory is asked for.
#[derive(Debug, Default)]
struct WakeList {
    first: [Option<Waker>; 2],
    more: Vec<Waker>,
}

/// Where wakers are collected.
pub(crate) trait Wakers {
    fn add(&mut self, waker: Waker);
}

impl Wakers for WakeList {
    fn add(&mut self, waker: Waker) {
        match self.first.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(waker),
            None => self.more.push(waker),
        }
    }
}

impl Wakers for Batch {
    fn add(&mut self, waker: Waker) {
        self.wakers.push(waker);
    }
}

impl WakeList {
    fn wake(self) {
        self.first.into_iter().flatten().chain(self.more).for_each(Waker::wake);
    }
}

impl State {
    /// Turns the machine's events into wakers.
    pub(crate) fn drain_events(&mut self, wake: &mut impl Wakers) {
        while let Some(event) = self.peer.poll_event() {
            match event {
                Event::Readable(key) => {
                    take(self.outgoing.get_mut(key.slot()), |w| &mut w.read, wake)
                }
                Event::Writable(key) => {
                    take(self.outgoing.get_mut(key.slot()), |w| &mut w.write, wake)
                }
                Event::InputReadable(key) => take(self.serving(key), |w| &mut w.read, wake),
                Event::OutputWritable(key) => take(self.serving(key), |w| &mut w.write, wake),
                Event::Cancelled(key, reason) => self.on_cancelled(key, reason, wake),
                Event::QueueWritable => self.queue.drain(..).for_each(|w| wake.add(w)),
                Event::LinkState | Event::Drained => {
                    self.changes += 1;
                    self.state.drain(..).for_each(|w| wake.add(w));
                }
            }
        }
    }

    /// Everything that the machine gives, for the task that drives it.
    pub(crate) fn drain_all(&mut self, batch: &mut Batch) {
        while let Some(call) = self.peer.poll_call() {
            batch.calls.push(call);
        }
        self.drain_events(batch);
        while let Some(command) = self.peer.poll_command() {
            batch.commands.push(command);
        }
    }

    fn on_cancelled(&mut self, key: IncomingKey, reason: CancelReason, wake: &mut impl Wakers) {
        let incoming = self.incoming_mut(key);
        incoming.cancelled = Some(reason);
        if let Some(task) = incoming.task.take() {
            wake.add(task);
        }
        incoming.watchers.drain(..).for_each(|w| wake.add(w));
    }

    /// The machine has panicked: a fresh one takes its place, and everyone who waits looks again.
    pub(crate) fn recover(&mut self, now: Now, batch: &mut Batch) {
        self.peer = self.peer.reborn(now);
        for waiting in self.outgoing.drain(..) {
            batch.wakers.extend([waiting.read, waiting.write].into_iter().flatten());
        }
        for waiting in &mut self.incoming {
            waiting.cancelled = Some(CancelReason::Disconnected);
            let wakers = [waiting.read.take(), waiting.write.take(), waiting.task.take()];
            batch.wakers.extend(wakers.into_iter().flatten());
            batch.wakers.append(&mut waiting.watchers);
        }
        batch.wakers.append(&mut self.queue);
        batch.wakers.append(&mut self.state);
        self.changes += 1;
    }

    /// The task of the link is woken if there is output for it, or a time before its alarm.
    fn wake_driver(&mut self, wake: &mut impl Wakers) {
        if self.driver.is_some()
            && self.peer.wants_drive(self.armed)
            && let Some(driver) = self.driver.take()
        {
            wake.add(driver);
        }
    }

    /// Wakes the link's task, whatever the machine says.
    pub(crate) fn rouse_driver(&mut self) -> Option<Waker> {
        self.driver.take()
    }

    /// The link's task goes to sleep until `armed`, unless there is something to do.
    pub(crate) fn park_driver(&mut self, waker: &Waker, armed: Option<Instant>) -> bool {
        if self.newcomer.is_some() || self.peer.wants_drive(armed) {
            return false;
        }
        self.armed = armed;
        match &mut self.driver {
            Some(parked) => parked.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        true
    }

    pub(crate) fn unpark_driver(&mut self) {
        self.driver = None;
    }

    // ---- who waits for what ----

    pub(crate) fn wait_read(&mut self, key: OutgoingKey, waker: &Waker) {
        set(&mut self.outgoing_mut(key).read, waker);
    }

    pub(crate) fn wait_write(&mut self, key: OutgoingKey, waker: &Waker) {
        set(&mut self.outgoing_mut(key).write, waker);
    }

    pub(crate) fn wait_input(&mut self, key: IncomingKey, waker: &Waker) {
        set(&mut self.incoming_mut(key).read, waker);
    }

    pub(crate) fn wait_output(&mut self, key: IncomingKey, waker: &Waker) {
        set(&mut self.incoming_mut(key).write, waker);
    }

    pub(crate) fn wait_task(&mut self, key: IncomingKey, waker: &Waker) {
        set(&mut self.incoming_mut(key).task, waker);
    }

    pub(crate) fn wait_cancelled(&mut self, key: IncomingKey, waker: &Waker) {
        add(&mut self.incoming_mut(key).watchers, waker);
    }

    pub(crate) fn wait_queue(&mut self, waker: &Waker) {
        add(&mut self.queue, waker);
    }

    pub(crate) fn wait_state(&mut self, waker: &Waker) {
        add(&mut self.state, waker);
    }

    /// Why this handler was cancelled, if it was.
    pub(crate) fn cancelled(&mut self, key: IncomingKey) -> Option<CancelReason> {
        self.incoming_mut(key).cancelled
    }

    /// Nobody waits for this call any more.
    pub(crate) fn forget(&mut self, key: OutgoingKey) {
        if let Some(waiting) = self.outgoing.get_mut(key.slot()) {
            *waiting = Outgoing::default();
        }
    }

    fn outgoing_mut(&mut self, key: OutgoingKey) -> &mut Outgoing {
        if key.slot() >= self.outgoing.len() {
            self.outgoing.resize_with(key.slot() + 1, Outgoing::default);
        }
        &mut self.outgoing[key.slot()]
    }

    fn serving(&mut self, key: IncomingKey) -> Option<&mut Incoming> {
        self.incoming.get_mut(key.slot()).filter(|w| w.generation == key.generation)
    }

    fn incoming_mut(&mut self, key: IncomingKey) -> &mut Incoming {
        if key.slot() >= self.incoming.len() {
            self.incoming.resize_with(key.slot() + 1, Incoming::default);
        }
        let waiting = &mut self.incoming[key.slot()];
        if waiting.generation != key.generation {
            *waiting = Incoming { generation: key.generation, ..Incoming::default() };
        }
        waiting
    }
}

fn take<T>(
    waiting: Option<&mut T>,
    which: impl FnOnce(&mut T) -> &mut Option<Waker>,
    wake: &mut impl Wakers,
) {
    if let Some(waker) = waiting.and_then(|waiting| which(waiting).take()) {
        wake.add(waker);
    }
}

fn set(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(current) => current.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

fn add(list: &mut Vec<Waker>, waker: &Waker) {
    if !list.iter().any(|w| w.will_wake(waker)) {
        list.push(waker.clone());
    }
}
