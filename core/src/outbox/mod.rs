//! What leaves next: PROTOCOL.md sections 3 and 7.5–7.7.
//!
//! Three parts. *Control* messages overtake everything and leave alone. *Batches* hold
//! everything else up to 16 KiB a message, in order, already encoded as the frame they leave
//! in. *Large* messages leave alone, taking turns by mux. While a mux has a large message
//! waiting, its later messages wait behind it; between two large ones all waiting batches
//! go first, at most eight, so that neither starves.

mod batch;
mod class;
mod control;
mod large;
mod pieces;

use bytes::Bytes;

use self::batch::Batches;
pub(crate) use self::class::Class;
use self::class::ClassBytes;
use self::control::Control;
use self::large::Lanes;
pub(crate) use self::pieces::Pieces;
use crate::limits::Limits;
use crate::payload::Payload;
use crate::wire::{Flags, Header, MessageRef, Prefix, SubrouteId};

/// Room in front of a frame for the WebSocket header (RFC 6455 section 5.2).
pub const FRAME_ROOM: usize = 14;

/// An encoded message longer than this leaves alone.
pub(crate) const BATCH_LIMIT: usize = 16 * 1024;

/// Batches that may pass between two large messages.
const BATCHES_BETWEEN_LARGE: u32 = 8;

/// One thing to hand to the socket. At most one is with the socket at a time.
#[derive(Debug)]
#[must_use]
pub enum Transmit {
    /// A whole frame payload at `buf[start..]`, with at least [`FRAME_ROOM`] bytes before it.
    Frame {
        /// Give it back with [`crate::peer::Peer::recycle`].
        buf: Vec<u8>,
        /// Where the payload begins.
        start: usize,
        /// How many messages travel in it.
        messages: usize,
    },
    /// A large message, to be encoded by the writer: [`LargeMessage::encode`].
    Large(LargeMessage),
}

/// A message over 16 KiB, not yet encoded, so that its one copy happens without a lock.
#[derive(Debug, Clone)]
pub struct LargeMessage {
    header: Header,
    subroute: Option<SubrouteId>,
    payload: Bytes,
}

impl LargeMessage {
    /// Appends the whole message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.message().encode(out);
    }

    /// The exact number of bytes that [`Self::encode`] appends.
    pub fn encoded_len(&self) -> usize {
        self.message().encoded_len()
    }

    /// For encoding it piece by piece.
    pub(crate) fn into_pieces(self) -> Pieces {
        Pieces::new(self)
    }

    fn message(&self) -> MessageRef<'_> {
        MessageRef { header: self.header, subroute: self.subroute, payload: &self.payload }
    }
}

/// Which side of the mux this message is sent from: the two id spaces are separate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Caller,
    Callee,
}

/// The mux that a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) side: Side,
    pub(crate) mux: u64,
}

/// Where a message waits, so that one can tell whether it has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// In the batch of this number.
    Batch(u64),
    /// Behind or as a large message of its mux, with this number.
    Lane(u64),
    /// Handed out as the large message of this number.
    Large(u64),
}

/// What was handed out last, until it is known how much of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InFlight {
    Nothing,
    /// The batch of the highest number that has left, and those that left right before it.
    Batches,
    Large(u64),
}

/// A payload to queue: copied when the message is small, kept when it is large.
#[derive(Debug, Clone)]
pub enum Data<'a> {
    /// Not there at all, which is not the same as empty (PROTOCOL.md section 2).
    Nil,
    /// Bytes that stay the caller's.
    Borrowed(&'a [u8]),
    /// Bytes that can be kept without a copy.
    Owned(Bytes),
}

impl Data<'_> {
    /// The bytes; none for nil.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Nil => &[],
            Self::Borrowed(slice) => slice,
            Self::Owned(bytes) => bytes,
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nil => Bytes::new(),
            Self::Borrowed(slice) => Bytes::copy_from_slice(slice),
            Self::Owned(bytes) => bytes,
        }
    }

    /// The flag that tells present and empty from nil.
    pub(crate) fn flags(&self) -> Flags {
        match self {
            Self::Nil => Flags::empty(),
            data if data.as_slice().is_empty() => Flags::PAYLOAD_IS_ZERO,
            _ => Flags::empty(),
        }
    }
}

impl From<Payload> for Data<'static> {
    fn from(payload: Payload) -> Self {
        payload.into_inner().map_or(Data::Nil, Data::Owned)
    }
}

#[derive(Debug)]
pub(crate) struct Outbox {
    control: Control,
    batches: Batches,
    lanes: Lanes,
    batches_since_large: u32,
    /// Large messages handed out so far.
    larges: u64,
    in_flight: InFlight,
    /// The batches below this number had left before what was handed out last.
    left_before: u64,
    /// The same for a link ping that has been handed out, until that is asked for.
    ping_left: Option<u64>,
    bytes: ClassBytes,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            control: Control::default(),
            batches: Batches::new(),
            lanes: Lanes::default(),
            batches_since_large: 0,
            larges: 0,
            in_flight: InFlight::Nothing,
            left_before: 0,
            ping_left: None,
            bytes: ClassBytes::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.batches.is_empty() && self.lanes.is_empty()
    }

    /// Whether all that waits is one message of a batch.
    pub(crate) fn is_lone(&self) -> bool {
        self.control.is_empty() && self.lanes.is_empty() && self.batches.is_one_message()
    }

    /// Whether nothing can join the batch that leaves next.
    pub(crate) fn is_full(&self) -> bool {
        self.batches.is_full()
    }

    /// Bytes of the application's messages that wait.
    pub(crate) fn data_bytes(&self) -> usize {
        self.bytes.of(Class::Data)
    }

    /// Bytes that wait and are bounded by the calls that may begin.
    pub(crate) fn owed_bytes(&self) -> usize {
        self.bytes.of(Class::Data) + self.bytes.of(Class::Answer)
    }

    /// Whether more waits that the peer has caused, and does not read, than the limits allow.
    pub(crate) fn is_over(&self, limits: &Limits) -> bool {
        self.bytes.of(Class::Reply) + self.control.bytes() > limits.reply_bytes
            || self.bytes.of(Class::Answer) > limits.answer_bytes
    }

    /// The messages that overtake.
    pub(crate) fn control(&mut self) -> &mut Control {
        &mut self.control
    }

    /// Queues a message behind everything that its mux has queued.
    pub(crate) fn push(
        &mut self,
        owner: Owner,
        header: Header,
        subroute: Option<SubrouteId>,
        data: Data<'_>,
        class: Class,
    ) -> Position {
        let message = MessageRef { header, subroute, payload: data.as_slice() };
        let mut prefix = Prefix::empty();
        let prepared = message.prepare(&mut prefix);
        let len = prepared.encoded_len();
        self.bytes.add(class, len);
        if len <= BATCH_LIMIT && !self.lanes.holds(owner) {
            return Position::Batch(self.batches.push(prepared, class));
        }
        let message = LargeMessage { header, subroute, payload: data.into_bytes() };
        Position::Lane(self.lanes.push(owner, message, len, class, self.batches.next_number()))
    }

    /// Whether what waits at `position` has been handed out, less those `untouched` that were
    /// handed out last and of which not a byte was written.
    pub(crate) fn has_left(&self, position: Position, untouched: usize) -> bool {
        match position {
            Position::Large(number) => untouched == 0 || self.in_flight != InFlight::Large(number),
            Position::Lane(_) => false,
            Position::Batch(number) => {
                let untouched = match self.in_flight {
                    InFlight::Batches => untouched as u64,
                    InFlight::Nothing | InFlight::Large(_) => 0,
                };
                number + untouched < self.batches.first_number()
            }
        }
    }

    /// The batches of lower numbers have been handed out.
    pub(crate) fn first_batch(&self) -> u64 {
        self.batches.first_number()
    }

    /// The batch that a message may join now, or a lower one.
    pub(crate) fn next_batch(&self) -> u64 {
        self.batches.next_number()
    }

    /// Whether a message of this mux with [`Position::Lane`] is still there. It goes on with a batch.
    pub(crate) fn is_in_lane(&self, owner: Owner, number: u64) -> bool {
        self.lanes.holds_number(owner, number)
    }

    /// Forgets what waits behind or as a large message of this mux.
    pub(crate) fn discard_lane(&mut self, owner: Owner) {
        for (len, class) in self.lanes.discard(owner) {
            self.bytes.remove(class, len);
        }
    }

    /// The next thing to hand to the socket. `left` is told the owner of a large message that
    /// leaves, and where that is now.
    pub(crate) fn poll(&mut self, mut left: impl FnMut(Owner, Position)) -> Option<Transmit> {
        self.left_before = self.batches.first_number();
        if let Some((buf, start)) = self.take_control() {
            self.in_flight = InFlight::Nothing;
            return Some(Transmit::Frame { buf, start, messages: 1 });
        }
        let large_turn =
            self.batches.is_empty() || self.batches_since_large >= BATCHES_BETWEEN_LARGE;
        if large_turn && let Some(large) = self.poll_large(&mut left) {
            return Some(large);
        }
        self.take_batch()
    }

    /// The next of the messages that overtake, to leave before what was handed out last and has not
    /// been begun.
    pub(crate) fn poll_control(&mut self) -> Option<(Vec<u8>, usize)> {
        self.take_control()
    }

    fn take_control(&mut self) -> Option<(Vec<u8>, usize)> {
        let has_ping = self.control.has_ping();
        let taken = self.control.take();
        if has_ping && !self.control.has_ping() {
            self.ping_left = Some(self.left_before);
        }
        taken
    }

    /// The link ping has just been handed out: the batches below this number are in front of it.
    pub(crate) fn take_ping_left(&mut self) -> Option<u64> {
        self.ping_left.take()
    }

    /// The next batch, if nothing can join it any more and it may follow the one before at once.
    pub(crate) fn poll_full(&mut self) -> Option<Transmit> {
        let follows = self.in_flight == InFlight::Batches && self.is_full();
        let next = follows && self.control.is_empty() && self.lanes.is_empty();
        next.then(|| self.take_batch()).flatten()
    }

    fn take_batch(&mut self) -> Option<Transmit> {
        let batch = self.batches.take()?;
        self.batches_since_large = self.batches_since_large.saturating_add(1);
        self.in_flight = InFlight::Batches;
        self.bytes -= batch.bytes;
        Some(Transmit::Frame { buf: batch.buf, start: batch.start, messages: batch.messages })
    }

    fn poll_large(&mut self, left: &mut impl FnMut(Owner, Position)) -> Option<Transmit> {
        let (owner, large) = self.lanes.take(self.batches.first_number())?;
        self.batches_since_large = 0;
        self.larges += 1;
        self.in_flight = InFlight::Large(self.larges);
        self.bytes.remove(large.class, large.len);
        left(owner, Position::Large(self.larges));
        while let Some(small) =
            self.lanes.take_small(owner, BATCH_LIMIT, self.batches.next_number())
        {
            self.batches.push(small.message.message().prepare(&mut Prefix::empty()), small.class);
        }
        Some(Transmit::Large(large.message))
    }

    /// Takes a buffer back for a later batch.
    pub(crate) fn recycle(&mut self, buf: Vec<u8>) {
        self.batches.recycle(buf);
    }

    /// Gives back what an idle link does not need.
    pub(crate) fn shrink(&mut self) {
        self.batches.shrink();
    }

    /// The link is gone: nothing that waits will leave. Batch numbers go on.
    pub(crate) fn clear(&mut self) {
        self.control = Control::default();
        if planted!(QueueKeptOverReconnect, !self.is_empty()) {
            return;
        }
        self.batches.clear();
        self.lanes = Lanes::default();
        self.batches_since_large = 0;
        self.in_flight = InFlight::Nothing;
        self.ping_left = None;
        self.bytes = ClassBytes::default();
    }

    /// Internal consistency, for tests and simulation.
    ///
    /// # Panics
    /// If the counters and the queues disagree.
    pub(crate) fn check_invariants(&self) {
        let mut bytes = self.batches.bytes();
        bytes += self.lanes.bytes();
        assert_eq!(self.bytes, bytes, "queued bytes");
    }
}

#[cfg(test)]
mod tests;
