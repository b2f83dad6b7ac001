//! The frame, and the outgoing batch that frames are encoded into.

use std::io::{self, IoSlice};

use bytes::Bytes;
use tokio::net::tcp::OwnedWriteHalf;

use crate::work::Ask;

/// The largest payload of one message: 64 MiB.
pub const MAX_PAYLOAD: usize = 64 << 20;

/// The bytes before a payload: its length (4), the call id (8), the kind (1).
pub(super) const HEADER: usize = 13;

/// Payloads of at least this size are written from where they are, not copied into the batch.
const WRITE_IN_PLACE: usize = 16 << 10;

/// How many slices one system call gets at most.
const MAX_SLICES: usize = 64;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Starts a call; its response ends it.
    Request = 1,
    /// Answers a call, or closes a client stream with its one result.
    Response,
    /// Starts a stream; the payload says which, see [`Mode`].
    Open,
    /// One message of a stream.
    Item,
    /// The last frame of this side of a stream.
    End,
}

impl Kind {
    fn from_byte(byte: u8) -> io::Result<Self> {
        Ok(match byte {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Open,
            4 => Self::Item,
            5 => Self::End,
            _ => return Err(invalid("unknown kind of frame")),
        })
    }
}

/// What a stream does: the payload of [`Kind::Open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The server sends these items.
    Server(Ask),
    /// The server counts the items and answers with its tally.
    Client,
    /// The server sends every item back.
    Echo,
}

impl Mode {
    pub(super) fn encode(self) -> [u8; 1 + Ask::LEN] {
        let mut bytes = [0; 1 + Ask::LEN];
        match self {
            Self::Server(ask) => {
                bytes[0] = 1;
                bytes[1..].copy_from_slice(&ask.encode());
            }
            Self::Client => bytes[0] = 2,
            Self::Echo => bytes[0] = 3,
        }
        bytes
    }

    pub(super) fn decode(payload: &[u8]) -> io::Result<Self> {
        match payload.split_first() {
            Some((1, ask)) => Ask::decode(ask).map(Self::Server),
            Some((2, _)) => Ok(Self::Client),
            Some((3, _)) => Ok(Self::Echo),
            _ => Err(invalid("unknown mode of stream")),
        }
    }
}

/// What precedes a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) len: usize,
    pub(super) call: u64,
    pub(super) kind: Kind,
}

impl Header {
    fn encode(kind: Kind, call: u64, payload: &[u8]) -> [u8; HEADER] {
        let len = u32::try_from(payload.len()).expect("payloads are limited to 64 MiB");
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes[4..12].copy_from_slice(&call.to_le_bytes());
        bytes[12] = kind as u8;
        bytes
    }

    /// The header at the start of `bytes`, once all of it is there.
    #[inline]
    pub(super) fn decode(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some((&[l0, l1, l2, l3, c0, c1, c2, c3, c4, c5, c6, c7, kind], _)) =
            bytes.split_first_chunk::<HEADER>()
        else {
            return Ok(None);
        };
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if len > MAX_PAYLOAD {
            return Err(invalid("a payload of more than 64 MiB"));
        }
        let call = u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]);
        Ok(Some(Self { len, call, kind: Kind::from_byte(kind)? }))
    }
}

/// Messages that are written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Headers and small payloads, in order.
    bytes: Vec<u8>,
    /// Large payloads, each with the offset in `bytes` it is written after.
    large: Vec<(usize, Bytes)>,
    /// The length of all of `large`.
    large_len: usize,
    /// How much of the whole has been written.
    written: usize,
    messages: usize,
}

impl Batch {
    /// Appends a message, copying its payload unless it is large.
    #[inline]
    pub(super) fn push(&mut self, kind: Kind, call: u64, payload: Bytes) {
        if payload.len() < WRITE_IN_PLACE {
            self.push_copy(kind, call, &payload);
            return;
        }
        self.bytes.extend_from_slice(&Header::encode(kind, call, &payload));
        self.large_len += payload.len();
        self.large.push((self.bytes.len(), payload));
        self.messages += 1;
    }

    /// Appends a message, copying its payload.
    #[inline]
    pub(super) fn push_copy(&mut self, kind: Kind, call: u64, payload: &[u8]) {
        self.bytes.reserve(HEADER + payload.len());
        self.bytes.extend_from_slice(&Header::encode(kind, call, payload));
        self.bytes.extend_from_slice(payload);
        self.messages += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// Forgets the content and keeps the memory, unless it is much.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(4 << 20);
        self.large.clear();
        (self.large_len, self.written, self.messages) = (0, 0, 0);
    }

    /// Writes as much as the socket takes; true once everything is written.
    pub(super) fn try_write(&mut self, socket: &OwnedWriteHalf) -> io::Result<bool> {
        while self.written < self.bytes.len() + self.large_len {
            let wrote = if self.large.is_empty() {
                socket.try_write(&self.bytes[self.written..])
            } else {
                self.try_write_vectored(socket)
            };
            match wrote {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn try_write_vectored(&self, socket: &OwnedWriteHalf) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        let mut skip = self.written;
        let mut from = 0;
        let ends = self.large.iter().map(|(at, large)| (*at, large.as_ref()));
        for (at, large) in ends.chain([(self.bytes.len(), &[][..])]) {
            for slice in [&self.bytes[from..at], large] {
                let left = slice.get(skip..).unwrap_or_default();
                skip -= slice.len() - left.len();
                if !left.is_empty() && count < MAX_SLICES {
                    slices[count] = IoSlice::new(left);
                    count += 1;
                }
            }
            from = at;
        }
        socket.try_write_vectored(&slices[..count])
    }
}

pub(super) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
