//! What the application does: PROTOCOL.md section 5, from the user's side.
//!
//! None of these block. A refusal says whether trying again makes sense and which event to wait
//! for; see [`Refusal`].

use std::time::Duration;

use super::Peer;
use crate::error::{CallError, CancelReason};
use crate::mux::{IncomingKey, OutgoingKey, Received, Refusal, Target};
use crate::outbox::Data;
use crate::payload::Payload;
use crate::time::{Instant, Now};

impl Peer {
    /// Whether a call can be made now.
    ///
    /// # Errors
    /// The error that a call would fail with; it has not run.
    pub fn check_open(&self) -> Result<(), CallError> {
        if self.drain.is_removal() {
            return Err(CallError::PeerRemoved { may_have_run: false });
        }
        if self.drain.is_on() {
            return Err(CallError::ShuttingDown);
        }
        if !self.link.is_up() {
            return Err(CallError::Disconnected { may_have_run: false });
        }
        if self.peer_leaves {
            return Err(CallError::PeerShuttingDown);
        }
        Ok(())
    }

    /// Queues a single request. `timeout` is the deadline from now, at least 1 ms, 60 s if `None`.
    ///
    /// # Errors
    /// [`Refusal::QueueFull`] to try again later; [`Refusal::Failed`] for good.
    pub fn request(
        &mut self,
        now: Instant,
        target: Target,
        data: Data<'_>,
        timeout: Option<Duration>,
    ) -> Result<OutgoingKey, Refusal> {
        self.check_open().map_err(Refusal::Failed)?;
        self.outgoing.request(now, target, data, timeout, &mut self.common)
    }

    /// Opens a stream. `in_capacity` is how many of our items may be in flight (0: the stream
    /// takes none), `out_capacity` how many of the callee's; both must be what the callee has
    /// registered, for they are not on the wire. `timeout` is the deadline from now, at least
    /// 1 ms; without one the stream may live for ever.
    ///
    /// # Errors
    /// [`Refusal::QueueFull`] to try again later; [`Refusal::Failed`] for good.
    pub fn open(
        &mut self,
        now: Instant,
        target: Target,
        (in_capacity, out_capacity): (u32, u32),
        data: Data<'_>,
        timeout: Option<Duration>,
    ) -> Result<OutgoingKey, Refusal> {
        self.check_open().map_err(Refusal::Failed)?;
        let capacities = (in_capacity, out_capacity.max(1));
        self.outgoing.open_stream(now, target, capacities, data, timeout, &mut self.common)
    }

    /// The outcome of a single request, once; its slot is free then.
    pub fn take_response(&mut self, key: OutgoingKey) -> Option<Result<Payload, CallError>> {
        self.outgoing.take_response(key, &mut self.common)
    }

    /// The same for an outcome whose payload or text is no longer than this; a longer one stays.
    pub(crate) fn take_short_response(
        &mut self,
        key: OutgoingKey,
        longest: usize,
    ) -> Option<Result<Payload, CallError>> {
        self.outgoing.take_short_response(key, longest, &mut self.common)
    }

    /// Sends an item on a stream of ours. Nil is sent as empty: a nil item would kill the stream
    /// at a Go peer.
    ///
    /// # Errors
    /// [`Refusal::NoCredit`] or [`Refusal::QueueFull`] to try again later; [`Refusal::Failed`]
    /// for good.
    pub fn send(&mut self, key: OutgoingKey, data: Data<'_>) -> Result<(), Refusal> {
        self.outgoing.send(key, never_nil(data), &mut self.common)
    }

    /// Whether [`Self::send`] has a credit and room in the queue for a small item. That a larger
    /// one finds room too is not promised.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn check_send(&mut self, key: OutgoingKey) -> Result<(), Refusal> {
        self.outgoing.check_send(key, &mut self.common)
    }

    /// Ends our input of a stream: EOF.
    pub fn close_input(&mut self, key: OutgoingKey) {
        self.outgoing.close(key, &mut self.common);
    }

    /// The next item of a stream of ours; its credit goes back.
    pub fn receive(&mut self, key: OutgoingKey) -> Received<CallError> {
        self.outgoing.receive(key, &mut self.common)
    }

    /// Ends a call of ours with `Cancelled`; the peer is told.
    pub fn cancel(&mut self, now: Now, key: OutgoingKey) {
        self.outgoing.cancel(key, &mut self.common);
        self.drive_drain(now);
    }

    /// Whether the machine knows this call: it was not let go, nor lost in a bug of ours.
    pub fn holds(&self, key: OutgoingKey) -> bool {
        self.outgoing.holds(key)
    }

    /// Lets go of a call of ours: cancelled at the peer if it is still open, its slot free. To be
    /// called once for each stream, and for each single request whose response was not taken.
    pub fn release(&mut self, now: Now, key: OutgoingKey) {
        self.outgoing.release(key, &mut self.common);
        self.drive_drain(now);
    }

    /// Answers a single request of the peer. Nothing is sent if it is over; a response over
    /// the message limit of either end, or over [`Limits::response_bytes`], becomes an error.
    ///
    /// [`Limits::response_bytes`]: crate::limits::Limits::response_bytes
    pub fn respond(&mut self, now: Now, key: IncomingKey, result: Result<Data<'_>, &str>) {
        self.incoming.respond(now.instant, key, result, &mut self.common);
        self.drive_drain(now);
    }

    /// Sends an item on a stream that is served here.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn serve_item(&mut self, key: IncomingKey, data: Data<'_>) -> Result<(), Refusal> {
        self.incoming.send(key, never_nil(data), &mut self.common)
    }

    /// Whether [`Self::serve_item`] has a credit and room in the queue for a small item.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn check_serve_item(&mut self, key: IncomingKey) -> Result<(), Refusal> {
        self.incoming.check_send(key, &mut self.common)
    }

    /// The next input item of a stream that is served here; its credit goes back.
    pub fn take_input(&mut self, key: IncomingKey) -> Received<CancelReason> {
        self.incoming.receive(key, &mut self.common)
    }

    /// The handler takes no more input: it is discarded, its credits go back.
    pub fn drop_input(&mut self, key: IncomingKey) {
        self.incoming.drop_input(key, &mut self.common);
    }

    /// A stream's handler has returned: the end goes out after all it sent, once there is a
    /// credit for it.
    pub fn finish(&mut self, now: Now, key: IncomingKey, end: Result<(), String>) {
        self.incoming.finish(key, end, &mut self.common);
        self.drive_drain(now);
    }

    /// A cancelled handler does not run any more. Until then it counts against the limit.
    pub fn handler_gone(&mut self, now: Now, key: IncomingKey) {
        self.incoming.handler_gone(key, &mut self.common);
        self.drive_drain(now);
    }

    /// The request of a handler that runs, or is about to, is decoded to so many bytes more than its
    /// payload has. `false` if that passes
    /// [`Limits::handler_bytes`](crate::limits::Limits::handler_bytes): it is not counted then, and the
    /// call is to be answered with an error. What is counted is released when the handler is gone.
    #[must_use]
    pub fn charge(&mut self, key: IncomingKey, bytes: usize) -> bool {
        self.incoming.charge(key, bytes, &mut self.common)
    }

    /// The longest message that can be sent now: [`Limits::message`](crate::limits::Limits::message) of
    /// this node, or of the peer if that is less and it has told.
    pub const fn message_limit(&self) -> usize {
        self.common.message_limit()
    }

    /// Bytes that count against [`Limits::node_bytes`](crate::limits::Limits::node_bytes).
    pub fn held_bytes(&self) -> usize {
        self.common.handler_bytes + self.common.outbox.data_bytes()
    }

    /// Whether a call of the peer is neither answered nor cancelled.
    pub fn is_live(&self, key: IncomingKey) -> bool {
        self.incoming.is_live(key)
    }
}

fn never_nil(data: Data<'_>) -> Data<'_> {
    match data {
        Data::Nil => Data::Borrowed(&[]),
        data => data,
    }
}
