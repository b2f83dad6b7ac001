//! One WebSocket connection after its upgrade: received bytes to messages, messages to frames.

use std::fmt;

use bytes::{Bytes, BytesMut};
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::assembly::Assembly;
use super::buffer::ReadBuffer;
use super::error::WebSocketError;
use super::frame::{self, Header, MAX_CONTROL_LEN};
use super::mask::{self, MaskSource, PayloadMask};
use crate::rng::Seed;

/// A frame with a payload of more than this, in bytes, is read straight into memory of its own
/// (DESIGN.md section 3.4). Smaller ones are slices of the read buffer.
pub const DIRECT_READ_LEN: usize = 64 * 1024;

/// A message may have this many fragments that hold less than [`SMALL_FRAGMENT`]: each costs more
/// than its bytes, and empty ones would never reach the limit on bytes.
pub(super) const MAX_SMALL_FRAGMENTS: u32 = 1024;

/// In bytes.
pub(super) const SMALL_FRAGMENT: usize = 1024;

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The dialler. It masks what it sends and accepts no masked frame.
    Client,
    /// The acceptor. It does not mask what it sends and accepts only masked frames.
    Server,
}

/// What [`Channel::poll_message`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// One whole binary message, unmasked, its fragments joined.
    Message(Bytes),
    /// The peer closes, with this code if it gave one; nothing comes after it. Unless we closed
    /// first, [`Channel::take_reply`] now has the answer.
    Close(Option<u16>),
}

/// A WebSocket connection without its transport (PROTOCOL.md section 1).
///
/// *Reading*: append to [`read_buf`](Self::read_buf) what the transport gives, then call
/// [`poll_message`](Self::poll_message) until it has nothing more. *Writing*: before each message,
/// write what [`take_reply`](Self::take_reply) gives; then [`seal`](Self::seal) the message and
/// write it. Once [`is_close_sent`](Self::is_close_sent), nothing more may be written.
///
/// Memory: what is received, rounded up to the buffer sizes below, and one ping's payload. The read
/// buffer starts with none, is 8 KiB once it is asked for, up to 256 KiB while reads fill it, and
/// shrinks again. A length that a header claims reserves at most 32 KiB. Nothing is sent or dropped
/// by time: that is the caller's.
pub struct Channel {
    role: Role,
    max_message: usize,
    masks: MaskSource,
    received: ReadBuffer,
    /// The binary message that is being put together, while it is no slice of `received`.
    assembly: Assembly,
    frame: Frame,
    /// The message whose last fragment has not come, if one has begun.
    message: Option<Kind>,
    /// Bytes that the headers of that message have claimed so far.
    message_len: usize,
    /// Small fragments of that message so far.
    small_fragments: u32,
    /// Payload of the newest unanswered ping.
    ping: Option<Vec<u8>>,
    close: Close,
    close_received: bool,
    failed: Option<WebSocketError>,
}

/// The frame that is being received.
#[derive(Debug, Clone, Copy)]
enum Frame {
    /// Its header is not parsed yet, or parsed again when more has come: it is taken whole.
    Whole,
    /// A long binary frame, read into the assembly as it comes.
    Direct {
        fin: bool,
        mask: Option<[u8; 4]>,
        /// Where it begins in the assembly.
        start: usize,
        /// How far the assembly is unmasked.
        done: usize,
        /// The assembly's length when the frame is complete.
        end: usize,
    },
    /// A text frame, dropped as it comes.
    Skipped { fin: bool, left: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Binary,
    Text,
}

/// Our close frame.
#[derive(Debug)]
enum Close {
    None,
    /// Its payload.
    Queued(Vec<u8>),
    Sent,
}

/// What one step over the received bytes came to.
enum Step {
    /// More bytes are needed.
    Starved,
    /// Go on.
    Continue,
    /// Give this to the caller.
    Give(Incoming),
}

impl Channel {
    /// A connection that has just been upgraded.
    ///
    /// `max_message` is the most bytes that a received message may have (PROTOCOL.md section 7.5),
    /// text messages included. `mask_seed` decides all masks of a [`Role::Client`]: the same seed
    /// and the same calls give the same bytes.
    pub fn new(role: Role, max_message: usize, mask_seed: impl Into<Seed>) -> Self {
        Self {
            role,
            max_message,
            masks: MaskSource::new(mask_seed.into()),
            received: ReadBuffer::default(),
            assembly: Assembly::default(),
            frame: Frame::Whole,
            message: None,
            message_len: 0,
            small_fragments: 0,
            ping: None,
            close: Close::None,
            close_received: false,
            failed: None,
        }
    }

    /// The same, with the bytes that came behind the upgrade's head. Poll before reading more.
    #[must_use]
    pub fn with_leftover(mut self, leftover: &[u8]) -> Self {
        if !planted!(LeftoverLost, !leftover.is_empty()) {
            self.received.append(leftover);
        }
        self
    }

    /// Changes the limit, in bytes, for frame headers that are read from now on. The first message
    /// of a connection has a smaller one (PROTOCOL.md section 7.5).
    pub fn set_max_message(&mut self, max_message: usize) {
        self.max_message = max_message;
    }

    /// Where the next received bytes are to be appended. It has spare capacity; append at most that
    /// much, and touch nothing that is already there.
    pub fn read_buf(&mut self) -> &mut BytesMut {
        match self.frame {
            Frame::Direct { end, .. } => self.assembly.for_reading(end),
            Frame::Whole | Frame::Skipped { .. } => self.received.for_reading(),
        }
    }

    /// Size in bytes of the read buffer: of the memory that the message just polled keeps alive if
    /// it is a slice of it. A message of more than [`DIRECT_READ_LEN`] or in fragments is not: it
    /// has memory of its own. For deciding whether a copy is cheaper than keeping that alive.
    pub fn buffer_size(&self) -> usize {
        self.received.allocated()
    }

    /// The next message, or the peer's close, from what has been received; `None` when more is
    /// needed. After the close it is `None` for ever.
    ///
    /// # Errors
    /// The peer broke a rule. Messages received before that come first. From then on each call
    /// gives the same error, and the connection should be closed, with
    /// [`WebSocketError::close_code`] if one likes.
    pub fn poll_message(&mut self) -> Result<Option<Incoming>, WebSocketError> {
        if let Some(error) = self.failed {
            self.received.clear();
            return Err(error);
        }
        if self.close_received {
            self.received.clear();
            return Ok(None);
        }
        loop {
            match self.step() {
                Ok(Step::Continue) => {}
                Ok(Step::Starved) => {
                    if !matches!(self.frame, Frame::Direct { .. }) {
                        self.assembly.rest();
                    }
                    return Ok(None);
                }
                Ok(Step::Give(incoming)) => return Ok(Some(incoming)),
                Err(error) => {
                    self.failed = Some(error);
                    self.drop_received();
                    return Err(error);
                }
            }
        }
    }

    /// The link idles: gives back the memory that is not holding anything. An empty read buffer is
    /// given back whole, until the next [`read_buf`](Self::read_buf).
    pub fn idle(&mut self) {
        self.received.release();
        self.assembly.release();
        self.masks.release();
    }

    /// Makes a frame of a message to be sent: `buf[start..]` is its payload, in front of which are
    /// at least [`MAX_HEADER_LEN`](super::MAX_HEADER_LEN) bytes of room. Writes the header right in
    /// front of the payload and, for a [`Role::Client`], masks the payload in place. What is to be
    /// written is `buf[result..]`.
    ///
    /// With less room than the header needs the payload is moved: correct, but slower. A `start`
    /// beyond the end stands for an empty payload there.
    #[must_use]
    pub fn seal(&mut self, buf: &mut Vec<u8>, start: usize) -> usize {
        self.seal_frame(OpCode::Data(Data::Binary), buf, start)
    }

    /// Appends the header of a frame for a message of `len` bytes, which follow piece by piece, each
    /// masked by what this gives.
    pub(crate) fn start_message(&mut self, len: usize, out: &mut Vec<u8>) -> PayloadMask {
        let masked = self.role == Role::Client;
        let mask = masked.then(|| self.masks.next_mask());
        let start = out.len();
        out.resize(start + frame::header_len(len, masked), 0);
        frame::write(&mut out[start..], OpCode::Data(Data::Binary), len, mask);
        PayloadMask::new(mask)
    }

    /// Whether [`Self::take_reply`] would give something.
    pub(crate) fn has_reply(&self) -> bool {
        !matches!(self.close, Close::Sent)
            && (self.ping.is_some() || matches!(self.close, Close::Queued(_)))
    }

    /// A frame that this layer itself has to send, ready to be written before the next message: the
    /// pong for the newest ping, then a close. Call until `None`.
    pub fn take_reply(&mut self) -> Option<Vec<u8>> {
        if matches!(self.close, Close::Sent) {
            return None;
        }
        if let Some(payload) = self.ping.take() {
            return Some(self.control_frame(Control::Pong, &payload));
        }
        match std::mem::replace(&mut self.close, Close::None) {
            Close::Queued(payload) => {
                self.close = Close::Sent;
                Some(self.control_frame(Control::Close, &payload))
            }
            Close::None | Close::Sent => None,
        }
    }

    /// Queues a close frame, which [`take_reply`](Self::take_reply) then gives; only the first call
    /// does anything. A `reason` over 123 bytes is cut; a code that must not be sent is left out,
    /// and the reason with it.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        let mut payload = Vec::new();
        if code.is_allowed() {
            payload.extend_from_slice(&u16::from(code).to_be_bytes());
            let end = reason.floor_char_boundary(MAX_CONTROL_LEN - payload.len());
            payload.extend_from_slice(&reason.as_bytes()[..end]);
        }
        self.queue_close(payload);
    }

    /// Whether [`take_reply`](Self::take_reply) has given a close frame: no message may follow it.
    pub fn is_close_sent(&self) -> bool {
        matches!(self.close, Close::Sent)
    }

    /// Whether the peer's close frame has been polled: no message comes any more.
    pub fn is_close_received(&self) -> bool {
        self.close_received
    }

    fn step(&mut self) -> Result<Step, WebSocketError> {
        match self.frame {
            Frame::Whole => self.step_whole(),
            Frame::Direct { fin, mask, start, done, end } => {
                let reached = self.assembly.len().min(end);
                if let Some(mask) = mask {
                    mask::apply(
                        &mut self.assembly.as_mut_slice()[done..reached],
                        mask,
                        if planted!(MaskOffsetForgotten, done > start) { 0 } else { done - start },
                    );
                }
                if reached < end {
                    self.frame = Frame::Direct { fin, mask, start, done: reached, end };
                    return Ok(Step::Starved);
                }
                self.assembly.return_excess(end, &mut self.received);
                self.frame = Frame::Whole;
                Ok(self.end_assembled_frame(fin))
            }
            Frame::Skipped { fin, left } => {
                let present = left.min(self.received.len());
                self.received.advance(present);
                if present < left {
                    self.frame = Frame::Skipped { fin, left: left - present };
                    return Ok(Step::Starved);
                }
                self.frame = Frame::Whole;
                if fin {
                    self.end_message();
                }
                Ok(Step::Continue)
            }
        }
    }

    /// At the front of `received` is a frame header, as far as it has come.
    fn step_whole(&mut self) -> Result<Step, WebSocketError> {
        let in_message = self.message.is_some();
        let Some(header) = frame::parse(self.received.as_slice(), self.role, in_message)? else {
            return Ok(Step::Starved);
        };
        match header.opcode {
            OpCode::Data(data) => {
                let kind = match data {
                    Data::Text => Kind::Text,
                    Data::Binary => Kind::Binary,
                    Data::Continue => self.message.ok_or(WebSocketError::StrayContinuation)?,
                    Data::Reserved(code) => return Err(WebSocketError::UnknownOpcode(code)),
                };
                self.on_data(header, kind)
            }
            OpCode::Control(control) => self.on_control(header, control),
        }
    }

    fn on_data(&mut self, header: Header, kind: Kind) -> Result<Step, WebSocketError> {
        let size = header.payload_len.saturating_add(self.message_len as u64);
        let total = match usize::try_from(size) {
            Ok(total) if total <= self.max_message => total,
            _ => {
                return Err(WebSocketError::TooLarge { size, limit: self.max_message });
            }
        };
        let len = total - self.message_len;
        if len < SMALL_FRAGMENT && self.small_fragments == MAX_SMALL_FRAGMENTS {
            return Err(WebSocketError::TooManyFragments { limit: MAX_SMALL_FRAGMENTS });
        }

        if kind == Kind::Text {
            self.received.advance(header.len);
            self.begin_or_continue(kind, total, len);
            self.frame = Frame::Skipped { fin: header.fin, left: len };
            return Ok(Step::Continue);
        }
        if len > DIRECT_READ_LEN {
            self.begin_or_continue(kind, total, len);
            self.start_direct(header, len);
            return Ok(Step::Continue);
        }
        let Some(payload) = self.take_payload(header, len) else {
            return Ok(Step::Starved);
        };
        if header.fin && self.message.is_none() {
            return Ok(Step::Give(Incoming::Message(payload)));
        }
        self.begin_or_continue(kind, total, len);
        self.assembly.append(&payload);
        Ok(self.end_assembled_frame(header.fin))
    }

    /// The message has one more fragment, of `len` bytes, and `total` bytes with it.
    fn begin_or_continue(&mut self, kind: Kind, total: usize, len: usize) {
        self.message = Some(kind);
        self.message_len = total;
        self.small_fragments += u32::from(len < SMALL_FRAGMENT);
    }

    /// Takes a whole frame off `received`; `None` if it is not all there.
    fn take_payload(&mut self, header: Header, len: usize) -> Option<Bytes> {
        let end = header.len + len;
        let payload = self.received.as_mut_slice().get_mut(header.len..end)?;
        if let Some(mask) = header.mask {
            mask::apply(payload, mask, 0);
        }
        self.received.advance(header.len);
        Some(self.received.take(len))
    }

    /// Turns reading over to the assembly, until a frame of `len` bytes is complete.
    fn start_direct(&mut self, header: Header, len: usize) {
        self.received.advance(header.len);
        let present = len.min(self.received.len());
        self.assembly.start(len, present);
        let start = self.assembly.len();
        self.assembly.append(&self.received.as_slice()[..present]);
        self.received.advance(present);
        self.received.forget_last_read();
        let end = start + len;
        self.frame = Frame::Direct { fin: header.fin, mask: header.mask, start, done: start, end };
    }

    /// The assembly has got a whole frame more.
    fn end_assembled_frame(&mut self, fin: bool) -> Step {
        if !fin {
            return Step::Continue;
        }
        self.end_message();
        Step::Give(Incoming::Message(self.assembly.take()))
    }

    fn end_message(&mut self) {
        self.message = None;
        self.message_len = 0;
        self.small_fragments = 0;
    }

    /// Whether the beginning of a message has come and its end has not.
    pub(crate) fn is_within_message(&self) -> bool {
        self.message.is_some() || self.received.len() > 0
    }

    fn on_control(&mut self, header: Header, control: Control) -> Result<Step, WebSocketError> {
        // At most `MAX_CONTROL_LEN`: the header says so or would not have been parsed.
        let len = usize::try_from(header.payload_len).unwrap_or(MAX_CONTROL_LEN);
        let Some(payload) = self.take_payload(header, len) else {
            return Ok(Step::Starved);
        };
        match control {
            Control::Ping => {
                if planted!(PingEndsFragments, self.message.is_some()) {
                    self.end_message();
                }
                if matches!(self.close, Close::None) {
                    let ping = self.ping.get_or_insert_default();
                    ping.clear();
                    ping.extend_from_slice(&payload);
                }
                Ok(Step::Continue)
            }
            Control::Pong => Ok(Step::Continue),
            Control::Close => self.on_close(&payload).map(Step::Give),
            Control::Reserved(code) => Err(WebSocketError::UnknownOpcode(code)),
        }
    }

    /// Section 5.5.1. The reason is for no one here, so its encoding is not checked.
    fn on_close(&mut self, payload: &[u8]) -> Result<Incoming, WebSocketError> {
        let code = match payload {
            [] => None,
            [_] => return Err(WebSocketError::ShortClose),
            [high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        };
        if let Some(code @ (0..=999 | 1005 | 1006 | 1015 | 5000..)) = code {
            return Err(WebSocketError::BadCloseCode(code));
        }
        self.close_received = true;
        self.drop_received();
        self.queue_close(code.map(|code| code.to_be_bytes().to_vec()).unwrap_or_default());
        Ok(Incoming::Close(code))
    }

    fn queue_close(&mut self, payload: Vec<u8>) {
        if matches!(self.close, Close::None) {
            self.close = Close::Queued(payload);
        }
    }

    /// Nothing that has been received or will be matters any more.
    fn drop_received(&mut self) {
        self.frame = Frame::Whole;
        self.end_message();
        self.received.clear();
        self.assembly.clear();
    }

    fn control_frame(&mut self, control: Control, payload: &[u8]) -> Vec<u8> {
        let start = frame::header_len(payload.len(), self.role == Role::Client);
        let mut frame = Vec::with_capacity(start + payload.len());
        frame.resize(start, 0);
        frame.extend_from_slice(payload);
        // The room is exact: the frame begins at 0.
        let _ = self.seal_frame(OpCode::Control(control), &mut frame, start);
        frame
    }

    fn seal_frame(&mut self, opcode: OpCode, buf: &mut Vec<u8>, start: usize) -> usize {
        let masked = self.role == Role::Client;
        let mut start = start.min(buf.len());
        let payload_len = buf.len() - start;
        let header_len = frame::header_len(payload_len, masked);
        if start < header_len {
            let missing = header_len - start;
            buf.splice(..0, std::iter::repeat_n(0, missing));
            start = header_len;
        }
        let begin = start - header_len;
        let mask = masked.then(|| self.masks.next_mask());
        let (head, payload) = buf.split_at_mut(start);
        frame::write(&mut head[begin..], opcode, payload_len, mask);
        if let Some(mask) = mask {
            mask::apply(payload, mask, 0);
        }
        begin
    }
}

impl fmt::Debug for Channel {
    /// Without any payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("role", &self.role)
            .field("max_message", &self.max_message)
            .field("received", &self.received.len())
            .field("assembled", &self.assembly.len())
            .field("message", &self.message)
            .field("close_sent", &self.is_close_sent())
            .field("close_received", &self.close_received)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
