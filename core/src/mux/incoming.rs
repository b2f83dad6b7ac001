//! The peer's calls that are served here, and what arrives for them: PROTOCOL.md section 5.

use std::collections::VecDeque;
use std::time::Duration;

use super::by_id::{ById, NONE};
use super::callee::{CalleeStream, Effect};
use super::caller::Received;
use super::common::{Common, Draft, Refusal};
use super::id::IncomingKey;
use super::refused::CallRefusal;
use crate::error::{CallError, CancelReason, Violation};
use crate::event::{Event, IncomingCall};
use crate::outbox::{Class, Data, Owner, Side};
use crate::payload::Payload;
use crate::route::{RouteIndex, Shape};
use crate::time::Instant;
use crate::timer::TimerKey;
use crate::wire::{Flags, Header, Message, MuxConnectError, Op};

/// How many times the send limit, and how many messages of the largest size on top, may wait
/// before the peer's calls are refused.
const BACKLOG_FACTOR: usize = 4;
const BACKLOG_MESSAGES: usize = 4;

/// Ids that were refused and are remembered, so that each is told so once (ledger L27).
const REFUSED: usize = 1024;

#[derive(Debug)]
enum Kind {
    Request { seq: u32 },
    Stream(Box<CalleeStream>),
}

#[derive(Debug)]
struct Served {
    mux: u64,
    route: RouteIndex,
    kind: Kind,
    /// On the wire: found by its id.
    live: bool,
    /// The handler still runs, or has not been given the call yet.
    running: bool,
    /// What it is counted as in [`Common::handler_bytes`], while it runs.
    held: usize,
    deadline: Option<Instant>,
    /// The requests before and after it with the same id, which they may share.
    prev_same: u32,
    next_same: u32,
}

#[derive(Debug)]
enum Slot {
    Free { next: u32 },
    Served(Served),
}

/// Calls by slot.
#[derive(Debug)]
pub(crate) struct Incoming {
    slots: Vec<(u32, Slot)>,
    first_generation: u32,
    free: u32,
    used: usize,
    by_id: ById,
    refused: VecDeque<u64>,
    requests: usize,
    streams: usize,
}

impl Incoming {
    pub(crate) fn new(hash_key: u64) -> Self {
        Self {
            slots: Vec::new(),
            first_generation: 0,
            free: NONE,
            used: 0,
            by_id: ById::new(hash_key),
            refused: VecDeque::new(),
            requests: 0,
            streams: 0,
        }
    }

    /// Where the generations of new slots begin.
    pub(crate) fn start_generations(&mut self, first: u32) {
        self.first_generation = first;
    }

    /// A generation that no slot has had yet.
    pub(crate) fn next_generation(&self) -> u32 {
        let used = self.slots.iter().map(|(generation, _)| *generation).max();
        used.unwrap_or(self.first_generation).wrapping_add(1)
    }

    /// Live single requests and streams.
    pub(crate) fn open(&self) -> (usize, usize) {
        (self.requests, self.streams)
    }

    /// Calls that count against the limit: live ones and those whose handler still runs.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Whether the call is still on the wire.
    pub(crate) fn is_live(&self, key: IncomingKey) -> bool {
        match self.slots.get(key.slot()) {
            Some((generation, Slot::Served(served))) => {
                *generation == key.generation && served.live
            }
            _ => false,
        }
    }

    // ---- what the peer sends ----

    /// Reads of what a message with this id needs; what it gives means nothing.
    pub(crate) fn read_ahead(&self, mux: u64) -> usize {
        let Some(key) = self.live_stream(mux) else { return 0 };
        match &self.slots[key.slot()].1 {
            Slot::Served(Served { kind: Kind::Stream(stream), .. }) => stream.read_ahead(),
            _ => 0,
        }
    }

    pub(crate) fn on_message(
        &mut self,
        now: Instant,
        message: Message,
        accepting: bool,
        common: &mut Common,
    ) {
        match message.header.op {
            Op::Request | Op::ConnectMux => self.on_open(now, message, accepting, common),
            Op::DisconnectServerMux => self.on_cancel(message.header.mux, common),
            _ => self.on_stream_message(now, message, common),
        }
    }

    fn on_open(&mut self, now: Instant, message: Message, accepting: bool, common: &mut Common) {
        let header = message.header;
        let is_stream = header.op == Op::ConnectMux;
        if is_stream && self.live_stream(header.mux).is_some() {
            return;
        }
        let (route, held) = match self.admit(&message, is_stream, accepting, common) {
            Ok(admitted) => admitted,
            Err(reason) => return refuse(now, header, reason, common),
        };
        self.refused.retain(|id| *id != header.mux);
        let shape = common.node.routes.get(route).shape;
        let deadline = (header.deadline_ms > 0)
            .then(|| now.after(Duration::from_millis(header.deadline_ms.into())));
        let kind = match shape {
            Shape::Single => Kind::Request { seq: header.seq },
            Shape::Stream { in_capacity, out_capacity } => {
                let input_ended = header.flags.contains(Flags::EOF);
                let capacities = (in_capacity, out_capacity);
                let mut stream = CalleeStream::new(header.seq, capacities, input_ended);
                let silence = common.node.timings.mux_ping_silence;
                if deadline.is_none_or(|deadline| deadline.since(now) > silence) {
                    stream.watch(now);
                }
                Kind::Stream(Box::new(stream))
            }
        };
        let key = self.insert(Served {
            mux: header.mux,
            route,
            kind,
            live: true,
            running: true,
            held,
            deadline,
            prev_same: NONE,
            next_same: NONE,
        });
        if let Some(Served { kind: Kind::Stream(stream), .. }) = self.served_mut(key) {
            stream.acknowledge(owner(header.mux), common);
        }
        self.arm(key, common);
        let is_nil = message.is_nil() || planted!(EmptyBecomesNil, message.payload.is_empty());
        let payload = if is_nil { Payload::NIL } else { Payload::from(message.payload) };
        common.calls.push_back(IncomingCall { key, route, payload, deadline });
    }

    /// The route of a call that may begin and what it is counted as, or why it may not.
    fn admit(
        &self,
        message: &Message,
        is_stream: bool,
        accepting: bool,
        common: &mut Common,
    ) -> Result<(RouteIndex, usize), CallRefusal> {
        let header = message.header;
        if !accepting {
            return Err(CallRefusal::ShuttingDown);
        }
        if is_stream && header.flags.contains(Flags::STATELESS) {
            return Err(CallRefusal::Stateless);
        }
        let node = &common.node;
        let route = node.routes.find(header.handler, message.subroute.as_ref());
        let route = route.ok_or(match message.subroute {
            Some(_) => CallRefusal::NoSubroute,
            None => CallRefusal::NoHandler,
        })?;
        if is_stream != matches!(node.routes.get(route).shape, Shape::Stream { .. }) {
            return Err(match is_stream {
                true => CallRefusal::NotStream,
                false => CallRefusal::NotSingle,
            });
        }
        // What is never refused for room in the queue (acks, credits, the answers to cancels) is
        // bounded by the calls that may begin: none may, while far more waits than senders can queue.
        let backlog = node.limits.queued_bytes.saturating_mul(BACKLOG_FACTOR)
            + BACKLOG_MESSAGES * node.limits.message;
        if self.used >= node.limits.incoming_muxes || common.outbox.owed_bytes() > backlog {
            return Err(CallRefusal::TooManyCalls);
        }
        let len = message.payload.len();
        if !common.hold(len) {
            return Err(CallRefusal::TooMuchReceived);
        }
        let Some(held) = common.hold_for_handler(0, len) else {
            common.release(len);
            return Err(CallRefusal::HandlersHoldTooMuch);
        };
        Ok((route, held))
    }

    /// The request of a running handler is decoded to so many bytes more than its payload; `false` if
    /// that passes [`Limits::handler_bytes`](crate::limits::Limits::handler_bytes).
    #[must_use]
    pub(crate) fn charge(&mut self, key: IncomingKey, bytes: usize, common: &mut Common) -> bool {
        let Some(served) = self.served_mut(key).filter(|served| served.running) else {
            return true;
        };
        let more = common.hold_for_handler(served.held, bytes);
        served.held += more.unwrap_or(0);
        more.is_some()
    }

    /// The layer above has taken the call out of the queue.
    pub(crate) fn on_taken(call: &IncomingCall, common: &mut Common) {
        common.release(call.payload.as_slice().len());
    }

    fn on_cancel(&mut self, mux: u64, common: &mut Common) {
        // Those that have returned are over here, but their items may still wait.
        discard_queued(mux, common);
        // Requests may share an id: all of them are cancelled.
        loop {
            let same = self.by_id.get(mux);
            if same.is_empty() {
                return;
            }
            let is_stream = same.stream != NONE;
            let slot = if is_stream { same.stream } else { same.requests };
            if planted!(UnreadInputBlocksCancel, self.stream_is(slot, CalleeStream::has_unread)) {
                return;
            }
            if planted!(CancelIgnoredWhileEnding, self.stream_is(slot, CalleeStream::is_ending)) {
                return;
            }
            self.cancel(self.key(slot), CancelReason::Caller, common);
            if is_stream {
                send_disconnect(mux, common);
            }
        }
    }

    fn on_stream_message(&mut self, now: Instant, message: Message, common: &mut Common) {
        let Header { mux, seq, op, .. } = message.header;
        let Some(key) = self.live_stream(mux) else {
            return self.on_unknown(mux, seq, op, common);
        };
        let Some(Served { kind: Kind::Stream(stream), route, .. }) = self.served_mut(key) else {
            return;
        };
        let route = *route;
        match stream.on_message(now, owner(mux), message, common) {
            Effect::Nothing => {}
            Effect::Readable => common.events.push_back(Event::InputReadable(key)),
            Effect::Credit => {
                if stream.flush_end(owner(mux), common) {
                    if !planted!(EndPerCredit) {
                        self.retire(key, common);
                    }
                } else {
                    common.events.push_back(Event::OutputWritable(key));
                }
            }
            Effect::Violation(text) => {
                self.refuse_stream(key, &text, CancelReason::Violation, common);
                if op == Op::Ping {
                    common.send_mux_pong(owner(mux), seq, false, Some(text));
                }
            }
            Effect::OverCapacity(capacity) => {
                let route = Some(common.node.routes.get(route).name);
                let text = Violation::OverCapacity { route, capacity }.to_string();
                self.refuse_stream(key, &text, CancelReason::Violation, common);
            }
            Effect::OverLimit => {
                let text =
                    "too much received data waits to be taken [gridmux limit received_bytes ran]";
                self.refuse_stream(key, text, CancelReason::ReceiveLimit, common);
            }
        }
    }

    /// A message for a stream that is not live: PROTOCOL.md section 5's table.
    fn on_unknown(&self, mux: u64, seq: u32, op: Op, common: &mut Common) {
        match op {
            Op::Ping => common.send_mux_pong(owner(mux), seq, true, None),
            Op::MuxClientMsg if self.by_id.get(mux).is_empty() && !self.refused.contains(&mux) => {
                let draft = Draft::bare(Op::DisconnectClientMux, 0);
                common.send(owner(mux), draft, Class::Reply);
            }
            _ => {}
        }
    }

    // ---- what the application does ----

    /// Answers a single request. Nothing is sent if it has been cancelled or has expired, be it
    /// that its timer has not fired yet.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        key: IncomingKey,
        result: Result<Data<'_>, &str>,
        common: &mut Common,
    ) {
        let Some(served) = self.served_mut(key) else { return };
        let expired = served.deadline.is_some_and(|deadline| now >= deadline);
        let (mux, live) = (served.mux, served.live);
        let Kind::Request { seq } = served.kind else { return };
        if planted!(LateAnswerLeaksSlot, !live) {
            return;
        }
        let live = live || planted!(AnswerAfterCancel);
        let expired = expired && !planted!(AnswerAfterDeadline, live);
        if live && !expired {
            let draft = match result {
                Ok(data) => Draft::item(Op::Response, seq, data),
                Err(text) => Draft::error(Op::Response, seq, text),
            };
            common.send_checked(owner(mux), draft.with_flags(Flags::EOF));
        }
        self.retire(key, common);
        self.handler_gone(key, common);
    }

    pub(crate) fn send(
        &mut self,
        key: IncomingKey,
        data: Data<'_>,
        common: &mut Common,
    ) -> Result<(), Refusal> {
        match self.stream_mut(key) {
            Some((mux, stream)) => stream.send(owner(mux), data, common),
            None => Err(Refusal::Failed(CallError::Cancelled)),
        }
    }

    pub(crate) fn check_send(
        &mut self,
        key: IncomingKey,
        common: &mut Common,
    ) -> Result<(), Refusal> {
        match self.stream_mut(key) {
            Some((mux, stream)) => stream.check_send(owner(mux), common),
            None => Err(Refusal::Failed(CallError::Cancelled)),
        }
    }

    pub(crate) fn receive(
        &mut self,
        key: IncomingKey,
        common: &mut Common,
    ) -> Received<CancelReason> {
        match self.stream_mut(key) {
            Some((mux, stream)) => stream.receive(owner(mux), common),
            None => Received::Failed(CancelReason::Disconnected),
        }
    }

    pub(crate) fn drop_input(&mut self, key: IncomingKey, common: &mut Common) {
        if let Some((mux, stream)) = self.stream_mut(key) {
            stream.drop_input(owner(mux), common);
        }
    }

    /// A stream's handler has returned: its end goes out after all that it sent, as soon as
    /// there is a credit for it.
    pub(crate) fn finish(
        &mut self,
        key: IncomingKey,
        end: Result<(), String>,
        common: &mut Common,
    ) {
        self.drop_input(key, common);
        let Some(served) = self.served_mut(key) else { return };
        let (mux, live) = (served.mux, served.live);
        if live && let Kind::Stream(stream) = &mut served.kind {
            stream.finish(end);
            if stream.flush_end(owner(mux), common) {
                self.retire(key, common);
            }
        }
        self.handler_gone(key, common);
    }

    /// The handler does not run any more: it was cancelled and dropped, or has answered.
    pub(crate) fn handler_gone(&mut self, key: IncomingKey, common: &mut Common) {
        let Some(served) = self.served_mut(key) else { return };
        served.running = false;
        common.handler_bytes -= std::mem::take(&mut served.held);
        if let Kind::Stream(stream) = &mut served.kind {
            stream.drop_items(common);
        }
        if !served.live {
            self.free(key);
        }
    }

    /// Cancels every handler that runs: the grace period is over.
    pub(crate) fn cancel_all(&mut self, reason: CancelReason, common: &mut Common) {
        for slot in 0..self.slots.len() as u32 {
            let key = IncomingKey { slot, generation: self.slots[slot as usize].0 };
            self.cancel(key, reason, common);
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
        let Some((generation, _)) = self.slots.get(slot as usize) else { return };
        let key = IncomingKey { slot, generation: *generation };
        let Some(served) = self.served_mut(key) else { return };
        let mux = served.mux;
        let expired = served.deadline.is_some_and(|deadline| now >= deadline);
        let is_stream = matches!(served.kind, Kind::Stream(_));
        let silent = match &mut served.kind {
            Kind::Stream(stream) => stream.is_silent(now, drained_at, common),
            Kind::Request { .. } => false,
        };
        if !expired && !silent {
            return self.arm(key, common);
        }
        let reason = if expired { CancelReason::Deadline } else { CancelReason::CallerSilent };
        self.cancel(key, reason, common);
        if is_stream {
            discard_queued(mux, common);
            send_disconnect(mux, common);
        }
    }

    pub(crate) fn on_link_lost(&mut self, common: &mut Common) {
        self.cancel_all(CancelReason::Disconnected, common);
        self.refused.clear();
    }

    /// Time during which this node could not run does not count as the peers' silence.
    pub(crate) fn forgive(&mut self, now: Instant, lost: Duration) {
        for (_, slot) in &mut self.slots {
            if let Slot::Served(Served { kind: Kind::Stream(stream), .. }) = slot {
                stream.forgive(now, lost);
            }
        }
    }

    // ---- ends ----

    fn refuse_stream(
        &mut self,
        key: IncomingKey,
        text: &str,
        reason: CancelReason,
        common: &mut Common,
    ) {
        let Some((mux, stream)) = self.stream_mut(key) else { return };
        stream.send_end(owner(mux), Err(text), common);
        self.cancel(key, reason, common);
        if self.refused.len() == REFUSED {
            self.refused.pop_front();
        }
        if !planted!(RefusedIdForgotten) {
            self.refused.push_back(mux);
        }
    }

    /// Takes the call off the wire and tells its handler, if it still runs.
    fn cancel(&mut self, key: IncomingKey, reason: CancelReason, common: &mut Common) {
        let Some(served) = self.served_mut(key) else { return };
        if !served.live {
            return;
        }
        if let Kind::Stream(stream) = &mut served.kind {
            stream.on_cancel(reason);
        }
        let running = served.running;
        self.retire(key, common);
        if running {
            common.events.push_back(Event::Cancelled(key, reason));
            common.events.push_back(Event::InputReadable(key));
            common.events.push_back(Event::OutputWritable(key));
        }
    }

    /// Takes the call off the wire.
    fn retire(&mut self, key: IncomingKey, common: &mut Common) {
        let Some(served) = self.served_mut(key) else { return };
        if !std::mem::replace(&mut served.live, false) {
            return;
        }
        let running = served.running;
        if matches!(served.kind, Kind::Stream(_)) {
            self.streams -= 1;
        } else {
            self.requests -= 1;
        }
        if !planted!(TimerLeftBehind) {
            common.timers.cancel(timer(key.slot));
        }
        self.unlink(key);
        if !running {
            self.free(key);
        }
    }

    // ---- slots ----

    fn insert(&mut self, mut served: Served) -> IncomingKey {
        let mux = served.mux;
        let is_stream = matches!(served.kind, Kind::Stream(_));
        let mut same = self.by_id.get(mux);
        if is_stream {
            self.streams += 1;
        } else {
            self.requests += 1;
            served.next_same = same.requests;
        }
        self.used += 1;
        let slot = self.free;
        let key = if slot == NONE {
            let generation = self.first_generation;
            self.slots.push((generation, Slot::Served(served)));
            IncomingKey { slot: self.slots.len() as u32 - 1, generation }
        } else {
            let (generation, state) = &mut self.slots[slot as usize];
            if let Slot::Free { next } = *state {
                self.free = next;
            }
            *generation = generation.wrapping_add(1);
            *state = Slot::Served(served);
            IncomingKey { slot, generation: *generation }
        };
        if is_stream {
            same.stream = key.slot;
        } else {
            if let Some((_, Slot::Served(next))) = self.slots.get_mut(same.requests as usize) {
                next.prev_same = key.slot;
            }
            same.requests = key.slot;
        }
        self.by_id.set(mux, same);
        key
    }

    fn free(&mut self, key: IncomingKey) {
        if self.served_mut(key).is_some() {
            self.slots[key.slot()].1 = Slot::Free { next: self.free };
            self.free = key.slot;
            self.used -= 1;
        }
    }

    /// It is not found by its id any more. Others may have the same.
    fn unlink(&mut self, key: IncomingKey) {
        let Some(Served { mux, kind, prev_same, next_same, .. }) = self.served_mut(key) else {
            return;
        };
        let (mux, prev, next) = (*mux, *prev_same, *next_same);
        let is_stream = matches!(kind, Kind::Stream(_));
        if let Some((_, Slot::Served(served))) = self.slots.get_mut(next as usize) {
            served.prev_same = prev;
        }
        if let Some((_, Slot::Served(served))) = self.slots.get_mut(prev as usize) {
            served.next_same = next;
            return;
        }
        let mut same = self.by_id.get(mux);
        if is_stream {
            same.stream = NONE;
        } else {
            same.requests = next;
        }
        self.by_id.set(mux, same);
    }

    fn key(&self, slot: u32) -> IncomingKey {
        IncomingKey { slot, generation: self.slots[slot as usize].0 }
    }

    fn live_stream(&self, mux: u64) -> Option<IncomingKey> {
        let slot = self.by_id.get(mux).stream;
        (slot != NONE).then(|| self.key(slot))
    }

    fn served_mut(&mut self, key: IncomingKey) -> Option<&mut Served> {
        match self.slots.get_mut(key.slot())? {
            (generation, Slot::Served(served)) if *generation == key.generation => Some(served),
            _ => None,
        }
    }

    fn stream_mut(&mut self, key: IncomingKey) -> Option<(u64, &mut CalleeStream)> {
        match self.served_mut(key)? {
            Served { mux, kind: Kind::Stream(stream), .. } => Some((*mux, stream)),
            _ => None,
        }
    }

    #[cfg(feature = "planted")]
    fn stream_is(&self, slot: u32, question: fn(&CalleeStream) -> bool) -> bool {
        match &self.slots[slot as usize].1 {
            Slot::Served(Served { kind: Kind::Stream(stream), .. }) => question(stream),
            _ => false,
        }
    }

    fn arm(&mut self, key: IncomingKey, common: &mut Common) {
        let Some(served) = self.served_mut(key) else { return };
        let silent = match &served.kind {
            Kind::Stream(stream) => stream.silent_at(common),
            Kind::Request { .. } => None,
        };
        if let Some(at) = [served.deadline, silent].into_iter().flatten().min() {
            common.timers.arm(timer(key.slot), at);
        }
    }

    /// Internal consistency, for tests and simulation.
    ///
    /// # Panics
    /// If the counters, the map and the slots disagree.
    pub(crate) fn check_invariants(&self, handler_bytes: usize) {
        let served = || {
            self.slots.iter().filter_map(|(_, slot)| match slot {
                Slot::Served(served) => Some(served),
                Slot::Free { .. } => None,
            })
        };
        assert_eq!(served().count(), self.used, "used slots");
        let held: usize = served().map(|served| served.held).sum();
        assert_eq!(held, handler_bytes, "bytes that handlers hold");
        assert!(self.refused.len() <= REFUSED, "refused ids");
        let live = |stream: bool| {
            served().filter(|s| s.live && matches!(s.kind, Kind::Stream(_)) == stream).count()
        };
        assert_eq!((live(false), live(true)), (self.requests, self.streams), "live calls");
        for served in served() {
            assert!(served.live || served.running, "a slot that nobody needs");
        }
        let mut found = 0;
        self.by_id.check_invariants();
        for (mux, same) in self.by_id.iter() {
            let mut before = NONE;
            let mut slot = same.requests;
            let at = |slot: u32| match &self.slots[slot as usize].1 {
                Slot::Served(served) if served.live && served.mux == mux => served,
                _ => panic!("a call that is not live is found by its id"),
            };
            if same.stream != NONE {
                assert!(matches!(at(same.stream).kind, Kind::Stream(_)), "a stream");
                found += 1;
            }
            while slot != NONE {
                assert_eq!(at(slot).prev_same, before, "the list goes both ways");
                (before, slot) = (slot, at(slot).next_same);
                found += 1;
            }
        }
        assert_eq!(found, self.requests + self.streams, "live calls are found by id");
    }
}

fn refuse(now: Instant, header: Header, reason: CallRefusal, common: &mut Common) {
    common.on_call_refused(now, header.handler, reason);
    let mut payload = Vec::new();
    MuxConnectError { error: reason.text().into() }.encode(&mut payload);
    let draft = Draft {
        op: Op::MuxConnectError,
        seq: header.seq,
        deadline_ms: header.deadline_ms,
        handler: header.handler,
        flags: match planted!(SubrouteLeftOnReply, header.flags.contains(Flags::SUBROUTE)) {
            true => header.flags,
            false => header.flags - Flags::SUBROUTE,
        },
        subroute: None,
        data: Data::Borrowed(&payload),
    };
    common.send(owner(header.mux), draft, Class::Reply);
}

/// The caller takes nothing more for this id: the large messages that wait, and what waits behind
/// them, are not sent, and make room for other calls.
fn discard_queued(mux: u64, common: &mut Common) {
    if planted!(CancelledItemsSent) {
        return;
    }
    common.outbox.discard_lane(owner(mux));
    common.announce_room();
}

fn send_disconnect(mux: u64, common: &mut Common) {
    common.send(owner(mux), Draft::bare(Op::DisconnectClientMux, 0), Class::Answer);
}

const fn owner(mux: u64) -> Owner {
    Owner { side: Side::Callee, mux }
}

const fn timer(slot: u32) -> TimerKey {
    slot << 1 | 1
}
