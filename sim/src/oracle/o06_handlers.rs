//! O6: handlers.
//!
//! - At most one handler of a call, in the whole run: nothing is ever sent again.
//! - It has the caller's bytes, and the call was made before.
//! - What succeeds has run and has returned in order.
//! - Once the call has failed at its caller, was dropped there, or its process has died, the
//!   handler is told. Where it is calm: a delivery and a few wake-ups later. Else: within the
//!   detection of a dead link (`silence + ping_interval`, 30 s of the callee's clock) and a
//!   delivery, counted from the last fault between the two that came within such a time; plus
//!   pauses. Not judged: routes that run to their end, single requests of a Go caller, which
//!   tells nothing, and pairs between which a byte was changed, which loses messages.
//! - What was told that it is cancelled sends nothing more.
//! - No handler starts for a call whose cancel has come with it.
//! - No handler starts for a call that had failed or was dropped before any connection began on
//!   which it could have come.

use gridmux_core::error::CancelReason;

use super::story::{Serving, Story};
use super::{Bench, Case};
use crate::history::{Entry, Sight};
use crate::script::{NodeKind, Route};

/// Wake-ups from the message to the handler's own record of it.
const WAKES: u64 = 6;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for story in case.stories.iter().filter(|story| story.ours[1]) {
        judge_success(bench, story);
        if let [_, second, ..] = story.servings.as_slice()
            && let Some(entry) = second.entries.first()
        {
            let detail = format!("{} handlers", story.servings.len());
            bench.unsafe_exchange("a call is handled more than once", entry.at, story, &detail);
        }
        for serving in &story.servings {
            judge_start(case, bench, story, serving);
            judge_told(case, bench, story, serving);
            judge_silence(bench, story, serving);
        }
    }
}

fn judge_success(bench: &mut Bench<'_>, story: &Story<'_>) {
    let Some((ended, Ok(_))) = story.ended() else { return };
    bench.judged();
    let returned =
        |one: &Serving<'_>| one.returned_in_order().is_some_and(|returned| returned.at <= ended.at);
    if story.servings.iter().any(returned) {
        return;
    }
    let rule = "a call succeeds without a handler that returned";
    bench.unsafe_exchange(rule, ended.at, story, "");
}

fn judge_start(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>, serving: &Serving<'_>) {
    let (Some(started), true) = (serving.started(), story.ours[0]) else { return };
    bench.judged();
    let (from, to) = (story.call.from, story.call.to);
    if started.sight == Sight::Started(false) {
        bench.unsafe_exchange("a handler gets other bytes", started.at, story, "");
    }
    if story.issued().is_none_or(|issued| issued.at > started.at) {
        bench.unsafe_exchange("a handler runs before the call is made", started.at, story, "");
    }
    if case.evidence.stillborn.contains(&story.id)
        && !case.bounds.is_corrupted(from, to, started.at)
    {
        let rule = "a handler starts for a call that was cancelled when it came";
        bench.unsafe_exchange(rule, started.at, story, "");
    }
    let Some(over) = over_at(case, story).filter(|over| *over < started.at) else { return };
    // It may have come some time before it was first seen to run.
    let came_after = case.evidence.between(to, from).filter(|(life, end)| {
        life.opened_at <= started.at
            && life.broken_at[*end]
                .is_none_or(|broken| case.bounds.by(to, broken, 0, 2) >= started.at)
    });
    let mut came_after = came_after.map(|(life, _)| life.opened_at).peekable();
    if came_after.peek().is_some() && came_after.all(|opened| opened > over) {
        let detail = format!("over at {over}, started at {}", started.at);
        let rule = "a handler starts for a call that was over before the connection began";
        bench.unsafe_exchange(rule, started.at, story, &detail);
    }
}

/// When the call was over at its caller without success.
fn over_at(case: &Case<'_>, story: &Story<'_>) -> Option<u64> {
    let issued = story.issued()?;
    let failed = story.failed().map(|(entry, _)| entry.at);
    let dropped = story.dropped().map(|entry| entry.at);
    let died = case.evidence.died(issued.node, issued.life);
    [failed, dropped, died].into_iter().flatten().min()
}

fn judge_told(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>, serving: &Serving<'_>) {
    let (from, to) = (story.call.from, story.call.to);
    let (Some(started), Some(over)) = (serving.started(), over_at(case, story)) else { return };
    let is_single = story.call.route.capacities().is_none();
    if story.call.route == Route::RunToEnd {
        return bench.excuse("runs to its end");
    }
    if is_single && case.evidence.script.nodes.get(from) == Some(&NodeKind::Go) {
        return bench.excuse("a Go caller tells nothing");
    }
    if case.bounds.is_corrupted(from, to, u64::MAX) {
        return bench.excuse("a byte was changed on the way");
    }
    let arrived = case.bounds.told_by(from, to, over.max(started.at));
    let due = case.bounds.by(to, arrived, 0, WAKES);
    if case.evidence.is_dead(serving.node, serving.life, due) || due >= case.evidence.phases.quiet {
        return;
    }
    bench.judged();
    if serving.told().is_none_or(|told| told.at > due) {
        let detail = format!("over at {over}, it should have been told at {due}");
        bench.late_call("a handler is not told that its call is over", due, story, &detail);
    }
}

/// Nothing can be sent any more once it is cancelled.
fn judge_silence(bench: &mut Bench<'_>, story: &Story<'_>, serving: &Serving<'_>) {
    let cancelled = |entry: &&Entry| matches!(entry.sight, Sight::Cancelled(why) if why != CancelReason::HandlerEnded);
    let mut after = serving.entries.iter().copied().skip_while(|entry| !cancelled(entry));
    if let Some(entry) = after.find(|entry| matches!(entry.sight, Sight::OutputSent(_))) {
        bench.unsafe_call("a cancelled handler still sends", entry.at, story, "");
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::error::CancelReason;

    use crate::history::Sight;
    use crate::history::Sight::{
        Cancelled, Dropped, Ended, HandlerDropped, Issued, OutputSent, Returned, Started,
    };
    use crate::oracle::tale::{EXPIRED, LOST, MS, Tale, call};
    use crate::script::{Call, Fault, NodeKind, Route};
    use crate::world::Damage;

    const NOT_TOLD: &str = "a handler is not told that its call is over";

    #[test]
    fn what_was_cancelled_when_it_came_does_not_start() {
        let mut tale = Tale::of(call(Route::Echo), &[(5, Issued), (5, Dropped)]);
        tale.evidence.stillborn.push(0);
        assert_eq!(tale.broken(6), [""; 0]);
        tale.see(6, 0, Started(true)).see(6, 0, HandlerDropped);
        assert_eq!(tale.broken(6), ["a handler starts for a call that was cancelled when it came"]);
        tale.evidence.stillborn.clear();
        tale.is_good(6);
    }

    #[test]
    fn one_handler_with_the_right_bytes_that_returned_is_good() {
        let sights = [(5, Issued), (6, Started(true)), (7, Returned(true)), (8, Ended(Ok(true)))];
        Tale::of(call(Route::Echo), &sights).is_good(6);
    }

    #[test]
    fn a_second_handler_is_bad() {
        let mut tale = Tale::of(call(Route::Echo), &[(5, Issued), (6, Started(true))]);
        tale.see(7, 0, Returned(true)).see_serving(8, 0, 1, Started(true));
        tale.see_serving(9, 0, 1, Returned(true)).see(10, 0, Ended(Ok(true)));
        assert_eq!(tale.broken(6), ["a call is handled more than once"]);
    }

    #[test]
    fn an_end_may_be_made_on_a_path_without_checksums() {
        let mut tale = Tale::of(call(Route::Echo), &[(5, Issued), (9, Ended(Ok(true)))]);
        tale.fault(6, 6, Fault::Damage { from: 1, to: 0, damage: Damage::Flip(1) });
        assert_eq!(tale.broken(6), ["a call succeeds without a handler that returned"]);
        tale.evidence.script.secure = true;
        tale.is_good(6);
    }

    #[test]
    fn other_bytes_no_call_and_no_handler_are_bad() {
        let broken = |sights: &[(u64, Sight)]| Tale::of(call(Route::Echo), sights).broken(6);
        let other = [(5, Issued), (6, Started(false)), (7, Returned(true))];
        assert_eq!(broken(&other), ["a handler gets other bytes"]);
        let early = [(5, Started(true)), (6, Issued), (7, Returned(true))];
        assert_eq!(broken(&early), ["a handler runs before the call is made"]);
        let rule = "a call succeeds without a handler that returned";
        assert_eq!(broken(&[(5, Issued), (8, Ended(Ok(true)))]), [rule]);
        let still = [(5, Issued), (6, Started(true)), (8, Ended(Ok(true)))];
        assert_eq!(broken(&still), [rule]);
    }

    /// A call that is over at 50 ms, and whose handler is told at some time.
    fn told(at: u64, over: Sight) -> Tale {
        let mut tale = Tale::of(call(Route::Talk), &[(5, Issued), (6, Started(true)), (50, over)]);
        tale.see(at, 0, Cancelled(CancelReason::Caller));
        tale
    }

    #[test]
    fn a_handler_is_told_at_once_where_it_is_calm() {
        told(52, Dropped).is_good(6);
        told(52, Ended(Err(EXPIRED))).is_good(6);
        assert_eq!(told(200, Dropped).broken(6), [NOT_TOLD]);
        let mut gone = told(200, Dropped);
        gone.kill(51, 1);
        gone.is_good(6);
    }

    #[test]
    fn a_handler_is_told_within_the_silence_where_it_is_not() {
        let stalled = |at| {
            let mut tale = told(at, Dropped);
            tale.fault(40, 9_000, Fault::Stall { from: 0, to: 1, lasts: 8_960 * MS });
            tale.lose(9_100, 0, 1);
            tale
        };
        stalled(39_000).is_good(6);
        assert_eq!(stalled(50_000).broken(6), [NOT_TOLD]);
    }

    #[test]
    fn the_death_of_the_caller_counts_as_the_end_of_the_call() {
        let mut tale = Tale::of(call(Route::Talk), &[(5, Issued), (6, Started(true))]);
        tale.kill(50, 0);
        tale.see(51, 0, HandlerDropped);
        tale.is_good(6);
        tale.evidence.entries.pop();
        assert_eq!(tale.broken(6), [NOT_TOLD]);
    }

    #[test]
    fn a_lazy_go_caller_writes_a_large_message_with_many_rests() {
        let lazy = |kind| {
            let mut tale = told(2_050, Dropped);
            let script = &mut tale.evidence.script;
            script.knobs.laziness = 100 * MS;
            script.knobs.buffer = 4_096;
            let large = Call { size: Some(40_000), ..Call::new("large", 0, 1, Route::Talk) };
            script.nodes[0] = kind;
            tale.call(large);
            tale
        };
        assert_eq!(lazy(NodeKind::Ours).broken(6), [NOT_TOLD]);
        lazy(NodeKind::Go).is_good(6);
    }

    #[test]
    fn who_runs_to_the_end_and_whom_go_calls_is_not_told() {
        let sights = [(5, Issued), (6, Started(true)), (50, Dropped)];
        let endless = Tale::of(call(Route::RunToEnd), &sights);
        endless.is_good(6);
        assert_eq!(endless.verdicts(6).excuses["runs to its end"], 1);
        let mut go = Tale::of(call(Route::Echo), &sights);
        assert_eq!(go.broken(6), [NOT_TOLD]);
        go.evidence.script.nodes[0] = NodeKind::Go;
        assert_eq!(go.verdicts(6).excuses["a Go caller tells nothing"], 1);
    }

    #[test]
    fn a_cancelled_handler_sends_nothing() {
        let mut tale = told(52, Dropped);
        tale.see(53, 0, OutputSent(0));
        assert_eq!(tale.broken(6), ["a cancelled handler still sends"]);
    }

    #[test]
    fn an_old_call_does_not_start_on_a_new_connection() {
        let over = [(5, Issued), (50, Ended(Err(LOST)))];
        let mut tale = Tale::of(call(Route::Echo), &over);
        tale.lose(49, 0, 1).see(51, 0, Started(true)).see(51, 0, HandlerDropped);
        tale.is_good(6);
        let mut tale = Tale::of(call(Route::Echo), &over);
        tale.lose(49, 0, 1).connect(1_100, 0, 1);
        tale.see(1_200, 0, Started(true)).see(1_201, 0, Returned(true));
        let rule = "a handler starts for a call that was over before the connection began";
        assert_eq!(tale.broken(6), [rule]);
    }
}
