//! What the applications of a run have seen, in order: all that a user could know.

use std::sync::{Arc, Mutex, PoisonError};

use gridmux_core::error::{CallError, CancelReason};

/// The number of a call in its script, in the order of the lines.
pub type CallId = usize;

/// Something that an application has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    // ---- at the caller ----
    /// The call was made: its future was polled for the first time.
    Issued,
    /// A stream is open.
    Opened,
    /// `send` was done with an item: the how-manieth, from 0.
    Sent(u32),
    /// `send` has failed.
    SendFailed(CallError),
    /// The sending half was closed in order.
    Closed,
    /// An item was taken: the how-manieth, from 0, and whether it is the one that was sent.
    Taken(u32, bool),
    /// The one end: of a single request, of a stream, or of opening it. `Ok` says whether the
    /// result is the right one; the orderly end of a stream of items is always right.
    Ended(Result<bool, CallError>),
    /// After the end, something else than `None` came.
    AfterEnd,
    /// The application has dropped the call.
    Dropped,

    // ---- at the callee ----
    /// The handler runs; whether it got what the caller gave.
    Started(bool),
    /// It has taken an item of the input: the how-manieth, and whether it is the right one.
    InputTaken(u32, bool),
    /// The input has ended, in order or with a reason.
    InputEnded(Result<(), CancelReason>),
    /// Its `send` was done with an item.
    OutputSent(u32),
    /// Its `send` has failed.
    OutputFailed,
    /// It was told that it is cancelled.
    Cancelled(CancelReason),
    /// It has returned: in order, or with an error.
    Returned(bool),
    /// It is about to panic.
    Panicked,
    /// Its future was dropped before it returned.
    HandlerDropped,
}

impl Sight {
    /// Whether callers see it, not handlers.
    pub const fn is_of_caller(&self) -> bool {
        matches!(
            self,
            Self::Issued
                | Self::Opened
                | Self::Sent(_)
                | Self::SendFailed(_)
                | Self::Closed
                | Self::Taken(..)
                | Self::Ended(_)
                | Self::AfterEnd
                | Self::Dropped
        )
    }
}

/// What was seen, when and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Simulated nanoseconds.
    pub at: u64,
    /// The node.
    pub node: usize,
    /// The how-manieth life of it.
    pub life: u64,
    /// What the node's own monotonic clock showed, in nanoseconds.
    pub clock: u64,
    /// The call that it is about.
    pub call: CallId,
    /// At the callee, the how-manieth handler of this call in this run, from 0. At the caller it is
    /// 0 as well: whose sight it is, [`Sight::is_of_caller`] says.
    pub serving: u32,
    /// What.
    pub sight: Sight,
}

/// Everything that the applications have seen.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl History {
    /// Adds an entry.
    pub fn push(&self, entry: Entry) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of all entries, in the order in which they came.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
