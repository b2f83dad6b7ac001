//! O4: an orderly end beats later faults, and no error overtakes items that have arrived.
//!
//! - All that a handler has sent before its own error is taken before that error.
//! - Items, and an orderly end, that had come to the caller's node before the link was lost are
//!   taken, and the call ends as its handler has ended it. That they had come is certain where
//!   nothing was wrong between the two nodes for as long as a delivery takes, and a credit was
//!   there.
//!
//! The caller's own cancel and deadline may overtake (DESIGN.md section 2). Not judged: calls of a
//! machine that has panicked, or that its owner has dropped with the peer.

use gridmux_core::error::{CallError, CancelReason};
use gridmux_core::handle::DEFAULT_ITEM_SIZE;

use super::bounds::nanos;
use super::story::{Serving, Story};
use super::{Bench, Case, failure_text};
use crate::history::{Entry, Sight};
use crate::script::{Fault, Way};

/// How much faster than true time a node's clock runs at most.
const FASTEST_CLOCK: u64 = 2;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for story in case.stories.iter().filter(|story| story.ours == [true; 2]) {
        let Some((ended, error)) = story.failed() else { continue };
        let [serving] = story.servings.as_slice() else { continue };
        match error {
            CallError::Remote(text) if text.contains(&failure_text(&story.call.name)) => {
                judge_remote(bench, story, serving, ended);
            }
            CallError::Disconnected { .. } => judge_lost(case, bench, story, serving, ended),
            _ => {}
        }
    }
}

fn judge_remote(bench: &mut Bench<'_>, story: &Story<'_>, serving: &Serving<'_>, ended: &Entry) {
    bench.judged();
    if story.call.route.gives_items() && story.taken() < serving.outputs() {
        let detail = format!("{} of {} items", story.taken(), serving.outputs());
        bench.unsafe_exchange("an error overtakes items sent before it", ended.at, story, &detail);
    }
}

fn judge_lost(
    case: &Case<'_>,
    bench: &mut Bench<'_>,
    story: &Story<'_>,
    serving: &Serving<'_>,
    ended: &Entry,
) {
    let (from, to) = (story.call.from, story.call.to);
    let begun = serving.started().map_or(0, |started| started.at);
    if case.bounds.may_have_panicked(from, to, begun, ended.at) {
        // What it had received is lost with the machine.
        return bench.excuse("a machine has panicked");
    }
    let is_removal = |fault: &Fault| match fault {
        Fault::Remove { node, peer, .. } => (*node, *peer) == (from, to),
        _ => false,
    };
    if case.bounds.has_come(ended.at, is_removal) {
        // A loop of its own drops the machine with the peer. Calls by handles end otherwise.
        return bench.excuse("removed from the grid");
    }
    let delivery = case.bounds.delivery(from, to);
    // The call lives on the connection on which its handler began.
    let is_same = |by: u64| {
        let broken = |at: &u64| (begun..=by).contains(at);
        let mut lives = case.evidence.between(from, to);
        !lives.any(|(life, _)| life.broken_at.iter().flatten().any(broken))
    };
    // What left the callee at `at` had come to the caller before it gave up.
    let had_come = |at: u64| {
        let by = at.saturating_add(delivery);
        by < ended.at && is_same(by) && case.bounds.is_calm(from, to, at, by)
    };
    bench.judged();
    if story.call.route.gives_items() {
        let sent = serving.entries.iter().filter(|e| matches!(e.sight, Sight::OutputSent(_)));
        let arrived = sent.filter(|entry| had_come(entry.at)).count();
        if story.taken() < arrived {
            let detail = format!("{} of {arrived} items that had come", story.taken());
            let rule = "a lost link overtakes items that had come";
            bench.unsafe_exchange(rule, ended.at, story, &detail);
        }
    }
    let default = nanos(case.evidence.timings.default_deadline);
    let Some(left) = end_left(case, story, serving, default) else { return };
    if had_come(left) {
        let rule = "a lost link overtakes an orderly end that had come";
        bench.unsafe_exchange(rule, ended.at, story, "");
    }
}

/// When the orderly end had left the callee at the latest: once the handler had returned, and
/// there was a credit for it.
fn end_left(
    case: &Case<'_>,
    story: &Story<'_>,
    serving: &Serving<'_>,
    default: u64,
) -> Option<u64> {
    let (started, returned) = (serving.started()?, serving.returned_in_order()?);
    let timeout = story.timeout(default);
    // What comes to an end after its time, by its node's clock, is not sent.
    let took = returned.clock.saturating_sub(started.clock);
    let expired = |sight: &Sight| *sight == Sight::Cancelled(CancelReason::Deadline);
    if timeout.is_some_and(|timeout| took >= timeout) || serving.find(expired).is_some() {
        return None;
    }
    let Some((_, capacity)) = story.call.route.served_capacities() else {
        return Some(returned.at);
    };
    if !story.call.route.gives_items() {
        // Its one result travels as an item, and when that is taken is not seen.
        return None;
    }
    let part = DEFAULT_ITEM_SIZE.min(case.evidence.limits.message / 2);
    if story.call.way == Way::Bytes && story.call.plan.item_size as usize > part {
        // What is written at once travels in parts, and when each of them is taken is not seen.
        return None;
    }
    let needed = (serving.outputs() + 1).saturating_sub(capacity as usize);
    if needed == 0 {
        return Some(returned.at);
    }
    let taken = story.caller.iter().filter(|entry| matches!(entry.sight, Sight::Taken(..)));
    let credit = taken.map(|entry| entry.at).nth(needed - 1)?;
    let left = returned
        .at
        .max(credit.saturating_add(case.bounds.delivery(story.call.from, story.call.to)));
    // While it waits for the credit, its time may come by a clock that is fast, or jumps.
    let callee = story.call.to;
    let jumped = case.evidence.faults().any(|(fault, fired)| {
        matches!(fault, Fault::Jump { node, .. } if *node == callee)
            && (returned.at..=left).contains(&fired.at)
    });
    let waited = (left - returned.at).saturating_mul(FASTEST_CLOCK);
    let in_time = timeout.is_none_or(|timeout| took.saturating_add(waited) < timeout);
    // Meanwhile either end may have missed the other's pings, and given up.
    let calm = case.bounds.is_calm(story.call.from, callee, returned.at, left);
    (in_time && !jumped && calm).then_some(left)
}

#[cfg(test)]
mod tests {
    use gridmux_core::error::{CallError, CancelReason};

    use crate::history::Sight::{
        Cancelled, Ended, Issued, Opened, OutputSent, Returned, Started, Taken,
    };
    use crate::oracle::failure_text;
    use crate::oracle::tale::{LOST, MS, Tale, call};
    use crate::script::{Call, Fault, Finish, Route, Way};

    const OVERTAKEN: &str = "a lost link overtakes an orderly end that had come";

    /// A stream of two items that its reader leaves alone for a second.
    fn source(finish: Finish) -> Tale {
        let mut call = call(Route::Source);
        call.plan.finish = finish;
        written(call)
    }

    fn written(call: Call) -> Tale {
        let returned = Returned(call.plan.finish == Finish::Ok);
        let sights = [(5, Issued), (5, Opened), (6, Started(true)), (7, OutputSent(0))];
        let mut tale = Tale::of(call, &sights);
        tale.see(8, 0, OutputSent(1)).see(9, 0, returned);
        tale
    }

    #[test]
    fn a_handlers_error_comes_after_its_items() {
        let error = || Ended(Err(CallError::Remote(failure_text("c"))));
        let mut tale = source(Finish::Error);
        tale.see(1_000, 0, Taken(0, true)).see(1_001, 0, Taken(1, true)).see(1_002, 0, error());
        tale.is_good(4);
        let mut tale = source(Finish::Error);
        tale.see(1_000, 0, Taken(0, true)).see(1_002, 0, error());
        assert_eq!(tale.broken(4), ["an error overtakes items sent before it"]);
    }

    #[test]
    fn what_had_come_is_taken_before_the_loss() {
        let mut tale = source(Finish::Never);
        tale.evidence.entries.pop();
        tale.lose(900, 0, 1).see(1_000, 0, Taken(0, true));
        let mut lost = Tale { evidence: tale.evidence.clone() };
        lost.see(1_001, 0, Ended(Err(LOST)));
        assert_eq!(lost.broken(4), ["a lost link overtakes items that had come"]);
        tale.see(1_001, 0, Taken(1, true)).see(1_002, 0, Ended(Err(LOST)));
        tale.is_good(4);
    }

    #[test]
    fn what_a_handler_gives_after_its_deadline_does_not_come() {
        let runs_on = |told: Option<CancelReason>| {
            let mut tale = Tale::of(call(Route::RunToEnd), &[(5, Issued), (6, Started(true))]);
            if let Some(reason) = told {
                tale.see(6, 0, Cancelled(reason));
            }
            tale.see(6, 0, Returned(true)).lose(900, 0, 1).see(1_000, 0, Ended(Err(LOST)));
            tale
        };
        let rule = "a lost link overtakes an orderly end that had come";
        assert_eq!(runs_on(None).broken(4), [rule]);
        runs_on(Some(CancelReason::Deadline)).is_good(4);
    }

    #[test]
    fn what_had_come_may_be_lost_with_a_machine_that_panics_then_and_not_before() {
        let panics = |at: u64| {
            let mut tale = source(Finish::Never);
            tale.evidence.entries.pop();
            tale.fault(2, 2, Fault::Panic { node: 0, peer: 1, using: true });
            tale.evidence.inside.bugs.push(at * MS);
            tale.lose(900, 0, 1).see(1_001, 0, Ended(Err(LOST)));
            tale
        };
        assert_eq!(panics(900).verdicts(4).excuses["a machine has panicked"], 1);
        assert_eq!(panics(3).broken(4), ["a lost link overtakes items that had come"]);
    }

    #[test]
    fn what_had_come_is_lost_with_a_machine_that_its_owner_drops() {
        let mut tale = source(Finish::Never);
        tale.evidence.entries.pop();
        tale.lose(900, 0, 1).see(1_001, 0, Ended(Err(LOST)));
        assert_eq!(tale.broken(4), ["a lost link overtakes items that had come"]);
        tale.fault(899, 900, Fault::Remove { node: 0, peer: 1, lasts: 0 });
        assert!(tale.broken(4).is_empty());
    }

    #[test]
    fn an_orderly_end_that_had_come_beats_the_loss() {
        let mut tale = source(Finish::Ok);
        tale.see(1_000, 0, Taken(0, true)).see(1_001, 0, Taken(1, true));
        tale.lose(900, 0, 1).see(1_002, 0, Ended(Err(LOST)));
        assert_eq!(tale.broken(4), [OVERTAKEN]);
        tale.fault(8, 950, Fault::Stall { from: 1, to: 0, lasts: 942 * MS });
        tale.is_good(4);
    }

    #[test]
    fn an_end_that_waits_for_a_credit_has_not_come() {
        let mut call = call(Route::Drip);
        call.plan.finish = Finish::Ok;
        let mut tale = Tale::of(call, &[(5, Issued), (5, Opened), (6, Started(true))]);
        tale.see(7, 0, OutputSent(0)).see(8, 0, Returned(true)).lose(900, 0, 1);
        tale.see(1_000, 0, Taken(0, true)).see(1_001, 0, Ended(Err(LOST)));
        tale.is_good(4);
    }

    #[test]
    fn an_end_that_waits_for_a_credit_may_be_given_up_while_pings_are_missing() {
        let mut call = call(Route::Drip);
        call.plan.finish = Finish::Ok;
        let mut tale = Tale::of(call, &[(5, Issued), (5, Opened), (6, Started(true))]);
        tale.see(7, 0, OutputSent(0)).see(8, 0, Returned(true)).see(60_000, 0, Taken(0, true));
        tale.see(70_000, 0, Ended(Err(LOST)));
        assert_eq!(tale.broken(4), [OVERTAKEN]);
        tale.fault(20_000, 50_000, Fault::Pause { node: 1, lasts: 30_000 * MS });
        tale.is_good(4);
    }

    #[test]
    fn an_end_may_wait_for_a_credit_of_bytes_that_travel_in_parts() {
        let lost = |way: Way, item_size: u32| {
            let mut call = call(Route::Source);
            (call.way, call.plan.item_size) = (way, item_size);
            let mut tale = written(call);
            tale.see(1_000, 0, Taken(0, true)).see(1_001, 0, Taken(1, true));
            tale.lose(900, 0, 1).see(1_002, 0, Ended(Err(LOST)));
            tale
        };
        lost(Way::Bytes, 40_000).is_good(4);
        let mut small = lost(Way::Bytes, 30_000);
        small.evidence.limits.message = 40_000;
        small.is_good(4);
        for (way, item_size) in [(Way::Bytes, 30_000), (Way::Items, 40_000)] {
            assert_eq!(lost(way, item_size).broken(4), [OVERTAKEN], "{way:?}: in one part");
        }
    }

    #[test]
    fn an_answer_that_had_come_beats_the_loss() {
        let sights = [(5, Issued), (6, Started(true)), (7, Returned(true))];
        let mut tale = Tale::of(call(Route::Echo), &sights);
        tale.lose(900, 0, 1).see(1_000, 0, Ended(Err(LOST)));
        assert_eq!(tale.broken(4), [OVERTAKEN]);
        let mut tale = Tale::of(call(Route::Echo), &sights);
        tale.lose(8, 0, 1).see(9, 0, Ended(Err(LOST)));
        tale.is_good(4);
    }

    #[test]
    fn an_answer_that_comes_after_its_deadline_by_a_clock_that_jumped_is_not_sent() {
        let sights = [(5, Issued), (6, Started(true)), (50, Returned(true))];
        let mut tale = Tale::of(call(Route::Echo), &sights);
        tale.see(900, 0, Ended(Err(LOST)));
        tale.lose(900, 0, 1);
        assert_eq!(tale.broken(4), [OVERTAKEN]);
        tale.evidence.entries[2].clock += 60_000 * MS;
        tale.is_good(4);
    }
}
