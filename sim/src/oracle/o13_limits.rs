//! O13: memory is bounded: what a node holds for a peer keeps below its limits, whenever it is
//! looked at (PROTOCOL.md section 7.5).
//!
//! The queue has room for one message more than its limit. Handlers' answers have a limit of their
//! own, beyond which each is a short error: there may be one for each call that the peer makes. A
//! cancel is never refused: one for each call that the node has made.

use super::evidence::Intake;
use super::inside::{Hoard, Peak};
use super::{Bench, Case};
use crate::script::{Call, NodeKind};
use crate::verdict::Class;

/// Processes of a name that an acceptor remembers (PROTOCOL.md section 7.11).
const REMEMBERED: usize = 16;

/// Bytes of a cancel.
const CANCEL: usize = 32;

/// Bytes of the longest payload of an answer that is sent whether there is room or not.
const SHORT: usize = 256;

/// Bytes of an answer beyond its payload.
const OVERHEAD: usize = 96;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let limits = &case.evidence.limits;
    for peak in &case.evidence.inside.peaks {
        bench.judged();
        let answers = answers(case, peak).saturating_add(answers_to_nobody(case, peak));
        let shortened = limits.response_bytes.max(limits.message) + errors(case, peak);
        let answers = answers.min(shortened);
        let queued = limits.queued_bytes + limits.message + answers + cancels(case, peak);
        // One call alone may hold a message of any size.
        let handlers = limits.handler_bytes.max(limits.message + OVERHEAD);
        let bounds = [
            ("calls are over their limit", peak.outgoing, limits.outgoing_muxes),
            ("calls that are served are over their limit", peak.incoming, limits.incoming_muxes),
            ("queued bytes are over their limit", peak.queued, queued),
            ("received bytes are over their limit", peak.received, limits.received_bytes),
            ("handlers hold more than their limit", peak.handlers, handlers),
            ("too many processes of a name are remembered", peak.instances, REMEMBERED),
        ];
        for (rule, value, bound) in bounds {
            if value > bound {
                let detail = format!("n{} with n{}: {value}, not {bound}", peak.node, peak.peer);
                bench.fail(Class::Safety, rule, case.evidence.farewell.end, detail);
            }
        }
    }
    for Hoard { at, node, peer, room, bound } in &case.evidence.inside.hoards {
        let detail = format!("n{node} of n{peer}: {room} bytes, not {bound}");
        bench.fail(Class::Safety, "a reader has more room than it may", *at, detail);
    }
}

/// Bytes of all answers that the handlers of a node can give the peer.
fn answers(case: &Case<'_>, peak: &Peak) -> usize {
    let calls = case.evidence.script.calls();
    let served = calls.filter(|call| (call.from, call.to) == (peak.peer, peak.node));
    let answers = served.filter(|call| !call.route.gives_items());
    // An answer may be the request again.
    let bytes = |call: &Call| call.plan.item_size.max(call.size.unwrap_or(0));
    let size = |call: &Call| usize::try_from(bytes(call)).unwrap_or(usize::MAX);
    answers.map(|call| size(call).saturating_add(OVERHEAD)).fold(0, usize::saturating_add)
}

/// Bytes of the answers that are no longer than the error in their place, and so are always sent.
fn errors(case: &Case<'_>, peak: &Peak) -> usize {
    let calls = case.evidence.script.calls();
    let served = calls.filter(|call| (call.from, call.to) == (peak.peer, peak.node)).count();
    let intakes = &case.evidence.intakes;
    let from_peer = intakes.iter().filter(|one| (one.node, one.peer) == (peak.node, peak.peer));
    let heard = from_peer.map(|one| one.heard).max().unwrap_or(0);
    let count = served.max(usize::try_from(heard).unwrap_or(usize::MAX));
    count.saturating_mul(SHORT + OVERHEAD)
}

/// Bytes of the cancels of all calls that a node makes to the peer.
fn cancels(case: &Case<'_>, peak: &Peak) -> usize {
    let calls = case.evidence.script.calls();
    calls.filter(|call| (call.from, call.to) == (peak.node, peak.peer)).count() * CANCEL
}

/// Bytes of the answers to what a hostile peer asks for beyond the script: each as long as what
/// was asked, of all that has come on one connection.
fn answers_to_nobody(case: &Case<'_>, peak: &Peak) -> usize {
    if !matches!(case.evidence.script.nodes.get(peak.peer), Some(NodeKind::Hostile(_))) {
        return 0;
    }
    let intakes = &case.evidence.intakes;
    let from_peer = intakes.iter().filter(|one| (one.node, one.peer) == (peak.node, peak.peer));
    let bytes = |one: &Intake| one.bytes.saturating_add(one.heard.saturating_mul(OVERHEAD as u64));
    usize::try_from(from_peer.map(bytes).max().unwrap_or(0)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use gridmux_core::limits::Limits;

    use crate::oracle::tale::{Tale, call};
    use crate::oracle::{Hoard, Intake, Peak};
    use crate::script::{Call, Conduct, NodeKind, Plan, Route};

    const FULL: Peak = Peak {
        node: 1,
        peer: 0,
        outgoing: 3,
        incoming: 4,
        queued: 11_000,
        received: 7_000,
        handlers: 5_000,
        timers: 7,
        instances: 16,
    };

    fn holds(peak: Peak) -> Tale {
        let mut tale = Tale::new(2);
        tale.evidence.limits = Limits {
            outgoing_muxes: 3,
            incoming_muxes: 4,
            queued_bytes: 10_000,
            message: 1_000,
            received_bytes: 7_000,
            handler_bytes: 5_000,
            ..Limits::default()
        };
        tale.evidence.inside.peaks.push(peak);
        tale
    }

    #[test]
    fn what_is_at_its_limit_is_good() {
        holds(FULL).is_good(13);
    }

    #[test]
    fn what_is_beyond_is_bad() {
        for (peak, rule) in [
            (Peak { outgoing: 4, ..FULL }, "calls are over their limit"),
            (Peak { incoming: 5, ..FULL }, "calls that are served are over their limit"),
            (Peak { queued: 11_001, ..FULL }, "queued bytes are over their limit"),
            (Peak { received: 7_001, ..FULL }, "received bytes are over their limit"),
            (Peak { handlers: 5_001, ..FULL }, "handlers hold more than their limit"),
            (Peak { instances: 17, ..FULL }, "too many processes of a name are remembered"),
        ] {
            assert_eq!(holds(peak).broken(13), [rule]);
        }
    }

    #[test]
    fn a_reader_with_too_much_room_is_bad() {
        let mut tale = Tale::new(2);
        let hoard = Hoard { at: 5, node: 0, peer: 1, room: 300_000, bound: 262_144 };
        tale.evidence.inside.hoards.push(hoard);
        assert_eq!(tale.broken(13), ["a reader has more room than it may"]);
    }

    #[test]
    fn what_a_hostile_peer_has_asked_for_is_answered() {
        let mut tale = holds(Peak { queued: 11_000 + 500 + 2 * 96, ..FULL });
        let asked = Intake { node: 1, peer: 0, bytes: 500, heard: 2, ..Intake::default() };
        tale.evidence.intakes.push(asked);
        assert_eq!(tale.broken(13), ["queued bytes are over their limit"]);
        tale.evidence.script.nodes[0] = NodeKind::Hostile(Conduct::Merges);
        tale.is_good(13);
        tale.evidence.intakes[0].heard = 1;
        assert_eq!(tale.broken(13), ["queued bytes are over their limit"]);
    }

    #[test]
    fn calls_may_be_cancelled_while_there_is_no_room() {
        let mut tale = holds(Peak { queued: 11_000 + 32, ..FULL });
        assert_eq!(tale.broken(13), ["queued bytes are over their limit"]);
        tale.call(Call { from: 1, to: 0, ..call(Route::Echo) });
        tale.is_good(13);
        tale.evidence.inside.peaks[0].queued += 1;
        assert_eq!(tale.broken(13), ["queued bytes are over their limit"]);
    }

    #[test]
    fn answers_beyond_their_own_limit_are_short() {
        let mut tale = holds(Peak { queued: 11_000 + 3_000 + 256 + 96, ..FULL });
        tale.evidence.limits.response_bytes = 3_000;
        tale.call(Call { size: Some(50_000), ..call(Route::Echo) });
        tale.is_good(13);
        tale.evidence.inside.peaks[0].queued += 1;
        assert_eq!(tale.broken(13), ["queued bytes are over their limit"]);
    }

    #[test]
    fn answers_have_room_that_items_have_not() {
        let answer = |route| {
            let mut tale = holds(Peak { queued: 13_096, ..FULL });
            let plan = Plan { item_size: 2_000, ..Plan::default() };
            tale.call(Call { plan, ..call(route) });
            tale
        };
        answer(Route::Echo).is_good(13);
        let mut echo = holds(Peak { queued: 13_096, ..FULL });
        echo.call(Call { size: Some(2_000), ..call(Route::Echo) });
        echo.is_good(13);
        assert_eq!(answer(Route::Source).broken(13), ["queued bytes are over their limit"]);
    }
}
