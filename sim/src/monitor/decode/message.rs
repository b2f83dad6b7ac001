//! One message: PROTOCOL.md sections 2 and 3.

use xxhash_rust::xxh3::xxh3_64;

use super::body::Body;
use super::op::flag;
use super::pack::Reader;
use super::{Damage, Op};

/// What the checksum of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crc {
    /// The message has none.
    Absent,
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
}

/// What is kept of a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// Its length in bytes.
    pub len: usize,
    /// XXH3-64 of its bytes: equal payloads have equal hashes.
    pub hash: u64,
    /// Its first bytes, zeros behind a shorter one.
    pub prefix: [u8; 16],
}

impl Payload {
    /// What is kept of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut prefix = [0; 16];
        for (kept, byte) in prefix.iter_mut().zip(bytes) {
            *kept = *byte;
        }
        Self { len: bytes.len(), hash: xxh3_64(bytes), prefix }
    }
}

/// A message, its payload reduced to what comparisons need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The mux, 0 for the link itself.
    pub mux: u64,
    /// The sequence number, or the count of a merged message.
    pub seq: u32,
    /// Milliseconds left, 0 for no deadline.
    pub deadline_ms: u32,
    /// The handler, 0 for none.
    pub handler: u8,
    /// What it is for.
    pub op: Op,
    /// Bits of [`flag`].
    pub flags: u8,
    /// The payload.
    pub payload: Payload,
    /// The subroute, if the flags say that there is one.
    pub subroute: Option<[u8; 32]>,
    /// The checksum, if the flags say that there is one.
    pub crc: Crc,
    /// The payload map of those ops that have one.
    pub body: Option<Box<Body>>,
    /// The messages within a merged one.
    pub parts: Vec<Self>,
    /// Why the parts end before the count does.
    pub torn: Option<Damage>,
    /// Its length in bytes, trailers and parts with it.
    pub encoded_len: usize,
    /// Written as PROTOCOL.md says: smallest forms, nothing before the trailers.
    pub canonical: bool,
}

impl Message {
    /// Decodes the payload of one binary WebSocket message.
    ///
    /// # Errors
    /// If it is no message. A checksum that is wrong, and parts that are broken, are told in the
    /// message.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        Self::decode_at(bytes, false)
    }

    fn decode_at(bytes: &[u8], within: bool) -> Result<Self, Damage> {
        let mut reader = Reader::new(bytes);
        if reader.array_len()? != 7 {
            return Err(Damage::Elements);
        }
        let mux = reader.uint(u64::MAX)?;
        let seq = reader.uint(u32::MAX.into())? as u32;
        let deadline_ms = reader.uint(u32::MAX.into())? as u32;
        let handler = reader.uint(u8::MAX.into())? as u8;
        let op = Op::from_number(reader.uint(u8::MAX.into())? as u8);
        let flags = reader.uint(u8::MAX.into())? as u8;
        let payload = reader.bin()?;
        let mut rest = reader.left();
        let mut crc = Crc::Absent;
        if flags & flag::CRC != 0 {
            let (left, trailer) = rest.split_last_chunk::<4>().ok_or(Damage::Truncated)?;
            let covered = bytes.split_last_chunk::<4>().map_or(bytes, |(covered, _)| covered);
            let right = xxh3_64(covered) as u32 == u32::from_le_bytes(*trailer);
            crc = if right { Crc::Good } else { Crc::Bad };
            rest = left;
        }
        let mut subroute = None;
        if flags & flag::SUBROUTE != 0 {
            let (left, trailer) = rest.split_last_chunk::<32>().ok_or(Damage::Truncated)?;
            subroute = Some(*trailer);
            rest = left;
        }
        let mut message = Self {
            mux,
            seq,
            deadline_ms,
            handler,
            op,
            flags,
            payload: Payload::of(payload),
            subroute,
            crc,
            body: Body::of(op, mux, payload),
            parts: Vec::new(),
            torn: None,
            encoded_len: bytes.len(),
            canonical: reader.is_smallest(),
        };
        if op == Op::Merged {
            // Within a merged message another one is ignored, with all that is in it.
            rest = if within { &[] } else { message.read_parts(rest) };
        }
        message.canonical &= rest.is_empty();
        Ok(message)
    }

    /// Decodes the parts; what lies behind them is returned.
    fn read_parts<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut reader = Reader::new(bytes);
        for _ in 0..self.seq {
            match reader.bin().and_then(|part| Self::decode_at(part, true)) {
                Ok(part) => self.parts.push(part),
                Err(_) => {
                    self.torn = Some(Damage::Parts);
                    break;
                }
            }
        }
        self.canonical &= reader.is_smallest();
        reader.left()
    }

    /// Whether any of these flags is set.
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Whether the payload is nil: of length 0 and not said to be empty.
    pub const fn is_nil(&self) -> bool {
        self.payload.len == 0 && !self.has(flag::ZERO)
    }

    /// The message itself, or the messages within it.
    pub fn each(&self) -> &[Self] {
        if self.op == Op::Merged { &self.parts } else { std::slice::from_ref(self) }
    }
}
