//! Memory for large messages (DESIGN.md section 3.4): it grows only as bytes arrive, is given away
//! with the message, and is used again once nobody holds it any more.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::buffer::ReadBuffer;

/// A message's own buffer begins between half of this and this, in bytes.
const FIRST_ASSEMBLY_LEN: usize = 32 * 1024;

/// A read into a message's own buffer is offered at least this, in bytes, before its end.
const MIN_ASSEMBLY_READ: usize = 2 * 1024;

/// So much memory of messages that were given away is remembered, in bytes.
const KEPT_LEN: usize = 4 * 1024 * 1024;

/// And of so many messages.
const KEPT: usize = 8;

/// Only that of messages of at least this, in bytes.
const KEPT_FROM: usize = 64 * 1024;

/// It is given back after so many reads in a row without a large message.
const READS_TO_FORGET: u32 = 1_000;

/// A message that is put together in memory of its own, which is given away whole.
#[derive(Default)]
pub(super) struct Assembly {
    bytes: BytesMut,
    kept: Kept,
    /// Reads since the last message.
    unused: u32,
}

impl Assembly {
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn append(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// Prepares for a message that will be `total` bytes long, of which `present` are here.
    ///
    /// The memory of a former message is used again if it fits. Otherwise the first allocation is
    /// `total` halved until it is small; from there it doubles as it fills (as every vector does),
    /// and so ends at the right size without having trusted the claim.
    pub(super) fn start(&mut self, total: usize, present: usize) {
        if self.bytes.capacity() > 0 {
            return;
        }
        if let Some(kept) = self.kept.take(total) {
            self.bytes = kept;
            return;
        }
        let enough = match planted!(ClaimedLengthReserved, total > FIRST_ASSEMBLY_LEN) {
            true => total,
            false => FIRST_ASSEMBLY_LEN.max(present),
        };
        let mut capacity = total;
        while capacity > enough && capacity.div_ceil(2) >= present {
            capacity = capacity.div_ceil(2);
        }
        self.bytes = BytesMut::with_capacity(capacity);
    }

    /// The buffer with room for a read towards `end`, its length when the frame is complete. A read
    /// may run beyond it.
    pub(super) fn for_reading(&mut self, end: usize) -> &mut BytesMut {
        let missing = end.saturating_sub(self.bytes.len());
        let least = missing.min(MIN_ASSEMBLY_READ);
        if self.bytes.capacity() - self.bytes.len() < least {
            self.bytes.reserve(least);
        }
        &mut self.bytes
    }

    /// Moves what was read beyond `end` into `buffer`.
    pub(super) fn return_excess(&mut self, end: usize, buffer: &mut ReadBuffer) {
        if let Some(excess) = self.bytes.get(end..) {
            buffer.append(excess);
        }
        self.bytes.truncate(end);
    }

    /// Something else was read.
    pub(super) fn rest(&mut self) {
        if !self.kept.parts.is_empty() {
            self.unused += 1;
            if self.unused > READS_TO_FORGET {
                self.release();
            }
        }
    }

    /// The message. Nothing is left.
    pub(super) fn take(&mut self) -> Bytes {
        if planted!(HugeMessageKept) {
            let message = Bytes::copy_from_slice(&self.bytes);
            self.bytes.clear();
            return message;
        }
        self.unused = 0;
        self.kept.split(std::mem::take(&mut self.bytes))
    }

    /// Drops what has come of a message.
    pub(super) fn clear(&mut self) {
        self.bytes = BytesMut::new();
    }

    /// Gives back the memory of former messages.
    pub(super) fn release(&mut self) {
        self.kept = Kept::default();
    }
}

/// The memory of messages that were given away, to be used again: what is asked of the system anew
/// costs a page fault for each page.
#[derive(Default)]
struct Kept {
    /// Size of the memory, and a part of it that is empty, the oldest first.
    parts: VecDeque<(usize, BytesMut)>,
    /// Sum of the sizes.
    len: usize,
}

impl Kept {
    /// Memory for a message of this length, which nobody holds any more. It is not much larger: a
    /// read runs beyond the message by at most what it is larger.
    fn take(&mut self, total: usize) -> Option<BytesMut> {
        let fits = total..=total.saturating_add(total / 4);
        let is_free =
            |(size, part): &mut (usize, BytesMut)| fits.contains(size) && part.try_reclaim(total);
        let found = self.parts.iter_mut().position(is_free)?;
        let (size, part) = self.parts.remove(found)?;
        self.len -= size;
        Some(part)
    }

    /// The message; its memory is remembered.
    fn split(&mut self, mut bytes: BytesMut) -> Bytes {
        let size = bytes.capacity();
        if !(KEPT_FROM..=KEPT_LEN).contains(&size) {
            return bytes.freeze();
        }
        while self.parts.len() == KEPT || self.len + size > KEPT_LEN {
            let Some((oldest, _)) = self.parts.pop_front() else { break };
            self.len -= oldest;
        }
        let message = bytes.split().freeze();
        self.parts.push_back((size, bytes));
        self.len += size;
        message
    }
}
