//! Finds the live calls of the peer that have an id on the wire, which is the peer's choice.
//!
//! Nodes count their ids, or number them by slots: the low bits of an id are mostly its own among
//! those that live, and say where it is in a table. Where two are in each other's way, the later one
//! goes to a map whose hash is keyed: at worst, whatever ids are chosen, all but a few are there.

use std::hash::{BuildHasher, Hasher};

use hashbrown::HashMap;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// Places of the first table.
const FIRST: usize = 16;

/// The live calls with one id: a stream has it alone among streams, requests are a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Same {
    pub(super) stream: u32,
    /// The first one.
    pub(super) requests: u32,
}

impl Same {
    const EMPTY: Self = Self { stream: NONE, requests: NONE };

    pub(super) fn is_empty(self) -> bool {
        self == Self::EMPTY
    }
}

#[derive(Debug)]
pub(super) struct ById {
    /// By the low bits of the id. Its length is 0 or a power of two.
    table: Vec<(u64, Same)>,
    /// Places of the table that are taken.
    taken: usize,
    /// Ids whose place was taken. Never iterated, but for the checks of tests.
    others: HashMap<u64, Same, KeyedHash>,
}

impl ById {
    pub(super) fn new(hash_key: u64) -> Self {
        let others = HashMap::with_hasher(KeyedHash(hash_key));
        Self { table: Vec::new(), taken: 0, others }
    }

    /// The live calls with this id.
    pub(super) fn get(&self, id: u64) -> Same {
        match self.table.get(self.place(id)) {
            Some((taken_by, same)) if *taken_by == id && !same.is_empty() => *same,
            _ if self.others.is_empty() => Same::EMPTY,
            _ => self.others.get(&id).copied().unwrap_or(Same::EMPTY),
        }
    }

    /// These are the live calls with this id from now on.
    pub(super) fn set(&mut self, id: u64, same: Same) {
        if !self.others.is_empty()
            && let Some(found) = self.others.get_mut(&id)
        {
            if same.is_empty() {
                self.others.remove(&id);
            } else {
                *found = same;
            }
            return;
        }
        if self.set_in_table(id, same) || same.is_empty() {
            return;
        }
        if 2 * self.taken >= self.table.len() {
            self.grow();
            if self.set_in_table(id, same) {
                return;
            }
        }
        self.others.insert(id, same);
    }

    /// `false` if another id has its place.
    fn set_in_table(&mut self, id: u64, same: Same) -> bool {
        let place = self.place(id);
        let Some((taken_by, found)) = self.table.get_mut(place) else { return false };
        let was_free = found.is_empty();
        if *taken_by != id && !was_free {
            return false;
        }
        self.taken += usize::from(was_free);
        self.taken -= usize::from(same.is_empty());
        (*taken_by, *found) = (id, same);
        true
    }

    /// Twice as many places. Ids that were not in each other's way are not so afterwards.
    fn grow(&mut self) {
        let len = (2 * self.table.len()).max(FIRST);
        let former = std::mem::replace(&mut self.table, vec![(0, Same::EMPTY); len]);
        for (id, same) in former.into_iter().filter(|(_, same)| !same.is_empty()) {
            let place = self.place(id);
            self.table[place] = (id, same);
        }
    }

    fn place(&self, id: u64) -> usize {
        id as usize & self.table.len().wrapping_sub(1)
    }

    /// All that are live, for checks.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Same)> {
        let in_table = self.table.iter().copied().filter(|(_, same)| !same.is_empty());
        in_table.chain(self.others.iter().map(|(id, same)| (*id, *same)))
    }

    /// Internal consistency, for tests and simulation.
    ///
    /// # Panics
    /// If an id is not where it belongs.
    pub(super) fn check_invariants(&self) {
        let taken = self.table.iter().enumerate().filter(|(_, (_, same))| !same.is_empty());
        let taken = taken.inspect(|(place, (id, _))| assert_eq!(self.place(*id), *place, "{id}"));
        assert_eq!(taken.count(), self.taken, "taken places");
        for (id, same) in &self.others {
            assert!(!same.is_empty(), "{id} is kept without a call");
            let in_table = self.table.get(self.place(*id));
            assert!(
                in_table.is_none_or(|(other, same)| other != id || same.is_empty()),
                "{id} twice"
            );
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct KeyedHash(u64);

impl BuildHasher for KeyedHash {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher(self.0)
    }
}

#[derive(Clone, Copy, Debug)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        let mixed = u128::from(self.0 ^ id) * 0x9e37_79b9_7f4a_7c15_u128;
        self.0 = (mixed as u64) ^ ((mixed >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn stream(slot: u32) -> Same {
        Same { stream: slot, requests: NONE }
    }

    /// Sets all of these ids, and gives how many did not find their own place.
    fn in_the_way(ids: impl Iterator<Item = u64>) -> usize {
        let mut by_id = ById::new(7);
        ids.enumerate().for_each(|(slot, id)| by_id.set(id, stream(slot as u32)));
        by_id.check_invariants();
        by_id.others.len()
    }

    #[test]
    fn ids_by_slots_and_ids_that_are_counted_have_places_of_their_own() {
        let generations = |slot: u64| (1 << 63) | (slot % 7) << 32 | slot;
        assert_eq!(in_the_way((0..100_000).map(generations)), 0);
        assert_eq!(in_the_way(0x1234_5678_9abc_def0..0x1234_5678_9abc_def0 + 100_000), 0);
    }

    #[test]
    fn ids_that_are_chosen_to_be_in_each_others_way_are_found_by_their_keyed_hash() {
        let mut by_id = ById::new(7);
        for n in 0..10_000 {
            by_id.set(n << 32, stream(n as u32));
        }
        assert_eq!(by_id.others.len(), 9_999);
        assert_eq!(by_id.table.len(), FIRST);
        assert!((0..10_000).all(|n| by_id.get(n << 32) == stream(n as u32)));
    }

    #[test]
    fn the_table_is_no_larger_than_four_times_what_has_lived_at_once() {
        let mut by_id = ById::new(7);
        for n in 0..1_000_000_u64 {
            by_id.set(n, stream(1));
            by_id.set(n.wrapping_sub(100), Same::EMPTY);
        }
        assert_eq!(by_id.table.len(), 128, "the next one is never half taken");
        assert_eq!(by_id.iter().count(), 100);
    }

    proptest! {
        #[test]
        fn it_is_a_map(
            steps in prop::collection::vec((0_u64..40, 0_u64..3, 0_u32..3, 0_u32..3), 0..400),
        ) {
            let (mut by_id, mut model) = (ById::new(7), BTreeMap::new());
            let slot = |number: u32| number.checked_sub(1).unwrap_or(NONE);
            for (low, high, stream, requests) in steps {
                let id = high << 32 | low;
                let same = Same { stream: slot(stream), requests: slot(requests) };
                by_id.set(id, same);
                model.insert(id, same);
                by_id.check_invariants();
                for (id, same) in &model {
                    prop_assert_eq!(by_id.get(*id), *same);
                }
            }
            let live: BTreeMap<_, _> = by_id.iter().collect();
            model.retain(|_, same| !same.is_empty());
            prop_assert_eq!(live, model);
        }
    }
}
