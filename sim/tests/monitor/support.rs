//! WebSocket frames and messages, written by hand.

use gridmux_sim::monitor::{Op, Role, Seen, Tap, flag};
use xxhash_rust::xxh3::xxh3_64;

/// A frame as this side sends it.
pub(crate) fn frame(from: Role, opcode: u8, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if from == Role::Dialler { 0x80 } else { 0 };
    let mut bytes = vec![opcode | u8::from(fin) << 7];
    match payload.len() {
        len @ ..126 => bytes.push(mask_bit | len as u8),
        len @ ..0x1_0000 => {
            bytes.push(mask_bit | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(mask_bit | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    if from == Role::Acceptor {
        bytes.extend(payload);
        return bytes;
    }
    let mask = [0x3a, 0xc5, 0x01, 0x77];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The HTTP head that this side begins with.
pub(crate) fn head(from: Role) -> &'static [u8] {
    match from {
        Role::Dialler => b"GET /minio/grid/v1 HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        Role::Acceptor => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    }
}

/// What a tap sees in these bytes, given so many at a time.
pub(crate) fn seen(from: Role, bytes: &[u8], piece: usize) -> Vec<Seen> {
    let mut tap = Tap::new(from);
    let mut out = Vec::new();
    bytes.chunks(piece).for_each(|piece| tap.feed(piece, &mut out));
    assert_eq!(tap.offset(), bytes.len() as u64);
    out
}

/// A message to be encoded.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) mux: u64,
    pub(crate) seq: u32,
    pub(crate) deadline_ms: u32,
    pub(crate) handler: u8,
    pub(crate) op: Op,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
    pub(crate) subroute: Option<[u8; 32]>,
}

impl Draft {
    /// With a checksum and nothing else.
    pub(crate) fn new(op: Op, mux: u64, seq: u32) -> Self {
        let (deadline_ms, handler, payload) = (0, 0, Vec::new());
        Self { mux, seq, deadline_ms, handler, op, flags: flag::CRC, payload, subroute: None }
    }

    pub(crate) fn with(mut self, flags: u8) -> Self {
        self.flags |= flags;
        self
    }

    pub(crate) fn without_crc(mut self) -> Self {
        self.flags &= !flag::CRC;
        self
    }

    pub(crate) fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub(crate) fn handler(mut self, handler: u8) -> Self {
        self.handler = handler;
        self
    }

    pub(crate) fn deadline(mut self, ms: u32) -> Self {
        self.deadline_ms = ms;
        self
    }

    pub(crate) fn subroute(mut self, subroute: [u8; 32]) -> Self {
        self.subroute = Some(subroute);
        self.with(flag::SUBROUTE)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0x97];
        let header = [self.mux, self.seq.into(), self.deadline_ms.into(), self.handler.into()];
        let rest = [self.op.number().into(), self.flags.into()];
        header.into_iter().chain(rest).for_each(|field| put_uint(field, &mut bytes));
        put_bin(&self.payload, &mut bytes);
        bytes.extend(self.subroute.iter().flatten());
        if self.flags & flag::CRC != 0 {
            let crc = xxh3_64(&bytes) as u32;
            bytes.extend(crc.to_le_bytes());
        }
        bytes
    }
}

/// The messages in one.
pub(crate) fn merged(parts: &[Vec<u8>]) -> Vec<u8> {
    let count = parts.len() as u32;
    let mut bytes = Draft::new(Op::Merged, 0, count).without_crc().encode();
    parts.iter().for_each(|part| put_bin(part, &mut bytes));
    bytes
}

fn put_uint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..0x80 => out.push(value as u8),
        0x80..0x100 => out.extend([0xcc, value as u8]),
        0x100..0x1_0000 => {
            out.push(0xcd);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(0xce);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend(value.to_be_bytes());
        }
    }
}

pub(crate) fn put_bin(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes.len() {
        len @ ..0x100 => out.extend([0xc4, len as u8]),
        len @ ..0x1_0000 => {
            out.push(0xc5);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0xc6);
            out.extend((len as u32).to_be_bytes());
        }
    }
    out.extend(bytes);
}
