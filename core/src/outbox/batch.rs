//! Small messages, encoded where they are queued: each batch is the frame it leaves in.

use std::collections::VecDeque;

use super::class::ClassBytes;
use super::{BATCH_LIMIT, Class, FRAME_ROOM};
use crate::wire::{MAX_PARTS, MERGE_HEADER_LEN, Prepared, part_header_len, write_merge_header};

/// Buffers kept for reuse.
const POOL: usize = 8;

/// Where the first part's header begins.
const PARTS_START: usize = FRAME_ROOM + MERGE_HEADER_LEN;

#[derive(Debug)]
struct Batch {
    buf: Vec<u8>,
    parts: u8,
    first_part_header: usize,
    bytes: ClassBytes,
}

/// A batch that leaves.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) buf: Vec<u8>,
    pub(super) start: usize,
    pub(super) messages: usize,
    pub(super) bytes: ClassBytes,
}

#[derive(Debug)]
pub(super) struct Batches {
    first: u64,
    waiting: VecDeque<Batch>,
    pool: Vec<Vec<u8>>,
}

impl Batches {
    pub(super) fn new() -> Self {
        Self { first: 0, waiting: VecDeque::new(), pool: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_one_message(&self) -> bool {
        self.waiting.len() == 1 && self.waiting.front().is_some_and(|batch| batch.parts == 1)
    }

    /// Whether nothing can join the batch that leaves next.
    pub(super) fn is_full(&self) -> bool {
        let is_full = |batch: &Batch| usize::from(batch.parts) == MAX_PARTS;
        self.waiting.len() > 1 || self.waiting.front().is_some_and(is_full)
    }

    /// The number of the batch that leaves next; all lower ones have left.
    pub(super) fn first_number(&self) -> u64 {
        self.first
    }

    /// The number of the batch that would be begun next.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    /// Appends the message, and says in which batch.
    pub(super) fn push(&mut self, mut message: Prepared<'_>, class: Class) -> u64 {
        let len = message.encoded_len();
        let part_header = part_header_len(len);
        let fits = |batch: &Batch| {
            usize::from(batch.parts) < MAX_PARTS
                && batch.buf.len() + part_header + len <= PARTS_START + BATCH_LIMIT + 3
        };
        if !self.waiting.back().is_some_and(fits) {
            let mut buf = self.buffer();
            buf.resize(PARTS_START, 0);
            self.waiting.push_back(Batch {
                buf,
                parts: 0,
                first_part_header: part_header,
                bytes: ClassBytes::default(),
            });
        }
        let number = self.next_number() - 1;
        if let Some(batch) = self.waiting.back_mut() {
            message.encode_part(&mut batch.buf);
            batch.parts += 1;
            batch.bytes.add(class, len);
        }
        number
    }

    /// The oldest batch, its merge header written if it has more than one part.
    pub(super) fn take(&mut self) -> Option<Leaving> {
        let mut batch = self.waiting.pop_front()?;
        self.first += 1;
        let start = if batch.parts == 1 {
            PARTS_START + batch.first_part_header
        } else {
            write_merge_header(&mut batch.buf[FRAME_ROOM..PARTS_START], batch.parts);
            FRAME_ROOM
        };
        Some(Leaving { buf: batch.buf, start, messages: batch.parts.into(), bytes: batch.bytes })
    }

    /// An empty buffer, reused where there is one.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_default()
    }

    pub(super) fn recycle(&mut self, mut buf: Vec<u8>) {
        if self.pool.len() < POOL && buf.capacity() <= 2 * BATCH_LIMIT + PARTS_START {
            buf.clear();
            self.pool.push(buf);
        }
    }

    pub(super) fn shrink(&mut self) {
        self.pool = Vec::new();
        self.waiting.shrink_to_fit();
    }

    pub(super) fn clear(&mut self) {
        self.first += self.waiting.len() as u64;
        self.waiting.clear();
    }

    /// Bytes that wait here.
    pub(super) fn bytes(&self) -> ClassBytes {
        let mut bytes = ClassBytes::default();
        self.waiting.iter().for_each(|batch| bytes += batch.bytes);
        bytes
    }
}
