//! Memory for received payloads of middling size: a few share a chunk, and a chunk of which all are
//! dropped is used again.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A payload keeps at most so many times its own length alive.
const SHARERS: usize = 4;

/// Of the smallest chunks; others are twice, four times and eight times as large.
const SMALLEST: usize = 1024;

/// A shorter payload has an allocation of its own.
const SHARED_FROM: usize = SMALLEST / SHARERS;

/// Sizes of chunks.
const CLASSES: usize = 4;

/// Bytes of full chunks of one size that are kept to be used again.
const KEPT: usize = 512 * 1024;

/// Chunks that are looked at before memory is allocated.
const TRIES: usize = 4;

/// Copies payloads into chunks.
///
/// One thread receives payloads and others drop them: were each an allocation, those threads would
/// wait for each other where the allocator has locks, as glibc's does.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    classes: [Class; CLASSES],
}

/// Chunks of one size.
#[derive(Debug, Default)]
struct Class {
    /// What is left of the newest one.
    left: Option<BytesMut>,
    /// The others, the oldest first; their payloads may be in use.
    full: VecDeque<BytesMut>,
}

impl Chunks {
    /// A copy of `payload`.
    pub(super) fn copy(&mut self, payload: &[u8]) -> Bytes {
        let len = payload.len();
        if len < SHARED_FROM {
            return Bytes::copy_from_slice(payload);
        }
        // The largest that is at most `SHARERS` times as long.
        let class = (len / SHARED_FROM).ilog2() as usize;
        match self.classes.get_mut(class) {
            Some(class_of_len) => class_of_len.copy(payload, SMALLEST << class),
            None => Bytes::copy_from_slice(payload),
        }
    }

    /// Gives back what is not in use.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Class {
    fn copy(&mut self, payload: &[u8], size: usize) -> Bytes {
        let mut left = match self.left.take() {
            Some(left) if left.capacity() >= payload.len() => left,
            former => self.next(former, size),
        };
        left.extend_from_slice(payload);
        let copy = left.split().freeze();
        self.left = Some(left);
        copy
    }

    /// The chunk after the `former` one, which is full.
    fn next(&mut self, former: Option<BytesMut>, size: usize) -> BytesMut {
        let next = self.reclaim(size).unwrap_or_else(|| BytesMut::with_capacity(size));
        if let Some(former) = former {
            if self.full.len() * size >= KEPT {
                // It belongs to its payloads alone now.
                self.full.pop_front();
            }
            self.full.push_back(former);
        }
        next
    }

    /// One of the oldest, if nobody uses it any more.
    fn reclaim(&mut self, size: usize) -> Option<BytesMut> {
        for _ in 0..TRIES.min(self.full.len()) {
            let mut oldest = self.full.pop_front()?;
            if oldest.try_reclaim(size) {
                return Some(oldest);
            }
            self.full.push_back(oldest);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_keeps_at_most_four_times_its_length_alive() {
        let mut chunks = Chunks::default();
        for len in [256, 300, 511, 512, 1000, 1024, 4095] {
            let kept: Vec<_> = (0..100).map(|_| chunks.copy(&vec![7; len])).collect();
            assert!(kept.iter().all(|payload| payload == &vec![7; len]));
            let begins = |pair: &[Bytes]| pair[1].as_ptr() != pair[0].as_ptr().wrapping_add(len);
            let mates = kept[1..].chunk_by(|a, b| !begins(&[a.clone(), b.clone()]));
            let most = mates.map(<[Bytes]>::len).max();
            assert!(most.is_some_and(|most| (2..=SHARERS).contains(&most)), "{most:?} of {len}");
        }
    }

    #[test]
    fn short_payloads_have_memory_of_their_own() {
        let mut chunks = Chunks::default();
        let payloads: Vec<_> = (0..8).map(|_| chunks.copy(&[7; 255])).collect();
        assert!(payloads.iter().all(Bytes::is_unique));
        let shared: Vec<_> = (0..2).map(|_| chunks.copy(&[7; 256])).collect();
        assert!(shared.iter().all(|payload| !payload.is_unique()));
    }

    #[test]
    fn memory_whose_payloads_are_dropped_is_used_again() {
        let mut chunks = Chunks::default();
        let first = chunks.copy(&[1; 512]).as_ptr();
        for _ in 0..SHARERS - 1 {
            drop(chunks.copy(&[2; 512]));
        }
        let elsewhere = chunks.copy(&[3; 512]);
        assert_ne!(elsewhere.as_ptr(), first);
        for _ in 0..SHARERS - 1 {
            drop(chunks.copy(&[4; 512]));
        }
        assert_eq!(chunks.copy(&[5; 512]).as_ptr(), first);
        assert_eq!(elsewhere, [3; 512][..]);
    }

    #[test]
    fn payloads_that_stay_do_not_make_it_keep_ever_more() {
        let mut chunks = Chunks::default();
        let kept: Vec<_> = (0..10_000).map(|_| chunks.copy(&[1; 512])).collect();
        assert!(chunks.classes[1].full.len() <= KEPT / (2 * SMALLEST));
        drop(kept);
        chunks.clear();
        assert_eq!(chunks.classes[1].full.len(), 0);
    }
}
