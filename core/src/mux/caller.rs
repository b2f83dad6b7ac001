//! A stream at its caller: PROTOCOL.md sections 5.2 and 5.3.
//!
//! ```text
//!            ConnectMux            AckMux, items, credits
//!  (opened) ------------> open ------------------------------.
//!                          |  ^________________________________|
//!                          |
//!     final, refusal, DisconnectClientMux, violation, silence, deadline, loss
//!                          v
//!                        ended    items received before stay readable,
//!                                 but for the caller's own deadline
//! ```

use std::time::Duration;

use bytes::Bytes;

use super::common::{Common, Draft, Refusal};
use super::credit::{Credits, Window};
use super::items::Items;
use super::seq::{ReceiveSeq, SendSeq};
use super::told;
use crate::error::{CallError, LimitKind, Violation};
use crate::outbox::{Class, Data, Owner, Position};
use crate::time::Instant;
use crate::wire::{Flags, Message, Op};

/// What reading a stream gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received<E> {
    /// The next item.
    Item(Bytes),
    /// Nothing yet.
    Pending,
    /// The orderly end, after all items.
    End,
    /// The end by error, after all items that came before it.
    Failed(E),
}

/// When this side pings and how long it believes in silence.
#[derive(Debug, Clone, Copy)]
struct Liveness {
    next_ping: Instant,
    /// When the callee was last heard.
    last_heard: Instant,
    /// Where a ping of ours was queued: since `asked`, the oldest that the callee has not answered.
    ping: Option<Position>,
    asked: bool,
    /// It was not asked in time: once it is, it has a little longer.
    asked_late: bool,
}

#[derive(Debug)]
pub(super) struct CallerStream {
    send_seq: SendSeq,
    receive_seq: ReceiveSeq,
    credits: Credits,
    acked: bool,
    input_closed: bool,
    window: Window,
    items: Items,
    end: Option<Result<(), CallError>>,
    /// The callee has given the call up near its deadline, which ends it here too when it fires:
    /// until then nothing more is sent (PROTOCOL.md section 5.2).
    callee_gone: bool,
    liveness: Option<Liveness>,
}

/// What a received message does to the call, beyond the stream's own state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// There is something to read.
    Readable,
    /// The sender has a credit.
    Writable,
    /// The peer ended the call.
    Ended(Result<(), CallError>),
    /// The call ends here, and the peer is to be told.
    Failed(CallError),
}

impl CallerStream {
    pub(super) fn new(in_capacity: u32, out_capacity: u32) -> Self {
        Self {
            send_seq: SendSeq::starting_at(1),
            receive_seq: ReceiveSeq::starting_at(0),
            credits: match planted!(InputBeforeAck, in_capacity > 0) {
                true => Credits::full(in_capacity),
                false => Credits::empty(in_capacity),
            },
            acked: false,
            input_closed: in_capacity == 0 && !planted!(CloseOfInputlessStream),
            window: Window::new(out_capacity),
            items: Items::default(),
            end: None,
            callee_gone: false,
            liveness: None,
        }
    }

    /// Begins to ping; the first time after half to one interval, so that streams spread.
    pub(super) fn start_pings(&mut self, now: Instant, first: Duration) {
        self.liveness = Some(Liveness {
            next_ping: now.after(first),
            last_heard: now,
            ping: None,
            asked: false,
            asked_late: false,
        });
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some() && !planted!(LossReplacesEnd, self.end == Some(Ok(())))
    }

    /// Of what a message needs, a part of each line of memory.
    pub(super) fn read_ahead(&self) -> usize {
        self.items.len() + usize::from(self.end.is_some())
    }

    pub(super) fn on_message(
        &mut self,
        now: Instant,
        owner: Owner,
        message: Message,
        common: &mut Common,
    ) -> Effect {
        if self.end.is_some() {
            return Effect::Nothing;
        }
        if let Err(violation) = self.receive_seq.check(message.header.seq) {
            return Effect::Failed(CallError::PeerViolation(violation));
        }
        if !planted!(ItemsAreNoLife) {
            self.on_heard(now);
        }
        match message.header.op {
            Op::AckMux if !self.acked => {
                self.acked = true;
                self.credits.fill();
                if self.input_closed { Effect::Nothing } else { Effect::Writable }
            }
            Op::UnblockClMux if self.acked => {
                self.credits.grant();
                if planted!(GrantReopensInput, self.input_closed) {
                    self.input_closed = false;
                    self.close(owner, common);
                }
                if planted!(CreditWakeLost, self.credits.available() == 1) {
                    return Effect::Nothing;
                }
                Effect::Writable
            }
            Op::MuxServerMsg => self.on_item(owner, message, common),
            _ => Effect::Nothing,
        }
    }

    fn on_item(&mut self, owner: Owner, message: Message, common: &mut Common) -> Effect {
        let flags = message.header.flags;
        if flags.contains(Flags::PAYLOAD_IS_ERR) {
            let text = String::from_utf8_lossy(&message.payload).into_owned();
            return Effect::Ended(Err(told::to_error(text, CallError::Remote)));
        }
        if flags.contains(Flags::EOF) {
            return Effect::Ended(Ok(()));
        }
        if !self.window.take(owner, &common.outbox) {
            let (route, capacity) = (None, self.window.capacity());
            let violation = Violation::OverCapacity { route, capacity };
            return Effect::Failed(CallError::PeerViolation(violation));
        }
        if message.is_nil() {
            // Not an item, though it cost the peer a credit (PROTOCOL.md section 5.2), which
            // goes back at once: with a capacity of 1 the stream would stand still.
            if !planted!(NilItemKeepsCredit) {
                self.return_credit(owner, common);
            }
            return Effect::Nothing;
        }
        if !common.hold(message.payload.len()) {
            return Effect::Failed(CallError::Limit(LimitKind::ReceivedBytes));
        }
        self.items.push(message.payload, &mut common.item_memory);
        if planted!(CreditOnReceipt) {
            self.return_credit(owner, common);
        }
        Effect::Readable
    }

    fn return_credit(&mut self, owner: Owner, common: &mut Common) {
        let seq = self.send_seq.next();
        let at = common.send(owner, Draft::bare(Op::UnblockSrvMux, seq), Class::Answer);
        self.window.give_back(at, owner, &common.outbox);
    }

    /// The callee has given up; the call waits for its own deadline.
    pub(super) fn on_callee_gone(&mut self) {
        self.callee_gone = true;
        self.liveness = None;
    }

    /// Any message for the call is life.
    pub(super) fn on_heard(&mut self, now: Instant) {
        if planted!(PongIgnoredWhileUnread, self.items.len() > 0) {
            return;
        }
        if let Some(liveness) = &mut self.liveness {
            liveness.last_heard = now;
            (liveness.asked, liveness.asked_late) = (false, false);
        }
    }

    /// The end, whoever caused it. The caller's own deadline retracts what was not yet taken.
    pub(super) fn on_end(&mut self, end: Result<(), CallError>, common: &mut Common) {
        if matches!(end, Err(CallError::DeadlineExceeded { .. } | CallError::Cancelled)) {
            self.drop_items(common);
        }
        if planted!(LastItemsDropped, end.is_ok() && self.items.len() > 0) {
            self.drop_items(common);
        }
        if planted!(ErrorRetractsItems, matches!(end, Err(CallError::Remote(_)))) {
            self.drop_items(common);
        }
        if planted!(LossReplacesEnd, self.end == Some(Ok(()))) {
            self.end = None;
        }
        self.end.get_or_insert(end);
        self.liveness = None;
    }

    /// The user lets go: nothing that was received is held any more.
    pub(super) fn drop_all(&mut self, common: &mut Common) {
        self.drop_items(common);
        if let Some(Err(error)) = &self.end {
            common.release_error(error);
        }
    }

    fn drop_items(&mut self, common: &mut Common) {
        while let Some(item) = self.items.pop() {
            if !planted!(DroppedItemsStayCounted) {
                common.release(item.len());
            }
        }
        self.items.give_back(&mut common.item_memory);
    }

    /// Sends an item if there is a credit and room in the queue.
    pub(super) fn send(
        &mut self,
        owner: Owner,
        data: Data<'_>,
        common: &mut Common,
    ) -> Result<(), Refusal> {
        let mut draft = Draft::item(Op::MuxClientMsg, 0, data);
        self.admit(owner, &draft, common)?;
        if self.credits.spend() {
            draft.seq = self.send_seq.next();
            common.send(owner, draft, Class::Data);
        }
        Ok(())
    }

    /// Whether the smallest of items could be sent now.
    pub(super) fn check_send(&self, owner: Owner, common: &mut Common) -> Result<(), Refusal> {
        self.admit(owner, &Draft::item(Op::MuxClientMsg, 0, Data::Nil), common)
    }

    fn admit(&self, owner: Owner, draft: &Draft<'_>, common: &mut Common) -> Result<(), Refusal> {
        match &self.end {
            Some(Err(error)) => return Err(Refusal::Failed(error.clone())),
            Some(Ok(())) => return Err(Refusal::Failed(CallError::Ended)),
            None if self.input_closed => return Err(Refusal::Failed(CallError::SendClosed)),
            None => {}
        }
        if self.credits.available() == 0 || self.callee_gone {
            return Err(Refusal::NoCredit);
        }
        common.admit(draft, owner.mux)
    }

    /// Ends the input: costs no credit and needs no ack.
    pub(super) fn close(&mut self, owner: Owner, common: &mut Common) {
        if !self.input_closed && self.end.is_none() && !self.callee_gone {
            let seq = self.send_seq.next();
            let draft = Draft::bare(Op::MuxClientMsg, seq).with_flags(Flags::EOF);
            common.send(owner, draft, Class::Data);
        }
        self.input_closed = true;
    }

    /// Takes the next item and returns its credit.
    pub(super) fn receive(&mut self, owner: Owner, common: &mut Common) -> Received<CallError> {
        if let Some(Err(error)) = &self.end
            && planted!(ErrorBeforeItems, self.items.len() > 0)
        {
            return Received::Failed(error.clone());
        }
        let Some(item) = self.items.pop() else {
            return match &self.end {
                None => Received::Pending,
                Some(Ok(())) => Received::End,
                Some(Err(error)) => Received::Failed(error.clone()),
            };
        };
        common.release(item.len());
        if self.end.is_none() && !self.callee_gone && !planted!(CreditOnReceipt) {
            self.return_credit(owner, common);
        }
        Received::Item(item)
    }

    /// Pings if it is time; `Err` if the callee has been silent too long. `drained_at` is the last time
    /// at which the peer's queue was known to be empty.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        drained_at: Instant,
        owner: Owner,
        common: &mut Common,
    ) -> Result<(), CallError> {
        let Some(liveness) = &mut self.liveness else { return Ok(()) };
        let timings = &common.node.timings;
        let (interval, retry) = (timings.mux_ping_interval, timings.ping_interval);
        if let Some(Position::Lane(number)) = liveness.ping
            && !common.outbox.is_in_lane(owner, number)
        {
            // It went on with a batch, of which the newest is the last that it can be in.
            liveness.ping = Some(Position::Batch(common.outbox.next_batch()));
        }
        let silence = timings.mux_silence;
        if now >= liveness.last_heard.after(silence) {
            let was_asked = liveness.was_asked(drained_at, common) || planted!(ItemsAreNoLife);
            if was_asked && !liveness.asked_late {
                return Err(CallError::Disconnected { may_have_run: true });
            }
            // The link itself is watched, so the answer that tells comes, or the link ends.
            liveness.asked_late = !was_asked;
            // As if it had been heard then: it is judged again after another interval of the link.
            liveness.last_heard = now.after(retry).before(silence);
        }
        if now >= liveness.next_ping {
            liveness.next_ping = now.after(interval);
            if planted!(NoPingWhileUnread, self.items.len() > 0) {
                return Ok(());
            }
            let waits = |at| !common.outbox.has_left(at, 0);
            if !liveness.ping.is_some_and(waits) {
                let seq = self.send_seq.next();
                let at = common.send(owner, Draft::bare(Op::Ping, seq), Class::Data);
                liveness.ping = liveness.ping.filter(|_| liveness.asked).or(Some(at));
            }
            liveness.asked = true;
        }
        Ok(())
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn next_tick(&self, silence: Duration) -> Option<Instant> {
        let liveness = self.liveness.as_ref()?;
        Some(liveness.next_ping.min(liveness.last_heard.after(silence)))
    }

    /// Time during which this node could not run does not count as the peer's silence.
    pub(super) fn forgive(&mut self, now: Instant, lost: Duration) {
        if let Some(liveness) = &mut self.liveness {
            liveness.last_heard = liveness.last_heard.after(lost).min(now);
        }
    }
}

impl Liveness {
    /// Whether the peer has read a ping of ours since it was last heard, and what it had queued by then
    /// has come: it has answered a link ping that left behind ours, and its queue was empty later than
    /// that. Before, silence says nothing: the ping may wait here, or its answer there.
    fn was_asked(&self, drained_at: Instant, common: &Common) -> bool {
        let answered_at = match self.ping.filter(|_| self.asked) {
            Some(Position::Batch(number)) => common.answered.at(number),
            Some(Position::Lane(_) | Position::Large(_)) | None => None,
        };
        answered_at.is_some_and(|at| drained_at > at)
    }
}

/// Whether a position says that the opening message still waits in a lane of its own.
pub(super) const fn waits_in_lane(position: Position) -> bool {
    matches!(position, Position::Lane(_))
}
