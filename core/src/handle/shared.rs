//! One peer's machine under its lock, and the wakers of those who wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, Weak};
use std::task::Waker;

use super::budget::{Budget, Share};
use super::letter::{self, Letter, Letters};
use super::loan::Holder;
use super::node_log::NodeLog;
use super::sync::{self, Mutex, MutexGuard};
use super::wakers::{List, Place, WaitList, WakeList, Wakers, set};
use crate::driver::runtime::Clock;
use crate::driver::{Active, Doorway};
use crate::error::{CallError, CancelReason, LinkError, PeerLimit};
use crate::event::{Event, IncomingCall, LinkCommand};
use crate::link::{Denial, DenialKind};
use crate::mux::{IncomingKey, OutgoingKey, Received, Refusal, SHORT_ANSWER, Told};
use crate::node::Node;
use crate::outbox::Data;
use crate::payload::Payload;
use crate::peer::Peer;
use crate::route::Shape;
use crate::time::{Instant, Now};

const NODE_IS_FULL: &str = "the links of this node hold too much together";

/// What a peer's handles and its task share.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) name: Arc<str>,
    pub(crate) node: Arc<Node>,
    /// The node's other peers, as long as the node has any.
    pub(crate) doorway: Weak<Doorway>,
    pub(super) log: Arc<NodeLog>,
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
    /// Where the outcome of a single request is to go.
    letter: Option<Arc<Letter>>,
}

/// Those who may wait for one of the peer's calls, and why it was cancelled.
#[derive(Debug, Default)]
struct Incoming {
    generation: u32,
    read: Option<Waker>,
    write: WaitList,
    task: Option<Waker>,
    watchers: WaitList,
    cancelled: Option<CancelReason>,
    /// The handler has returned, or was dropped.
    over: bool,
    /// The handler has not ended yet, and has to once it is cancelled.
    tied: bool,
}

impl Incoming {
    fn wake_all(&mut self, wake: &mut impl Wakers) {
        for waiting in [&mut self.read, &mut self.task] {
            if let Some(waker) = waiting.take() {
                wake.add(waker);
            }
        }
        self.write.wake_all(wake);
        self.watchers.wake_all(wake);
    }
}

/// The machine and all wakers; everything in here is touched under the lock only.
pub(crate) struct State {
    pub(crate) peer: Peer,
    outgoing: Vec<Outgoing>,
    incoming: Vec<Incoming>,
    letters: Letters,
    /// Waiting for room in the send queue.
    queue: WaitList,
    /// Waiting for the link's state to change.
    state: WaitList,
    /// The task that drives the link, while it is parked, and what its timer is set to.
    driver: Option<Waker>,
    parked: bool,
    armed: Option<Instant>,
    /// An accepted connection that the task is to take over.
    pub(crate) newcomer: Option<Box<Active>>,
    /// Who has the connection.
    pub(super) holder: Holder,
    /// Counts the changes of the link's state.
    pub(crate) changes: u64,
    /// The machine was replaced after a bug: what the task still has is the former one's.
    replaced: bool,
    /// What this link holds of the node's memory.
    share: Share,
    /// To be dropped without the lock: a waker may own its task, and dropping that runs user code.
    garbage: Vec<Waker>,
    /// To be woken by the operation that is under way.
    woken: Vec<Waker>,
    /// Where the machine is to panic next.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fault: Option<super::fault::Fault>,
}

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) wakers: Vec<Waker>,
    pub(crate) calls: Vec<IncomingCall>,
    pub(crate) commands: Vec<LinkCommand>,
}

impl Batch {
    /// Wakes everyone. Never under the lock.
    pub(crate) fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    /// Whom it concerned is woken; the rest was the former machine's.
    pub(crate) fn keep_wakers(&mut self) {
        self.calls.clear();
        self.commands.clear();
    }
}

/// What an operation gives if the machine has panicked in it, which is a bug of ours.
pub(crate) trait AfterBug {
    fn after_bug() -> Self;
}

pub(super) const LOST: CallError = CallError::Disconnected { may_have_run: true };

impl AfterBug for () {
    fn after_bug() -> Self {}
}

impl AfterBug for bool {
    fn after_bug() -> Self {
        true
    }
}

impl<T> AfterBug for Result<T, Refusal> {
    fn after_bug() -> Self {
        Err(Refusal::Failed(LOST))
    }
}

impl<T> AfterBug for Result<T, Denial> {
    fn after_bug() -> Self {
        Err(Denial::new(DenialKind::Internal, "internal error"))
    }
}

impl AfterBug for Option<Result<Payload, CallError>> {
    fn after_bug() -> Self {
        Some(Err(LOST))
    }
}

impl AfterBug for Received<CallError> {
    fn after_bug() -> Self {
        Self::Failed(LOST)
    }
}

impl AfterBug for Received<CancelReason> {
    fn after_bug() -> Self {
        Self::Failed(CancelReason::Disconnected)
    }
}

impl Shared {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        peer: Peer,
        doorway: Weak<Doorway>,
        log: Arc<NodeLog>,
        budget: Arc<Budget>,
    ) -> Self {
        Self {
            clock,
            doorway,
            name: peer.name().into(),
            node: peer.node().clone(),
            log,
            state: Mutex::new(State {
                peer,
                outgoing: Vec::new(),
                incoming: Vec::new(),
                letters: Letters::default(),
                queue: WaitList::default(),
                state: WaitList::default(),
                driver: None,
                parked: false,
                armed: None,
                newcomer: None,
                holder: Holder::default(),
                changes: 0,
                replaced: false,
                share: Share::new(budget),
                garbage: Vec::new(),
                woken: Vec::new(),
                #[cfg(any(test, feature = "testing"))]
                fault: None,
            }),
        }
    }

    /// A panic under the lock is one of our own bugs; whoever catches it replaces the machine, and
    /// whoever comes next finds one that can be used.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        sync::lock(&self.state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the machine on behalf of a user, then wakes whom it concerns.
    ///
    /// If the machine panics, which is a bug of ours, the link is lost and the node goes on.
    pub(crate) fn with<T: AfterBug>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        self.operate(None, act)
    }

    /// The same; if that has queued a lone message and the link is free, it is written at once.
    pub(crate) fn with_write<T: AfterBug>(&self, now: Now, act: impl FnOnce(&mut State) -> T) -> T {
        self.operate(Some(now), act)
    }

    fn operate<T: AfterBug>(&self, write_at: Option<Now>, act: impl FnOnce(&mut State) -> T) -> T {
        let mut wake = WakeList::default();
        let mut lone = None;
        let mut state = self.lock();
        // It stays where it is until the end: to move it right away is to wait for it.
        let mut result = None;
        let done = catch_unwind(AssertUnwindSafe(|| {
            result = Some(act(&mut state));
            state.strike(false);
            lone = write_at.and_then(|now| Some((now, state.lend(now)?)));
            state.drain_events(&mut wake);
            if lone.is_none() {
                state.wake_driver(&mut wake);
            }
        }));
        if done.is_err() {
            state.recover(self.clock.now(), &mut wake);
        }
        while let Some(waker) = state.woken.pop() {
            wake.add(waker);
        }
        let garbage = std::mem::take(&mut state.garbage);
        drop(state);
        drop(garbage);
        wake.wake();
        if let Some((now, active)) = lone {
            self.write_lone(now, active);
        }
        match (done, result) {
            (Ok(()), Some(result)) => result,
            _ => {
                self.log_bug();
                T::after_bug()
            }
        }
    }

    /// Nobody drives the machine any more: everything that is open fails.
    pub(crate) fn abandon(&self) {
        let now = self.clock.now();
        self.with(|state| {
            state.peer.shutdown(now, std::time::Duration::ZERO);
            if let Some(link) = state.peer.link() {
                state.peer.handle_link_down(now, link, LinkError::ShutDown, 0);
            }
        });
    }

    /// Looks at the machine, and changes at most who waits for what.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let seen = look(&mut state);
        let garbage = std::mem::take(&mut state.garbage);
        drop(state);
        drop(garbage);
        seen
    }

    /// Gives places back, if they are taken.
    pub(crate) fn leave<const N: usize>(&self, places: [&mut Place; N]) {
        if places.iter().any(|place| place.is_taken()) {
            self.look(|state| places.into_iter().for_each(|place| place.leave(state)));
        }
    }
}

impl State {
    /// Turns the machine's events into wakers.
    pub(crate) fn drain_events(&mut self, wake: &mut impl Wakers) {
        self.share.tell(self.peer.held_bytes());
        while let Some(event) = self.peer.poll_event() {
            match event {
                Event::Readable(key) => {
                    self.deliver(key);
                    take(self.outgoing.get_mut(key.slot()), |w| &mut w.read, wake);
                }
                Event::Writable(key) => {
                    take(self.outgoing.get_mut(key.slot()), |w| &mut w.write, wake);
                }
                Event::InputReadable(key) => take(self.serving(key), |w| &mut w.read, wake),
                Event::OutputWritable(key) => {
                    if let Some(serving) = self.serving(key) {
                        serving.write.wake_all(wake);
                    }
                }
                Event::Cancelled(key, reason) => self.on_cancelled(key, reason, wake),
                Event::QueueWritable => self.queue.wake_all(wake),
                Event::LinkState | Event::Drained => {
                    self.changes += 1;
                    self.state.wake_all(wake);
                }
                Event::CallRefused { .. } => {}
            }
        }
    }

    /// Everything that the machine gives, for the task that drives it.
    pub(crate) fn drain_all(&mut self, now: Now, batch: &mut Batch) {
        while let Some(call) = self.peer.poll_call() {
            if self.share.is_over(self.peer.held_bytes(), 0) {
                self.refuse(now, &call);
                continue;
            }
            self.begin(&call);
            batch.calls.push(call);
        }
        self.drain_events(&mut batch.wakers);
        while let Some(command) = self.peer.poll_command() {
            batch.commands.push(command);
        }
    }

    /// All links of the node together hold too much for this call to begin.
    fn refuse(&mut self, now: Now, call: &IncomingCall) {
        let told = Told::Limit { limit: PeerLimit::NodeBytes, has_run: false, text: NODE_IS_FULL };
        match self.peer.node().routes.get(call.route).shape {
            Shape::Single => self.peer.respond(now, call.key, Err(&told.to_string())),
            Shape::Stream { .. } => self.peer.finish(now, call.key, Err(told.to_string())),
        }
    }

    /// Answers a single request. A response for which all links of the node together hold too much is
    /// dropped, and the caller told.
    pub(super) fn respond(&mut self, now: Now, key: IncomingKey, result: Result<Data<'_>, &str>) {
        let len = result.as_ref().map_or(0, |data| data.as_slice().len());
        if len > SHORT_ANSWER && self.share.is_over(self.peer.held_bytes(), len) {
            let told =
                Told::Limit { limit: PeerLimit::NodeBytes, has_run: true, text: NODE_IS_FULL };
            return self.peer.respond(now, key, Err(&told.to_string()));
        }
        self.peer.respond(now, key, result);
    }

    /// The outcome of a single request is laid where its caller finds it, unless it is too long.
    fn deliver(&mut self, key: OutgoingKey) {
        let Some(waiting) = self.outgoing.get_mut(key.slot()) else { return };
        if waiting.letter.is_none() {
            return;
        }
        if let Some(outcome) = self.peer.take_short_response(key, letter::LONGEST)
            && let Some(letter) = waiting.letter.take()
        {
            letter.put(outcome);
            self.letters.give_back(letter);
        }
    }

    fn on_cancelled(&mut self, key: IncomingKey, reason: CancelReason, wake: &mut impl Wakers) {
        let Some(serving) = self.serving(key) else { return };
        serving.cancelled = Some(reason);
        if let Some(task) = serving.task.take() {
            wake.add(task);
        }
        serving.watchers.wake_all(wake);
    }

    /// The machine has panicked: a fresh one takes its place, and everyone who waits looks again.
    pub(crate) fn recover(&mut self, now: Now, wake: &mut impl Wakers) {
        self.peer = self.peer.reborn(now);
        for waiting in self.outgoing.drain(..) {
            [waiting.read, waiting.write].into_iter().flatten().for_each(|w| wake.add(w));
        }
        for serving in &mut self.incoming {
            serving.cancelled = serving.cancelled.or(Some(CancelReason::Disconnected));
            serving.wake_all(wake);
        }
        self.queue.wake_all(wake);
        self.state.wake_all(wake);
        self.changes += 1;
        self.newcomer = None;
        self.replaced = true;
        self.rouse_driver().into_iter().for_each(|driver| wake.add(driver));
    }

    /// The same, in the midst of an operation.
    pub(super) fn start_anew(&mut self, now: Now) {
        let mut woken = std::mem::take(&mut self.woken);
        self.recover(now, &mut woken);
        self.woken = woken;
    }

    /// Somebody is to be woken by the operation that is under way.
    pub(super) fn wake_later(&mut self, waker: Option<Waker>) {
        self.woken.extend(waker);
    }

    /// Whether the machine was replaced since this was asked last.
    pub(crate) fn take_replaced(&mut self) -> bool {
        std::mem::take(&mut self.replaced)
    }

    pub(crate) const fn is_replaced(&self) -> bool {
        self.replaced
    }

    /// The task of the link is woken if there is output for it, a time before its alarm, or nothing
    /// left to do for ever.
    fn wake_driver(&mut self, wake: &mut impl Wakers) {
        if self.parked && (self.peer.wants_drive(self.armed) || self.peer.is_drained()) {
            self.rouse_driver().into_iter().for_each(|driver| wake.add(driver));
        }
    }

    /// Wakes the link's task, whatever the machine says.
    pub(crate) fn rouse_driver(&mut self) -> Option<Waker> {
        self.parked = false;
        self.driver.take()
    }

    /// The link's task goes to sleep until `armed`, at the latest when the peer's alarm is, unless
    /// there is something to do.
    pub(crate) fn park_driver(&mut self, waker: &Waker, armed: Option<Instant>) -> bool {
        if self.newcomer.is_some() || self.replaced || self.peer.has_output() {
            return false;
        }
        self.armed = armed;
        self.parked = true;
        match &self.driver {
            // The task was not woken through the lock since it parked last.
            Some(former) if former.will_wake(waker) => {}
            _ => {
                let former = self.driver.replace(waker.clone());
                self.garbage.extend(former);
            }
        }
        true
    }

    pub(crate) fn unpark_driver(&mut self) {
        self.parked = false;
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_parked(&self) -> bool {
        self.parked
    }

    // ---- who waits for what ----

    pub(crate) fn wait_read(&mut self, key: OutgoingKey, waker: &Waker) {
        let old = set(&mut self.outgoing_mut(key).read, waker);
        self.garbage.extend(old);
    }

    /// A single request was made: where its outcome will be. What is too long for that, and what has
    /// come before, the machine has.
    pub(super) fn await_letter(&mut self, key: OutgoingKey) -> Arc<Letter> {
        let letter = self.letters.lend();
        let former = self.outgoing_mut(key).letter.replace(letter.clone());
        former.into_iter().for_each(|former| self.letters.give_back(former));
        letter
    }

    pub(crate) fn wait_write(&mut self, key: OutgoingKey, waker: &Waker) {
        let old = set(&mut self.outgoing_mut(key).write, waker);
        self.garbage.extend(old);
    }

    pub(crate) fn wait_input(&mut self, key: IncomingKey, waker: &Waker) {
        let old = self.serving(key).and_then(|serving| set(&mut serving.read, waker));
        self.garbage.extend(old);
    }

    pub(crate) fn wait_task(&mut self, key: IncomingKey, waker: &Waker) {
        let old = self.serving(key).and_then(|serving| set(&mut serving.task, waker));
        self.garbage.extend(old);
    }

    pub(crate) fn drop_later(&mut self, waker: Waker) {
        self.garbage.push(waker);
    }

    /// The waiters of a kind; `None` if what they would wait for is over.
    pub(crate) fn list(&mut self, list: List) -> Option<&mut WaitList> {
        match list {
            List::Queue => Some(&mut self.queue),
            List::State => Some(&mut self.state),
            List::Output(key) => self.serving(key).map(|serving| &mut serving.write),
            List::Cancelled(key) => self.serving(key).map(|serving| &mut serving.watchers),
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn waiting_for_state(&self) -> usize {
        self.state.len()
    }

    // ---- the calls ----

    /// Why what belongs to this call is to stop, if it is.
    pub(crate) fn cancelled(&mut self, key: IncomingKey) -> Option<CancelReason> {
        let ended = Some(CancelReason::HandlerEnded);
        let Some(serving) = self.serving(key) else { return ended };
        serving.cancelled.or(ended.filter(|_| serving.over))
    }

    /// A handler is about to run: its call has a place among the wakers.
    fn begin(&mut self, call: &IncomingCall) {
        let key = call.key;
        let tied = !self.peer.node().routes.get(call.route).run_to_end;
        if key.slot() >= self.incoming.len() {
            self.incoming.resize_with(key.slot() + 1, Incoming::default);
        }
        let serving = &mut self.incoming[key.slot()];
        serving.wake_all(&mut self.woken);
        serving.generation = key.generation;
        serving.cancelled = None;
        serving.over = false;
        serving.tied = tied;
    }

    /// A handler has ended: whatever it left running, and waits, is told.
    pub(crate) fn handler_ended(&mut self, key: IncomingKey) {
        let mut woken = std::mem::take(&mut self.woken);
        if let Some(serving) = self.serving(key) {
            serving.over = true;
            serving.tied = false;
            serving.wake_all(&mut woken);
        }
        if self.peer.is_drained() {
            // A shutdown waits for the last one.
            self.state.wake_all(&mut woken);
        }
        self.woken = woken;
    }

    /// Whether a handler has not ended that has to once it is cancelled.
    pub(crate) fn has_handlers(&self) -> bool {
        self.incoming.iter().any(|serving| serving.tied)
    }

    /// The link has been idle for a while: what is kept to be used again is given back.
    pub(crate) fn shrink(&mut self) {
        self.peer.shrink();
        self.letters.clear();
    }

    /// Nobody waits any more for this call, which is still held.
    pub(crate) fn forget(&mut self, key: OutgoingKey) {
        // A machine that was replaced does not know it, and its slot may be another call's.
        if self.peer.holds(key) {
            self.forget_slot(key);
        }
    }

    /// Nobody waits any more for the call that was taken out of this slot.
    pub(crate) fn forget_slot(&mut self, key: OutgoingKey) {
        if let Some(waiting) = self.outgoing.get_mut(key.slot()) {
            self.garbage.extend(waiting.read.take());
            self.garbage.extend(waiting.write.take());
            waiting.letter.take().into_iter().for_each(|letter| self.letters.give_back(letter));
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

    /// Panics, if a test has asked for it here.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn strike(&mut self, driving: bool) {
        if self.fault.take_if(|fault| fault.strikes(driving)).is_some() {
            // Without the hook: the log of a test is for panics that nobody asked for.
            std::panic::resume_unwind(Box::new("a fault that a test has asked for"));
        }
    }

    #[cfg(not(any(test, feature = "testing")))]
    pub(crate) fn strike(&mut self, _driving: bool) {}
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
