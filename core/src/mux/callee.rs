//! A stream at its callee: PROTOCOL.md sections 5.2 and 5.3.
//!
//! ```text
//!   ConnectMux: AckMux out
//!        v
//!      serving --- handler returns ---> finishing --- a credit ---> final, DisconnectClientMux: over
//!        |                                  |
//!        '-- cancel, deadline, violation, --'
//!            silence, loss: over (the handler is told, and its input yields the reason
//!            after the items that came before)
//! ```

use std::time::Duration;

use super::caller::Received;
use super::common::{Common, Draft, Refusal};
use super::credit::{Credits, Window};
use super::id::OutgoingKey;
use super::items::Items;
use super::seq::{ReceiveSeq, SendSeq};
use crate::error::{CallError, CancelReason};
use crate::outbox::{Class, Data, Owner};
use crate::time::Instant;
use crate::wire::{Flags, Message, Op};

#[derive(Debug)]
pub(super) struct CalleeStream {
    send_seq: SendSeq,
    receive_seq: ReceiveSeq,
    window: Window,
    credits: Credits,
    items: Items,
    input_ended: bool,
    input_dropped: bool,
    /// What the handler returned, waiting for a credit.
    finishing: Option<Result<(), String>>,
    /// Why the handler was cancelled.
    cancelled: Option<CancelReason>,
    /// When the caller was last heard, if it has to ping.
    last_heard: Option<Instant>,
}

/// What a received message does to the call, beyond the stream's own state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// The handler has something to read.
    Readable,
    /// The handler may send, or its end has gone out.
    Credit,
    /// The caller broke the rules: refused with this text.
    Violation(String),
    /// The same: more items came than the route's capacity, which is this.
    OverCapacity(u32),
    /// More was received than may wait.
    OverLimit,
}

impl CalleeStream {
    /// A stream opened with sequence number `first`: the ack has it too, and both directions
    /// count on from there.
    pub(super) fn new(first: u32, capacities: (u32, u32), input_ended: bool) -> Self {
        let (in_capacity, out_capacity) = capacities;
        Self {
            send_seq: SendSeq::starting_at(first),
            receive_seq: ReceiveSeq::starting_at(first.wrapping_add(1)),
            window: Window::new(in_capacity),
            credits: Credits::full(out_capacity),
            items: Items::default(),
            input_ended: input_ended || in_capacity == 0,
            input_dropped: false,
            finishing: None,
            cancelled: None,
            last_heard: None,
        }
    }

    pub(super) fn acknowledge(&mut self, owner: Owner, common: &mut Common) {
        if planted!(AckNeedsRoom, common.outbox.data_bytes() >= common.node.limits.queued_bytes) {
            return;
        }
        let seq = self.send_seq.next();
        common.send(owner, Draft::bare(Op::AckMux, seq), Class::Answer);
    }

    /// From now on the caller has to ping.
    pub(super) fn watch(&mut self, now: Instant) {
        self.last_heard = Some(now);
    }

    /// Of what a message needs, a part of each line of memory.
    pub(super) fn read_ahead(&self) -> usize {
        self.items.len() + usize::from(self.last_heard.is_some())
    }

    pub(super) fn on_message(
        &mut self,
        now: Instant,
        owner: Owner,
        message: Message,
        common: &mut Common,
    ) -> Effect {
        if let Err(violation) = self.receive_seq.check(message.header.seq) {
            return Effect::Violation(violation.to_string());
        }
        let is_life = message.header.op == Op::Ping || !planted!(ItemsAreNoLifeAtCallee);
        if let Some(last_heard) = self.last_heard.as_mut().filter(|_| is_life) {
            // Any message of the caller is life, its credits and items too.
            *last_heard = now;
        }
        match message.header.op {
            Op::MuxClientMsg => self.on_input(owner, message, common),
            Op::UnblockSrvMux => {
                self.credits.grant();
                Effect::Credit
            }
            Op::Ping => {
                if planted!(NoPongWhileEnding, self.finishing.is_some()) {
                    return Effect::Nothing;
                }
                common.send_mux_pong(owner, message.header.seq, false, None);
                Effect::Nothing
            }
            _ => Effect::Nothing,
        }
    }

    fn on_input(&mut self, owner: Owner, message: Message, common: &mut Common) -> Effect {
        if self.input_ended {
            if planted!(UnexpectedInputPanics) {
                panic!("input after its end");
            }
            return Effect::Violation("did not expect inbound message".into());
        }
        if message.header.flags.contains(Flags::EOF) {
            self.input_ended = true;
            if planted!(HalfCloseEndsStream) {
                self.finish(Ok(()));
            }
            return Effect::Readable;
        }
        if !self.window.take(owner, &common.outbox) {
            return Effect::OverCapacity(self.window.capacity());
        }
        if self.input_dropped {
            if !planted!(DroppedInputKeepsCredits) {
                self.return_credit(owner, common);
            }
            return Effect::Nothing;
        }
        if !common.hold(message.payload.len()) {
            return Effect::OverLimit;
        }
        self.items.push(message.payload, &mut common.item_memory);
        Effect::Readable
    }

    /// Whoever has ended its input has no use for credits. A Go node, which ids tell from ours, is sent
    /// them all the same, as by its own kind (PROTOCOL.md section 5.2: they may be fewer than items).
    fn return_credit(&mut self, owner: Owner, common: &mut Common) {
        let useless = self.input_ended && OutgoingKey::from_mux_id(owner.mux).is_some();
        if self.cancelled.is_none() && !useless {
            let seq = self.send_seq.next();
            let at = common.send(owner, Draft::bare(Op::UnblockClMux, seq), Class::Answer);
            self.window.give_back(at, owner, &common.outbox);
        }
    }

    /// Takes the next input item and returns its credit.
    pub(super) fn receive(&mut self, owner: Owner, common: &mut Common) -> Received<CancelReason> {
        if let Some(item) = self.items.pop() {
            common.release(item.len());
            self.return_credit(owner, common);
            return Received::Item(item);
        }
        match self.cancelled {
            Some(reason) => Received::Failed(reason),
            None if self.input_ended => Received::End,
            None => Received::Pending,
        }
    }

    /// The handler takes no more input: what came and what comes is discarded, and its credits
    /// go back, so that the caller's `send` never hangs.
    pub(super) fn drop_input(&mut self, owner: Owner, common: &mut Common) {
        self.input_dropped = true;
        while let Received::Item(_) = self.receive(owner, common) {}
    }

    pub(super) fn send(
        &mut self,
        owner: Owner,
        data: Data<'_>,
        common: &mut Common,
    ) -> Result<(), Refusal> {
        let mut draft = Draft::item(Op::MuxServerMsg, 0, data);
        self.admit(owner, &draft, common)?;
        if self.credits.spend() {
            draft.seq = self.send_seq.next();
            common.send(owner, draft, Class::Data);
        }
        Ok(())
    }

    /// Whether the smallest of items could be sent now.
    pub(super) fn check_send(&self, owner: Owner, common: &mut Common) -> Result<(), Refusal> {
        self.admit(owner, &Draft::item(Op::MuxServerMsg, 0, Data::Nil), common)
    }

    fn admit(&self, owner: Owner, draft: &Draft<'_>, common: &mut Common) -> Result<(), Refusal> {
        if self.cancelled.is_some() {
            return Err(Refusal::Failed(CallError::Cancelled));
        }
        if self.finishing.is_some() {
            return Err(Refusal::Failed(CallError::Ended));
        }
        if self.credits.available() == 0 {
            return Err(Refusal::NoCredit);
        }
        common.admit(draft, owner.mux)
    }

    /// The handler has returned.
    pub(super) fn finish(&mut self, end: Result<(), String>) {
        self.finishing.get_or_insert(end);
    }

    /// Sends the end if the handler has returned and there is a credit for it; `true` once sent.
    pub(super) fn flush_end(&mut self, owner: Owner, common: &mut Common) -> bool {
        if self.cancelled.is_some() || self.finishing.is_none() {
            return false;
        }
        if !self.credits.spend() && !planted!(EndWithoutCredit) {
            return false;
        }
        let end = self.finishing.take().unwrap_or(Ok(()));
        if planted!(EndPerCredit) {
            self.finishing = Some(end.clone());
        }
        self.send_end(owner, end.as_ref().copied().map_err(String::as_str), common);
        true
    }

    /// The final message and, right behind it, DisconnectClientMux.
    pub(super) fn send_end(&mut self, owner: Owner, end: Result<(), &str>, common: &mut Common) {
        let seq = self.send_seq.next();
        let draft = match end {
            Ok(()) => Draft::bare(Op::MuxServerMsg, seq),
            Err(text) => Draft::error(Op::MuxServerMsg, seq, text),
        };
        common.send_checked(owner, draft.with_flags(Flags::EOF));
        common.send(owner, Draft::bare(Op::DisconnectClientMux, 0), Class::Answer);
    }

    /// The handler is cancelled: nothing more is sent for it.
    pub(super) fn on_cancel(&mut self, reason: CancelReason) {
        self.cancelled.get_or_insert(reason);
        self.finishing = None;
    }

    #[cfg(feature = "planted")]
    pub(super) fn has_unread(&self) -> bool {
        self.items.len() > 0
    }

    #[cfg(feature = "planted")]
    pub(super) fn is_ending(&self) -> bool {
        self.finishing.is_some()
    }

    pub(super) fn drop_items(&mut self, common: &mut Common) {
        while let Some(item) = self.items.pop() {
            common.release(item.len());
        }
        self.items.give_back(&mut common.item_memory);
    }

    /// When to ask [`Self::is_silent`].
    pub(super) fn silent_at(&self, common: &Common) -> Option<Instant> {
        self.last_heard.map(|last| last.after(common.node.timings.mux_ping_silence))
    }

    /// Whether the caller has not been heard for too long, though its queue was empty after its ping
    /// was due: behind data on a slow path a ping may take longer (PROTOCOL.md section 5.3).
    pub(super) fn is_silent(&mut self, now: Instant, drained_at: Instant, common: &Common) -> bool {
        let timings = &common.node.timings;
        let silence = timings.mux_ping_silence;
        let Some(last_heard) = self.last_heard.as_mut().filter(|at| now >= at.after(silence))
        else {
            return false;
        };
        if drained_at > last_heard.after(timings.mux_ping_interval)
            || planted!(ItemsAreNoLifeAtCallee)
        {
            return true;
        }
        // As if it had been heard then: it is asked again after another interval of the link.
        *last_heard = now.after(timings.ping_interval).before(silence);
        false
    }

    /// Time during which this node could not run does not count as the caller's silence.
    pub(super) fn forgive(&mut self, now: Instant, lost: Duration) {
        if let Some(last_heard) = &mut self.last_heard {
            *last_heard = last_heard.after(lost).min(now);
        }
    }
}
