//! O21: after the healing one call and one stream, of three times its capacity each way, succeed
//! between all nodes of the core, in both directions: what was leaked or wedged before shows
//! here. Probes are ordinary calls whose names begin with [`PROBE`].
//!
//! What a probe's caller sends is sent, whether its handler takes all of it or not.
//!
//! Not judged: probes that fail where calls before them hold, or may hold, as many bytes as may be
//! received, or where a pong of a node that is not ours was behind so much that the link was given
//! up. A probe has its end within its own times, and for each item two deliveries and eight wake-ups.

use gridmux_core::error::CallError;

use super::bounds::call_bytes;
use super::evidence::Missed;
use super::o11_connected::are_clocks_apart;
use super::story::{Serving, Story};
use super::{Bench, Case, PROBE};
use crate::verdict::Class;

const LOST: CallError = CallError::Disconnected { may_have_run: true };

/// What the probes of a pair have waiting at one end at once, at most.
const PROBES_HOLD: u64 = 12 << 10;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let is_probe = |story: &&Story<'_>| story.call.name.starts_with(PROBE);
    let probes: Vec<_> = case.stories.iter().filter(is_probe).collect();
    for pair in &case.evidence.pairs {
        if are_clocks_apart(case, pair) {
            bench.excuse("clocks too far apart");
            continue;
        }
        for (from, to) in [(0, 1), (1, 0)].map(|(a, b)| (pair.nodes[a], pair.nodes[b])) {
            let between = |story: &&&Story<'_>| (story.call.from, story.call.to) == (from, to);
            let (mut single, mut streams) = (false, false);
            for story in probes.iter().filter(between) {
                single |= story.call.route.capacities().is_none();
                streams |= is_long(story);
                judge_probe(case, bench, story);
            }
            if !single || !streams {
                let detail = format!("n{from}>n{to}: one call and one long stream are needed");
                bench.fail(
                    Class::Liveness,
                    "a probe is missing",
                    case.evidence.phases.probe,
                    detail,
                );
            }
        }
    }
}

/// Whether it gives and takes three times what its route has credits for.
fn is_long(story: &Story<'_>) -> bool {
    story.call.route.capacities().is_some_and(|(input, output)| {
        story.call.route.gives_items()
            && input > 0
            && story.call.input.items >= 3 * input
            && story.call.plan.items >= 3 * output
    })
}

fn judge_probe(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>) {
    bench.judged();
    let Some(issued) = story.issued() else {
        bench.late_call("a probe was not made", case.evidence.phases.probe, story, "");
        return;
    };
    let due = due(case, story, issued.at);
    let Some((ended, result)) = story.ended() else {
        bench.late_call("a probe has no end", due, story, "");
        return;
    };
    if result.is_err() && is_crowded(case, story, issued.at) {
        return bench.excuse("the room for what comes is held by other calls");
    }
    let told_so = *result == Err(CallError::PeerShuttingDown);
    if told_so && case.bounds.is_corrupted(story.call.from, story.call.to, ended.at) {
        return bench.excuse("a byte that was changed has made a message a Disconnect");
    }
    if *result == Err(LOST) && is_given_up(case, story, issued.at, ended.at) {
        return bench.excuse("a pong came behind too much");
    }
    if *result != Ok(true) {
        bench.late_call("a probe fails", ended.at, story, &format!("{result:?}"));
        return;
    }
    if ended.at > due {
        let detail = format!("{} ns after it was due", ended.at - due);
        bench.late_call("a probe is late", due, story, &detail);
    }
    let takes_input = story.call.route.takes_input();
    let (sent, due) = (story.sent(), story.call.input.items as usize);
    // What waits for a slow link is not sent any more when the handler has ended.
    let slow = case.evidence.script.knobs.rate > 0;
    if takes_input && story.ours[1] && sent < due && slow {
        bench.excuse("a slow network");
    } else if takes_input && story.ours[1] && sent < due {
        let detail = format!("{sent} of {due}");
        bench.late_call("items of a probe are not sent", ended.at, story, &detail);
    }
    let items = |count: u32, is: bool| if is { count as usize } else { 0 };
    let (plan, route) = (&story.call.plan, story.call.route);
    let given = items(plan.items, route.gives_items());
    let due = story.call.input.items.min(plan.take.unwrap_or(u32::MAX));
    let due = items(due, route.takes_input() && story.ours[1]);
    let inputs = story.servings.iter().map(Serving::inputs).max().unwrap_or(0);
    if story.taken() < given || inputs < due {
        let detail = format!("{} of {given} given, {inputs} of {due} taken", story.taken());
        bench.late_call("items of a probe are missing", ended.at, story, &detail);
    }
}

/// Whether what other calls of the pair hold may leave too little of the limit of received bytes, or of
/// that of running handlers.
fn is_crowded(case: &Case<'_>, story: &Story<'_>, at: u64) -> bool {
    let pair = [story.call.from, story.call.to];
    let holds = |other: &&Story<'_>| {
        let over = [other.ended().map(|(entry, _)| entry), other.dropped()];
        let is_over = over.into_iter().flatten().any(|entry| entry.at < at);
        let is_same = pair.contains(&other.call.from) && pair.contains(&other.call.to);
        is_same && other.issued().is_some_and(|issued| issued.at < at) && !is_over
    };
    let held = case.stories.iter().filter(holds).map(|other| call_bytes(other.call));
    let held = held.fold(PROBES_HOLD, u64::saturating_add);
    let limits = &case.evidence.limits;
    held >= limits.received_bytes.min(limits.handler_bytes) as u64
}

/// Whether one of ours has given up the link with a node of another kind between these times for
/// its pongs, which may wait behind all that it sends.
fn is_given_up(case: &Case<'_>, story: &Story<'_>, from: u64, to: u64) -> bool {
    let pair = [story.call.from, story.call.to];
    story.ours != [true; 2]
        && case.evidence.silences.iter().any(|silence| {
            let is_same = pair.contains(&silence.node) && pair.contains(&silence.peer);
            is_same && silence.missed == Missed::Pongs && (from..=to).contains(&silence.at.at)
        })
}

fn due(case: &Case<'_>, story: &Story<'_>, issued: u64) -> u64 {
    let (from, to) = (story.call.from, story.call.to);
    let (plan, input, reading) = (&story.call.plan, &story.call.input, &story.call.reading);
    let items = u64::from(plan.items) + u64::from(input.items) + 4;
    let times = |count: u32, pace: u64| pace.saturating_mul(u64::from(count));
    let own = [
        plan.after,
        times(plan.items, plan.pace),
        times(input.items, plan.take_pace),
        times(input.items, input.pace),
        reading.after,
        times(plan.items, reading.pace),
    ];
    let own = own.into_iter().fold(0, u64::saturating_add);
    let wakes = 8 * items;
    let clock =
        case.bounds.by(from, issued, own, wakes).max(case.bounds.by(to, issued, own, wakes));
    clock.saturating_add(case.bounds.delivery(from, to).saturating_mul(2 * items))
}

#[cfg(test)]
mod tests {
    use gridmux_core::error::{CallError, LimitKind};

    use crate::history::Sight::{
        Dropped, Ended, InputTaken, Issued, Returned, Sent, Started, Taken,
    };
    use crate::oracle::tale::{LOST, MS, Tale};
    use crate::oracle::{Mark, Missed, Silence};
    use crate::script::{Call, NodeKind, Route};

    /// Probes both ways; the end of the stream of node 0 is left to the test.
    fn probes() -> (Tale, usize) {
        let mut tale = Tale::new(2);
        let mut stream = 0;
        for (from, to) in [(1, 0), (0, 1)] {
            let id = tale.call(Call::new("probe-call", from, to, Route::Echo));
            tale.see(60_000, id, Issued).see(60_001, id, Ended(Ok(true)));
            let mut long = Call::new("probe-stream", from, to, Route::Narrow);
            (long.input.items, long.plan.items) = (3, 3);
            stream = tale.call(long);
            tale.see(60_000, stream, Issued).see(60_001, stream, Started(true));
            for number in 0..3 {
                tale.see(60_001, stream, Sent(number));
                tale.see(60_002, stream, InputTaken(number, true));
                tale.see(60_003, stream, Taken(number, true));
            }
            tale.see(60_004, stream, Returned(true));
            if from == 1 {
                tale.see(60_005, stream, Ended(Ok(true)));
            }
        }
        (tale, stream)
    }

    #[test]
    fn probes_that_succeed_everywhere_are_good() {
        let (mut tale, stream) = probes();
        tale.see(60_005, stream, Ended(Ok(true)));
        tale.is_good(21);
    }

    #[test]
    fn probes_that_fail_hang_or_are_late_are_bad() {
        let (tale, _) = probes();
        assert_eq!(tale.broken(21), ["a probe has no end"]);
        let (mut tale, stream) = probes();
        tale.see(60_005, stream, Ended(Err(LOST)));
        assert_eq!(tale.broken(21), ["a probe fails"]);
        let (mut tale, stream) = probes();
        tale.see(99_000, stream, Ended(Ok(true)));
        assert_eq!(tale.broken(21), ["a probe is late"]);
    }

    #[test]
    fn a_ping_that_was_made_a_disconnect_on_the_way_may_fail_a_probe() {
        let (mut tale, stream) = probes();
        tale.see(60_005, stream, Ended(Err(CallError::PeerShuttingDown)));
        assert_eq!(tale.broken(21), ["a probe fails"]);
        let damage = crate::world::Damage::Flip(1);
        tale.fault(9, 9, crate::script::Fault::Damage { from: 1, to: 0, damage }).is_good(21);
    }

    #[test]
    fn the_pongs_of_a_node_of_another_kind_may_wait_behind_what_it_sends() {
        let (mut tale, stream) = probes();
        tale.see(60_005, stream, Ended(Err(LOST)));
        let at = |ms: u64| Mark { at: ms * MS, clock: ms * MS };
        let (at, last) = (at(60_004), at(4));
        let silence =
            Silence { node: 0, peer: 1, missed: Missed::Pongs, at, last, falsified: false };
        tale.evidence.silences.push(silence);
        assert_eq!(tale.broken(21), ["a probe fails"], "one of ours has them overtake");
        tale.evidence.script.nodes[1] = NodeKind::Go;
        tale.is_good(21);
        tale.evidence.silences[0].missed = Missed::Bytes;
        assert_eq!(tale.broken(21), ["a probe fails"], "it sends something all the time");
    }

    #[test]
    fn items_that_are_missing_are_bad() {
        let (mut tale, stream) = probes();
        let lost =
            |entry: &crate::history::Entry| entry.call == stream && entry.sight == Taken(2, true);
        tale.evidence.entries.retain(|entry| !lost(entry));
        tale.see(60_005, stream, Ended(Ok(true)));
        assert_eq!(tale.broken(21), ["items of a probe are missing"]);
    }

    #[test]
    fn input_that_is_never_sent_is_bad_where_the_handler_is_ours() {
        let stuck = |kind| {
            let (mut tale, stream) = probes();
            let mut partly = Call::new("probe-partly", 0, 1, Route::Narrow);
            (partly.input.items, partly.plan.take) = (2, Some(0));
            let partly = tale.call(partly);
            tale.evidence.script.nodes[1] = kind;
            tale.see(60_005, stream, Ended(Ok(true))).see(60_000, partly, Issued);
            tale.see(60_001, partly, Sent(0)).see(60_005, partly, Ended(Ok(true)));
            (tale, partly)
        };
        let (mut tale, partly) = stuck(NodeKind::Ours);
        assert_eq!(tale.broken(21), ["items of a probe are not sent"]);
        tale.evidence.script.knobs.rate = 1_000_000;
        tale.is_good(21);
        tale.evidence.script.knobs.rate = 0;
        tale.see(60_004, partly, Sent(1)).is_good(21);
        stuck(NodeKind::Go).0.is_good(21);
    }

    #[test]
    fn a_probe_may_fail_where_others_hold_all_that_may_be_received() {
        let (mut tale, stream) = probes();
        tale.see(60_005, stream, Ended(Err(CallError::Limit(LimitKind::ReceivedBytes))));
        let mut other = Call::new("c", 0, 1, Route::Source);
        (other.plan.items, other.plan.item_size) = (8, 4_000);
        let other = tale.call(other);
        tale.see(50_000, other, Issued);
        assert_eq!(tale.broken(21), ["a probe fails"]);
        tale.evidence.limits.received_bytes = 32 << 10;
        tale.is_good(21);
        tale.see(55_000, other, Dropped);
        assert_eq!(tale.broken(21), ["a probe fails"]);
    }

    #[test]
    fn a_pair_without_probes_or_with_short_ones_is_bad() {
        assert_eq!(Tale::new(2).broken(21), ["a probe is missing"; 2], "both ways");
        let (mut tale, stream) = probes();
        tale.see(60_005, stream, Ended(Ok(true)));
        for line in &mut tale.evidence.script.lines {
            if let crate::script::Deed::Call(call) = &mut line.deed {
                call.input.items = 2;
            }
        }
        assert_eq!(tale.broken(21), ["a probe is missing"; 2]);
    }
}
