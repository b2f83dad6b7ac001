//! Large messages: one lane a mux, the lanes take turns.

use std::collections::{BTreeMap, VecDeque};

use super::class::ClassBytes;
use super::{Class, LargeMessage, Owner};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: LargeMessage,
    pub(super) len: usize,
    pub(super) class: Class,
    number: u64,
    /// The batches below this number have to leave first: they may hold messages of the same mux.
    not_before: u64,
}

/// Every lane begins with a large message; what follows in it waits behind that one.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<Owner, VecDeque<Entry>>,
    turns: VecDeque<Owner>,
    /// Messages that came to a lane so far.
    pushed: u64,
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether later messages of this mux have to wait here.
    pub(super) fn holds(&self, owner: Owner) -> bool {
        !self.turns.is_empty() && self.lanes.contains_key(&owner)
    }

    /// Whether the message of this number, as [`Self::push`] gave it, is still in its lane.
    pub(super) fn holds_number(&self, owner: Owner, number: u64) -> bool {
        let front = self.lanes.get(&owner).and_then(VecDeque::front);
        front.is_some_and(|front| front.number <= number)
    }

    /// Puts a message at the end of its lane; the result is its number.
    pub(super) fn push(
        &mut self,
        owner: Owner,
        message: LargeMessage,
        len: usize,
        class: Class,
        not_before: u64,
    ) -> u64 {
        self.pushed += 1;
        let number = self.pushed;
        let lane = self.lanes.entry(owner).or_default();
        if lane.is_empty() {
            self.turns.push_back(owner);
        }
        lane.push_back(Entry { message, len, class, number, not_before });
        number
    }

    /// The next large message that may leave when all batches below `first_batch` have left.
    /// What follows it, up to the next large one, is to be taken with [`Self::take_small`] at once.
    pub(super) fn take(&mut self, first_batch: u64) -> Option<(Owner, Entry)> {
        if self.turns.is_empty() {
            return None;
        }
        let may_leave = |owner: &Owner| {
            let front = self.lanes.get(owner).and_then(VecDeque::front);
            front.is_some_and(|entry| {
                entry.not_before <= first_batch || planted!(LargeOvertakesSmall)
            })
        };
        let turn = self.turns.iter().position(may_leave)?;
        let owner = self.turns.remove(turn)?;
        let lane = self.lanes.get_mut(&owner)?;
        let entry = lane.pop_front()?;
        if lane.is_empty() {
            self.lanes.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        Some((owner, entry))
    }

    /// The next message of this lane if it is no longer than `limit`. Otherwise the lane goes on
    /// once the batches below `next_batch` have left.
    pub(super) fn take_small(
        &mut self,
        owner: Owner,
        limit: usize,
        next_batch: u64,
    ) -> Option<Entry> {
        let lane = self.lanes.get_mut(&owner)?;
        let front = lane.front_mut()?;
        if front.len > limit {
            front.not_before = next_batch;
            return None;
        }
        let entry = lane.pop_front();
        if lane.is_empty() {
            self.lanes.remove(&owner);
            self.turns.retain(|o| *o != owner);
        }
        entry
    }

    /// Forgets a lane; what it held is returned for the accounts.
    pub(super) fn discard(&mut self, owner: Owner) -> Vec<(usize, Class)> {
        let Some(lane) = self.lanes.remove(&owner) else { return Vec::new() };
        self.turns.retain(|o| *o != owner);
        lane.into_iter().map(|entry| (entry.len, entry.class)).collect()
    }

    /// Bytes that wait here.
    pub(super) fn bytes(&self) -> ClassBytes {
        let mut bytes = ClassBytes::default();
        self.lanes.values().flatten().for_each(|entry| bytes.add(entry.class, entry.len));
        bytes
    }
}
