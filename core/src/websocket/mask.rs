//! Masking (RFC 6455 section 5.3): XOR with four bytes, repeated.

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

/// The masks of one channel: SplitMix64, so that the same seed gives the same bytes on the wire.
///
/// Masks are there against intermediaries that mistake payload for HTTP; they are no secret.
#[derive(Debug)]
pub(super) struct MaskSource(u64);

impl MaskSource {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next_mask(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [a, b, c, d, ..] = (mixed ^ (mixed >> 31)).to_le_bytes();
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::apply;

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
