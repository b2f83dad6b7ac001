//! O5: deadlines, on the clock of whoever owns them.
//!
//! - A call never ends by its deadline before its caller's clock has come to it; at most 1 ms
//!   before, if it still waited for a link or for room.
//! - A call has its end once its deadline has passed, plus two timer ticks, the slack of timers and
//!   the laziness of the application for as many wake-ups as it may need to read what is left,
//!   its own pace, and the pauses of its node. Streams that their application has stopped reading
//!   are not judged.
//! - A handler is told by its own deadline, which begins when it has started or before, and so
//!   are wake-ups. Routes that run to their end are not judged, nor handlers of a process that has
//!   died meanwhile.

use gridmux_core::error::CallError;

use super::bounds::nanos;
use super::story::{Serving, Story};
use super::{Bench, Case};
use crate::history::Entry;
use crate::script::{NodeKind, Route};

/// What is left of a deadline when a call is not worth sending any more.
const TOO_LITTLE: u64 = 1_000_000;

/// Wake-ups of a call's end without anything to read.
const WAKES: u64 = 6;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let default = nanos(case.evidence.timings.default_deadline);
    for story in &case.stories {
        let Some(timeout) = story.timeout(default) else { continue };
        if timeout < TOO_LITTLE {
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
    use gridmux_core::error::CallError::DeadlineExceeded;
    use gridmux_core::error::CancelReason;

    use crate::history::Sight::{Cancelled, Dropped, Ended, Issued, Opened, Started};
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
