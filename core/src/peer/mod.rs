//! One peer: its link, its muxes, its outbox, as one machine.
//!
//! - `link_life`: dialling, the handshake, pings, loss (PROTOCOL.md section 4)
//! - `receive`: what arrives in a frame and where it goes (section 5)
//! - `calls`: what the application does
//! - `drain`: the graceful end (section 7.9)

mod calls;
mod chunk;
mod drain;
mod link_life;
mod receive;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use self::drain::Drain;
use crate::error::LinkError;
use crate::event::{Event, IncomingCall, LinkCommand, LinkId};
use crate::link::{Duplicates, Link, LinkState, Retry, base_flags, dials};
use crate::mux::{Common, Incoming, Outgoing};
use crate::node::Node;
use crate::outbox::{Side, Transmit};
use crate::rng::{KeyedRng, Seed, WeakRng};
use crate::stats::Stats;
use crate::time::{Instant, Now};
use crate::timer::Wheel;

pub use self::receive::Inbound;

/// Waking this much later than asked is taken for a pause of the process, not for silence of its peers.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Why a machine wants to be woken: so that every wake-up has a name in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WakeReason {
    /// There is output: a command, an event, a call or something to transmit.
    Output,
    /// The next dial attempt starts.
    Dial,
    /// Dialling, upgrade or handshake has taken too long.
    HandshakeTimeout,
    /// The link ping is due.
    LinkPing,
    /// A stage of the drain ends.
    Drain,
    /// A deadline or a ping of a mux is due; may be early by the grain of the timer wheel.
    Mux,
}

/// The machine of one peer. Nothing in it blocks, reads a clock or knows a thread; the same
/// inputs give the same outputs, byte for byte.
///
/// - **Inputs** are `handle_*`. Each names the link by its [`LinkId`]; one for any link but the
///   current one is ignored and counted ([`Stats::stale_inputs`]).
/// - **Application commands** are the other `&mut self` methods ([`Peer::request`], …).
/// - **Outputs** are `poll_*`; drain all of them after every input, in any order, but calls
///   before events: an event may be about a call that still waits.
/// - **Time** must not go back. [`Peer::poll_timeout`] may be early, never late; calling
///   [`Peer::handle_timeout`] early or twice changes nothing. It is the current moment while there is output.
#[derive(Debug)]
pub struct Peer {
    name: Arc<str>,
    common: Common,
    outgoing: Outgoing,
    incoming: Incoming,
    link: Link,
    retry: Retry,
    duplicates: Duplicates,
    commands: VecDeque<LinkCommand>,
    drain: Drain,
    /// When it dials again.
    jitter: WeakRng,
    rng: KeyedRng,
    last_link: u64,
    /// The other end of the link that is up.
    process: Option<[u8; 16]>,
    dials: bool,
    started: bool,
    /// A link was up, or an attempt was made, before.
    attempted: bool,
    links_made: u64,
    /// The peer has said that it is shutting down.
    peer_leaves: bool,
    /// Bytes that were handed to the transport on the current link, and those of them that the peer's
    /// system has, if ours tells.
    link_bytes_out: u64,
    acknowledged: Option<u64>,
    /// Something is being written: the next transmit cannot be handed out yet.
    in_flight: bool,
    /// When its link was lost after it had said that it leaves; `None` once there is another.
    left: Option<Instant>,
    last_failure: Option<LinkError>,
    state: LinkState,
}

impl Peer {
    /// The machine of the peer `name`. `seed` makes jitter, ping spread and hash keys;
    /// `first_generation` is where the generations of mux ids begin (PROTOCOL.md section 7.1).
    pub fn new(
        node: Arc<Node>,
        name: &str,
        seed: impl Into<Seed>,
        first_generation: u32,
        now: Instant,
    ) -> Self {
        let mut rng = KeyedRng::new(seed);
        let hash_key = rng.next_u64();
        let (jitter, ping_rng) = (rng.next_weak(), rng.next_weak());
        let dials = dials(&node.name, name);
        let flags = base_flags(&node.name, name);
        let name: Arc<str> = name.into();
        Self {
            common: Common::new(node, name.clone(), flags, Wheel::new(now)),
            name,
            outgoing: Outgoing::new(first_generation, ping_rng),
            incoming: Incoming::new(hash_key),
            link: Link::Down,
            retry: Retry::default(),
            duplicates: Duplicates::default(),
            commands: VecDeque::new(),
            drain: Drain::No,
            jitter,
            rng,
            last_link: 0,
            process: None,
            dials,
            started: false,
            attempted: false,
            links_made: 0,
            peer_leaves: false,
            link_bytes_out: 0,
            acknowledged: None,
            in_flight: false,
            left: None,
            last_failure: None,
            state: LinkState::Unconnected,
        }
    }

    /// The peer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node that this is a peer of.
    pub fn node(&self) -> &Arc<Node> {
        &self.common.node
    }

    /// Whether this node is the side that dials.
    pub const fn dials(&self) -> bool {
        self.dials
    }

    /// The state of the link.
    pub const fn state(&self) -> LinkState {
        self.state
    }

    /// The current connection or attempt, if there is one.
    pub const fn link(&self) -> Option<LinkId> {
        self.link.id()
    }

    /// Whether this connection is the link, and up.
    pub(crate) fn is_up_on(&self, link: LinkId) -> bool {
        self.link.is_up() && self.link.id() == Some(link)
    }

    /// The instance id of the process that the link is with, while it is up.
    pub const fn process(&self) -> Option<[u8; 16]> {
        self.process
    }

    /// Why the last link or attempt ended; `None` while a link is up.
    pub const fn last_failure(&self) -> Option<&LinkError> {
        self.last_failure.as_ref()
    }

    /// Counters and gauges as of `now`.
    pub fn stats(&self, now: Instant) -> Stats {
        let mut stats = self.common.stats;
        (stats.outgoing_requests, stats.outgoing_streams) = self.outgoing.open();
        (stats.incoming_requests, stats.incoming_streams) = self.incoming.open();
        stats.queued_bytes = self.common.outbox.data_bytes();
        stats.received_bytes = self.common.received_bytes;
        stats.handler_bytes = self.common.handler_bytes;
        stats.reconnects = self.links_made.saturating_sub(1);
        if let Link::Up { liveness, .. } = &self.link {
            stats.links_up = 1;
            stats.last_pong = liveness.last_pong(now);
            stats.round_trip = liveness.round_trip();
        }
        stats
    }

    /// Calls that are open, in both directions.
    pub(crate) fn open_calls(&self) -> usize {
        let ((ours, our_streams), (theirs, their_streams)) =
            (self.outgoing.open(), self.incoming.open());
        ours + our_streams + theirs + their_streams
    }

    // ---- outputs ----

    /// The next thing to do about the connection.
    pub fn poll_command(&mut self) -> Option<LinkCommand> {
        self.commands.pop_front()
    }

    /// The next event. Take the calls first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.common.events.pop_front()
    }

    /// The next call of the peer to be served; one that was cancelled before it was taken is skipped.
    /// None while more than [`Limits::queued_bytes`](crate::limits::Limits::queued_bytes) wait to be
    /// sent: a response would only wait with them.
    pub fn poll_call(&mut self) -> Option<IncomingCall> {
        while let Some(call) = self.common.calls.front() {
            let is_live = self.incoming.is_live(call.key) || planted!(CancelledCallRuns);
            if is_live && self.common.is_congested() {
                return None;
            }
            let call = self.common.calls.pop_front()?;
            Incoming::on_taken(&call, &mut self.common);
            if is_live {
                return Some(call);
            }
            if !planted!(UntakenCallLeaksSlot) {
                self.incoming.handler_gone(call.key, &mut self.common);
            }
        }
        None
    }

    /// The next thing to write on `link`. Ask only when the one before has been written whole;
    /// asking says so. The bytes of a [`Transmit::Frame`] are one frame's payload.
    pub fn poll_transmit(&mut self, now: Now, link: LinkId) -> Option<Transmit> {
        if self.link.id() != Some(link) {
            return None;
        }
        self.in_flight = false;
        if let Link::Up { liveness, .. } = &mut self.link {
            liveness.on_written(self.link_bytes_out);
        }
        if self.common.outbox.is_empty() {
            self.drive_drain(now);
            return None;
        }
        let outgoing = &mut self.outgoing;
        let transmit = self.common.outbox.poll(|owner, at| {
            // The two id spaces are separate, and the peer's ids may be numbers of ours.
            if owner.side == Side::Caller {
                outgoing.on_left(owner.mux, at);
            }
        });
        self.note_ping_left();
        match &transmit {
            Some(_) => {
                self.in_flight = true;
                self.common.announce_room();
                #[cfg(feature = "planted")]
                if let Link::Up { liveness, .. } = &mut self.link
                    && planted!(PingPostponedByWrites)
                {
                    liveness.postpone_ping(now.instant, &self.common.node.timings);
                }
            }
            None => self.drive_drain(now),
        }
        transmit
    }

    /// A message that overtakes what [`Self::poll_full_frame`] has given.
    pub(crate) fn poll_control(&mut self, link: LinkId) -> Option<(Vec<u8>, usize)> {
        let control = (self.link.id() == Some(link)).then(|| self.common.outbox.poll_control());
        self.note_ping_left();
        control.flatten()
    }

    fn note_ping_left(&mut self) {
        if let Some(behind) = self.common.outbox.take_ping_left()
            && let Link::Up { liveness, .. } = &mut self.link
        {
            liveness.on_ping_leaving(behind);
        }
    }

    /// One more frame that may leave in the same write as what [`Self::poll_transmit`] has just
    /// given: one that is full, so that nothing is gained by waiting.
    pub(crate) fn poll_full_frame(&mut self, link: LinkId) -> Option<Transmit> {
        if self.link.id() != Some(link) {
            return None;
        }
        let transmit = self.common.outbox.poll_full()?;
        self.common.announce_room();
        Some(transmit)
    }

    /// The connection is writing something of its own: until it asks again, what waits for it is
    /// no output to wake up for.
    pub(crate) fn hold_transmit(&mut self, link: LinkId) {
        self.in_flight |= self.link.id() == Some(link);
    }

    /// Takes back the buffer of a [`Transmit::Frame`] that has been written.
    pub fn recycle(&mut self, buf: Vec<u8>) {
        self.common.outbox.recycle(buf);
    }

    /// Counts bytes that were handed to the transport.
    pub fn handle_written(&mut self, link: LinkId, bytes: u64) {
        if self.link.id() == Some(link) {
            self.common.stats.bytes_out += bytes;
            self.link_bytes_out += bytes;
        }
    }

    /// The system holds this many bytes of the connection that the peer's system has not acknowledged;
    /// `None` if it does not tell. To be told when [`Self::is_ping_due`], before
    /// [`Self::handle_timeout`]: a ping that still waits there has asked nothing (PROTOCOL.md section 7.6).
    pub fn handle_unsent(&mut self, link: LinkId, unsent: Option<usize>) {
        if self.link.id() == Some(link) {
            let out = self.link_bytes_out;
            self.acknowledged = unsent.map(|unsent| out.saturating_sub(unsent as u64));
        }
    }

    /// Whether [`Self::handle_timeout`] would send a link ping, and judge the silence of the peer.
    pub fn is_ping_due(&self, now: Instant) -> bool {
        matches!(&self.link, Link::Up { liveness, .. } if liveness.next_ping() <= now)
    }

    /// Gives back memory that an idle link does not need.
    pub fn shrink(&mut self) {
        self.common.shrink();
    }

    /// Whether a call of [`Self::poll_transmit`] would give something.
    pub fn has_transmit(&self) -> bool {
        self.link.id().is_some() && !self.common.outbox.is_empty()
    }

    /// Whether there is something to write that other messages can still join.
    pub(crate) fn has_room_to_join(&self) -> bool {
        self.has_transmit() && !self.common.outbox.is_full()
    }

    /// Whether what waits is a single small message, while no more than one request is under way
    /// in either direction: then there is nothing for it to wait for.
    pub(crate) fn has_lone_message(&self) -> bool {
        !self.in_flight
            && self.link.id().is_some()
            && self.common.outbox.is_lone()
            && self.outgoing.open().0 <= 1
            && self.incoming.open().0 <= 1
    }

    /// Whether whoever drives this peer and sleeps until `armed` (for ever, if `None`) has
    /// something to do before: output, or an earlier time.
    pub fn wants_drive(&self, armed: Option<Instant>) -> bool {
        self.has_output()
            || match (self.next_timer(), armed) {
                (Some((at, _)), Some(armed)) => at < armed,
                (timer, None) => timer.is_some(),
                (None, Some(_)) => false,
            }
    }

    /// Whether [`Self::handle_timeout`] has something to do.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next_timer().is_some_and(|(at, _)| at <= now)
    }

    /// When to call [`Self::handle_timeout`], whatever output there is.
    pub fn next_alarm(&self) -> Option<Instant> {
        self.next_timer().map(|(at, _)| at)
    }

    /// A generation of mux ids that no call of ours has had yet.
    pub(crate) fn next_generation(&self) -> u32 {
        self.outgoing.next_generation()
    }

    /// A generation that no call of the peer has had yet.
    pub(crate) fn next_incoming_generation(&self) -> u32 {
        self.incoming.next_generation()
    }

    /// Where the generations of its calls begin; it has made none.
    pub(crate) fn start_incoming_generations(&mut self, first: u32) {
        self.incoming.start_generations(first);
    }

    /// The number of its newest link; 0 if it has had none.
    pub(crate) fn last_link(&self) -> u64 {
        self.last_link
    }

    /// Its links have numbers above this one; it has had none.
    pub(crate) fn start_links(&mut self, last: u64) {
        self.last_link = last;
    }

    /// A machine in this one's place after a bug of ours has made it panic: no link, no calls.
    /// Whoever holds a call of the former one finds that it does not know it: no key of the former
    /// is one of this. It dials again after the normal spacing, so that a message that makes it
    /// panic each time makes no storm, and knows which processes others have replaced (PROTOCOL.md
    /// section 7.11).
    #[must_use]
    pub fn reborn(&self, now: Now) -> Self {
        let seed = self.rng.clone().next_seed();
        let generation = self.outgoing.next_generation();
        let mut peer = Self::new(self.node().clone(), &self.name, seed, generation, now.instant);
        peer.start_incoming_generations(self.next_incoming_generation());
        peer.common.stats = self.common.stats;
        peer.common.log = self.common.log.clone();
        peer.last_link = self.last_link;
        peer.links_made = self.links_made;
        peer.attempted = self.attempted;
        peer.duplicates = self.duplicates.clone();
        peer.started = self.started;
        peer.state = LinkState::ConnectionError;
        peer.last_failure = Some(LinkError::Internal("the machine panicked".into()));
        if self.drain.is_removal() {
            peer.remove(now);
        } else if self.drain.is_on() {
            peer.shutdown(now, Duration::ZERO);
        } else if self.started && self.dials {
            let timings = &peer.common.node.timings;
            peer.retry.after_attempt(now.instant, now.instant, timings, &mut peer.jitter);
        }
        peer
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.commands.is_empty()
            || !self.common.events.is_empty()
            || (!self.common.calls.is_empty() && !self.common.is_congested())
            || (!self.in_flight && self.has_transmit())
    }

    /// When to call [`Self::handle_timeout`], and why. Now, while there is output; with
    /// something handed out and not yet written, what waits behind it does not count as output.
    pub fn poll_timeout(&self, now: Instant) -> Option<(Instant, WakeReason)> {
        if self.has_output() {
            return Some((now, WakeReason::Output));
        }
        self.next_timer().map(|(at, reason)| (at.max(now), reason))
    }

    fn next_timer(&self) -> Option<(Instant, WakeReason)> {
        self.first_with(self.common.timers.next())
    }

    /// The first of all timers, `mux` being that of the calls.
    fn first_with(&self, mux: Option<Instant>) -> Option<(Instant, WakeReason)> {
        let link = match &self.link {
            Link::Down => self.retry.next().map(|at| (at, WakeReason::Dial)),
            Link::Dialling { until, .. } | Link::Handshaking { until, .. } => {
                Some((*until, WakeReason::HandshakeTimeout))
            }
            Link::Up { liveness, .. } => Some((liveness.next_ping(), WakeReason::LinkPing)),
            Link::Closing { until, .. } => Some((*until, WakeReason::Drain)),
        };
        let drain = self.drain.next_stage().map(|at| (at, WakeReason::Drain));
        let mux = mux.map(|at| (at, WakeReason::Mux));
        let mut next = link;
        for timer in [drain, mux] {
            if let Some((at, _)) = timer
                && next.is_none_or(|(first, _)| at < first)
            {
                next = timer;
            }
        }
        next
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        #[cfg(feature = "planted")]
        if planted!(IdleTickPostponesPing, !self.is_due(now.instant))
            && let Link::Up { liveness, .. } = &mut self.link
        {
            liveness.postpone_ping(now.instant, &self.common.node.timings);
        }
        self.forgive_pause(now.instant);
        self.drive_link(now);
        let drained_at = match &self.link {
            Link::Up { liveness, .. } => liveness.drained_at(now.instant),
            _ => Instant::ZERO,
        };
        while let Some(key) = self.common.timers.pop_due(now.instant) {
            let slot = key >> 1;
            if key & 1 == 0 {
                self.outgoing.on_timer(now.instant, slot, drained_at, &mut self.common);
            } else {
                self.incoming.on_timer(now.instant, slot, drained_at, &mut self.common);
            }
        }
        self.drive_drain(now);
    }

    /// A process that was stopped finds all timers due at once. What was not received in that
    /// time may lie in the socket: the silence of the peers is counted without it. What counts is
    /// when something was due, not when the wheel of the calls asks to be looked at: that may be
    /// before the timer was armed.
    fn forgive_pause(&mut self, now: Instant) {
        let Some((due, _)) = self.first_with(self.common.timers.first()) else { return };
        let lost = now.since(due);
        if lost < PAUSE || due == Instant::ZERO || planted!(PauseIsSilence) {
            return;
        }
        if let Link::Up { liveness, .. } = &mut self.link {
            liveness.forgive(now, lost);
            self.outgoing.forgive(now, lost);
            self.incoming.forgive(now, lost);
        }
    }

    /// Whether nothing of the peer's calls is left: no call, nothing queued, no timer of a mux.
    pub fn is_quiescent(&self) -> bool {
        self.outgoing.held() == 0
            && self.incoming.used() == 0
            && self.common.outbox.is_empty()
            && self.common.timers.armed() == 0
            && self.common.received_bytes == 0
            && self.common.handler_bytes == 0
    }

    /// Timers of calls that are armed, for tests and simulation.
    pub fn armed_timers(&self) -> usize {
        self.common.timers.armed()
    }

    /// Former processes of this name that are remembered, for tests and simulation.
    pub fn remembered_instances(&self) -> usize {
        self.duplicates.remembered()
    }

    /// Has `look` see this machine at a time at which nothing is due or to be put out; `None` at any
    /// other. Its timers are told the time before, and have forgotten it afterwards: looking changes
    /// nothing, and a tick changes nothing that `Debug` shows to `look`.
    #[cfg(any(test, feature = "testing"))]
    pub fn at_rest<T>(&mut self, now: Instant, look: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.is_due(now) || self.has_output() {
            return None;
        }
        let timers = self.common.timers.clone();
        let seen = self.common.timers.pop_due(now).is_none().then(|| look(self));
        self.common.timers = timers;
        seen
    }

    /// Internal consistency of every machine, for tests and simulation.
    ///
    /// # Panics
    /// If anything does not add up.
    pub fn check_invariants(&self) {
        self.outgoing.check_invariants();
        self.incoming.check_invariants(self.common.handler_bytes);
        self.common.outbox.check_invariants();
        let limits = &self.common.node.limits;
        assert!(self.common.received_bytes <= limits.received_bytes, "received bytes");
        assert!(self.incoming.used() <= limits.incoming_muxes, "incoming muxes");
        assert_eq!(self.state == LinkState::Connected, self.link.is_up(), "link state");
    }
}
