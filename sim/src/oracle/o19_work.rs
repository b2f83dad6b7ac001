//! O19: what a peer can make a node do is bounded by what it sends: no length that is claimed
//! reserves memory, and no message calls for a flood of replies.
//!
//! - The buffer that a node reads into has at most [`CLAIMED`] bytes and [`GROWTH`] times those
//!   that have come on the connection.
//! - A node answers each message by at most [`REPLIES`] of its own: pongs, acks, credits,
//!   responses, refusals, disconnects. Each call that it has made may be cancelled, too.
//!
//! Not judged: replies to messages that were changed on their way.

use super::evidence::Intake;
use super::{Bench, Case};
use crate::verdict::Class;

/// Bytes that a claim of a length may reserve before anything has come.
const CLAIMED: u64 = 32 << 10;

/// A buffer grows with what has come, by doubling; when it is new, what was left over is in it.
const GROWTH: u64 = 4;

/// An error and a disconnect; or an ack, a final message and a disconnect.
const REPLIES: u64 = 3;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for intake in &case.evidence.intakes {
        bench.judged();
        judge_memory(case, bench, intake);
        judge_replies(case, bench, intake);
    }
}

fn judge_memory(case: &Case<'_>, bench: &mut Bench<'_>, intake: &Intake) {
    let Intake { node, peer, room, came, .. } = *intake;
    if room > CLAIMED.saturating_add(GROWTH.saturating_mul(came)) {
        let detail = format!("n{node} with n{peer}: {room} bytes of room when {came} had come");
        let rule = "memory is reserved for bytes that have not come";
        bench.fail(Class::Safety, rule, case.evidence.phases.heal, detail);
    }
}

fn judge_replies(case: &Case<'_>, bench: &mut Bench<'_>, intake: &Intake) {
    let Intake { node, peer, heard, replies, opened, falsified, .. } = *intake;
    if falsified {
        return bench.excuse("what came was changed");
    }
    if replies > REPLIES.saturating_mul(heard).saturating_add(opened) {
        let detail = format!("n{node} with n{peer}: {replies} replies to {heard} messages");
        let rule = "more replies than messages call for";
        bench.fail(Class::Safety, rule, case.evidence.phases.heal, detail);
    }
}

#[cfg(test)]
mod tests {
    use crate::oracle::Intake;
    use crate::oracle::tale::Tale;

    const MODEST: Intake = Intake {
        node: 0,
        peer: 1,
        room: 36 << 10,
        came: 1 << 10,
        bytes: 1 << 10,
        heard: 2,
        replies: 7,
        opened: 1,
        falsified: false,
    };

    fn took(intake: Intake) -> Tale {
        let mut tale = Tale::new(2);
        tale.evidence.intakes.push(intake);
        tale
    }

    #[test]
    fn memory_and_replies_by_what_has_come_are_good() {
        took(MODEST).is_good(19);
        took(Intake { room: 32 << 10, came: 0, heard: 0, replies: 1, ..MODEST }).is_good(19);
    }

    #[test]
    fn a_buffer_for_what_a_header_claims_is_bad() {
        let bomb = took(Intake { room: 16 << 20, came: 200, ..MODEST });
        assert_eq!(bomb.broken(19), ["memory is reserved for bytes that have not come"]);
        let one_more = took(Intake { room: (36 << 10) + 1, ..MODEST });
        assert_eq!(one_more.broken(19), ["memory is reserved for bytes that have not come"]);
    }

    #[test]
    fn a_flood_of_replies_is_bad_unless_messages_were_changed() {
        let flood = Intake { replies: 8, ..MODEST };
        assert_eq!(took(flood).broken(19), ["more replies than messages call for"]);
        let changed = took(Intake { falsified: true, ..flood });
        assert_eq!(changed.verdicts(19).excuses["what came was changed"], 1);
        changed.is_good(19);
    }
}
