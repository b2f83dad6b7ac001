//! Choices by key: a value is a hash of the seed and of what is chosen, so that no choice
//! disturbs another.

/// The choices of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    seed: u64,
}

impl Choices {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A value below `bound` for what `purpose` and `index` name.
    pub(crate) fn below(self, purpose: &str, index: u64, bound: u64) -> u64 {
        let mut hash = self.seed ^ 0x9e37_79b9_7f4a_7c15;
        for word in purpose.bytes().map(u64::from).chain([index]) {
            hash = mix(hash ^ word);
        }
        ((u128::from(hash) * u128::from(bound.max(1))) >> 64) as u64
    }
}

const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
