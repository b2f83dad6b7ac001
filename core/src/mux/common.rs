//! What both halves of a link work on: the outbox, the timers, the events, the accounts.

use std::collections::VecDeque;
use std::sync::Arc;

use super::items::ItemMemory;
use super::refused::CallRefusal;
use super::told::Told;
use crate::error::{CallError, LimitKind, LimitOwner, PeerLimit};
use crate::event::{Event, IncomingCall};
use crate::log::Repeats;
use crate::node::Node;
use crate::outbox::{Class, Data, Outbox, Owner, Position};
use crate::payload::Payload;
use crate::stats::Stats;
use crate::time::Instant;
use crate::timer::Wheel;
use crate::wire::{Flags, Header, MessageRef, Op, Pong, SubrouteId, Timestamp};

/// What a received item is counted as beyond its bytes.
const ITEM_OVERHEAD: usize = 32;

/// An answer whose payload is no longer than this is never replaced by an error: that is no shorter.
pub(crate) const SHORT_ANSWER: usize = 256;

/// A message to queue, less what the link adds.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) op: Op,
    pub(crate) seq: u32,
    pub(crate) deadline_ms: u32,
    pub(crate) handler: u8,
    pub(crate) flags: Flags,
    pub(crate) subroute: Option<SubrouteId>,
    pub(crate) data: Data<'a>,
}

impl<'a> Draft<'a> {
    pub(crate) const fn bare(op: Op, seq: u32) -> Draft<'static> {
        Draft {
            op,
            seq,
            deadline_ms: 0,
            handler: 0,
            flags: Flags::empty(),
            subroute: None,
            data: Data::Nil,
        }
    }

    pub(crate) fn item(op: Op, seq: u32, data: Data<'a>) -> Self {
        Draft { flags: data.flags(), data, ..Draft::bare(op, seq) }
    }

    pub(crate) fn error(op: Op, seq: u32, text: &'a str) -> Self {
        Draft {
            flags: Flags::PAYLOAD_IS_ERR,
            data: Data::Borrowed(text.as_bytes()),
            ..Draft::bare(op, seq)
        }
    }

    pub(crate) const fn with_flags(mut self, flags: Flags) -> Self {
        self.flags = self.flags.union(flags);
        self
    }

    fn header(&self, mux: u64, base: Flags) -> Header {
        Header {
            mux,
            seq: self.seq,
            deadline_ms: self.deadline_ms,
            handler: self.handler,
            op: self.op,
            flags: self.flags | base,
        }
    }
}

/// What the peer's pongs prove: it has read the batches that left before its link pings.
#[derive(Debug, Default)]
pub(crate) struct AnsweredBatches {
    /// The first batch that may not have left before a ping, and when its pong came, the oldest first.
    pongs: VecDeque<(u64, Instant)>,
}

impl AnsweredBatches {
    /// Pongs that are remembered, one for each interval of the link's pings.
    const REMEMBERED: usize = 8;

    pub(crate) fn on_pong(&mut self, behind: u64, now: Instant) {
        if self.pongs.len() == Self::REMEMBERED {
            self.pongs.pop_front();
        }
        self.pongs.push_back((behind, now));
    }

    /// When the peer was known to have read this batch; later, if that was long ago.
    pub(crate) fn at(&self, batch: u64) -> Option<Instant> {
        self.pongs.iter().find(|(behind, _)| batch < *behind).map(|(_, at)| *at)
    }
}

#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) node: Arc<Node>,
    /// The peer's name.
    pub(crate) peer: Arc<str>,
    pub(crate) base_flags: Flags,
    pub(crate) outbox: Outbox,
    pub(crate) timers: Wheel,
    pub(crate) events: VecDeque<Event>,
    pub(crate) calls: VecDeque<IncomingCall>,
    pub(crate) stats: Stats,
    pub(crate) received_bytes: usize,
    pub(crate) answered: AnsweredBatches,
    /// What [`Limits::handler_bytes`](crate::limits::Limits::handler_bytes) bounds.
    pub(crate) handler_bytes: usize,
    /// The largest message that both ends take, as far as is known.
    message_limit: usize,
    /// What the log says about this peer.
    pub(crate) log: Repeats,
    pub(super) item_memory: ItemMemory,
    /// A sender found the queue full: it is told when there is room.
    queue_wanted: bool,
}

impl Common {
    pub(crate) fn new(node: Arc<Node>, peer: Arc<str>, base_flags: Flags, timers: Wheel) -> Self {
        Self {
            message_limit: node.limits.message,
            node,
            peer,
            base_flags,
            outbox: Outbox::new(),
            timers,
            events: VecDeque::new(),
            calls: VecDeque::new(),
            stats: Stats::default(),
            received_bytes: 0,
            answered: AnsweredBatches::default(),
            handler_bytes: 0,
            log: Repeats::default(),
            item_memory: ItemMemory::default(),
            queue_wanted: false,
        }
    }

    /// Gives back memory that is kept to be used again.
    pub(crate) fn shrink(&mut self) {
        self.item_memory = ItemMemory::default();
        if self.outbox.is_empty() {
            self.outbox.shrink();
        }
    }

    /// Queues a message of a mux, behind all that the mux has queued.
    pub(crate) fn send(&mut self, owner: Owner, draft: Draft<'_>, class: Class) -> Position {
        self.stats.messages_out += 1;
        let header = draft.header(owner.mux, self.base_flags);
        self.outbox.push(owner, header, draft.subroute, draft.data, class)
    }

    /// Sends an answer, which never waits: one over the message limit, or for which there is no
    /// room, becomes the error that says so.
    pub(crate) fn send_checked(&mut self, owner: Owner, draft: Draft<'_>) {
        let has_room = self.has_room_for_answer(&draft);
        if has_room && self.is_far_below_limit(&draft) {
            self.send(owner, draft, Class::Data);
            return;
        }
        let text = match self.check_size(&draft, owner.mux) {
            Ok(_) if has_room => {
                self.send(owner, draft, Class::Data);
                return;
            }
            Err(_) if planted!(OversizedReplyDropped) => return,
            Err(CallError::TooLarge { size, limit, whose }) => {
                Told::TooLarge { size, limit, whose }.to_string()
            }
            Ok(_) | Err(_) => {
                let text = "too many responses wait to be sent: this one is dropped";
                Told::Limit { limit: PeerLimit::ResponseBytes, has_run: true, text }.to_string()
            }
        };
        let flags = draft.flags - Flags::PAYLOAD_IS_ZERO;
        let draft = Draft::error(draft.op, draft.seq, &text).with_flags(flags);
        self.send(owner, draft, Class::Data);
    }

    /// Handlers answer whenever they like: this bounds what their answers hold, all together.
    fn has_room_for_answer(&self, draft: &Draft<'_>) -> bool {
        let (queued, len) = (self.outbox.data_bytes(), draft.data.as_slice().len());
        let limits = &self.node.limits;
        let most = limits.queued_bytes.saturating_add(limits.response_bytes.max(limits.message));
        len <= SHORT_ANSWER || queued == 0 || queued + len + MessageRef::MAX_OVERHEAD <= most
    }

    /// Whether more is queued than senders may queue, so that no call is to begin whose response
    /// would only wait as well.
    pub(crate) fn is_congested(&self) -> bool {
        self.outbox.data_bytes() > self.node.limits.queued_bytes
    }

    /// The peer takes no message longer than this; `None` if it has not said so.
    pub(crate) fn limit_messages(&mut self, peer: Option<usize>) {
        let own = self.node.limits.message;
        self.message_limit = peer.map_or(own, |peer| peer.min(own));
    }

    /// The longest message that can be sent.
    pub(crate) const fn message_limit(&self) -> usize {
        self.message_limit
    }

    /// The pong of a mux: uncounted, so it overtakes, but for one that ends the call at the caller:
    /// that comes after what the error caused (PROTOCOL.md section 5.3), and after the end of a
    /// call that is not found because it is over.
    pub(crate) fn send_mux_pong(
        &mut self,
        owner: Owner,
        seq: u32,
        not_found: bool,
        error: Option<String>,
    ) {
        let in_order = not_found || error.is_some();
        let mut payload = Vec::new();
        Pong { not_found, error, time: Timestamp::ZERO }.encode(&mut payload);
        let draft = Draft { data: Data::Borrowed(&payload), ..Draft::bare(Op::Pong, seq) };
        if in_order {
            self.send(owner, draft, Class::Reply);
            return;
        }
        self.stats.messages_out += 1;
        let header = draft.header(owner.mux, self.base_flags);
        let message = MessageRef { header, subroute: None, payload: &payload };
        self.outbox.control().push_mux_pong(&message);
    }

    /// The size of a message, if that is within the limit.
    pub(crate) fn check_size(&self, draft: &Draft<'_>, mux: u64) -> Result<usize, CallError> {
        let header = draft.header(mux, self.base_flags);
        let payload = draft.data.as_slice();
        let size = MessageRef { header, subroute: draft.subroute, payload }.encoded_len();
        let limit = self.message_limit;
        if size <= limit {
            return Ok(size);
        }
        let is_ours = limit == self.node.limits.message;
        let whose = if is_ours { LimitOwner::ThisNode } else { LimitOwner::Peer };
        Err(CallError::TooLarge { size, limit, whose })
    }

    /// Whether the message is within the limit whatever its header is, as almost all are.
    fn is_far_below_limit(&self, draft: &Draft<'_>) -> bool {
        draft.data.as_slice().len() + MessageRef::MAX_OVERHEAD <= self.message_limit
    }

    /// Whether a message of the application is within the limit and has room in the queue.
    pub(crate) fn admit(&mut self, draft: &Draft<'_>, mux: u64) -> Result<(), Refusal> {
        let queued = self.outbox.data_bytes();
        let most = draft.data.as_slice().len() + MessageRef::MAX_OVERHEAD;
        let has_room = queued == 0 || queued + most <= self.node.limits.queued_bytes;
        if has_room && self.is_far_below_limit(draft) {
            return Ok(());
        }
        let size = self.check_size(draft, mux).map_err(Refusal::Failed)?;
        if queued > 0 && queued + size > self.node.limits.queued_bytes {
            self.queue_wanted = true;
            return Err(Refusal::QueueFull);
        }
        Ok(())
    }

    /// A call of the peer is refused. That is seen here too: its caller may be at fault, or this node may
    /// lack a route.
    pub(crate) fn on_call_refused(&mut self, now: Instant, handler: u8, reason: CallRefusal) {
        self.stats.refused_calls += 1;
        let event = Event::CallRefused { handler, reason };
        // One at a time is enough: a peer may ask for the same a million times in one message.
        if self.events.back() != Some(&event) {
            self.events.push_back(event);
        }
        let line = "a call was refused";
        let Some(told) = self.log.tell((line, reason.text()), now) else { return };
        let (node, peer, suppressed) = (&self.node.name, &self.peer, told.suppressed);
        match reason {
            CallRefusal::ShuttingDown => {
                tracing::info!(%node, %peer, handler, %reason, suppressed, "{line}");
            }
            _ => tracing::warn!(%node, %peer, handler, %reason, suppressed, "{line}"),
        }
    }

    /// To be called after something has left: tells the senders that wait.
    pub(crate) fn announce_room(&mut self) {
        if self.queue_wanted && self.outbox.data_bytes() <= self.node.limits.queued_bytes / 2 {
            self.queue_wanted = false;
            self.events.push_back(Event::QueueWritable);
        }
    }

    /// Senders that wait look again: the link has gone.
    pub(crate) fn announce_loss(&mut self) {
        if planted!(LossNotTold, self.queue_wanted) {
            return;
        }
        self.queue_wanted = false;
        self.events.push_back(Event::QueueWritable);
    }

    /// Senders that wait look again: no call may begin any more.
    pub(crate) fn announce_end(&mut self) {
        if std::mem::take(&mut self.queue_wanted) {
            self.events.push_back(Event::QueueWritable);
        }
    }

    /// Counts a received payload; `false` if that passes the limit, and then it is not counted.
    #[must_use]
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let sum = self.received_bytes + bytes + ITEM_OVERHEAD;
        if sum > self.node.limits.received_bytes {
            if planted!(RefusedBytesCounted) {
                self.received_bytes = self.node.limits.received_bytes;
            }
            return false;
        }
        self.received_bytes = sum;
        true
    }

    /// Counts bytes that a handler is to hold beyond the `held` that it holds already; what is counted,
    /// or `None` if that passes the limit. There is room for one call, whatever it holds.
    pub(crate) fn hold_for_handler(&mut self, held: usize, bytes: usize) -> Option<usize> {
        let bytes = if held == 0 { bytes + ITEM_OVERHEAD } else { bytes };
        let sum = self.handler_bytes + bytes;
        if sum > self.node.limits.handler_bytes && self.handler_bytes > held {
            return None;
        }
        self.handler_bytes = sum;
        Some(bytes)
    }

    /// Counts the text of an error that the peer has sent; if that passes the limit, the limit is
    /// the error.
    pub(crate) fn hold_error(&mut self, error: CallError) -> CallError {
        match text(&error) {
            Some(text) if !self.hold(text.len()) => CallError::Limit(LimitKind::ReceivedBytes),
            _ => error,
        }
    }

    /// Counts the text of an error as taken.
    pub(crate) fn release_error(&mut self, error: &CallError) {
        if let Some(text) = text(error) {
            self.release(text.len());
        }
    }

    /// Counts a payload as taken.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.received_bytes -= bytes + ITEM_OVERHEAD;
    }
}

/// Bytes of an outcome that the peer has sent.
pub(super) fn received_len(outcome: &Result<Payload, CallError>) -> usize {
    match outcome {
        Ok(payload) => payload.as_slice().len(),
        Err(error) => text(error).map_or(0, String::len),
    }
}

/// The peer's words in an error.
const fn text(error: &CallError) -> Option<&String> {
    match error {
        CallError::Remote(text)
        | CallError::Refused(text)
        | CallError::RequestUndecodable(text)
        | CallError::PeerLimit { text, .. } => Some(text),
        _ => None,
    }
}

/// Why the application's message was not queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The send queue is full; [`Event::QueueWritable`] comes when there is room.
    QueueFull,
    /// The stream's credits are used up; [`Event::Writable`] or [`Event::OutputWritable`] comes
    /// when the other end has taken an item.
    NoCredit,
    /// It never will be.
    Failed(CallError),
}
