//! What passes in one direction of a connection: an HTTP head, then WebSocket frames.

use super::frame::{self, Frame};
use super::{Damage, Message};

/// The longest HTTP head that is waited for.
const HEAD_LIMIT: usize = 64 * 1024;

/// A buffer that is longer than this is not kept for the next message.
const KEEP: usize = 256 * 1024;

/// The longest WebSocket message that nodes take unless configured otherwise.
const MESSAGE_LIMIT: u64 = (16 << 20) + (64 << 10);

/// A side of a connection, and the direction of what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The side that dialled; its frames are masked.
    Dialler,
    /// The side that was dialled.
    Acceptor,
}

impl Role {
    /// Both, the dialler first.
    pub const BOTH: [Self; 2] = [Self::Dialler, Self::Acceptor];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }

    /// 0 for the dialler, 1 for the acceptor.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Something whole that has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where its first byte is in the stream.
    pub start: u64,
    /// Where its last byte ends.
    pub end: u64,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Seen`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The HTTP head, with the status if it is a response. After any but 101 nothing is read.
    Head(Option<u16>),
    /// A WebSocket control frame, with its opcode: 8 close, 9 ping, 10 pong.
    Control(u8),
    /// A text message: the protocol has none and ignores it.
    Text,
    /// A message of the protocol.
    Message(Message),
    /// Not what the protocol says. If it [is final](Damage::is_final), nothing more is read.
    Broken(Damage),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Within the HTTP head.
    Head,
    /// Within the header of a frame.
    Header,
    /// Within the payload of a frame.
    Payload(Frame),
    /// Nothing is read any more.
    Deaf,
}

/// The message that is being received.
#[derive(Clone, Copy, Debug)]
struct Open {
    start: u64,
    is_text: bool,
}

/// Reads one direction of one connection, whatever pieces it comes in.
///
/// It keeps no more than one message, and allocates only where a message is larger than all
/// before it.
#[derive(Debug)]
pub struct Tap {
    role: Role,
    limit: u64,
    offset: u64,
    state: State,
    /// Of the HTTP head or of a frame's header, as far as they have come.
    partial: Vec<u8>,
    /// The payload of the open message, unmasked.
    data: Vec<u8>,
    open: Option<Open>,
}

impl Tap {
    /// For what this side sends.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            limit: MESSAGE_LIMIT,
            offset: 0,
            state: State::Head,
            partial: Vec::new(),
            data: Vec::new(),
            open: None,
        }
    }

    /// Refuses WebSocket messages of more than so many bytes.
    #[must_use]
    pub const fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// How many bytes have passed.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes; what they complete is appended to `out`.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<Seen>) {
        while !bytes.is_empty() {
            let taken = match self.state {
                State::Head => self.feed_head(bytes, out),
                State::Header => self.feed_header(bytes, out),
                State::Payload(frame) => self.feed_payload(frame, bytes, out),
                State::Deaf => {
                    self.offset += bytes.len() as u64;
                    return;
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    fn see(&self, start: u64, kind: Kind, out: &mut Vec<Seen>) {
        out.push(Seen { start, end: self.offset, kind });
    }

    fn give_up(&mut self, start: u64, damage: Damage, out: &mut Vec<Seen>) {
        self.see(start, Kind::Broken(damage), out);
        self.state = State::Deaf;
        self.data = Vec::new();
        self.partial = Vec::new();
    }

    fn feed_head(&mut self, bytes: &[u8], out: &mut Vec<Seen>) -> usize {
        const END: &[u8] = b"\r\n\r\n";
        let before = self.partial.len();
        self.partial.extend_from_slice(bytes);
        // The end may have begun in what came before.
        let from = before.saturating_sub(END.len() - 1);
        let window = self.partial.get(from..).unwrap_or_default();
        let Some(at) = window.windows(END.len()).position(|window| window == END) else {
            self.offset += bytes.len() as u64;
            if self.partial.len() > HEAD_LIMIT {
                self.give_up(0, Damage::Head, out);
            }
            return bytes.len();
        };
        let len = from + at + END.len();
        let taken = len - before;
        self.offset += taken as u64;
        let (is_http, status) = self.start_line();
        self.partial.clear();
        if !is_http {
            self.give_up(0, Damage::Head, out);
            return taken;
        }
        self.see(0, Kind::Head(status), out);
        let upgraded = status.is_none_or(|status| status == 101);
        self.state = if upgraded { State::Header } else { State::Deaf };
        taken
    }

    /// Whether the first line is one of HTTP, and the status if it is a response's.
    fn start_line(&self) -> (bool, Option<u16>) {
        match self.role {
            Role::Dialler => (self.partial.starts_with(b"GET "), None),
            Role::Acceptor => {
                let digits = self.partial.strip_prefix(b"HTTP/1.1 ").and_then(|line| line.get(..3));
                let digits = digits.and_then(|digits| str::from_utf8(digits).ok());
                let status = digits.and_then(|digits| digits.parse().ok());
                (status.is_some(), status)
            }
        }
    }

    fn feed_header(&mut self, bytes: &[u8], out: &mut Vec<Seen>) -> usize {
        let mut taken = 0;
        loop {
            let missing = frame::missing(&self.partial);
            if missing == 0 {
                break;
            }
            let left = bytes.get(taken..).unwrap_or_default();
            let piece = left.get(..missing).unwrap_or(left);
            self.partial.extend_from_slice(piece);
            self.offset += piece.len() as u64;
            taken += piece.len();
            if piece.len() < missing {
                return taken;
            }
        }
        let frame = Frame::parse(&self.partial, self.offset - self.partial.len() as u64);
        self.partial.clear();
        let open = self.open.map(|_| self.data.len() as u64);
        if let Err(damage) = frame.check(self.role, open, self.limit) {
            self.give_up(frame.start, damage, out);
            return taken;
        }
        if matches!(frame.opcode, 1 | 2) {
            self.open = Some(Open { start: frame.start, is_text: frame.opcode == 1 });
        }
        self.state = State::Payload(frame);
        if frame.len == 0 {
            self.feed_payload(frame, &[], out);
        }
        taken
    }

    fn feed_payload(&mut self, mut frame: Frame, bytes: &[u8], out: &mut Vec<Seen>) -> usize {
        let left = usize::try_from(frame.left()).unwrap_or(usize::MAX);
        let piece = bytes.get(..left).unwrap_or(bytes);
        self.offset += piece.len() as u64;
        // A message that is all there and not masked is decoded where it is.
        let whole = frame.fin && piece.len() as u64 == frame.len && frame.mask.is_none();
        if whole && frame.opcode == 2 {
            self.end_message(piece, out);
            return piece.len();
        }
        if !frame.is_control() {
            let before = self.data.len();
            self.data.extend_from_slice(piece);
            frame.unmask(self.data.get_mut(before..).unwrap_or_default());
        }
        frame.passed += piece.len() as u64;
        if frame.left() > 0 {
            self.state = State::Payload(frame);
        } else if frame.is_control() {
            self.state = State::Header;
            self.see(frame.start, Kind::Control(frame.opcode), out);
        } else if !frame.fin {
            self.state = State::Header;
        } else {
            let mut data = std::mem::take(&mut self.data);
            self.end_message(&data, out);
            data.clear();
            if data.capacity() <= KEEP {
                self.data = data;
            }
        }
        piece.len()
    }

    fn end_message(&mut self, data: &[u8], out: &mut Vec<Seen>) {
        self.state = State::Header;
        let Some(open) = self.open.take() else { return };
        let kind = if open.is_text {
            Kind::Text
        } else {
            Message::decode(data).map_or_else(Kind::Broken, Kind::Message)
        };
        self.see(open.start, kind, out);
    }
}
