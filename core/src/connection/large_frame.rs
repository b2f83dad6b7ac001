//! A large message becomes its frame piece by piece, while it is written: each piece is copied,
//! hashed and masked while the processor has it in its cache, and is on its way before the next one
//! is touched. To write parts of the payload itself where there is no mask was measured, and slower.

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
    /// The frame of this message, its first piece with the frame's header in `buf`, which is empty.
    pub(super) fn begin(message: LargeMessage, channel: &mut Channel, buf: &mut Vec<u8>) -> Self {
        let len = message.encoded_len();
        buf.reserve_exact(len.min(PIECE + MessageRef::MAX_OVERHEAD) + FRAME_ROOM);
        let mask = channel.start_message(len, buf);
        let mut frame = Self { pieces: message.into_pieces(), mask };
        frame.append(buf);
        frame
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
