//! Memory for received bytes (DESIGN.md section 3.4): it grows only as bytes arrive, and is given
//! back.

use bytes::{Buf, Bytes, BytesMut};

/// The read buffer at rest, in bytes.
pub(super) const MIN_LEN: usize = 8 * 1024;

/// The read buffer under load, in bytes.
pub(super) const MAX_LEN: usize = 256 * 1024;

/// So many reads in a row that used less than a quarter of the buffer halve it.
const SMALL_READS_TO_SHRINK: u8 = 32;

/// A message's own buffer begins between half of this and this, in bytes.
const FIRST_ASSEMBLY_LEN: usize = 32 * 1024;

/// A read into a message's own buffer is offered at least this, in bytes, before its end.
const MIN_ASSEMBLY_READ: usize = 2 * 1024;

/// Received bytes that are not parsed yet.
///
/// Whole messages are split off its front without a copy, so an allocation may be shared with
/// messages that someone still holds. It is used again as soon as nobody does.
#[derive(Default)]
pub(super) struct ReadBuffer {
    bytes: BytesMut,
    /// Size of the allocation that `bytes` is the rest of; 0 = none.
    allocated: usize,
    /// Size of the next allocation, and of this one if it need not be larger for a long frame;
    /// 0 = nothing was ever read.
    target: usize,
    /// Spare capacity when it was last handed out for reading.
    offered: usize,
    /// Reads in a row that used little.
    small_reads: u8,
}

impl ReadBuffer {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn allocated(&self) -> usize {
        self.allocated
    }

    /// Drops `count` bytes of the front; all if there are fewer.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        self.bytes.advance(count.min(self.bytes.len()));
    }

    /// Splits `count` bytes, which must be there, off the front.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Bytes {
        if count == 0 {
            // Holds no part of the allocation.
            return Bytes::new();
        }
        self.bytes.split_to(count).freeze()
    }

    /// Appends, for bytes that came another way than by reading.
    pub(super) fn append(&mut self, tail: &[u8]) {
        if tail.is_empty() {
            return;
        }
        let (len, spare) = (self.bytes.len(), self.spare());
        if spare < tail.len() {
            self.replace((len + tail.len()).max(MIN_LEN));
        }
        self.bytes.extend_from_slice(tail);
        self.forget_last_read();
    }

    /// The buffer with room for a read.
    pub(super) fn for_reading(&mut self) -> &mut BytesMut {
        self.adapt();
        let len = self.bytes.len();
        let least = self.target / 8;
        let wanted = self.target.saturating_sub(len).max(least);
        let right_size = self.allocated != 0 && self.allocated <= self.target.max(2 * len);
        // In this order: the allocation is reused from its front if nobody else holds a part of it.
        let has_room = right_size && (self.bytes.try_reclaim(wanted) || self.spare() >= least);
        if !has_room {
            self.replace(self.target.max(2 * len));
        }
        self.offered = self.spare();
        &mut self.bytes
    }

    /// The last read says nothing about how much comes in small messages.
    pub(super) fn forget_last_read(&mut self) {
        self.offered = 0;
    }

    /// Gives back all that is not needed to hold the bytes present.
    pub(super) fn release(&mut self) {
        let len = self.bytes.len();
        if len == 0 {
            self.clear();
        } else if self.allocated > MIN_LEN.max(2 * len) {
            self.replace(len);
        }
        self.target = 0;
        self.small_reads = 0;
        self.forget_last_read();
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn spare(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Larger after a read that filled it, smaller after many that used little.
    fn adapt(&mut self) {
        self.target = self.target.max(MIN_LEN);
        let spare = self.spare();
        let read = self.offered.saturating_sub(spare);
        if read == 0 {
            return;
        }
        if spare == 0 {
            self.target = match planted!(ReadBufferUnbounded, self.target >= MAX_LEN) {
                true => self.target * 2,
                false => (self.target * 2).min(MAX_LEN),
            };
            self.small_reads = 0;
        } else if read >= self.target / 4 {
            self.small_reads = 0;
        } else {
            self.small_reads += 1;
            if self.small_reads == SMALL_READS_TO_SHRINK {
                self.target = (self.target / 2).max(MIN_LEN);
                self.small_reads = 0;
            }
        }
    }

    fn replace(&mut self, capacity: usize) {
        let mut bytes = BytesMut::with_capacity(capacity);
        bytes.extend_from_slice(&self.bytes);
        self.allocated = bytes.capacity();
        self.bytes = bytes;
    }
}

/// A message that is put together in memory of its own, which is given away whole.
#[derive(Default)]
pub(super) struct Assembly {
    bytes: BytesMut,
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
    /// The first allocation is `total` halved until it is small; from there it doubles as it fills
    /// (as every vector does), and so ends at the right size without having trusted the claim.
    pub(super) fn start(&mut self, total: usize, present: usize) {
        if self.bytes.capacity() > 0 {
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

    /// The message. Nothing is left.
    pub(super) fn take(&mut self) -> Bytes {
        if planted!(HugeMessageKept) {
            let message = Bytes::copy_from_slice(&self.bytes);
            self.bytes.clear();
            return message;
        }
        std::mem::take(&mut self.bytes).freeze()
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.bytes = BytesMut::new();
    }
}
