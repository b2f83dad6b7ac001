//! Memory that all links of a node hold together: [`Limits::node_bytes`](crate::limits::Limits::node_bytes).
//!
//! Links share nothing else that changes. Each tells of what it holds under its own lock, and only
//! when that has changed by a step, so that small messages do not contend for the sum.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A link tells of a change that is at least as large as this, in bytes.
const STEP: usize = 256 << 10;

/// A link that holds no more than this is never refused anything for what others hold.
const SMALL: usize = 1 << 20;

/// The sum over all links.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    held: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: AtomicUsize::new(0) })
    }
}

/// One link's part of a [`Budget`].
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    told: usize,
}

impl Share {
    pub(super) const fn new(budget: Arc<Budget>) -> Self {
        Self { budget, told: 0 }
    }

    /// The link holds this many bytes now.
    pub(super) fn tell(&mut self, held: usize) {
        let change = held.abs_diff(self.told);
        if change < STEP.min(self.budget.limit / 64) {
            return;
        }
        if held > self.told {
            self.budget.held.fetch_add(change, Ordering::Relaxed);
        } else {
            self.budget.held.fetch_sub(change, Ordering::Relaxed);
        }
        self.told = held;
    }

    /// Whether a link that holds `held` bytes is to take no `more` of them.
    pub(super) fn is_over(&self, held: usize, more: usize) -> bool {
        let wanted = held.saturating_add(more);
        if wanted <= SMALL.min(self.budget.limit / 16) {
            return false;
        }
        let others = self.budget.held.load(Ordering::Relaxed).saturating_sub(self.told);
        others.saturating_add(wanted) > self.budget.limit
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.told, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64 << 20;

    #[test]
    fn links_that_hold_much_are_refused_beyond_the_limit_of_all_and_others_are_not() {
        let budget = Budget::new(LIMIT);
        let [mut first, mut second, third] = [(); 3].map(|()| Share::new(budget.clone()));
        first.tell(LIMIT / 2);
        second.tell(LIMIT / 2);
        assert!(!first.is_over(LIMIT / 2, 0), "at the limit");
        assert!(first.is_over(LIMIT / 2, 1));
        assert!(!third.is_over(0, SMALL));
        assert!(third.is_over(0, SMALL + 1));
        second.tell(0);
        assert!(!first.is_over(LIMIT / 2, 1));
        assert!(!third.is_over(0, LIMIT / 2));
    }

    #[test]
    fn small_changes_are_not_told_and_a_link_that_is_gone_gives_all_back() {
        let budget = Budget::new(LIMIT);
        let held = || budget.held.load(Ordering::Relaxed);
        let mut link = Share::new(budget.clone());
        link.tell(STEP - 1);
        assert_eq!(held(), 0);
        link.tell(STEP);
        link.tell(2 * STEP - 1);
        assert_eq!(held(), STEP);
        drop(link);
        assert_eq!(held(), 0);
    }
}
