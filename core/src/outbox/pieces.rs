//! A large message, encoded piece by piece.

use super::LargeMessage;
use crate::wire::{Crc, Flags, encode_prefix};

/// The encoded form of a message, as much of it at a time as one asks for.
#[derive(Debug)]
pub(crate) struct Pieces {
    message: LargeMessage,
    /// Of what was appended.
    crc: Crc,
    begun: bool,
    /// Bytes of the payload that were appended.
    taken: usize,
    done: bool,
}

impl Pieces {
    pub(super) fn new(message: LargeMessage) -> Self {
        Self { message, crc: Crc::default(), begun: false, taken: 0, done: false }
    }

    /// Whether all was appended.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Appends what comes next: at most `len` bytes of the payload, and what is before and after it.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, len: usize) {
        if self.done {
            return;
        }
        let LargeMessage { header, subroute, payload } = &self.message;
        let start = out.len();
        if !std::mem::replace(&mut self.begun, true) {
            encode_prefix(header, payload.len(), out);
        }
        let end = payload.len().min(self.taken.saturating_add(len));
        out.extend_from_slice(&payload[self.taken..end]);
        self.taken = end;
        self.done = end == payload.len();
        if self.done && header.flags.contains(Flags::SUBROUTE) {
            out.extend_from_slice(subroute.unwrap_or_default().as_bytes());
        }
        if header.flags.contains(Flags::CRC) {
            self.crc.update(&out[start..]);
            if self.done {
                out.extend_from_slice(&self.crc.finish());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::{Header, Op, SubrouteId};

    #[test]
    fn pieces_of_any_length_make_the_whole_message() {
        let payload: Bytes = (0..20_000_u32).map(|n| n as u8).collect();
        for flags in [Flags::empty(), Flags::CRC, Flags::SUBROUTE, Flags::CRC | Flags::SUBROUTE] {
            let header = Header { mux: u64::MAX, flags, ..Header::new(Op::MuxClientMsg) };
            let subroute = Some(SubrouteId::from_bytes([7; SubrouteId::LEN]));
            let message = LargeMessage { header, subroute, payload: payload.clone() };
            let mut whole = Vec::new();
            message.encode(&mut whole);
            for len in [1, 63, 64, 255, 256, 257, 4096, 19_999, 20_000, usize::MAX] {
                let mut pieces = message.clone().into_pieces();
                let mut out = Vec::new();
                while !pieces.is_done() {
                    pieces.append(&mut out, len);
                }
                assert_eq!(out, whole, "{flags:?}, pieces of {len}");
            }
        }
    }
}
