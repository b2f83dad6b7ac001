//! Credits at both ends: how many more items may be sent before the other end has taken some.

use crate::outbox::{Outbox, Owner, Position};

/// The credits of a sender. Never more than the capacity; surplus ones are ignored (PROTOCOL.md section 5.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credits {
    available: u32,
    capacity: u32,
}

impl Credits {
    /// None until [`Self::fill`].
    pub(crate) const fn empty(capacity: u32) -> Self {
        Self { available: 0, capacity }
    }

    pub(crate) const fn full(capacity: u32) -> Self {
        Self { available: capacity, capacity }
    }

    pub(crate) const fn fill(&mut self) {
        self.available = self.capacity;
    }

    pub(crate) const fn available(&self) -> u32 {
        self.available
    }

    pub(crate) fn grant(&mut self) {
        let granted = self.available.saturating_add(1);
        if planted!(CreditBeyondCapacity, granted > self.capacity) {
            self.capacity = granted;
        }
        self.available = granted.min(self.capacity);
    }

    /// Spends one; `false` if there is none.
    #[must_use]
    pub(crate) const fn spend(&mut self) -> bool {
        if self.available == 0 {
            return false;
        }
        self.available -= 1;
        true
    }
}

/// What a receiver has allowed the sender: its capacity, less the items for which no credit has left.
///
/// A credit that waits in our own queue is not out yet, so a sender that goes on without reading has
/// none left, and what waits for it stays bounded by the capacity (PROTOCOL.md section 5.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    capacity: u32,
    /// Items for which no credit has been queued.
    uncredited: u32,
    /// Credits that were queued, with the position of the oldest of each group. Two groups are enough
    /// to err on the sender's side alone: the younger one counts as out with its oldest credit.
    waiting: [Group; 2],
}

#[derive(Clone, Copy, Debug)]
struct Group {
    count: u32,
    /// The batch that it waits in, or [`IN_LANE`].
    batch: u64,
}

/// It waits behind a large message of its mux.
const IN_LANE: u64 = u64::MAX;

const NO_GROUP: Group = Group { count: 0, batch: 0 };

impl Group {
    fn has_left(self, owner: Owner, outbox: &Outbox) -> bool {
        match self.batch {
            IN_LANE => !outbox.holds_lane(owner),
            batch => batch < outbox.first_batch(),
        }
    }
}

impl Window {
    pub(crate) const fn new(capacity: u32) -> Self {
        Self { capacity, uncredited: 0, waiting: [NO_GROUP; 2] }
    }

    /// An item has come; `false` if the sender had no credit for it.
    #[must_use]
    pub(crate) fn take(&mut self, owner: Owner, outbox: &Outbox) -> bool {
        if !self.has_room() {
            self.settle(owner, outbox);
        }
        let covered = self.has_room();
        self.uncredited += u32::from(covered);
        covered
    }

    /// The credit for an item has been queued there.
    pub(crate) fn give_back(&mut self, at: Position, owner: Owner, outbox: &Outbox) {
        self.uncredited = self.uncredited.saturating_sub(1);
        let batch = match at {
            Position::Batch(batch) => batch,
            Position::Lane | Position::Large(_) => IN_LANE,
        };
        let fits = |group: &Group| group.count == 0 || group.batch == batch;
        if !self.waiting.iter().any(fits) {
            self.settle(owner, outbox);
        }
        let group = self.waiting.iter().position(fits).unwrap_or(1);
        if self.waiting[group].count == 0 {
            self.waiting[group].batch = batch;
        }
        self.waiting[group].count += 1;
    }

    fn has_room(&self) -> bool {
        let waiting = u64::from(self.waiting[0].count) + u64::from(self.waiting[1].count);
        u64::from(self.uncredited) + waiting < u64::from(self.capacity)
    }

    fn settle(&mut self, owner: Owner, outbox: &Outbox) {
        for _ in 0..self.waiting.len() {
            if self.waiting[0].count > 0 && !self.waiting[0].has_left(owner, outbox) {
                return;
            }
            self.waiting = [self.waiting[1], NO_GROUP];
        }
    }
}
