//! Masking (RFC 6455 section 5.3): XOR with four bytes, repeated.

use crate::rng::{KeyedRng, Seed};

/// XORs `bytes` with `mask`, in place. `offset` is how many bytes of the same frame came before:
/// a frame may be unmasked piece by piece.
pub(super) fn apply(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let turn = offset % 4;
    let mask = [mask[turn], mask[(turn + 1) % 4], mask[(turn + 2) % 4], mask[(turn + 3) % 4]];
    let word = u64::from(u32::from_ne_bytes(mask));
    let word = word << 32 | word;
    // Eight bytes at a time is a form that the compiler turns into vector instructions.
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The mask of a frame's payload that is masked piece by piece; nothing if the frame has none.
#[derive(Debug)]
pub(crate) struct PayloadMask {
    mask: Option<[u8; 4]>,
    done: usize,
}

impl PayloadMask {
    pub(super) fn new(mask: Option<[u8; 4]>) -> Self {
        Self { mask, done: 0 }
    }

    /// Masks the next bytes of the payload.
    pub(crate) fn apply(&mut self, piece: &mut [u8]) {
        if let Some(mask) = self.mask {
            apply(piece, mask, self.done % 4);
            self.done += piece.len();
        }
    }
}

/// Masks that are drawn together: as many bytes as the generator makes at a time.
const BATCH: usize = 64;

/// The masks of one channel; the same seed gives the same bytes on the wire.
///
/// Masks are there against intermediaries that mistake payload for HTTP: they must not be foreseen by
/// those who choose payloads and see earlier frames (RFC 6455 section 10.3).
#[derive(Debug)]
pub(super) struct MaskSource {
    rng: KeyedRng,
    /// Masks that are not used yet: empty until the first frame, and while the link idles.
    batch: Vec<[u8; 4]>,
}

impl MaskSource {
    pub(super) fn new(seed: Seed) -> Self {
        Self { rng: KeyedRng::new(seed), batch: Vec::new() }
    }

    #[inline]
    pub(super) fn next_mask(&mut self) -> [u8; 4] {
        match self.batch.pop() {
            Some(mask) => mask,
            None => self.refill(),
        }
    }

    #[cold]
    fn refill(&mut self) -> [u8; 4] {
        let bytes: [u8; BATCH * 4] = self.rng.draw();
        let (masks, _) = bytes.as_chunks::<4>();
        let (first, others) = masks.split_at(1);
        self.batch.extend_from_slice(others);
        first[0]
    }

    /// Gives the memory of the batch back.
    pub(super) fn release(&mut self) {
        self.batch = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_mask_comes_twice_in_a_row_of_batches_whether_the_link_idles_or_not() {
        let masks = |idles: bool| {
            let mut source = MaskSource::new(Seed::from(1));
            let mut next = |n: usize| {
                if idles && n % 100 == 99 {
                    source.release();
                }
                u32::from_ne_bytes(source.next_mask())
            };
            (0..4 * BATCH).map(&mut next).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(masks(false).len(), 4 * BATCH);
        assert_eq!(masks(true).len(), 4 * BATCH);
        assert_eq!(masks(true), masks(true));
    }

    #[test]
    fn masking_agrees_with_the_definition_at_every_length_and_offset() {
        let mask = [0x11, 0x22, 0x44, 0x88];
        for len in 0..70 {
            for offset in 0..9 {
                let plain: Vec<u8> = (0..len).collect();
                let mut masked = plain.clone();
                apply(&mut masked, mask, offset);
                for (index, (plain, masked)) in plain.iter().zip(&masked).enumerate() {
                    assert_eq!(*masked, plain ^ mask[(index + offset) % 4]);
                }
            }
        }
    }
}
