//! Faults that a test asks for, to see that a bug in one link's machine harms that link only.

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
