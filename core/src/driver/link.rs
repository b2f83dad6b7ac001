//! The task of one peer: dials, drives the connection, serves what comes in.
//!
//! One turn of the loop: read, exchange with the machine under its lock, then, without the lock,
//! wake those who wait, start handlers and write; where many calls have come that it answers itself,
//! it first tells the machine of some of them only, and answers these. At rest a lone message leaves
//! at once; under load the task yields once before it fetches what to write, unless that is a full
//! frame already, so that everyone who is ready queues first and many messages share one frame and one
//! system call. Where it has nothing to do, on a busy link, it stays awake for a moment
//! ([`super::busy_poll`]), and looks for bytes itself if the transport lets it
//! ([`Transport::try_read`]).

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::active::{Active, SHARE};
use super::busy_poll::{self, BusyPoll, Traffic};
use super::processes::{Claim, Processes};
use super::runtime::{BoxFuture, Connector, Runtime, Timer, Transport};
use crate::connection::Connection;
use crate::error::LinkError;
use crate::event::{IncomingCall, LinkCommand, LinkId};
use crate::handle::{Batch, Served, Service, Services, Shared, State, StillLent};
use crate::rng::{KeyedRng, Seed};
use crate::time::{Instant, Now};

/// Turns before other tasks get theirs; see also [`SHARE`].
const BUDGET: usize = 64;

/// Reads before what has come is delivered.
const READS: usize = 2;

/// Lone messages after which a yield is tried, to find out whether there are more by now.
const PROBE_EVERY: u32 = 64;

/// For so many turns a link on which several calls were open counts as one that has several at a time.
const SEVERAL: u32 = 16;

/// Calls that this task answers in one turn: those of one or two turns leave together, so that their
/// callers go on while it answers others. These wait as messages, of which the machine is not told yet.
const ANSWERS: usize = 16;

type Dial = BoxFuture<'static, std::io::Result<Box<dyn Transport>>>;

pub(crate) struct PeerTask<R> {
    runtime: R,
    shared: Arc<Shared>,
    services: Services<R>,
    connector: Arc<dyn Connector>,
    processes: Arc<Processes>,
    seeds: KeyedRng,
    timer: Box<dyn Timer>,
    dial: Option<(LinkId, Dial)>,
    active: Option<Box<Active>>,
    /// The connection was left to whoever has a lone message to write.
    lends: bool,
    /// What the bugs of replaced connections keep.
    #[cfg(feature = "planted")]
    replaced: Vec<Active>,
    batch: Batch,
    busy_poll: BusyPoll,
    /// The link has become idle.
    rests: bool,
    /// Bytes that were read, and written, since other tasks had their turn.
    read: usize,
    written: usize,
    yielded: bool,
    /// Whether the last frame held more than one message, and how many lone ones there were since.
    merging: bool,
    lone: u32,
    /// Turns for which the link counts as one that has several calls at a time.
    several: u32,
    /// Among the last calls were some that this task has answered itself.
    answering: bool,
    /// Nothing wakes this task when bytes come: it stays awake, and looks.
    unheard: bool,
}

impl<R> Unpin for PeerTask<R> {}

/// Whoever still waits when the runtime ends is told: nothing will come any more.
impl<R> Drop for PeerTask<R> {
    fn drop(&mut self) {
        self.shared.abandon();
        let active = self.shared.look(State::close_holder);
        // Not under the lock: closing a transport is the runtime's code.
        drop(active);
    }
}

impl<R: Runtime> Future for PeerTask<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(waker) = this.busy_poll.woken(cx.waker()).or_else(|| this.look_again(cx)) else {
            return Poll::Pending;
        };
        let inner = &mut Context::from_waker(&waker);
        (this.read, this.written) = (0, 0);
        for _ in 0..BUDGET {
            match this.guarded(|this| this.turn(inner)).unwrap_or(Turn::Again) {
                Turn::Again if this.read.max(this.written) < SHARE => {}
                Turn::Again | Turn::Yield => break,
                Turn::Waiting if !this.stays_awake(cx) => {}
                Turn::Waiting => return Poll::Pending,
                Turn::Parked => return Poll::Pending,
                Turn::Over => return Poll::Ready(()),
            }
        }
        waker.wake_by_ref();
        Poll::Pending
    }
}

enum Turn {
    Again,
    /// Let the others queue their messages first.
    Yield,
    /// Nothing to do, for a moment.
    Waiting,
    Parked,
    Over,
}

/// What a turn under the lock has found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Something that is to be done without the lock, or in another turn.
    Work,
    /// Messages to send, which wait for others to join them.
    Joining,
    /// Nothing: the task is parked.
    Nothing,
    /// The peer is drained and its connection closed.
    End,
}

impl<R: Runtime> PeerTask<R> {
    pub(crate) fn new(
        runtime: R,
        shared: Arc<Shared>,
        services: Services<R>,
        connector: Arc<dyn Connector>,
        processes: Arc<Processes>,
        policy: busy_poll::Policy,
        seed: Seed,
    ) -> Self {
        let timer = runtime.timer();
        Self {
            runtime,
            shared,
            services,
            connector,
            processes,
            seeds: KeyedRng::new(seed),
            timer,
            dial: None,
            active: None,
            lends: false,
            #[cfg(feature = "planted")]
            replaced: Vec::new(),
            batch: Batch::default(),
            busy_poll: BusyPoll::new(policy),
            rests: false,
            read: 0,
            written: 0,
            yielded: false,
            merging: false,
            lone: 0,
            several: 0,
            answering: false,
            unheard: false,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        if self.lends && !self.take_back(cx) {
            return Turn::Parked;
        }
        // One look at the clock a turn: a turn is short, but for the handlers that run inline.
        let now = self.runtime.now();
        self.busy_poll.resume(now.instant);
        let mut progress = self.poll_dial(now, cx);
        progress |= self.poll_read(now.instant, cx);
        #[cfg(feature = "planted")]
        self.hear_replaced(now, cx);
        if self.is_due(now.instant) {
            // A write that can go on has not stalled, however late this task has come to try it.
            progress |= self.poll_write(now.instant, cx);
            if let Some(active) = &mut self.active {
                active.look_at_unsent(now.instant);
            }
        }
        let all = self.hear_some(now);
        progress |= !all;
        let (found, armed) = self.exchange(now, cx, progress, all);
        progress |= self.act();
        progress |= self.poll_write(now.instant, cx);
        match found {
            _ if progress => Turn::Again,
            Found::Work => Turn::Again,
            Found::Joining => Turn::Yield,
            Found::End => Turn::Over,
            Found::Nothing => match armed {
                Some(at) if self.timer.poll_until(at, cx).is_ready() => Turn::Again,
                _ if self.busy_poll.wait(now.instant, self.traffic()) => Turn::Waiting,
                _ if self.unheard => Turn::Again,
                _ => Turn::Parked,
            },
        }
    }

    /// A panic in `act`, which gives `None`, is a bug of ours: the link is dropped, the node goes on.
    fn guarded<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let outcome = catch_unwind(AssertUnwindSafe(|| act(self)));
        outcome.inspect_err(|_| self.recover()).ok()
    }

    fn recover(&mut self) {
        self.shared.log_bug();
        self.active = None;
        #[cfg(feature = "planted")]
        self.replaced.clear();
        self.dial = None;
        self.batch.keep_wakers();
        let now = self.runtime.now();
        self.shared.lock().recover(now, &mut self.batch.wakers);
    }

    /// The task has nothing to do and is to stay awake; `false` if it has to go on.
    fn stays_awake(&mut self, cx: &mut Context<'_>) -> bool {
        let yields = self.runtime.yield_now(cx);
        self.busy_poll.set_yields(yields);
        if !yields && self.unheard {
            self.busy_poll.give_up();
            return false;
        }
        true
    }

    /// The task has only yielded. Its waker if it is to go on, having looked for bytes itself where
    /// nothing wakes it when they come.
    fn look_again(&mut self, cx: &mut Context<'_>) -> Option<Waker> {
        let now = self.runtime.instant();
        if !self.busy_poll.goes_on(now) {
            self.busy_poll.set_yields(false);
            return self.busy_poll.waker().filter(|_| self.unheard);
        }
        if self.unheard && self.guarded(|this| this.try_read(now)).unwrap_or(true) {
            return self.busy_poll.waker();
        }
        if self.stays_awake(cx) { None } else { self.busy_poll.waker() }
    }

    fn try_read(&mut self, now: Instant) -> bool {
        let Some(active) = &mut self.active else { return false };
        match active.transport.try_read(active.connection.read_buf()) {
            None | Some(Poll::Pending) => false,
            Some(Poll::Ready(read)) => {
                self.take_in(now, read);
                true
            }
        }
    }

    /// What a read has given.
    fn take_in(&mut self, now: Instant, read: std::io::Result<usize>) {
        let Some(active) = &mut self.active else { return };
        self.busy_poll.heard(now);
        match read {
            Ok(0) => active.connection.handle_eof(),
            Ok(bytes) => {
                self.read += bytes;
                active.connection.handle_read(now, bytes);
                if let Some(process) = active.connection.answered_by() {
                    active.process = claim(
                        &self.processes,
                        &self.shared.name,
                        process,
                        now,
                        &mut active.connection,
                    );
                }
            }
            Err(error) => active.connection.handle_failure(error.into()),
        }
    }

    /// Takes the connection back; otherwise this task is woken when it is free.
    fn take_back(&mut self, cx: &Context<'_>) -> bool {
        match self.shared.look(|state| state.withdraw(cx.waker())) {
            Ok(active) => {
                self.active = active;
                self.lends = false;
                true
            }
            Err(StillLent) => false,
        }
    }

    fn poll_dial(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        let Some((link, dial)) = &mut self.dial else { return false };
        let link = *link;
        let Poll::Ready(result) = dial.as_mut().poll(cx) else { return false };
        self.dial = None;
        let (node, name) = (&self.shared.node, &self.shared.name);
        let seed = self.seeds.next_seed();
        let connected = result.map_err(LinkError::from).and_then(|transport| {
            let connection = Connection::dialled(node, name, link, seed, now)?;
            Ok(Box::new(Active::new(connection, transport)))
        });
        match connected {
            Ok(active) => self.active = Some(active),
            Err(error) => {
                self.shared.with(|state| state.peer.handle_dial_failed(now, link, error));
            }
        }
        true
    }

    /// Reads; whether there may be more, so that this is to be called again.
    fn poll_read(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        self.unheard = false;
        let Some(active) = &mut self.active else { return false };
        if active.connection.undelivered() > 0 || active.connection.decode_more() {
            return true;
        }
        // Most reads take all that there is: the second one finds that out before the exchange.
        let awake = self.busy_poll.stays(now, self.traffic());
        let mut progress = false;
        for _ in 0..READS {
            let Some(active) = &mut self.active else { return false };
            let Active { connection, transport, .. } = &mut **active;
            if !connection.wants_read() || connection.has_more() {
                return progress;
            }
            progress = true;
            let tried = if awake { transport.try_read(connection.read_buf()) } else { None };
            self.unheard = tried.is_some();
            match tried.unwrap_or_else(|| transport.poll_read(cx, connection.read_buf())) {
                Poll::Pending => return false,
                Poll::Ready(read) => self.take_in(now, read),
            }
        }
        progress
    }

    /// Reads from the connections whose place another one has taken, and tells the peer.
    #[cfg(feature = "planted")]
    fn hear_replaced(&mut self, now: Now, cx: &mut Context<'_>) {
        for active in &mut self.replaced {
            let Active { connection, transport, .. } = active;
            while planted!(OldConnectionStillHeard, connection.wants_read()) {
                match transport.poll_read(cx, connection.read_buf()) {
                    Poll::Ready(Ok(bytes @ 1..)) => connection.handle_read(now.instant, bytes),
                    Poll::Ready(_) => connection.handle_eof(),
                    Poll::Pending => break,
                }
                self.shared.with(|state| connection.deliver(now, &mut state.peer));
            }
        }
    }

    /// Where this task answers calls, it tells the peer of some of the messages that have come and
    /// answers them; `false` if the others are to wait for the next turn. No call is begun of which it is
    /// known that it is cancelled, or that its connection has failed.
    fn hear_some(&mut self, now: Now) -> bool {
        let Some(active) = self.active.as_mut().filter(|_| self.answering) else { return true };
        let connection = &mut active.connection;
        if connection.undelivered() <= ANSWERS || !connection.may_deliver_some() {
            return true;
        }
        let mut state = self.shared.lock();
        if state.is_replaced() || state.newcomer.is_some() {
            return true;
        }
        state.unpark_driver();
        state.strike(true);
        if state.peer.is_due(now.instant) {
            // They may have been here before it was.
            connection.deliver(now, &mut state.peer);
            return true;
        }
        connection.deliver_some(now, &mut state.peer, ANSWERS);
        state.drain_all(now, &mut self.batch);
        drop(state);
        self.batch.wake();
        self.serve_all() == 0
    }

    /// `all`: the peer is told of all messages that have come.
    fn exchange(
        &mut self,
        now: Now,
        cx: &Context<'_>,
        progress: bool,
        all: bool,
    ) -> (Found, Option<Instant>) {
        let mut former = None;
        let found = self.exchange_locked(now, cx, (progress, all), &mut former);
        // Not under the lock: closing a transport is the runtime's code.
        drop(former);
        found
    }

    /// Everything that needs the lock.
    fn exchange_locked(
        &mut self,
        now: Now,
        cx: &Context<'_>,
        (progress, all): (bool, bool),
        former: &mut Option<Box<Active>>,
    ) -> (Found, Option<Instant>) {
        let mut state = self.shared.lock();
        state.unpark_driver();
        state.strike(true);
        if state.take_replaced() {
            *former = self.active.take();
            self.dial = None;
        }
        if let Some(newcomer) = state.newcomer.take() {
            *former = self.active.replace(newcomer).or(former.take());
            #[cfg(feature = "planted")]
            if planted!(OldConnectionLeftOpen, former.is_some())
                || planted!(OldConnectionStillHeard, former.is_some())
            {
                self.replaced.extend(former.take().map(|former| *former));
            }
        }
        if state.peer.is_due(now.instant) {
            self.on_time(&mut state, now);
        }
        let mut joining = false;
        if let Some(active) = &mut self.active {
            let connection = &mut active.connection;
            if connection.is_due(now.instant) {
                connection.handle_timeout(now.instant);
                if connection.is_idle() {
                    state.shrink();
                    self.rests = true;
                }
            }
            if all {
                connection.deliver(now, &mut state.peer);
            }
            joining = !self.yielded
                && self.merging
                && connection.wants_transmit()
                && state.peer.has_room_to_join();
            // What is fetched is written at once: later, it might be out of date.
            let fetches = !joining && self.written < SHARE;
            if fetches && let Some(messages) = connection.fetch(now, &mut state.peer) {
                self.yielded = false;
                self.merging = messages > 1 || self.lone >= PROBE_EVERY;
                self.lone = if self.merging { 0 } else { self.lone + 1 };
            }
        }
        let several = state.peer.open_calls() > 1;
        self.several = if several { SEVERAL } else { self.several.saturating_sub(1) };
        state.drain_all(now, &mut self.batch);
        if joining {
            self.yielded = true;
            return (Found::Joining, None);
        }
        if progress || self.has_work(&state) {
            return (Found::Work, None);
        }
        let (found, armed) = self.park(&mut state, cx);
        if found == Found::Nothing {
            self.lends = !self.merging && !self.unheard && leave(&mut self.active, &mut state, cx);
        }
        (found, armed)
    }

    /// A timer of the peer is due. A ping tells more if it is known how much of the last one has left.
    fn on_time(&self, state: &mut State, now: Now) {
        if let Some(active) = &self.active
            && state.peer.is_ping_due(now.instant)
        {
            let unsent = active.transport.unsent();
            state.peer.handle_unsent(active.connection.link(), unsent);
        }
        state.peer.handle_timeout(now);
    }

    /// Whether there is something to do without the lock, or in another turn.
    fn has_work(&self, state: &State) -> bool {
        let connection = self.active.as_ref().map(|active| &active.connection);
        // Fetched, and no write was tried; or not fetched, for others have their turn first.
        let has_output = connection.is_some_and(|connection| {
            connection.has_fetched() || (connection.wants_transmit() && state.peer.has_transmit())
        });
        // Messages behind the ConnectResponse are decoded once the peer has taken that.
        let has_more = connection.is_some_and(Connection::has_more);
        has_output
            || has_more
            || !self.batch.commands.is_empty()
            || self.batch.calls.iter().any(|call| self.answers(call))
    }

    /// Goes to sleep, if the machine lets it.
    fn park(&self, state: &mut State, cx: &Context<'_>) -> (Found, Option<Instant>) {
        if state.peer.is_drained()
            && self.active.is_none()
            && !planted!(RedialAfterShutdown, state.peer.next_alarm().is_some())
        {
            return (Found::End, None);
        }
        let timers = [state.peer.next_alarm(), self.connection_alarm()];
        let armed = timers.into_iter().flatten().min();
        if !state.park_driver(cx.waker(), armed) {
            return (Found::Work, None);
        }
        (Found::Nothing, armed)
    }

    /// Whether this task answers the call itself. Handlers that are tasks wake it when they have
    /// something to send.
    fn answers(&self, call: &IncomingCall) -> bool {
        !matches!(self.services.get(call.route.as_usize()), Some(Service::Task(_)))
    }

    const fn traffic(&self) -> Traffic {
        match (self.merging, self.several) {
            (true, _) => Traffic::Dense,
            (false, 1..) => Traffic::Several,
            (false, 0) => Traffic::Lone,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.active.as_ref().is_some_and(|active| active.connection.is_due(now))
    }

    fn connection_alarm(&self) -> Option<Instant> {
        self.active.as_ref().and_then(|active| active.connection.poll_timeout())
    }

    /// Everything that must not happen under the lock.
    fn act(&mut self) -> bool {
        if std::mem::take(&mut self.rests) {
            self.runtime.rest();
        }
        self.batch.wake();
        let progress = self.serve_all() > 0 || !self.batch.commands.is_empty();
        let mut commands = std::mem::take(&mut self.batch.commands);
        for command in commands.drain(..) {
            self.obey(&command);
        }
        self.batch.commands = commands;
        let finished = self.active.as_mut().is_some_and(|active| active.connection.is_finished());
        if finished {
            self.active = None;
            self.runtime.rest();
        }
        progress || finished
    }

    /// Answers the new calls, or starts their handlers; how many it has answered.
    fn serve_all(&mut self) -> usize {
        let mut calls = std::mem::take(&mut self.batch.calls);
        let answered = calls.iter().filter(|call| self.answers(call)).count();
        self.answering = answered > 0 || (self.answering && calls.is_empty());
        for call in calls.drain(..) {
            self.serve(call);
        }
        self.batch.calls = calls;
        answered
    }

    fn serve(&self, call: IncomingCall) {
        let route = *self.shared.node.routes.get(call.route);
        let context = crate::handle::Context {
            shared: self.shared.clone(),
            key: call.key,
            subroute: route.subroute,
            deadline: call.deadline,
        };
        let served = Served { payload: call.payload, context, route };
        match self.services.get(call.route.as_usize()) {
            Some(Service::Task(service)) => service.start(&self.runtime, served),
            Some(Service::Inline(service)) => service.run(&self.runtime, served),
            None => {
                let now = self.runtime.now();
                let text = Err("nothing serves this route");
                self.shared.with(|state| {
                    state.peer.respond(now, call.key, text);
                    state.handler_ended(call.key);
                });
            }
        }
    }

    fn obey(&mut self, command: &LinkCommand) {
        match *command {
            LinkCommand::Dial { link } => {
                self.active = None;
                self.dial = Some((link, self.connector.connect(&self.shared.name)));
            }
            LinkCommand::Close { link, how, .. } => {
                self.dial.take_if(|(dialling, _)| *dialling == link);
                let now = self.runtime.instant();
                if let Some(active) = &mut self.active
                    && active.connection.link() == link
                {
                    active.connection.close(now, how);
                }
            }
        }
    }

    fn poll_write(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let written = &mut self.written;
        self.active.as_mut().is_some_and(|active| active.poll_write(now, cx, written))
    }
}

/// The task sleeps: a free connection is left to whoever has a lone message to write. Whether there
/// was one.
fn leave(active: &mut Option<Box<Active>>, state: &mut State, cx: &Context<'_>) -> bool {
    let free = active.take_if(|active| active.connection.is_free());
    free.map(|active| state.deposit(active, cx.waker())).is_some()
}

/// The acceptor has said which process it is. Refuses the connection if that is one of another name,
/// before the peer is told that there is a link.
fn claim(
    processes: &Arc<Processes>,
    name: &Arc<str>,
    process: [u8; 16],
    now: Instant,
    connection: &mut Connection,
) -> Option<Claim> {
    let claimed = processes.claim(now, process, name);
    claimed.map_err(|other| connection.refuse(LinkError::same_process(name, &other))).ok()
}
