//! What the nodes of the lock service ask each other.

use gridmux_tokio::route::Unary;
use serde::{Deserialize, Serialize};

/// See [`LockOp`].
const LOCK: Unary<LockArgs, LockReply> = Unary::new(1, "lock");
const READ_LOCK: Unary<LockArgs, LockReply> = Unary::new(2, "read-lock");
const UNLOCK: Unary<LockArgs, LockReply> = Unary::new(3, "unlock");
const READ_UNLOCK: Unary<LockArgs, LockReply> = Unary::new(4, "read-unlock");
const REFRESH: Unary<LockArgs, LockReply> = Unary::new(5, "refresh");
const FORCE_UNLOCK: Unary<LockArgs, LockReply> = Unary::new(6, "force-unlock");

/// What a lock table can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockOp {
    Lock,
    ReadLock,
    Unlock,
    ReadUnlock,
    Refresh,
    ForceUnlock,
}

impl LockOp {
    pub(crate) const ALL: [Self; 6] = [
        Self::Lock,
        Self::ReadLock,
        Self::Unlock,
        Self::ReadUnlock,
        Self::Refresh,
        Self::ForceUnlock,
    ];

    pub(crate) const fn route(self) -> Unary<LockArgs, LockReply> {
        match self {
            Self::Lock => LOCK,
            Self::ReadLock => READ_LOCK,
            Self::Unlock => UNLOCK,
            Self::ReadUnlock => READ_UNLOCK,
            Self::Refresh => REFRESH,
            Self::ForceUnlock => FORCE_UNLOCK,
        }
    }
}

/// Which lock, and who asks: one number for each attempt to get it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LockArgs {
    pub(crate) lock: String,
    pub(crate) uid: u64,
}

/// One node's answer, with what it answers to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LockReply {
    pub(crate) by: String,
    pub(crate) uid: u64,
    pub(crate) verdict: Verdict,
}

/// What one lock table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// Done.
    Yes,
    /// Somebody else holds the lock.
    Held,
    /// The asker does not hold the lock here.
    NotHeld,
    /// The node has just started: what it granted before may still be held.
    NotReady,
}
