//! The generators of the machines, seeded by the caller.
//!
//! Two kinds, and one rule. [`KeyedRng`] makes everything that leaves the process or guards a map: keys
//! of upgrades, masks, nonces of tokens, hash keys, and every seed. From any number of its outputs
//! neither its key nor another output can be computed. [`WeakRng`] makes times alone; it is fast, has
//! 8 bytes, and can be inverted. No seed is ever drawn from it.

use std::fmt;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};

/// What everything random in a machine is made of: 32 bytes, to be kept secret.
///
/// In production the bytes come from the operating system
/// ([`Builder`](crate::builder::Builder) takes them from there). The same seed gives the same bytes on
/// the wire, so a test or a simulation makes one of a number:
///
/// ```
/// use gridmux_core::Seed;
///
/// assert_eq!(Seed::from(7), Seed::from(7));
/// assert_ne!(Seed::from(7), Seed::from(8));
/// assert_eq!(format!("{:?}", Seed::from(7)), "Seed(..)", "it is a secret");
/// ```
///
/// A seed made of a `u64` is as strong as 64 bits, which can be searched through by an enemy with much
/// time who sees one output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl From<[u8; 32]> for Seed {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Four words, each of them random.
impl From<[u64; 4]> for Seed {
    fn from(words: [u64; 4]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(words.map(u64::to_le_bytes).as_flattened());
        Self(bytes)
    }
}

/// For tests and simulations.
impl From<u64> for Seed {
    fn from(number: u64) -> Self {
        Self::from([number, 0, 0, 0])
    }
}

/// Does not show it.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// ChaCha8, without a buffer: 40 bytes. A draw of up to 256 bytes costs about 0.2 µs, whatever its
/// length, so callers that need many small ones draw them together.
#[derive(Clone, Debug)]
pub(crate) struct KeyedRng {
    key: Seed,
    /// Each draw is the beginning of a stream of its own, and none is used twice.
    drawn: u64,
}

impl KeyedRng {
    pub(crate) fn new(seed: impl Into<Seed>) -> Self {
        Self { key: seed.into(), drawn: 0 }
    }

    pub(crate) fn draw<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut stream = ChaCha8Rng::from_seed(self.key.0);
        stream.set_stream(self.drawn);
        self.drawn += 1;
        let mut bytes = [0; LEN];
        stream.fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.draw())
    }

    /// The seed of another generator: neither tells anything of the other.
    pub(crate) fn next_seed(&mut self) -> Seed {
        Seed(self.draw())
    }

    /// A generator for times.
    pub(crate) fn next_weak(&mut self) -> WeakRng {
        WeakRng::new(self.next_u64())
    }
}

/// SplitMix64: small, fast, every seed good, and invertible. For jitter and the spread of pings (and
/// for tests), never for what a peer sees or for seeds.
#[derive(Clone, Debug)]
pub(crate) struct WeakRng(u64);

impl WeakRng {
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
pub(crate) mod tests {
    use super::*;

    #[test]
    fn range_keeps_its_bounds_and_reaches_both() {
        let mut rng = WeakRng::new(7);
        let drawn: Vec<u64> = (0..1000).map(|_| rng.range(10, 13)).collect();
        assert!(drawn.iter().all(|v| (10..=13).contains(v)));
        assert!((10..=13).all(|v| drawn.contains(&v)));
        assert_eq!(rng.range(5, 5), 5);
    }

    /// The state that SplitMix64 had when it gave this output: all that its future depends on.
    pub(crate) fn state_behind(output: u64) -> u64 {
        let unshift = |mut z: u64, by: u32| {
            let shifted = z;
            for _ in 0..64 / by {
                z = shifted ^ (z >> by);
            }
            z
        };
        let inverse = |odd: u64| {
            (0..6).fold(odd, |x, _| x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x))))
        };
        let z = unshift(output, 31).wrapping_mul(inverse(0x94d0_49bb_1331_11eb));
        let z = unshift(z, 27).wrapping_mul(inverse(0xbf58_476d_1ce4_e5b9));
        unshift(z, 30)
    }

    #[test]
    fn one_output_gives_the_weak_generator_away_and_not_the_keyed_one() {
        let mut weak = WeakRng::new(7);
        let seen = weak.next_u64();
        assert_eq!(
            WeakRng::new(state_behind(seen)).next_u64(),
            weak.next_u64(),
            "the attack works"
        );

        let mut keyed = KeyedRng::new(7);
        let seen = keyed.next_u64();
        assert_ne!(WeakRng::new(state_behind(seen)).next_u64(), keyed.next_u64());
    }

    #[test]
    fn the_keyed_generator_is_chacha8_with_a_stream_for_each_draw() {
        let mut rng = KeyedRng::new([0; 32]);
        // ChaCha8, key 0, IV 0, block 0 (draft-strombergson-chacha-test-vectors).
        let first = [0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6];
        assert_eq!(rng.draw::<8>(), first);
        assert_ne!(rng.draw::<8>(), first);
    }

    #[test]
    fn the_same_seed_gives_the_same_and_any_other_bit_something_else() {
        let drawn = |seed: [u8; 32]| KeyedRng::new(seed).next_seed();
        assert_eq!(drawn([0; 32]), drawn([0; 32]));
        for bit in 0..256 {
            let mut seed = [0; 32];
            seed[bit / 8] = 1 << (bit % 8);
            assert_ne!(drawn(seed), drawn([0; 32]), "bit {bit}");
        }
    }
}
