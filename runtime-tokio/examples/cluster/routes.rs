//! What the nodes of the cluster ask each other.

use gridmux_tokio::payload::{MsgBytes, NoPayload, Payload};
use gridmux_tokio::route::{ServerStream, TwoWay, Unary};
use serde::{Deserialize, Serialize};

use crate::walk::WalkItem;

/// The routes of the lock service; see [`LockOp`].
pub(crate) const LOCK: Unary<LockArgs, LockReply> = Unary::new(1, "lock");
pub(crate) const READ_LOCK: Unary<LockArgs, LockReply> = Unary::new(2, "read-lock");
pub(crate) const UNLOCK: Unary<LockArgs, LockReply> = Unary::new(3, "unlock");
pub(crate) const READ_UNLOCK: Unary<LockArgs, LockReply> = Unary::new(4, "read-unlock");
pub(crate) const REFRESH: Unary<LockArgs, LockReply> = Unary::new(5, "refresh");
pub(crate) const FORCE_UNLOCK: Unary<LockArgs, LockReply> = Unary::new(6, "force-unlock");

/// The entries below the node's directory, in order, then a summary.
pub(crate) const WALK: ServerStream<NoPayload, WalkItem> =
    ServerStream::new(7, "walk-dir").out_capacity(16);

/// A question that no other is like, and an answer that must match it.
pub(crate) const ASK: Unary<Question, Answer> = Unary::new(80, "ask");

/// Whatever is said is heard, in order.
pub(crate) const TALK: TwoWay<NoPayload, Said, Heard> =
    TwoWay::new(81, "talk").in_capacity(4).out_capacity(4);

/// Bytes that come back as they are.
pub(crate) const ECHO: Unary<Payload, Payload> = Unary::new(82, "echo");

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

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) id: u64,
    pub(crate) text: MsgBytes,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) id: u64,
    /// Who answers.
    pub(crate) by: String,
    /// Who asked, as the answerer knows it.
    pub(crate) to: String,
    pub(crate) text: MsgBytes,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) number: u32,
    pub(crate) text: MsgBytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heard {
    pub(crate) number: u32,
    pub(crate) bytes: usize,
    pub(crate) digest: u64,
}

impl Heard {
    pub(crate) fn of(said: &Said) -> Self {
        let text = said.text.as_slice();
        let digest = xxhash_rust::xxh3::xxh3_64(text);
        Self { number: said.number, bytes: text.len(), digest }
    }
}
