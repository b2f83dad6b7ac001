//! Faults that a test asks for, to see that a bug in one link's machine harms that link only; and
//! the count of bugs that were caught, so that a test can fail for them.

use std::cell::Cell;

thread_local! {
    static BUGS: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn count_bug() {
    BUGS.set(BUGS.get() + 1);
}

/// How many panics of machines were caught on this thread since this was asked last. Each was
/// logged, cost its link, and is a bug.
pub fn take_bugs() -> u64 {
    BUGS.replace(0)
}

/// Where a link's machine is to panic, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// In the task that drives the link.
    Driving,
    /// In whatever a user does next: a call, an item, an answer.
    Using,
}

impl Fault {
    pub(crate) fn strikes(self, driving: bool) -> bool {
        driving == (self == Self::Driving)
    }
}
