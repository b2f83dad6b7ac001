//! Credits: how many more items may be sent before the other end has taken some.

/// Never more than the capacity; surplus ones are ignored (PROTOCOL.md section 5.2).
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
