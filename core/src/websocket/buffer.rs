//! Memory for received bytes (DESIGN.md section 3.4): it grows only as bytes arrive, and is given
//! back.

use bytes::{Buf, Bytes, BytesMut};

/// The read buffer at rest, in bytes.
pub(super) const MIN_LEN: usize = 8 * 1024;

/// The read buffer under load, in bytes.
pub(super) const MAX_LEN: usize = 256 * 1024;

/// So many reads in a row that used less than a quarter of the buffer halve it.
const SMALL_READS_TO_SHRINK: u8 = 32;

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
