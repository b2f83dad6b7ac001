//! O5: deadlines, on the clock of whoever owns them.
//!
//! - A call never ends by its deadline before its caller's clock has come to it; at most 1 ms
//!   before, if it still waited for a link or for room.
//! - A call has its end once its deadline has passed, plus two timer ticks, the slack of timers and
//!   the laziness of the application for as many wake-ups as it may need to read what is left,
//!   its own pace, and the pauses of its node. Streams that their application has stopped reading
//!   are not judged.
//! - A deadline under 1 ms is refused: no handler runs, and it never passes.
//! - A handler is not told of its deadline before its clock can have come to it, and what it answers
//!   when its clock is past it is not sent.
//! - A handler is told by its own deadline, which begins when it has started or before, and so
//!   are wake-ups. Routes that run to their end are not judged, nor handlers of a process that has
//!   died meanwhile.

use gridmux_core::error::{CallError, CancelReason};

use super::bounds::nanos;
use super::story::{Serving, Story};
use super::{Bench, Case};
use crate::history::{Entry, Sight};
use crate::script::{NodeKind, Route};

/// What is left of a deadline when a call is not worth sending any more.
const TOO_LITTLE: u64 = MILLI;

/// What deadlines travel in.
const MILLI: u64 = 1_000_000;

/// Wake-ups of a call's end without anything to read.
const WAKES: u64 = 6;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let default = nanos(case.evidence.timings.default_deadline);
    for story in &case.stories {
        let Some(timeout) = story.timeout(default) else { continue };
        if timeout < TOO_LITTLE {
            judge_refused(bench, story);
            continue;
        }
        if let (true, Some(issued)) = (story.ours[0], story.issued()) {
            judge_early(bench, story, issued, timeout);
            judge_late(case, bench, story, issued, timeout);
        }
        let kind = case.evidence.script.nodes.get(story.call.from);
        if story.ours[1] && !matches!(kind, Some(NodeKind::Hostile(_))) {
            for serving in &story.servings {
                judge_handler(case, bench, story, serving, timeout);
                judge_told_early(case, bench, story, serving, timeout);
                judge_answer(bench, story, serving, timeout);
            }
        }
    }
}

fn judge_early(bench: &mut Bench<'_>, story: &Story<'_>, issued: &Entry, timeout: u64) {
    let Some((ended, CallError::DeadlineExceeded { may_have_run })) = story.failed() else {
        return;
    };
    bench.judged();
    let passed = ended.clock.saturating_sub(issued.clock);
    if passed >= timeout {
        return;
    }
    if !may_have_run && timeout - passed <= TOO_LITTLE {
        bench.excuse("less than 1 ms was left before it was sent");
        return;
    }
    let detail = format!("{passed} ns of {timeout} ns had passed");
    bench.unsafe_call("a deadline comes early", ended.at, story, &detail);
}

/// How long an application may need to read what is left, and with how many wake-ups.
pub(super) fn reader_lag(case: &Case<'_>, story: &Story<'_>) -> (u64, u64) {
    let Some((_, capacity)) = story.call.route.capacities() else { return (0, WAKES) };
    let (reading, input) = (&story.call.reading, &story.call.input);
    let left = u64::from(capacity) + 2;
    // On a coarse clock each rest is longer.
    let grain = case.evidence.script.knobs.grain;
    let rest = |pace: u64| if pace > 0 { pace.saturating_add(grain) } else { 0 };
    let pace = rest(reading.pace).saturating_mul(left);
    let pace = pace.saturating_add(rest(input.pace).saturating_mul(2));
    (reading.after.saturating_add(pace), WAKES + 2 * left)
}

fn judge_late(
    case: &Case<'_>,
    bench: &mut Bench<'_>,
    story: &Story<'_>,
    issued: &Entry,
    timeout: u64,
) {
    if story.call.reading.stop.is_some() {
        return bench.excuse("stopped reading");
    }
    let (lag, wakes) = reader_lag(case, story);
    let due = case.bounds.by_turns(issued.node, issued.at, timeout, lag, wakes);
    let gone = story.dropped().is_some_and(|dropped| dropped.at <= due)
        || case.evidence.is_dead(issued.node, issued.life, due);
    if gone || due >= case.evidence.phases.drain {
        return;
    }
    bench.judged();
    let ended = story.ended().map(|(entry, _)| entry.at);
    if ended.is_none_or(|at| at > due) {
        let detail = format!("made at {}, it should have ended at {due}", issued.at);
        bench.late_call("a call outlives its deadline", due, story, &detail);
    }
}

/// A deadline that is too short to travel does not travel.
fn judge_refused(bench: &mut Bench<'_>, story: &Story<'_>) {
    if !story.ours[0] || story.issued().is_none() {
        return;
    }
    bench.judged();
    // One that waits for a link may pass before it is looked at.
    let is_sent = |result: &Result<bool, CallError>| {
        matches!(result, Ok(_) | Err(CallError::DeadlineExceeded { may_have_run: true }))
    };
    let ended = story.ended().filter(|(_, result)| is_sent(result));
    if let Some(entry) = story.started().or(ended.map(|(entry, _)| entry)) {
        let rule = "a call is made with a deadline under a millisecond";
        bench.unsafe_call(rule, entry.at, story, "");
    }
}

/// The callee's deadline begins when the call has come, with what is left of it when it was sent.
fn judge_told_early(
    case: &Case<'_>,
    bench: &mut Bench<'_>,
    story: &Story<'_>,
    serving: &Serving<'_>,
    timeout: u64,
) {
    let is_deadline = |sight: &Sight| {
        matches!(
            sight,
            Sight::Cancelled(CancelReason::Deadline)
                | Sight::InputEnded(Err(CancelReason::Deadline))
        )
    };
    let (Some(issued), Some(started)) = (story.issued(), serving.started()) else { return };
    let Some(told) = serving.find(is_deadline) else { return };
    bench.judged();
    let (from, to) = (story.call.from, story.call.to);
    let waited = case.bounds.most_clock(from, issued.at, started.at);
    let passed = case.bounds.most_clock(to, issued.at, told.at).saturating_add(waited);
    if passed.saturating_add(TOO_LITTLE) < timeout {
        let detail = format!("{passed} ns of {timeout} ns can have passed");
        bench.unsafe_exchange("a handler's deadline comes early", told.at, story, &detail);
    }
}

/// Nothing is answered any more when the deadline has passed, be it that nobody was told yet.
fn judge_answer(bench: &mut Bench<'_>, story: &Story<'_>, serving: &Serving<'_>, timeout: u64) {
    let is_single = story.call.route.capacities().is_none();
    let (Some(started), Some(returned)) = (serving.started(), serving.returned()) else { return };
    if !is_single || !story.ours[0] {
        return;
    }
    bench.judged();
    // What is left travels in whole milliseconds, rounded up.
    let limit = timeout.div_ceil(MILLI).saturating_mul(MILLI);
    let took = returned.clock.saturating_sub(started.clock);
    let answered =
        story.ended().filter(|(_, result)| matches!(result, Ok(_) | Err(CallError::Remote(_))));
    if let Some((ended, _)) = answered.filter(|_| took >= limit) {
        let detail = format!("the handler took {took} ns of {timeout} ns");
        bench.unsafe_exchange("an answer comes after the deadline", ended.at, story, &detail);
    }
}

fn judge_handler(
    case: &Case<'_>,
    bench: &mut Bench<'_>,
    story: &Story<'_>,
    serving: &Serving<'_>,
    timeout: u64,
) {
    let Some(started) = serving.started() else { return };
    if matches!(story.call.route, Route::RunToEnd) {
        return bench.excuse("runs to its end");
    }
    // A Go caller's is a millisecond less, at most; ours is rounded up by less than that.
    let due = case.bounds.by(serving.node, started.at, timeout, WAKES);
    if case.evidence.is_dead(serving.node, serving.life, due) || due >= case.evidence.phases.quiet {
        return;
    }
    bench.judged();
    if serving.told().is_none_or(|told| told.at > due) {
        let detail = format!("started at {}, it should have been told at {due}", started.at);
        bench.late_call("a handler outlives its deadline", due, story, &detail);
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::error::CallError::{self, DeadlineExceeded};
    use gridmux_core::error::CancelReason;

    use crate::history::Sight::{Cancelled, Dropped, Ended, Issued, Opened, Returned, Started};
    use crate::oracle::tale::{EXPIRED, MS, Tale, call};
    use crate::script::{Call, Fault, Route};

    fn second(route: Route) -> Call {
        let mut call = call(route);
        call.timeout = Some(1_000 * MS);
        call
    }

    fn expires(route: Route, at: u64) -> Tale {
        Tale::of(second(route), &[(5, Issued), (at, Ended(Err(EXPIRED)))])
    }

    #[test]
    fn a_deadline_in_time_is_good() {
        expires(Route::Echo, 1_005).is_good(5);
        expires(Route::Talk, 1_007).is_good(5);
    }

    #[test]
    fn a_deadline_that_is_early_is_bad() {
        assert_eq!(expires(Route::Echo, 1_004).broken(5), ["a deadline comes early"]);
    }

    #[test]
    fn only_what_was_not_sent_may_give_up_the_last_millisecond() {
        let sights = |at| [(5, Issued), (at, Ended(Err(DeadlineExceeded { may_have_run: false })))];
        Tale::of(second(Route::Echo), &sights(1_004)).is_good(5);
        let early = Tale::of(second(Route::Echo), &sights(1_003));
        assert_eq!(early.broken(5), ["a deadline comes early"]);
    }

    #[test]
    fn the_clock_counts_and_not_the_time() {
        let mut tale = expires(Route::Echo, 800);
        tale.evidence.entries[1].clock = 1_005 * MS;
        tale.fault(300, 300, Fault::Jump { node: 0, ahead: 205 * MS });
        tale.is_good(5);
        tale.evidence.entries[1].clock = 1_004 * MS;
        assert_eq!(tale.broken(5), ["a deadline comes early"]);
    }

    #[test]
    fn a_late_deadline_is_bad_unless_knobs_and_faults_make_it_late() {
        let late = expires(Route::Echo, 1_200);
        assert_eq!(late.broken(5), ["a call outlives its deadline"]);
        let mut slack = expires(Route::Echo, 1_200);
        slack.evidence.script.knobs.slack = 40 * MS;
        slack.is_good(5);
        let mut paused = expires(Route::Echo, 1_200);
        paused.fault(1_000, 1_199, Fault::Pause { node: 0, lasts: 199 * MS });
        paused.is_good(5);
        let mut elsewhere = expires(Route::Echo, 1_200);
        elsewhere.fault(1_000, 1_199, Fault::Pause { node: 1, lasts: 199 * MS });
        assert_eq!(elsewhere.broken(5), ["a call outlives its deadline"]);
        let mut slow = expires(Route::Echo, 1_200);
        slow.fault(1, 2_000, Fault::Rate { node: 0, rate: 800_000, lasts: 1_999 * MS });
        slow.is_good(5);
    }

    #[test]
    fn a_call_without_an_end_outlives_its_deadline() {
        let mut tale = Tale::of(call(Route::Echo), &[(5, Issued)]);
        assert_eq!(tale.broken(5), ["a call outlives its deadline"], "a minute is the default");
        tale.see(90, 0, Dropped);
        assert_eq!(tale.broken(5), [""; 0]);
    }

    #[test]
    fn a_deadline_under_a_millisecond_never_passes() {
        let mut tiny = call(Route::Talk);
        tiny.timeout = Some(MS - 1);
        let ends = |error| Tale::of(tiny.clone(), &[(5, Issued), (6, Ended(Err(error)))]);
        ends(CallError::DeadlineTooShort).is_good(5);
        let rule = "a call is made with a deadline under a millisecond";
        assert_eq!(ends(EXPIRED).broken(5), [rule]);
        let mut runs = ends(CallError::DeadlineTooShort);
        assert_eq!(runs.see(7, 0, Started(true)).broken(5), [rule]);
    }

    #[test]
    fn a_handler_is_not_told_of_a_deadline_that_has_not_come() {
        let told = |at| {
            let mut tale = Tale::of(second(Route::Talk), &[(5, Issued), (6, Started(true))]);
            tale.see(at, 0, Cancelled(CancelReason::Deadline)).see(1_006, 0, Ended(Err(EXPIRED)));
            tale
        };
        told(1_006).is_good(5);
        assert_eq!(told(900).broken(5), ["a handler's deadline comes early"]);
        let mut jumps = told(900);
        jumps.fault(800, 800, Fault::Jump { node: 1, ahead: 200 * MS }).is_good(5);
    }

    #[test]
    fn an_answer_after_the_callees_deadline_is_bad() {
        let answered = |clock: u64| {
            let mut tale = Tale::of(second(Route::Echo), &[(5, Issued), (6, Started(true))]);
            tale.see(900, 0, Returned(true)).see(901, 0, Ended(Ok(true)));
            tale.evidence.entries[2].clock = clock * MS;
            tale
        };
        answered(1_005).is_good(5);
        assert_eq!(answered(1_006).broken(5), ["an answer comes after the deadline"]);
    }

    #[test]
    fn a_handler_is_told_by_its_deadline() {
        let told = |at| {
            let mut tale = Tale::of(second(Route::Talk), &[(5, Issued), (5, Opened)]);
            tale.see(6, 0, Started(true)).see(at, 0, Cancelled(CancelReason::Deadline));
            tale.see(1_005, 0, Ended(Err(EXPIRED)));
            tale
        };
        told(1_007).is_good(5);
        assert_eq!(told(1_100).broken(5), ["a handler outlives its deadline"]);
        told(1_100).kill(900, 1).is_good(5);
    }
}
