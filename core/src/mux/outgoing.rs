//! The calls that this side has opened, and what arrives for them: PROTOCOL.md section 5.

use std::time::Duration;

use super::caller::{CallerStream, Effect, Received, waits_in_lane};
use super::common::{Common, Draft, Refusal, received_len};
use super::id::{GENERATION_MASK, OutgoingKey};
use super::told;
use crate::error::{CallError, LimitKind};
use crate::event::Event;
use crate::outbox::{Class, Data, Owner, Position, Side};
use crate::payload::Payload;
use crate::rng::WeakRng;
use crate::time::Instant;
use crate::timer::TimerKey;
use crate::wire::{self, Flags, Message, MuxConnectError, Op, SubrouteId};

const NONE: u32 = u32::MAX;

/// What the deadline's field of 32 bits can say: longer ones are cut to it at both ends.
const MAX_TIMEOUT: Duration = Duration::from_millis(u32::MAX as u64);

/// What a stream that is held by its user and unknown here has come to: the machine that knew it
/// was replaced.
const LOST: CallError = CallError::Disconnected { may_have_run: true };

/// Where a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Handler id, 1 to 255.
    pub handler: u8,
    /// The subroute under it, if any.
    pub subroute: Option<SubrouteId>,
}

#[derive(Debug)]
enum Kind {
    Free {
        next: u32,
    },
    /// A single request; when it is over, its outcome until that is taken.
    Request(Option<Result<Payload, CallError>>),
    Stream(Box<CallerStream>),
}

#[derive(Debug)]
struct Slot {
    kind: Kind,
    generation: u32,
    /// The generation with which the slot was first used on the link numbered `epoch`.
    first_generation: u32,
    epoch: u64,
    /// Neither side has ended it.
    open: bool,
    /// The callee has given it up near the deadline, which is left to end it here: until then it
    /// is open to the application and over on the wire (PROTOCOL.md section 5.2).
    callee_gone: bool,
    opener: Position,
    /// The deadline, and the time from which a bare disconnect is taken for its expiry.
    deadline: Option<Instant>,
    hold_back: Instant,
}

/// One slot a call; free ones are reused first in, first out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    slots: Vec<Slot>,
    free_head: u32,
    free_tail: u32,
    first_generation: u32,
    epoch: u64,
    requests: usize,
    streams: usize,
    rng: WeakRng,
}

impl Outgoing {
    pub(crate) fn new(first_generation: u32, rng: WeakRng) -> Self {
        Self {
            slots: Vec::new(),
            free_head: NONE,
            free_tail: NONE,
            first_generation: first_generation & GENERATION_MASK,
            epoch: 0,
            requests: 0,
            streams: 0,
            rng,
        }
    }

    /// Open single requests and streams.
    pub(crate) fn open(&self) -> (usize, usize) {
        (self.requests, self.streams)
    }

    /// Calls whose slot is held, open or not.
    pub(crate) fn held(&self) -> usize {
        self.slots.iter().filter(|slot| !matches!(slot.kind, Kind::Free { .. })).count()
    }

    /// Whether the slot is still this call's.
    pub(crate) fn holds(&self, key: OutgoingKey) -> bool {
        self.slots.get(key.slot()).is_some_and(|slot| {
            slot.generation == key.generation && !matches!(slot.kind, Kind::Free { .. })
        })
    }

    /// A generation that no slot has had yet. Generations wrap, so the newest is the one that is
    /// furthest from the first.
    pub(crate) fn next_generation(&self) -> u32 {
        let since_first = |slot: &Slot| slot.generation.wrapping_sub(self.first_generation);
        let used = self.slots.iter().map(|slot| since_first(slot) & GENERATION_MASK).max();
        let next = used.map_or(0, |used| used + 1);
        self.first_generation.wrapping_add(next) & GENERATION_MASK
    }

    /// A new link: what was issued before is unknown on it.
    pub(crate) fn start_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    // ---- what the application does ----

    pub(crate) fn request(
        &mut self,
        now: Instant,
        target: Target,
        data: Data<'_>,
        timeout: Option<Duration>,
        common: &mut Common,
    ) -> Result<OutgoingKey, Refusal> {
        let timeout = timeout.unwrap_or(common.node.timings.default_deadline);
        let flags = Flags::EOF;
        self.start(
            now,
            Op::Request,
            target,
            data,
            Some(timeout),
            flags,
            Kind::Request(None),
            common,
        )
    }

    pub(crate) fn open_stream(
        &mut self,
        now: Instant,
        target: Target,
        capacities: (u32, u32),
        data: Data<'_>,
        timeout: Option<Duration>,
        common: &mut Common,
    ) -> Result<OutgoingKey, Refusal> {
        let (in_capacity, out_capacity) = capacities;
        let mut stream = CallerStream::new(in_capacity, out_capacity);
        let interval = common.node.timings.mux_ping_interval;
        if timeout.is_none_or(|timeout| timeout > interval) {
            let nanos = interval.as_nanos() as u64;
            let first = Duration::from_nanos(self.rng.range(nanos / 2, nanos));
            stream.start_pings(now, first);
        }
        let flags = if in_capacity == 0 { Flags::EOF } else { Flags::empty() };
        let kind = Kind::Stream(Box::new(stream));
        self.start(now, Op::ConnectMux, target, data, timeout, flags, kind, common)
    }

    #[expect(clippy::too_many_arguments, reason = "one message's fields, two call sites")]
    fn start(
        &mut self,
        now: Instant,
        op: Op,
        target: Target,
        data: Data<'_>,
        timeout: Option<Duration>,
        flags: Flags,
        kind: Kind,
        common: &mut Common,
    ) -> Result<OutgoingKey, Refusal> {
        let failed = |error| Err(Refusal::Failed(error));
        if timeout.is_some_and(|timeout| timeout < Duration::from_millis(1))
            && !planted!(ShortDeadlineAsNone)
        {
            return failed(CallError::DeadlineTooShort);
        }
        if self.requests + self.streams >= common.node.limits.outgoing_muxes {
            return failed(CallError::Limit(LimitKind::OutgoingMuxes));
        }
        let timeout = match planted!(LongDeadlineWraps, timeout > Some(MAX_TIMEOUT)) {
            true => timeout,
            false => timeout.map(|timeout| timeout.min(MAX_TIMEOUT)),
        };
        let mut flags = flags | data.flags();
        flags.set(Flags::SUBROUTE, target.subroute.is_some());
        let draft = Draft {
            op,
            seq: 0,
            deadline_ms: timeout.map_or(0, deadline_ms),
            handler: target.handler,
            flags,
            subroute: target.subroute,
            data,
        };
        // Every id of ours has bit 63 set, so this one has the length of the one to come.
        common.admit(&draft, u64::MAX)?;
        let is_stream = matches!(kind, Kind::Stream(_));
        let key = self.take_slot(kind);
        let owner = owner(key);
        let opener = common.send(owner, draft, Class::Data);
        let slot = &mut self.slots[key.slot()];
        slot.opener = opener;
        slot.deadline = timeout.map(|timeout| now.after(timeout));
        slot.hold_back = timeout.map_or(now, |timeout| {
            let margin = (timeout / 100).max(Duration::from_millis(50));
            now.after(timeout).before(margin)
        });
        if is_stream {
            self.streams += 1;
        } else {
            self.requests += 1;
        }
        self.arm(key, common);
        Ok(key)
    }

    pub(crate) fn send(
        &mut self,
        key: OutgoingKey,
        data: Data<'_>,
        common: &mut Common,
    ) -> Result<(), Refusal> {
        match self.stream_mut(key) {
            Some(stream) => stream.send(owner(key), data, common),
            None => Err(Refusal::Failed(LOST)),
        }
    }

    pub(crate) fn check_send(
        &mut self,
        key: OutgoingKey,
        common: &mut Common,
    ) -> Result<(), Refusal> {
        match self.stream_mut(key) {
            Some(stream) => stream.check_send(owner(key), common),
            None => Err(Refusal::Failed(LOST)),
        }
    }

    pub(crate) fn close(&mut self, key: OutgoingKey, common: &mut Common) {
        if let Some(stream) = self.stream_mut(key) {
            stream.close(owner(key), common);
        }
    }

    pub(crate) fn receive(&mut self, key: OutgoingKey, common: &mut Common) -> Received<CallError> {
        match self.stream_mut(key) {
            Some(stream) => stream.receive(owner(key), common),
            None => Received::Failed(LOST),
        }
    }

    /// The outcome of a single request, once; with it the slot is free.
    pub(crate) fn take_response(
        &mut self,
        key: OutgoingKey,
        common: &mut Common,
    ) -> Option<Result<Payload, CallError>> {
        self.take_short_response(key, usize::MAX, common)
    }

    /// The same for an outcome whose payload or text is no longer than this; a longer one stays.
    pub(crate) fn take_short_response(
        &mut self,
        key: OutgoingKey,
        longest: usize,
        common: &mut Common,
    ) -> Option<Result<Payload, CallError>> {
        let slot = self.live_slot(key)?;
        let Kind::Request(outcome) = &mut slot.kind else { return None };
        let outcome = outcome.take_if(|outcome| received_len(outcome) <= longest)?;
        match &outcome {
            Ok(payload) => common.release(payload.as_slice().len()),
            Err(error) => common.release_error(error),
        }
        self.free(key, common);
        Some(outcome)
    }

    /// The application lets go of the call: cancelled at the other end if it is still open.
    pub(crate) fn release(&mut self, key: OutgoingKey, common: &mut Common) {
        let Some(slot) = self.live_slot(key) else { return };
        match &mut slot.kind {
            Kind::Request(Some(_)) if planted!(UntakenReplyLeaksSlot) => return,
            Kind::Request(Some(Ok(payload))) => common.release(payload.as_slice().len()),
            Kind::Request(Some(Err(error))) => common.release_error(error),
            Kind::Stream(stream) => stream.drop_all(common),
            Kind::Request(None) | Kind::Free { .. } => {}
        }
        self.withdraw(key, common);
        self.close_slot(key, common);
        self.free(key, common);
    }

    /// Ends the call with `Cancelled` and tells the peer; the outcome can still be read.
    pub(crate) fn cancel(&mut self, key: OutgoingKey, common: &mut Common) {
        self.withdraw(key, common);
        self.end(key, Err(CallError::Cancelled), common);
    }

    /// Cancels every open call: the grace period is over.
    pub(crate) fn cancel_all(&mut self, common: &mut Common) {
        for key in self.open_keys() {
            self.cancel(key, common);
        }
    }

    /// Fails every open call: the peer is removed.
    pub(crate) fn remove_all(&mut self, common: &mut Common) {
        for key in self.open_keys() {
            let may_have_run = may_still_run(self.slots[key.slot()].opener);
            self.withdraw(key, common);
            self.end(key, Err(CallError::PeerRemoved { may_have_run }), common);
        }
    }

    // ---- what the peer sends ----

    /// Reads of what a message with this id needs; what it gives means nothing.
    pub(crate) fn read_ahead(&self, mux: u64) -> usize {
        let slot = OutgoingKey::from_mux_id(mux).and_then(|key| self.slots.get(key.slot()));
        match slot.map(|slot| &slot.kind) {
            Some(Kind::Stream(stream)) => stream.read_ahead(),
            _ => 0,
        }
    }

    /// One message for a mux of ours. The return says whether an answer for an id that we never
    /// issued may be sent.
    pub(crate) fn on_message(
        &mut self,
        now: Instant,
        message: Message,
        common: &mut Common,
    ) -> Lookup {
        let key = match self.lookup(message.header.mux) {
            Ok(key) => key,
            Err(lookup) => return lookup,
        };
        match message.header.op {
            Op::MuxConnectError if planted!(ConnectErrorDropped) => {}
            Op::MuxConnectError => {
                let text = MuxConnectError::decode(&message.payload)
                    .map_or_else(|_| String::from("unreadable reason"), |body| body.error);
                self.end_by_peer(key, Err(told::to_error(text, CallError::Refused)), common);
            }
            Op::DisconnectClientMux => self.on_disconnect(now, key, &message, common),
            op => match &mut self.slots[key.slot()].kind {
                Kind::Request(_) if op == Op::Response => {
                    self.on_response(key, message, common);
                }
                Kind::Stream(_) if op == Op::Pong => self.on_pong(now, key, &message, common),
                Kind::Stream(stream) if op != Op::Response => {
                    let effect = stream.on_message(now, owner(key), message, common);
                    self.apply(key, effect, common);
                }
                _ => {}
            },
        }
        Lookup::Live
    }

    fn on_response(&mut self, key: OutgoingKey, message: Message, common: &mut Common) {
        if message.header.flags.contains(Flags::PAYLOAD_IS_ERR) {
            let text = String::from_utf8_lossy(&message.payload).into_owned();
            return self.end(key, Err(told::to_error(text, CallError::Remote)), common);
        }
        let outcome = if !common.hold(message.payload.len()) {
            Err(CallError::Limit(LimitKind::ReceivedBytes))
        } else if message.is_nil() {
            Ok(Payload::NIL)
        } else {
            Ok(Payload::from(message.payload))
        };
        self.close_slot(key, common);
        self.slots[key.slot()].kind = Kind::Request(Some(outcome));
        common.events.push_back(Event::Readable(key));
    }

    fn on_pong(&mut self, now: Instant, key: OutgoingKey, message: &Message, common: &mut Common) {
        let pong = wire::Pong::decode(&message.payload).unwrap_or(wire::Pong {
            not_found: false,
            error: None,
            time: wire::Timestamp::ZERO,
        });
        if pong.not_found {
            self.end_by_peer(key, Err(CallError::Disconnected { may_have_run: true }), common);
        } else if let Some(text) = pong.error {
            self.end_by_peer(key, Err(told::to_error(text, CallError::Remote)), common);
        } else if let Some(stream) = self.stream_mut(key) {
            stream.on_heard(now);
        }
    }

    /// The callee gives the call up. A bare one near the deadline is the callee's clock being
    /// ahead: our own timer decides (PROTOCOL.md section 5.2).
    fn on_disconnect(
        &mut self,
        now: Instant,
        key: OutgoingKey,
        message: &Message,
        common: &mut Common,
    ) {
        if message.header.flags.contains(Flags::PAYLOAD_IS_ERR) {
            let text = String::from_utf8_lossy(&message.payload).into_owned();
            self.end_by_peer(key, Err(told::to_error(text, CallError::Remote)), common);
            return;
        }
        let slot = &self.slots[key.slot()];
        let expires = slot.deadline.is_some() && now >= slot.hold_back;
        if expires && !planted!(CalleeExpiryIsLoss) {
            self.slots[key.slot()].callee_gone = true;
            if let Some(stream) = self.stream_mut(key) {
                stream.on_callee_gone();
            }
            common.outbox.discard_lane(owner(key));
            common.announce_room();
            return self.arm(key, common);
        }
        self.end_by_peer(key, Err(CallError::Disconnected { may_have_run: true }), common);
    }

    fn apply(&mut self, key: OutgoingKey, effect: Effect, common: &mut Common) {
        match effect {
            Effect::Nothing => {}
            Effect::Readable => common.events.push_back(Event::Readable(key)),
            Effect::Writable => common.events.push_back(Event::Writable(key)),
            Effect::Ended(end) => self.end_by_peer(key, end, common),
            Effect::Failed(error) => {
                self.withdraw(key, common);
                self.end(key, Err(error), common);
            }
        }
    }

    // ---- time and loss ----

    /// `drained_at` is the last time at which the peer's queue was known to be empty.
    pub(crate) fn on_timer(
        &mut self,
        now: Instant,
        slot: u32,
        drained_at: Instant,
        common: &mut Common,
    ) {
        let Some(state) = self.slots.get_mut(slot as usize) else { return };
        let key = OutgoingKey { slot, generation: state.generation };
        if state.deadline.is_some_and(|deadline| now >= deadline) {
            let may_have_run = may_still_run(state.opener);
            self.withdraw(key, common);
            self.end(key, Err(CallError::DeadlineExceeded { may_have_run }), common);
            return;
        }
        if let Kind::Stream(stream) = &mut state.kind
            && state.open
            && let Err(error) = stream.tick(now, drained_at, owner(key), common)
        {
            self.withdraw(key, common);
            self.end(key, Err(error), common);
            return;
        }
        self.arm(key, common);
    }

    /// The link is gone: every call that is open on it fails, whether its outcome was held back or not.
    /// `untouched`: so many of the things handed out last were not begun to be written.
    pub(crate) fn on_link_lost(
        &mut self,
        untouched: usize,
        error: impl Fn(bool) -> CallError,
        common: &mut Common,
    ) {
        for slot in 0..self.slots.len() as u32 {
            let state = &self.slots[slot as usize];
            let key = OutgoingKey { slot, generation: state.generation };
            if planted!(LossSkipsUnsentCalls, waits_in_lane(state.opener)) {
                continue;
            }
            if self.awaits_end(key) {
                let opener = self.slots[slot as usize].opener;
                let may_have_run = common.outbox.has_left(opener, untouched);
                self.end(key, Err(error(may_have_run)), common);
            }
        }
    }

    /// A large opening message has been handed out.
    pub(crate) fn on_left(&mut self, mux: u64, position: Position) {
        if let Ok(key) = self.lookup(mux) {
            let slot = &mut self.slots[key.slot()];
            if waits_in_lane(slot.opener) {
                slot.opener = position;
            }
        }
    }

    /// Time during which this node could not run does not count as the peers' silence.
    pub(crate) fn forgive(&mut self, now: Instant, lost: Duration) {
        for slot in &mut self.slots {
            if let Kind::Stream(stream) = &mut slot.kind {
                stream.forgive(now, lost);
            }
        }
    }

    // ---- slots ----

    /// Ends the call towards the application: nothing is sent.
    fn end(&mut self, key: OutgoingKey, end: Result<(), CallError>, common: &mut Common) {
        self.close_slot(key, common);
        let Some(slot) = self.live_slot(key) else { return };
        slot.deadline = None;
        match &mut slot.kind {
            Kind::Request(outcome @ None) => {
                *outcome = end.err().map(|error| Err(common.hold_error(error)));
            }
            Kind::Stream(stream) if !stream.has_ended() => {
                stream.on_end(end.map_err(|error| common.hold_error(error)), common);
                common.events.push_back(Event::Writable(key));
            }
            _ => return,
        }
        common.timers.cancel(timer(key.slot));
        common.events.push_back(Event::Readable(key));
    }

    /// Ends the call as the peer has: the peer has forgotten it, so what can still be taken back
    /// is not sent, and makes room for others.
    fn end_by_peer(&mut self, key: OutgoingKey, end: Result<(), CallError>, common: &mut Common) {
        common.outbox.discard_lane(owner(key));
        common.announce_room();
        self.end(key, end, common);
    }

    /// Tells the peer that the call is over, unless its opening message never left.
    fn withdraw(&mut self, key: OutgoingKey, common: &mut Common) {
        let Some(slot) = self.live_slot(key) else { return };
        if !slot.open || slot.callee_gone {
            return;
        }
        let in_lane = waits_in_lane(slot.opener);
        common.outbox.discard_lane(owner(key));
        common.announce_room();
        if !in_lane {
            common.send(owner(key), Draft::bare(Op::DisconnectServerMux, 0), Class::Data);
        }
    }

    /// The call is over: what the peer still sends for its id is late.
    fn close_slot(&mut self, key: OutgoingKey, common: &mut Common) {
        let Some(slot) = self.live_slot(key) else { return };
        if !std::mem::replace(&mut slot.open, false) {
            return;
        }
        if matches!(slot.kind, Kind::Stream(_)) {
            self.streams -= 1;
        } else {
            self.requests -= 1;
        }
        common.timers.cancel(timer(key.slot));
    }

    fn take_slot(&mut self, kind: Kind) -> OutgoingKey {
        let index = self.free_head;
        if index == NONE {
            let slot = self.slots.len() as u32;
            self.slots.push(Slot {
                kind,
                generation: self.first_generation,
                first_generation: self.first_generation,
                epoch: self.epoch,
                open: true,
                callee_gone: false,
                opener: Position::Lane(0),
                deadline: None,
                hold_back: Instant::ZERO,
            });
            return OutgoingKey { slot, generation: self.first_generation };
        }
        let slot = &mut self.slots[index as usize];
        if let Kind::Free { next } = slot.kind {
            self.free_head = next;
        }
        if self.free_head == NONE {
            self.free_tail = NONE;
        }
        slot.kind = kind;
        if planted!(WrapNotMasked, slot.generation == GENERATION_MASK) {
            slot.generation += 1;
        } else if !planted!(IdUsedAgain) {
            slot.generation = (slot.generation + 1) & GENERATION_MASK;
        }
        if slot.epoch != self.epoch {
            slot.epoch = self.epoch;
            slot.first_generation = slot.generation;
        }
        slot.open = true;
        slot.callee_gone = false;
        OutgoingKey { slot: index, generation: slot.generation }
    }

    fn free(&mut self, key: OutgoingKey, common: &mut Common) {
        common.timers.cancel(timer(key.slot));
        let slot = &mut self.slots[key.slot()];
        slot.kind = Kind::Free { next: NONE };
        slot.deadline = None;
        if self.free_tail == NONE || planted!(FreeSlotsForgotten) {
            self.free_head = key.slot;
        } else {
            self.slots[self.free_tail as usize].kind = Kind::Free { next: key.slot };
        }
        self.free_tail = key.slot;
    }

    fn arm(&self, key: OutgoingKey, common: &mut Common) {
        let slot = &self.slots[key.slot()];
        let tick = match &slot.kind {
            Kind::Stream(stream) if slot.open => stream.next_tick(common.node.timings.mux_silence),
            _ => None,
        };
        let next = [slot.deadline, tick].into_iter().flatten().min();
        if let Some(next) = next {
            common.timers.arm(timer(key.slot), next);
        }
    }

    fn live_slot(&mut self, key: OutgoingKey) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.slot())?;
        let live = slot.generation == key.generation && !matches!(slot.kind, Kind::Free { .. });
        live.then_some(slot)
    }

    fn stream_mut(&mut self, key: OutgoingKey) -> Option<&mut CallerStream> {
        match &mut self.live_slot(key)?.kind {
            Kind::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    fn awaits_end(&self, key: OutgoingKey) -> bool {
        match &self.slots[key.slot()].kind {
            Kind::Free { .. } => false,
            Kind::Request(outcome) => outcome.is_none(),
            Kind::Stream(stream) => !stream.has_ended(),
        }
    }

    fn open_keys(&self) -> Vec<OutgoingKey> {
        let keys: Vec<_> = (0..self.slots.len() as u32)
            .map(|slot| OutgoingKey { slot, generation: self.slots[slot as usize].generation })
            .filter(|key| self.awaits_end(*key))
            .collect();
        #[cfg(feature = "planted")]
        if planted!(HashOrderOnTheWire, keys.len() > 1) {
            return crate::planted::in_hash_order(keys);
        }
        keys
    }

    /// The open call that an id names, or what the id is instead.
    fn lookup(&self, mux: u64) -> Result<OutgoingKey, Lookup> {
        let key = OutgoingKey::from_mux_id(mux).ok_or(Lookup::NeverIssued)?;
        let slot = self.slots.get(key.slot()).ok_or(Lookup::NeverIssued)?;
        if slot.generation == key.generation && slot.epoch == self.epoch {
            let live = slot.open && !slot.callee_gone && !matches!(slot.kind, Kind::Free { .. });
            return if live { Ok(key) } else { Err(Lookup::Over) };
        }
        let since_first = key.generation.wrapping_sub(slot.first_generation) & GENERATION_MASK;
        let issued = slot.generation.wrapping_sub(slot.first_generation) & GENERATION_MASK;
        if slot.epoch == self.epoch && since_first < issued {
            return Err(Lookup::Over);
        }
        Err(Lookup::NeverIssued)
    }

    /// Internal consistency, for tests and simulation.
    ///
    /// # Panics
    /// If the counters and the slots disagree.
    pub(crate) fn check_invariants(&self) {
        let open = |stream: bool| {
            let kind = |slot: &&Slot| match slot.kind {
                Kind::Free { .. } => false,
                Kind::Request(_) => !stream,
                Kind::Stream(_) => stream,
            };
            self.slots.iter().filter(|slot| slot.open).filter(kind).count()
        };
        assert_eq!((open(false), open(true)), (self.requests, self.streams), "open calls");
        let mut free = 0;
        let mut next = self.free_head;
        while next != NONE {
            free += 1;
            let Kind::Free { next: after } = self.slots[next as usize].kind else {
                panic!("a used slot in the free list");
            };
            next = after;
        }
        let counted = self.slots.iter().filter(|s| matches!(s.kind, Kind::Free { .. })).count();
        assert_eq!(free, counted, "free slots");
    }
}

/// What an id is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// An open call.
    Live,
    /// A call that is over: whatever comes for it is late and no mistake.
    Over,
    /// An id that this side has not issued on this link.
    NeverIssued,
}

fn owner(key: OutgoingKey) -> Owner {
    Owner { side: Side::Caller, mux: key.mux_id() }
}

/// Whether a call that ends here may run there, now or later: an opening message that waits in a
/// batch leaves with it, though a cancel follows; only one in a lane of its own is taken back.
const fn may_still_run(opener: Position) -> bool {
    !waits_in_lane(opener)
}

const fn timer(slot: u32) -> TimerKey {
    slot << 1
}

/// Whole milliseconds, rounded up (PROTOCOL.md section 5.1).
fn deadline_ms(timeout: Duration) -> u32 {
    let ms = timeout.as_nanos().div_ceil(1_000_000);
    if planted!(LongDeadlineWraps, timeout > MAX_TIMEOUT) {
        return ms as u32;
    }
    if planted!(ShortDeadlineAsNone, timeout < Duration::from_millis(1)) {
        return timeout.as_millis() as u32;
    }
    u32::try_from(ms).unwrap_or(u32::MAX)
}
