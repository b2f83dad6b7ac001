//! What only a peer that is not ours can see of ours.

use std::sync::{Arc, Mutex, PoisonError};

use gridmux_core::wire::{ConnectResponse, MessageRef, Op};

use crate::oracle::Complaint;
use crate::verdict::{Class, Failure, OracleId};

/// A rule, and the oracle that it is part of.
pub(crate) type Rule = (OracleId, &'static str);

/// What such peers have to complain about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Complaints(Arc<Mutex<Vec<Complaint>>>);

impl Complaints {
    /// One of ours, `of`, has broken a rule, says `by`.
    pub(crate) fn add(&self, (oracle, rule): Rule, at: u64, [by, of]: [usize; 2], what: &str) {
        let (class, detail) = (Class::Safety, format!("n{of}, says n{by}: {what}"));
        let failure = Failure { oracle, class, rule, detail, at, call: None };
        let complaint = Complaint { by, of, failure };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(complaint);
    }

    /// All of them.
    pub(crate) fn take(&self) -> Vec<Complaint> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The rule that an answer to a first message breaks; whether that was to be refused is known.
pub(super) fn broken_by_answer(answer: &[u8], to_be_refused: bool) -> Option<Rule> {
    let message = MessageRef::decode(answer).ok()?.message;
    if message.header.op != Op::ConnectResponse {
        return Some((OracleId(18), "a first message is answered by something else"));
    }
    let response = ConnectResponse::decode(message.payload).ok()?;
    match (response.accepted, response.rejected_reason.is_empty()) {
        (true, _) if to_be_refused => Some((OracleId(12), "a stranger is let in")),
        (false, true) => Some((OracleId(3), "a refusal without a reason")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::wire::{Header, Op};

    use super::broken_by_answer;
    use crate::peers::here::response;
    use crate::peers::say;

    #[test]
    fn strangers_are_refused_with_a_reason() {
        assert_eq!(broken_by_answer(&response([1; 16], false, "no"), true), None);
        assert_eq!(broken_by_answer(&response([1; 16], true, ""), false), None);
        let oracle = |answer: &[u8], refused| broken_by_answer(answer, refused).unwrap().0.0;
        assert_eq!(oracle(&response([1; 16], true, ""), true), 12);
        assert_eq!(oracle(&response([1; 16], false, ""), true), 3);
        assert_eq!(oracle(&say::encode(Header::new(Op::Pong), None, &[]), true), 18);
    }
}
