//! O2: items of a stream arrive without loss, duplication, reordering or change up to the end,
//! in both directions; everything sent before an orderly end arrives; nothing comes after it.
//! The grace of a shutdown is kept: no handler is cancelled for it earlier, by its node's clock.
//!
//! Not judged: whether bytes are the right ones where a byte was changed on a path without CRC.

use gridmux_core::error::CancelReason;

use super::evidence::Fired;
use super::story::{Serving, Story};
use super::{Bench, Case};
use crate::history::{Entry, Sight};
use crate::script::Fault;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for story in case.stories.iter().filter(|story| story.ours[0]) {
        judge_ends(bench, story);
        judge_result(bench, story);
        if !story.ours[1] {
            continue;
        }
        let sent = |entry: &Entry| matches!(entry.sight, Sight::Sent(_));
        let outputs = |entry: &Entry| matches!(entry.sight, Sight::OutputSent(_));
        for serving in &story.servings {
            judge_way(bench, story, &story.caller, sent, &serving.entries);
            judge_input_end(bench, story, serving);
            judge_grace(case, bench, story, serving);
        }
        if let Some(serving) = story.servings.first() {
            judge_way(bench, story, &serving.entries, outputs, &story.caller);
        }
        judge_orderly_end(bench, story);
    }
}

/// Nothing comes after the end.
fn judge_ends(bench: &mut Bench<'_>, story: &Story<'_>) {
    let mut ended = false;
    for entry in &story.caller {
        let after = match entry.sight {
            Sight::AfterEnd => true,
            Sight::Taken(..) | Sight::Opened => ended,
            _ => false,
        };
        if after {
            bench.unsafe_call("something comes after the end", entry.at, story, "");
            return;
        }
        ended |= matches!(entry.sight, Sight::Ended(_));
    }
}

/// A handler that a shutdown cancels had the whole grace.
fn judge_grace(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>, serving: &Serving<'_>) {
    let shut = |entry: &&Entry| entry.sight == Sight::Cancelled(CancelReason::ShuttingDown);
    let Some(told) = serving.entries.iter().copied().find(shut) else { return };
    if case.evidence.is_dead(serving.node, serving.life, told.at) {
        // Its process ends, in whatever way.
        return;
    }
    let mut faults = case.evidence.faults().filter(|(_, fired)| fired.at <= told.at);
    let ends_it = |(fault, fired): (&Fault, Fired)| match fault {
        Fault::Shutdown { node, grace, .. } if *node == serving.node => {
            case.bounds.most_clock(*node, fired.at, told.at) >= *grace
        }
        Fault::Remove { node, peer, .. } => (*node, *peer) == (serving.node, story.call.from),
        _ => false,
    };
    bench.judged();
    if !faults.any(ends_it) {
        let rule = "a handler is cancelled within the grace of a shutdown";
        bench.unsafe_call(rule, told.at, story, "");
    }
}

/// The result of a call is the one that its handler has given.
fn judge_result(bench: &mut Bench<'_>, story: &Story<'_>) {
    let Some((ended, Ok(right))) = story.ended() else { return };
    bench.judged();
    if !right {
        wrong_bytes(bench, story, ended.at, "a result is not the one that was given");
    }
}

fn wrong_bytes(bench: &mut Bench<'_>, story: &Story<'_>, at: u64, rule: &'static str) {
    if !story.call.route.is_agreed() {
        bench.excuse("the ends disagree on the route");
    } else if story.ours[1] {
        bench.unsafe_exchange(rule, at, story, "");
    } else {
        bench.excuse("the other end is not ours");
    }
}

/// One direction: what is taken is what was sent, in order, and not before it was.
fn judge_way(
    bench: &mut Bench<'_>,
    story: &Story<'_>,
    senders: &[&Entry],
    is_sent: impl Fn(&Entry) -> bool,
    takers: &[&Entry],
) {
    let sent: Vec<u64> =
        senders.iter().filter(|entry| is_sent(entry)).map(|entry| entry.at).collect();
    let taken = takers.iter().filter_map(|entry| match entry.sight {
        Sight::Taken(number, right) | Sight::InputTaken(number, right) => {
            Some((entry.at, number, right))
        }
        _ => None,
    });
    for (due, (at, number, right)) in (0_u32..).zip(taken) {
        bench.judged();
        if number != due {
            let detail = format!("item {number} was taken where {due} was due");
            bench.unsafe_exchange("an item is lost, doubled or out of order", at, story, &detail);
            return;
        }
        if sent.get(number as usize).is_none_or(|sent| *sent > at) {
            let detail = format!("item {number}, of {} sent", sent.len());
            bench.unsafe_exchange("an item arrives that was not sent", at, story, &detail);
            return;
        }
        if !right {
            wrong_bytes(bench, story, at, "an item is not the one that was sent");
        }
    }
}

/// The caller's orderly end comes after all that it has sent, and only if it has said so.
fn judge_input_end(bench: &mut Bench<'_>, story: &Story<'_>, serving: &Serving<'_>) {
    let mut ended = false;
    for entry in &serving.entries {
        let is_end = matches!(entry.sight, Sight::InputEnded(_));
        if ended && (is_end || matches!(entry.sight, Sight::InputTaken(..))) {
            bench.unsafe_call("something comes after the end of the input", entry.at, story, "");
            return;
        }
        ended |= is_end;
        if entry.sight != Sight::InputEnded(Ok(())) {
            continue;
        }
        bench.judged();
        let closed = story.caller.iter().find(|entry| entry.sight == Sight::Closed);
        let takes_input = story.call.route.takes_input();
        if takes_input && closed.is_none_or(|closed| closed.at > entry.at) {
            bench.unsafe_exchange("an input ends that was not closed", entry.at, story, "");
        }
        if serving.inputs() < story.sent() {
            let detail = format!("{} of {} items", serving.inputs(), story.sent());
            let rule = "items sent before the end of the input are lost";
            bench.unsafe_exchange(rule, entry.at, story, &detail);
        }
    }
}

/// The handler's orderly end comes after all that it has sent.
fn judge_orderly_end(bench: &mut Bench<'_>, story: &Story<'_>) {
    let Some((ended, Ok(_))) = story.ended() else { return };
    if !story.call.route.gives_items() {
        return;
    }
    let Some(serving) = story.servings.iter().find(|one| one.returned_in_order().is_some()) else {
        return;
    };
    if story.taken() < serving.outputs() {
        let detail = format!("{} of {} items", story.taken(), serving.outputs());
        let rule = "items sent before an orderly end are lost";
        bench.unsafe_exchange(rule, ended.at, story, &detail);
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::error::CancelReason;

    use crate::history::Sight;
    use crate::history::Sight::{
        AfterEnd, Closed, Ended, InputEnded, InputTaken, Issued, Opened, OutputSent, Returned,
        Sent, Started, Taken,
    };
    use crate::oracle::tale::{MS, Tale, call};
    use crate::script::{Fault, Route};
    use crate::world::Damage;

    /// Two items each way.
    fn talk() -> Vec<(u64, Sight)> {
        vec![
            (5, Issued),
            (5, Opened),
            (6, Started(true)),
            (7, Sent(0)),
            (7, Sent(1)),
            (7, Closed),
            (8, InputTaken(0, true)),
            (8, OutputSent(0)),
            (9, InputTaken(1, true)),
            (9, OutputSent(1)),
            (9, InputEnded(Ok(()))),
            (9, Returned(true)),
            (10, Taken(0, true)),
            (11, Taken(1, true)),
            (12, Ended(Ok(true))),
        ]
    }

    #[test]
    fn a_grace_that_is_cut_short_is_bad() {
        let cancelled = Sight::Cancelled(CancelReason::ShuttingDown);
        let sights = [(5, Issued), (5, Opened), (6, Started(true)), (60, cancelled)];
        let rule = "a handler is cancelled within the grace of a shutdown";
        let mut tale = Tale::of(call(Route::Talk), &sights);
        let shutdown = |grace| Fault::Shutdown { node: 1, grace, back: None };
        assert_eq!(tale.broken(2), [rule], "there was none");
        tale.fault(50, 50, shutdown(20 * MS));
        assert_eq!(tale.broken(2), [rule]);
        tale.fault(52, 52, shutdown(5 * MS));
        tale.is_good(2);
    }

    fn told(sights: &[(u64, Sight)]) -> Vec<&'static str> {
        Tale::of(call(Route::Talk), sights).broken(2)
    }

    /// The same with one sight replaced or, by `None`, left out.
    fn with(from: &Sight, to: Option<Sight>) -> Vec<(u64, Sight)> {
        let change = |(at, sight): (u64, Sight)| match sight == *from {
            true => to.clone().map(|to| (at, to)),
            false => Some((at, sight)),
        };
        talk().into_iter().filter_map(change).collect()
    }

    #[test]
    fn all_items_in_order_and_one_end_are_good() {
        Tale::of(call(Route::Talk), &talk()).is_good(2);
    }

    #[test]
    fn what_comes_after_the_end_is_bad() {
        let mut sights = talk();
        sights.push((13, AfterEnd));
        assert_eq!(told(&sights), ["something comes after the end"]);
        sights.pop();
        sights.swap(13, 14);
        assert!(told(&sights).contains(&"something comes after the end"));
    }

    #[test]
    fn lost_doubled_and_swapped_items_are_bad() {
        let rule = "an item is lost, doubled or out of order";
        for (from, to) in [
            (Taken(0, true), None),
            (Taken(1, true), Some(Taken(0, true))),
            (InputTaken(0, true), Some(InputTaken(1, true))),
        ] {
            assert!(told(&with(&from, to)).contains(&rule), "{from:?}");
        }
    }

    #[test]
    fn items_out_of_nothing_are_bad() {
        let rule = "an item arrives that was not sent";
        assert!(told(&with(&OutputSent(1), None)).contains(&rule));
        assert!(told(&with(&Sent(1), None)).contains(&rule));
    }

    #[test]
    fn changed_items_and_results_are_bad_unless_nobody_could_know() {
        let changed = with(&Taken(1, true), Some(Taken(1, false)));
        assert_eq!(told(&changed), ["an item is not the one that was sent"]);
        let wrong = with(&Ended(Ok(true)), Some(Ended(Ok(false))));
        assert_eq!(told(&wrong), ["a result is not the one that was given"]);
        let mut tale = Tale::of(call(Route::Talk), &changed);
        tale.fault(1, 1, Fault::Damage { from: 1, to: 0, damage: Damage::Flip(1) });
        assert_eq!(tale.broken(2), ["an item is not the one that was sent"], "there is a CRC");
        tale.evidence.script.secure = true;
        tale.is_good(2);
    }

    #[test]
    fn items_missing_at_an_orderly_end_are_bad() {
        let lost = told(&with(&Taken(1, true), None));
        assert_eq!(lost, ["items sent before an orderly end are lost"]);
        let lost = told(&with(&InputTaken(1, true), None));
        assert_eq!(lost, ["items sent before the end of the input are lost"]);
    }

    #[test]
    fn an_input_ends_once_and_only_when_it_was_closed() {
        assert_eq!(told(&with(&Closed, None)), ["an input ends that was not closed"]);
        let mut sights = talk();
        sights.push((12, InputEnded(Err(CancelReason::Caller))));
        assert_eq!(told(&sights), ["something comes after the end of the input"]);
    }
}
