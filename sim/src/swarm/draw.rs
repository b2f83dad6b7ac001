//! Choices by name, for the making of scripts.

use crate::keyed::{Keyed, Purpose, mix, name_key};

/// A place to draw choices from; each has a name, and no two disturb each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    keyed: Keyed,
    purpose: Purpose,
    place: u64,
}

impl Draw {
    pub(crate) const fn new(keyed: Keyed, purpose: Purpose) -> Self {
        Self { keyed, purpose, place: 0 }
    }

    /// A place within this one.
    pub(crate) const fn of(mut self, name: &str) -> Self {
        self.place = mix(self.place.wrapping_add(name_key(name)));
        self
    }

    /// One of many places within this one.
    pub(crate) const fn nth(mut self, n: u64) -> Self {
        self.place = mix(self.place.wrapping_add(n).wrapping_add(0x9e37_79b9_7f4a_7c15));
        self
    }

    const fn key(self, name: &str) -> [u64; 3] {
        [self.place, name_key(name), 0]
    }

    pub(crate) const fn below(self, name: &str, bound: u64) -> u64 {
        self.keyed.below(self.purpose, self.key(name), bound)
    }

    /// Both bounds included.
    pub(crate) const fn range(self, name: &str, low: u64, high: u64) -> u64 {
        self.keyed.range(self.purpose, self.key(name), low, high)
    }

    pub(crate) const fn one_in(self, name: &str, n: u64) -> bool {
        self.below(name, n) == 0
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(self, name: &str, from: &[T]) -> T {
        let at = self.below(name, from.len() as u64);
        from[usize::try_from(at).unwrap_or(0)]
    }

    /// One of several, by weight; the first if nothing has any.
    pub(crate) fn weighted<T: Copy>(self, name: &str, from: &[(u64, T)]) -> T {
        let sum = from.iter().map(|(weight, _)| weight).sum();
        let mut at = self.below(name, sum);
        for (weight, choice) in from {
            if at < *weight {
                return *choice;
            }
            at -= weight;
        }
        from[0].1
    }

    /// A time between two, of any magnitude: as often 1 to 10 ms as 1 to 10 s.
    pub(crate) fn spread(self, name: &str, low: u64, high: u64) -> u64 {
        let low = low.max(1);
        let doublings = u64::from((high / low).max(1).ilog2());
        let floor = low << self.below(name, doublings + 1);
        self.range(name, floor, (2 * floor).min(high).max(floor))
    }

    pub(crate) fn node(self, name: &str, nodes: usize) -> usize {
        usize::try_from(self.below(name, nodes as u64)).unwrap_or(0)
    }

    /// Two different nodes.
    pub(crate) fn pair(self, name: &str, nodes: usize) -> (usize, usize) {
        let one = self.of(name).node("one", nodes);
        let other = self.of(name).node("other", nodes - 1);
        (one, if other >= one { other + 1 } else { other })
    }
}
