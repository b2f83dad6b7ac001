//! What arrives: PROTOCOL.md sections 3 to 5.

use std::collections::VecDeque;
use std::hint;

use bytes::Bytes;

use super::Peer;
use super::chunk::Chunks;
use crate::error::LinkError;
use crate::event::LinkId;
use crate::link::{Link, check_response};
use crate::mux::{Draft, Lookup};
use crate::outbox::{Class, Owner, Side};
use crate::time::Now;
use crate::wire::{self, DecodeError, Header, Message, MessageRef, Op, Pong, for_each_message};

/// A payload shorter than this is copied.
const COPY_BELOW: usize = 4 * 1024;

/// Streams that do not fit in a processor's nearest caches.
const MANY: usize = 4096;

/// What a batch of frames held, decoded and checked outside the peer's lock.
#[derive(Debug, Default)]
pub struct Inbound {
    /// The messages, each with whether it is the first of its frame.
    messages: VecDeque<(bool, Message)>,
    /// An id that we never issued has been answered for the frame that is being handled.
    answered: bool,
    error: Option<DecodeError>,
    bytes: u64,
    /// The bytes ended within a message.
    within_message: bool,
    /// The peer has answered something of ours since this was asked for.
    answers: bool,
    chunks: Chunks,
}

impl Inbound {
    /// An empty batch; reuse it, so that it allocates no more.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes were received, whatever they were: they count as life (PROTOCOL.md section 7.6).
    pub const fn add_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Whether what has been received so far ends within a message.
    pub(crate) const fn set_within_message(&mut self, within: bool) {
        self.within_message = within;
    }

    /// Whether the peer has answered something of ours since the last call: then it has read it.
    pub(crate) const fn take_answers(&mut self) -> bool {
        std::mem::replace(&mut self.answers, false)
    }

    /// Decodes one frame's payload. After an error nothing more is taken in: the link is to be
    /// dropped once the messages before the error are handled.
    ///
    /// `held` is how much memory a slice of the frame keeps alive, in bytes: a payload under 4 KiB, or
    /// under a quarter of that, is copied, so that it keeps at most four times its length.
    pub fn add_frame(&mut self, frame: &Bytes, held: usize, max_message: usize) {
        self.decode(frame, max_message, |message, chunks| {
            let len = message.payload.len();
            if len < COPY_BELOW || len < held / 4 {
                message.to_message_with(|payload| chunks.copy(payload))
            } else {
                message.to_message_in(frame)
            }
        });
    }

    /// As [`Self::add_frame`], with every payload copied.
    pub fn add_slice(&mut self, frame: &[u8], max_message: usize) {
        self.decode(frame, max_message, |message, chunks| {
            message.to_message_with(|payload| chunks.copy(payload))
        });
    }

    fn decode<'a>(
        &mut self,
        frame: &'a [u8],
        max_message: usize,
        own: impl Fn(MessageRef<'a>, &mut Chunks) -> Message,
    ) {
        if self.error.is_some() {
            return;
        }
        let mut first = true;
        let (messages, chunks) = (&mut self.messages, &mut self.chunks);
        let result = for_each_message(frame, max_message, |message| {
            messages.push_back((std::mem::take(&mut first), own(message, chunks)));
        });
        self.error = result.err();
    }

    /// Whether there is nothing to tell the peer.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.error.is_none() && self.bytes == 0
    }

    /// Gives the batch's memory back.
    pub fn shrink(&mut self) {
        self.messages.shrink_to_fit();
        self.chunks.clear();
    }

    /// Whether some of the messages may be handled, and calls begun, while others wait: none of them
    /// cancels a call.
    pub(crate) fn may_wait(&self) -> bool {
        let cancels = |message: &Message| message.header.op == Op::DisconnectServerMux;
        self.error.is_none() && !self.messages.iter().any(|(_, message)| cancels(message))
    }

    /// The first of the messages that wait.
    pub(crate) fn first(&self) -> Option<&Message> {
        self.messages.front().map(|(_, message)| message)
    }

    /// Messages that wait to be handled.
    pub fn len(&self) -> usize {
        self.messages.len()
    }
}

impl Peer {
    /// One WebSocket message's payload, decoded and handled at once. A runtime that wants the
    /// decoding outside its lock uses [`Peer::handle_inbound`].
    pub fn handle_frame(&mut self, now: Now, link: LinkId, frame: &Bytes) {
        let mut inbound = Inbound::new();
        inbound.add_bytes(frame.len() as u64);
        inbound.add_frame(frame, frame.len(), self.node().limits.message);
        self.handle_inbound(now, link, &mut inbound);
    }

    /// Handles a decoded batch and empties it.
    pub fn handle_inbound(&mut self, now: Now, link: LinkId, inbound: &mut Inbound) {
        self.handle_messages(now, link, inbound, usize::MAX);
    }

    /// The same for at most `count` messages; what is left stays in the batch.
    pub fn handle_messages(&mut self, now: Now, link: LinkId, inbound: &mut Inbound, count: usize) {
        let bytes = std::mem::take(&mut inbound.bytes);
        let count = count.min(inbound.messages.len());
        let error = inbound.error.take_if(|_| count == inbound.messages.len());
        if self.link.id() != Some(link) && !planted!(OldConnectionStillHeard, self.link.is_up()) {
            inbound.messages.clear();
            inbound.error = None;
            return self.count_stale(now.instant, link);
        }
        self.common.stats.bytes_in += bytes;
        if let Link::Up { liveness, .. } = &mut self.link
            && bytes > 0
        {
            liveness.on_received(now.instant, inbound.within_message);
        }
        self.read_ahead(inbound.messages.iter().take(count));
        let Inbound { messages, answered, .. } = inbound;
        let (mut others, mut answers) = (false, false);
        for (first_of_frame, message) in messages.drain(..count) {
            *answered &= !first_of_frame;
            let Header { op, mux, .. } = message.header;
            let of_mux = mux != 0 || !matches!(op, Op::Ping | Op::Pong);
            others |= of_mux;
            answers |= of_mux && op.is_answer();
            match self.link {
                Link::Handshaking { .. } => self.on_connect_response(now, check_response(&message)),
                // One frame may hold a million pings: the limit is for their answers too.
                Link::Up { .. } if self.common.outbox.is_over(&self.common.node.limits) => {
                    self.drop_link(now, LinkError::PeerDoesNotRead);
                }
                Link::Up { .. } => self.on_message(now, message, answered),
                // Too early, or too late: an error before it or our close has ended the link.
                Link::Down | Link::Dialling { .. } | Link::Closing { .. } => {}
            }
        }
        if let Link::Up { liveness, .. } = &mut self.link {
            if others {
                liveness.on_other(now.instant);
            }
            if answers {
                liveness.on_answer(now.instant);
            }
        }
        inbound.answers |= answers;
        if matches!(self.link, Link::Handshaking { .. } | Link::Up { .. }) {
            if let Some(error) = error {
                self.drop_link(now, LinkError::Malformed(error));
            } else if self.common.outbox.is_over(&self.common.node.limits) {
                self.drop_link(now, LinkError::PeerDoesNotRead);
            }
        }
        self.drive_drain(now);
    }

    /// Among many streams those of a batch are not in the processor's cache. It fetches them side by
    /// side where nothing but the next read depends on one.
    fn read_ahead<'a>(&self, messages: impl ExactSizeIterator<Item = &'a (bool, Message)>) {
        let streams = self.incoming.open().1.max(self.outgoing.open().1);
        if messages.len() < 2 || streams < MANY {
            return;
        }
        let read = messages.map(|(_, message)| match message.header.op {
            Op::MuxClientMsg | Op::UnblockSrvMux => self.incoming.read_ahead(message.header.mux),
            Op::MuxServerMsg | Op::UnblockClMux => self.outgoing.read_ahead(message.header.mux),
            _ => 0,
        });
        hint::black_box(read.fold(0, usize::wrapping_add));
    }

    /// `answered`: an id that we never issued has been answered for this frame.
    fn on_message(&mut self, now: Now, message: Message, answered: &mut bool) {
        self.common.stats.messages_in += 1;
        let Header { mux, op, .. } = message.header;
        match op {
            Op::Ping | Op::Pong if mux == 0 => self.on_link_ping(now, &message),
            Op::Disconnect => self.on_peer_leaves(now),
            Op::Request
            | Op::ConnectMux
            | Op::MuxClientMsg
            | Op::UnblockSrvMux
            | Op::Ping
            | Op::DisconnectServerMux => {
                let accepting = !self.drain.is_on() || planted!(CallTakenWhileDraining);
                self.incoming.on_message(now.instant, message, accepting, &mut self.common);
            }
            Op::Response
            | Op::MuxConnectError
            | Op::AckMux
            | Op::MuxServerMsg
            | Op::UnblockClMux
            | Op::Pong
            | Op::DisconnectClientMux => self.on_answer(now, message, answered),
            // A Connect on a live link is ignored, as are a stray ConnectResponse, a merged
            // message within a merged one, and what this version does not know.
            Op::Connect | Op::ConnectResponse | Op::Merged | Op::Unknown(_) => {}
        }
    }

    /// What a callee sends. An id that we never issued is told so, once a frame: PROTOCOL.md
    /// section 5's table.
    fn on_answer(&mut self, now: Now, message: Message, answered: &mut bool) {
        let Header { mux, op, flags, .. } = message.header;
        if planted!(WrongDirectionDisconnect, op == Op::DisconnectClientMux) {
            let header = Header { op: Op::DisconnectServerMux, ..message.header };
            let message = Message { header, ..message.clone() };
            self.incoming.on_message(now.instant, message, true, &mut self.common);
        }
        let lookup = self.outgoing.on_message(now.instant, message, &mut self.common);
        let wants_answer = match op {
            Op::AckMux | Op::Pong => true,
            Op::MuxServerMsg => !flags.contains(wire::Flags::EOF),
            _ => false,
        };
        if planted!(LateCreditIsViolation, lookup == Lookup::Over && op == Op::UnblockClMux) {
            return self.drop_link(now, LinkError::UnexpectedOp(op.name()));
        }
        if lookup == Lookup::NeverIssued && wants_answer && !*answered {
            *answered = true;
            let owner = Owner { side: Side::Caller, mux };
            self.common.send(owner, Draft::bare(Op::DisconnectServerMux, 0), Class::Reply);
        }
    }

    fn on_link_ping(&mut self, now: Now, message: &Message) {
        if let Link::Up { liveness, .. } = &mut self.link {
            liveness.on_link_message(now.instant);
        }
        if message.header.op == Op::Pong {
            let Ok(pong) = Pong::decode(&message.payload) else { return };
            if let Link::Up { liveness, .. } = &mut self.link {
                let at = match planted!(PongAgeByWallClock) {
                    true => now.instant.before(now.wall.abs_diff(pong.time)),
                    false => now.instant,
                };
                if let Some(behind) = liveness.on_pong(at, pong.time) {
                    self.common.answered.on_pong(behind, now.instant);
                }
            }
            return;
        }
        let time = wire::Ping::decode(&message.payload).map_or(wire::Timestamp::ZERO, |p| p.time);
        let mut payload = Vec::new();
        Pong { not_found: false, error: None, time }.encode(&mut payload);
        let header = Header { op: Op::Pong, flags: self.common.base_flags, ..message.header };
        let pong = MessageRef { header, subroute: None, payload: &payload };
        if planted!(PongBehindData, !self.common.outbox.is_empty()) {
            let owner = Owner { side: Side::Callee, mux: 0 };
            let data = crate::outbox::Data::Borrowed(&payload);
            self.common.outbox.push(owner, header, None, data, Class::Reply);
            return;
        }
        self.common.outbox.control().set_pong(&pong);
        self.common.stats.messages_out += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{MERGE_HEADER_LEN, write_merge_header, write_part_header};

    const LIMIT: usize = 1 << 24;

    /// A merged message with a message for each of these lengths of payloads.
    fn merged(payloads: &[usize]) -> Bytes {
        let mut frame = vec![0; MERGE_HEADER_LEN];
        write_merge_header(&mut frame, u8::try_from(payloads.len()).unwrap());
        for len in payloads {
            let mut part = Vec::new();
            let payload = vec![7; *len];
            let header = Header { mux: 1, ..Header::new(Op::MuxClientMsg) };
            MessageRef { header, subroute: None, payload: &payload }.encode(&mut part);
            write_part_header(part.len(), &mut frame);
            frame.extend_from_slice(&part);
        }
        frame.into()
    }

    /// Which payloads of a frame are slices of it, and the lengths of all.
    fn slices(frame: &Bytes, held: usize) -> Vec<(usize, bool)> {
        let mut inbound = Inbound::new();
        inbound.add_frame(frame, held, LIMIT);
        let within = frame.as_ptr_range();
        let payloads = inbound.messages.iter().map(|(_, message)| &message.payload);
        payloads.map(|payload| (payload.len(), within.contains(&payload.as_ptr()))).collect()
    }

    #[test]
    fn a_slice_that_is_kept_keeps_no_more_than_four_times_its_length() {
        let large = merged(&[10, 5_000, 1_000_000, 12 << 20]);
        let expected = [(10, false), (5_000, false), (1_000_000, false), (12 << 20, true)];
        assert_eq!(slices(&large, large.len()), expected);
        let small = merged(&[10, 5_000]);
        assert_eq!(slices(&small, small.len()), [(10, false), (5_000, true)]);
        assert_eq!(slices(&small, 256 << 10), [(10, false), (5_000, false)], "of a read buffer");
    }

    #[test]
    fn a_frame_is_free_once_its_large_slices_are_gone() {
        let frame = merged(&[10, 5_000, 12 << 20]);
        let mut inbound = Inbound::new();
        inbound.add_frame(&frame, frame.len(), LIMIT);
        drop(inbound.messages.pop_back());
        assert!(frame.is_unique(), "{:?} keep it", inbound.messages);
    }
}
