//! The one generator of the machines, seeded by whoever builds them.

/// SplitMix64: small, fast, every seed good. For jitter, masks and hash keys,
/// never for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A value in `low..=high`, uniform but for a bias below 2^-32 at the ranges used here.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).saturating_add(1);
        low + ((u128::from(self.next_u64()) * u128::from(span)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn range_keeps_its_bounds_and_reaches_both() {
        let mut rng = Rng::new(7);
        let drawn: Vec<u64> = (0..1000).map(|_| rng.range(10, 13)).collect();
        assert!(drawn.iter().all(|v| (10..=13).contains(v)));
        assert!((10..=13).all(|v| drawn.contains(&v)));
        assert_eq!(rng.range(5, 5), 5);
    }
}
