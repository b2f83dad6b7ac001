//! Randomness by key: a value is a hash of the seed, of what it is for, and of whom it concerns.
//!
//! There is no generator whose state one choice could change for another, and no key counts what
//! others have done before: tasks and timers draw by who has made them, connections by their path,
//! lines and calls by their text and name. A script without one of its lines, or a simulator with
//! one more knob, leaves the choices of everybody else as they were: what nodes do that the line does
//! not concern stays the same, event by event, unless something ties them to it (a shutdown waits
//! for all peers, a point of the script is awaited).

/// What a value is drawn for. Each has values of its own under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// The order of what happens in one instant.
    Tie = 1,
    /// How long a piece of bytes travels.
    Latency,
    /// Where written bytes are split.
    Split,
    /// How many bytes one write or one read takes.
    Share,
    /// How late a timer fires.
    Slack,
    /// What a node asks the system for as random.
    Entropy,
    /// The origins and rates of clocks.
    Clock,
    /// Whether a task is woken for nothing.
    Spurious,
    /// Which one.
    Chosen,
    /// Whether an application leaves what it was woken for.
    Laziness,
    /// For how long.
    Lateness,
    /// The configuration of a run.
    Swarm,
    /// What a script is made of.
    Script,
    /// The bytes of payloads.
    Content,
    /// What a hostile or a quirky peer does.
    Conduct,
    /// Whatever a user's simulation wants.
    User,
    /// When a task that yields has its turn again.
    Yield,
}

/// The values of one seed.
///
/// ```
/// use gridmux_sim::keyed::{Keyed, Purpose};
///
/// let keyed = Keyed::new(7);
/// assert_eq!(keyed.draw(Purpose::User, [1, 2, 3]), Keyed::new(7).draw(Purpose::User, [1, 2, 3]));
/// assert_ne!(keyed.draw(Purpose::User, [1, 2, 3]), keyed.draw(Purpose::User, [1, 2, 4]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed {
    seed: u64,
}

impl Keyed {
    /// All values of this seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The seed.
    pub const fn seed(self) -> u64 {
        self.seed
    }

    /// The value for this purpose and key.
    pub const fn draw(self, purpose: Purpose, key: [u64; 3]) -> u64 {
        let mut hash = mix(self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ purpose as u64);
        hash = mix(hash.wrapping_add(key[0]));
        hash = mix(hash.wrapping_add(key[1]));
        mix(hash.wrapping_add(key[2]))
    }

    /// A value below `bound`; 0 if that is 0.
    pub const fn below(self, purpose: Purpose, key: [u64; 3], bound: u64) -> u64 {
        ((self.draw(purpose, key) as u128 * bound as u128) >> 64) as u64
    }

    /// A value from `low` to `high`, both included; `low` if they are the wrong way round.
    pub const fn range(self, purpose: Purpose, key: [u64; 3], low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).saturating_add(1);
        low + self.below(purpose, key, span)
    }

    /// True in so many of a million cases.
    pub const fn chance(self, purpose: Purpose, key: [u64; 3], per_million: u64) -> bool {
        self.below(purpose, key, 1_000_000) < per_million
    }
}

/// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A key made of a text, such as the name of an operation.
pub const fn name_key(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = mix(hash ^ bytes[at] as u64);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::{Keyed, Purpose, name_key};

    #[test]
    fn bounds_hold_and_are_reached() {
        let keyed = Keyed::new(3);
        let drawn: Vec<u64> =
            (0..1_000).map(|n| keyed.range(Purpose::User, [n, 0, 0], 10, 13)).collect();
        assert!((10..=13).all(|value| drawn.contains(&value)));
        assert!(drawn.iter().all(|value| (10..=13).contains(value)));
        assert_eq!(keyed.below(Purpose::User, [0; 3], 0), 0);
        assert_eq!(keyed.range(Purpose::User, [0; 3], 5, 5), 5);
    }

    #[test]
    fn purposes_keys_and_seeds_have_values_of_their_own() {
        let of = |seed, purpose, key| Keyed::new(seed).draw(purpose, key);
        let one = of(1, Purpose::Tie, [1, 2, 3]);
        assert_ne!(one, of(2, Purpose::Tie, [1, 2, 3]));
        assert_ne!(one, of(1, Purpose::Latency, [1, 2, 3]));
        for key in [[2, 2, 3], [1, 3, 3], [1, 2, 4], [2, 1, 3]] {
            assert_ne!(one, of(1, Purpose::Tie, key));
        }
        assert_ne!(name_key("c1"), name_key("c2"));
    }
}
