//! O1: each call resolves exactly once, and by the end of the drain all have. Where it is calm, a
//! single request between two of ours does so once its handler has answered, after a delivery and a
//! few wake-ups, and a plain one is answered as soon as the paths and its handler let it.
//!
//! Not judged: calls that their application has dropped, and calls of a process that has died.

use super::bounds::nanos;
use super::story::Story;
use super::{Bench, Case};
use crate::history::{Entry, Sight};
use crate::script::{Finish, Route};

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for story in case.stories.iter().filter(|story| story.ours[0]) {
        match (story.issued(), story.caller.first()) {
            (Some(issued), _) => {
                judge_call(case, bench, story, issued);
                judge_calm(case, bench, story, issued);
            }
            (None, Some(entry)) => {
                bench.unsafe_call("a call is seen that was never made", entry.at, story, "");
            }
            (None, None) => bench.excuse("call never made"),
        }
    }
}

/// Wake-ups of a node that takes a message and says something to it.
const WAKES: u64 = 8;

/// What a handler answers in time, its caller gets.
fn judge_answered(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>, issued: &Entry) {
    let is_single = story.call.route.capacities().is_none();
    let (true, true, [serving]) = (is_single, story.ours[1], story.servings.as_slice()) else {
        return;
    };
    let Some(returned) = serving.returned() else { return };
    if serving.told().is_some_and(|told| told.at < returned.at || told.sight != returned.sight) {
        return bench.excuse("answered when it was over");
    }
    let (from, to) = (story.call.from, story.call.to);
    let due = case.bounds.told_by(to, from, returned.at);
    let due = case.bounds.by(from, due, 0, WAKES);
    let default = nanos(case.evidence.timings.default_deadline);
    let in_time = story
        .timeout(default)
        .is_none_or(|timeout| case.bounds.most_clock(to, issued.at, due) < timeout);
    let dropped = story.dropped().is_some_and(|entry| entry.at <= due);
    if dropped || !in_time || !case.bounds.is_calm(from, to, issued.at, due) {
        return;
    }
    if due >= case.evidence.phases.drain || case.evidence.is_dead(issued.node, issued.life, due) {
        return;
    }
    bench.judged();
    if story.ended().is_none_or(|(entry, _)| entry.at > due) {
        let detail = format!("answered at {}", returned.at);
        bench.late_call("an answer does not reach its caller", due, story, &detail);
    }
}

fn judge_call(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>, issued: &Entry) {
    bench.judged();
    judge_answered(case, bench, story, issued);
    let places = |is: fn(&Sight) -> bool| -> Vec<usize> {
        let entries = story.caller.iter().enumerate();
        entries.filter(|(_, entry)| is(&entry.sight)).map(|(place, _)| place).collect()
    };
    if places(|sight| *sight == Sight::Issued).len() > 1 {
        bench.unsafe_call("a call is made twice", issued.at, story, "");
    }
    let ends = places(|sight| matches!(sight, Sight::Ended(_)));
    let drops = places(|sight| *sight == Sight::Dropped);
    if let (Some(dropped), Some(end)) = (drops.first(), ends.last())
        && dropped < end
    {
        let at = story.caller[*end].at;
        bench.unsafe_call("a call resolves after it was dropped", at, story, "");
    }
    match ends.as_slice() {
        [] if !drops.is_empty() => bench.excuse("dropped by the application"),
        [] if case.evidence.is_dead(issued.node, issued.life, case.evidence.phases.quiet) => {
            bench.excuse("the caller's process has died");
        }
        [] => bench.late_call("a call never resolves", issued.at, story, "it has no end"),
        [_] => {}
        [_, again, ..] => {
            let (at, detail) = (story.caller[*again].at, format!("it has {} ends", ends.len()));
            bench.unsafe_call("a call resolves more than once", at, story, &detail);
        }
    }
}

/// A plain request that meets no trouble does not wait for anything but its handler.
fn judge_calm(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>, issued: &Entry) {
    let (call, bounds) = (story.call, &case.bounds);
    let (from, to) = (call.from, call.to);
    let plain = call.route == Route::Echo && call.plan.finish == Finish::Ok;
    let room = case.evidence.script.limits.queued_bytes as u64;
    if !plain || !story.ours[1] || call.wait_link.is_some() || bounds.traffic(from, to) > room {
        return;
    }
    let asked = bounds.by(from, issued.at, 0, WAKES).saturating_add(bounds.delivery(from, to));
    let ran = bounds.by(to, asked, call.plan.after, WAKES);
    let due = bounds.by(from, ran.saturating_add(bounds.delivery(to, from)), 0, WAKES);
    if due >= case.evidence.phases.drain || !bounds.is_calm(from, to, issued.at, due) {
        return;
    }
    bench.judged();
    let over = |entry: &&Entry| matches!(entry.sight, Sight::Ended(_) | Sight::Dropped);
    if story.caller.iter().copied().find(over).is_some_and(|entry| entry.at > due) {
        bench.late_call("a request waits though all is calm", due, story, "");
    }
}

#[cfg(test)]
mod tests {
    use crate::history::Sight::{Dropped, Ended, Issued, Returned, Started};
    use crate::oracle::tale::{EXPIRED, LOST, MS, Tale, call};
    use crate::script::Fault;
    use crate::script::Route::Echo;

    #[test]
    fn a_request_that_waits_for_nothing_is_bad() {
        let ends = |at: u64| Tale::of(call(Echo), &[(5, Issued), (at, Ended(Ok(true)))]);
        ends(8).is_good(1);
        assert_eq!(ends(5_000).broken(1), ["a request waits though all is calm"]);
        let mut troubled = ends(5_000);
        troubled.fault(4, 6, Fault::Stall { from: 0, to: 1, lasts: 2 * MS });
        troubled.is_good(1);
    }

    #[test]
    fn a_call_with_one_end_is_good() {
        Tale::of(call(Echo), &[(5, Issued), (6, Ended(Ok(true)))]).is_good(1);
        Tale::of(call(Echo), &[(5, Issued), (6, Ended(Ok(true))), (7, Dropped)]).is_good(1);
    }

    #[test]
    fn a_call_without_an_end_is_bad_unless_its_caller_is_gone() {
        let mut tale = Tale::of(call(Echo), &[(5, Issued)]);
        assert_eq!(tale.broken(1), ["a call never resolves"]);
        tale.kill(8, 0);
        tale.is_good(1);
        let dropped = Tale::of(call(Echo), &[(5, Issued), (6, Dropped)]);
        dropped.is_good(1);
        assert_eq!(dropped.verdicts(1).excuses["dropped by the application"], 1);
    }

    #[test]
    fn an_answer_that_does_not_reach_its_caller_is_bad_where_it_is_calm() {
        let ends = |at| {
            let sights = [(5, Issued), (6, Started(true)), (7, Returned(true))];
            let mut tale = Tale::of(call(Echo), &sights);
            tale.see(at, 0, Ended(Err(EXPIRED)));
            tale
        };
        ends(9).is_good(1);
        let rules = ["an answer does not reach its caller", "a request waits though all is calm"];
        assert_eq!(ends(60_005).broken(1), rules);
        let mut stalls = ends(60_005);
        stalls.fault(6, 50_000, Fault::Stall { from: 1, to: 0, lasts: 49_994 * MS });
        stalls.is_good(1);
    }

    #[test]
    fn two_ends_are_bad() {
        let sights = [(5, Issued), (6, Ended(Ok(true))), (7, Ended(Err(LOST)))];
        assert_eq!(Tale::of(call(Echo), &sights).broken(1), ["a call resolves more than once"]);
    }

    #[test]
    fn a_call_made_twice_or_never_is_bad() {
        let sights = [(5, Issued), (5, Issued), (6, Ended(Ok(true)))];
        assert_eq!(Tale::of(call(Echo), &sights).broken(1), ["a call is made twice"]);
        let unmade = Tale::of(call(Echo), &[(6, Ended(Ok(true)))]);
        assert_eq!(unmade.broken(1), ["a call is seen that was never made"]);
    }

    #[test]
    fn an_end_after_the_drop_is_bad() {
        let sights = [(5, Issued), (6, Dropped), (7, Ended(Ok(true)))];
        let rule = "a call resolves after it was dropped";
        assert_eq!(Tale::of(call(Echo), &sights).broken(1), [rule]);
    }
}
