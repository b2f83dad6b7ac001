//! What the nodes of the cluster ask each other, beside what the [lock service](crate::locks)
//! does, which has the handlers 1 to 6.

use gridmux_tokio::payload::{MsgBytes, NoPayload, Payload};
use gridmux_tokio::route::{ServerStream, TwoWay, Unary};
use serde::{Deserialize, Serialize};

use crate::walk::WalkItem;

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
