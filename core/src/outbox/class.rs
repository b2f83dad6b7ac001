//! What a queued message is accounted for, and the accounts.

use std::ops::{AddAssign, SubAssign};

/// How a queued message is accounted for: each class has a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A message of the application: senders wait for room.
    Data,
    /// What one of the peer's calls or items is owed: acks, credits, answers to cancels. It is never
    /// refused; a peer that causes it and does not read loses the link.
    Answer,
    /// What the core answers to messages that belong to no call. The same holds.
    Reply,
}

/// Bytes that wait, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClassBytes([usize; 3]);

impl ClassBytes {
    pub(super) fn of(&self, class: Class) -> usize {
        self.0[class as usize]
    }

    pub(super) fn add(&mut self, class: Class, len: usize) {
        self.0[class as usize] += len;
    }

    pub(super) fn remove(&mut self, class: Class, len: usize) {
        self.0[class as usize] -= len;
    }
}

impl AddAssign for ClassBytes {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, len)| *sum += len);
    }
}

impl SubAssign for ClassBytes {
    fn sub_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, len)| *sum -= len);
    }
}
