//! A large message becomes its frame piece by piece, while it is written: each piece is copied,
//! hashed and masked while the processor has it in its cache, and is on its way before the next one
//! is touched.

use crate::outbox::{FRAME_ROOM, LargeMessage, Pieces};
use crate::websocket::{Channel, PayloadMask};
use crate::wire::MessageRef;

/// Bytes of the payload in one piece.
const PIECE: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct LargeFrame {
    pieces: Pieces,
    mask: PayloadMask,
}

impl LargeFrame {
    /// The frame of this message, and its first piece with the frame's header.
    pub(super) fn begin(message: LargeMessage, channel: &mut Channel) -> (Self, Vec<u8>) {
        let len = message.encoded_len();
        let mut buf = Vec::with_capacity(len.min(PIECE + MessageRef::MAX_OVERHEAD) + FRAME_ROOM);
        let mask = channel.start_message(len, &mut buf);
        let mut frame = Self { pieces: message.into_pieces(), mask };
        frame.append(&mut buf);
        (frame, buf)
    }

    /// The next piece, in place of what `buf` holds; `false` if there is none.
    pub(super) fn refill(&mut self, buf: &mut Vec<u8>) -> bool {
        if self.is_done() {
            return false;
        }
        buf.clear();
        self.append(buf);
        true
    }

    /// Whether the last piece was taken.
    pub(super) fn is_done(&self) -> bool {
        self.pieces.is_done()
    }

    fn append(&mut self, buf: &mut Vec<u8>) {
        let start = buf.len();
        self.pieces.append(buf, PIECE);
        self.mask.apply(&mut buf[start..]);
    }
}
