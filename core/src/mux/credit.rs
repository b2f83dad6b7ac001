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
    /// Behind a large message of its mux.
    in_lane: bool,
    /// The number of its batch, or its own number in the lane.
    number: u64,
}

const NO_GROUP: Group = Group { count: 0, in_lane: false, number: 0 };

impl Group {
    fn has_left(self, owner: Owner, outbox: &Outbox) -> bool {
        match self.in_lane {
            true => !outbox.is_in_lane(owner, self.number),
            false => self.number < outbox.first_batch(),
        }
    }
}

impl Window {
    pub(crate) const fn new(capacity: u32) -> Self {
        Self { capacity, uncredited: 0, waiting: [NO_GROUP; 2] }
    }

    pub(crate) const fn capacity(&self) -> u32 {
        self.capacity
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
        let (in_lane, number) = match at {
            Position::Batch(number) => (false, number),
            Position::Lane(number) | Position::Large(number) => (true, number),
        };
        let fits = |group: &Group| {
            group.count == 0 || (!in_lane && !group.in_lane && group.number == number)
        };
        if !self.waiting.iter().any(fits) {
            self.settle(owner, outbox);
        }
        let group = &mut self.waiting[self.waiting.iter().position(fits).unwrap_or(1)];
        if group.count == 0 {
            (group.in_lane, group.number) = (in_lane, number);
        }
        group.count += 1;
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
