//! O26: those who are there are not given up, and those who take nothing are.
//!
//! - A link is given up because writes stand still only if no byte has moved for `write_stall`, by the
//!   clock of who does it: none was taken by the socket, or acknowledged by the peer's system.
//! - Who has more to write than there is room for, and sees nothing move, gives the link up within
//!   `write_stall` and a second (PROTOCOL.md section 4); on a connection on which nothing has moved for some
//!   time before, within twice that time, and 10 s.
//! - On a way that is slow and nothing else, no link is given up for silence, and no call ends for the
//!   silence of its stream at either end.
//!
//! A way is slow and nothing else if what it holds, and the largest message of the script, take no longer
//! than the silence leaves when its pings are apart as they are. Ways that hold more are not judged, nor is
//! what other faults touch.

use gridmux_core::error::{CallError, CancelReason};

use super::bounds::nanos;
use super::evidence::{Missed, Silence, Stall, Standstill};
use super::o03_explained::ends_for_silence;
use super::o05_deadlines::reader_lag;
use super::story::Story;
use super::{Bench, Case};
use crate::history::Sight;
use crate::script::NodeKind;
use crate::verdict::Class;

const SECOND: u64 = 1_000_000_000;

/// No standstill is waited for longer, whatever was before.
const LONGEST: u64 = 10 * SECOND;

/// Wake-ups between a standstill and its end.
const WAKES: u64 = 4;

/// Wake-ups between a ping that is due and the record of the silence.
const SILENCE_WAKES: u64 = 6;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    case.evidence.stalls.iter().for_each(|stall| judge_stall(case, bench, stall));
    case.evidence.standstills.iter().for_each(|stood| judge_standstill(case, bench, stood));
    case.evidence.silences.iter().for_each(|silence| judge_link(case, bench, silence));
    for story in case.stories.iter().filter(|story| story.ours == [true; 2]) {
        if story.call.route.capacities().is_some() {
            judge_caller(case, bench, story);
            judge_callee(case, bench, story);
        }
    }
}

fn judge_stall(case: &Case<'_>, bench: &mut Bench<'_>, stall: &Stall) {
    bench.judged();
    let Stall { node, peer, at, moved } = *stall;
    let shown = case.bounds.most_clock(node, moved, at);
    if shown < nanos(case.evidence.timings.write_stall) {
        let rule = "a link is given up as standing still though bytes move";
        let detail = format!("n{node} gives n{peer} up at most {shown} ns after the last move");
        bench.fail(Class::Safety, rule, at, detail);
    }
}

fn judge_standstill(case: &Case<'_>, bench: &mut Bench<'_>, stood: &Standstill) {
    bench.judged();
    let Standstill { node, peer, from, until, longest_before } = *stood;
    let limit = nanos(case.evidence.timings.write_stall).saturating_add(SECOND);
    let again = longest_before.saturating_add(SECOND / 2).saturating_mul(2).min(LONGEST);
    let limit = limit.max(again.saturating_add(SECOND / 2));
    let due = case.bounds.by(node, from, limit, WAKES);
    if until <= due {
        return;
    }
    if case.bounds.was_stopped(node, from, until) {
        return bench.excuse("the writer was stopped");
    }
    let detail = format!("n{node} to n{peer}: nothing moves from {from} to {until}, not {due}");
    bench.fail(Class::Liveness, "a link that takes nothing is kept", due, detail);
}

/// What keeps a rule from judging a silence, if something does.
fn excuse(
    case: &Case<'_>,
    (one, other): (usize, usize),
    (from, to): (u64, u64),
    (carried, left): (u64, u64),
) -> Option<&'static str> {
    if case.bounds.is_more_than_slow(one, other, from, to) {
        return Some("a fault other than a slow way");
    }
    (carried > left).then_some("the way holds more than a silence leaves")
}

fn judge_link(case: &Case<'_>, bench: &mut Bench<'_>, silence: &Silence) {
    let Silence { node, peer, missed, at, last, falsified } = *silence;
    let timings = &case.evidence.timings;
    let back = case.bounds.carries(peer, node, at.at);
    let (limit, carried) = match missed {
        Missed::Bytes => (timings.silence, back),
        Missed::Pongs => (timings.pong_silence, back + case.bounds.carries(node, peer, at.at)),
    };
    let left = nanos(limit).saturating_sub(nanos(timings.ping_interval)).saturating_sub(SECOND);
    let hostile = matches!(case.evidence.script.nodes.get(peer), Some(NodeKind::Hostile(_)));
    if hostile || falsified {
        return bench.excuse("a fault other than a slow way");
    }
    match excuse(case, (node, peer), (last.at, at.at), (carried, left)) {
        Some(class) => bench.excuse(class),
        None => {
            bench.judged();
            let detail = format!("n{node} gives n{peer} up for {missed:?}, last at {}", last.at);
            let rule = "a link whose way is slow is given up for silence";
            bench.fail(Class::Safety, rule, at.at, detail);
        }
    }
}

fn judge_caller(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>) {
    let (Some(issued), Some((entry, end))) = (story.issued(), story.ended()) else { return };
    let timings = &case.evidence.timings;
    let (silence, interval) = (nanos(timings.mux_silence), nanos(timings.mux_ping_interval));
    if entry.at.saturating_sub(issued.at) < silence {
        return;
    }
    bench.judged();
    if !matches!(end, Err(CallError::Disconnected { .. })) || !ends_for_silence(case, story, entry)
    {
        return;
    }
    let (from, to) = (story.call.from, story.call.to);
    let (lag, wakes) = reader_lag(case, story);
    let span = silence.saturating_add(interval).saturating_add(lag);
    let near = entry.at.saturating_sub(case.bounds.span(from, span, wakes)).max(issued.at);
    let carried = case.bounds.carries(from, to, entry.at) + case.bounds.carries(to, from, entry.at);
    let left = silence.saturating_sub(interval).saturating_sub(SECOND);
    match excuse(case, (from, to), (near, entry.at), (carried, left)) {
        Some(class) => bench.excuse(class),
        None => {
            let rule = "a call ends for silence though the callee is there";
            bench.unsafe_exchange(rule, entry.at, story, "");
        }
    }
}

fn judge_callee(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>) {
    let timings = &case.evidence.timings;
    let (silence, interval) = (nanos(timings.mux_ping_silence), nanos(timings.mux_ping_interval));
    let is_silence = |sight: &Sight| {
        matches!(
            sight,
            Sight::Cancelled(CancelReason::CallerSilent)
                | Sight::InputEnded(Err(CancelReason::CallerSilent))
        )
    };
    let (from, to) = (story.call.from, story.call.to);
    for serving in &story.servings {
        let Some(told) = serving.find(is_silence) else { continue };
        let span = silence.saturating_add(interval);
        let near = told.at.saturating_sub(case.bounds.span(to, span, SILENCE_WAKES));
        let near = near.max(story.issued().map_or(0, |issued| issued.at));
        let carried = case.bounds.carries(from, to, told.at);
        let left = silence.saturating_sub(interval).saturating_sub(SECOND);
        let gone = case.evidence.views_of(from, to).any(|view| view.at >= near && !view.up)
            || story
                .issued()
                .is_none_or(|issued| case.evidence.is_dead(issued.node, issued.life, told.at))
            || story.ended().is_some_and(|(end, _)| end.at <= told.at)
            || story.dropped().is_some_and(|dropped| dropped.at <= told.at);
        match excuse(case, (from, to), (near, told.at), (carried, left)) {
            _ if gone => bench.excuse("the caller is gone"),
            Some(class) => bench.excuse(class),
            None => {
                bench.judged();
                let rule = "a handler is cancelled for silence though its caller is there";
                bench.unsafe_exchange(rule, told.at, story, "");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gridmux_core::error::CancelReason;

    use crate::history::Sight::{Cancelled, Ended, Issued, Opened, Started};
    use crate::oracle::tale::{LOST, MS, Tale, call};
    use crate::oracle::{Mark, Missed, Silence, Stall, Standstill};
    use crate::script::{Fault, Route};

    fn stalled(moved: u64, at: u64) -> Tale {
        let mut tale = Tale::new(2);
        let stall = Stall { node: 0, peer: 1, at: at * MS, moved: moved * MS };
        tale.evidence.stalls.push(stall);
        tale
    }

    #[test]
    fn a_link_on_which_bytes_move_must_not_be_given_up_as_standing_still() {
        stalled(5_000, 8_000).is_good(26);
        let rule = ["a link is given up as standing still though bytes move"];
        assert_eq!(stalled(5_001, 8_000).broken(26), rule);
    }

    fn stood(until: u64) -> Tale {
        let mut tale = Tale::new(2);
        let (from, until) = (1_000 * MS, until * MS);
        let stood = Standstill { node: 0, peer: 1, from, until, longest_before: 0 };
        tale.evidence.standstills.push(stood);
        tale
    }

    #[test]
    fn a_link_on_which_nothing_has_moved_for_long_before_is_kept_for_longer() {
        let mut tale = stood(9_000);
        tale.evidence.standstills[0].longest_before = 3_300 * MS;
        tale.is_good(26);
        tale.evidence.standstills[0].until = 12_000 * MS;
        assert_eq!(tale.broken(26), ["a link that takes nothing is kept"]);
    }

    #[test]
    fn a_link_that_takes_nothing_must_be_given_up_within_four_seconds() {
        stood(5_000).is_good(26);
        assert_eq!(stood(5_100).broken(26), ["a link that takes nothing is kept"]);
        let mut tale = stood(5_100);
        tale.fault(2_000, 2_010, Fault::Pause { node: 0, lasts: 10 * MS });
        tale.is_good(26);
    }

    /// A way that holds what it carries in ten seconds.
    fn slow(tale: &mut Tale) -> &mut Tale {
        let (rate, buffer) = (20_000, 100_000);
        tale.fault(100, 90_000, Fault::Narrow { from: 0, to: 1, rate, buffer, lasts: 89_900 * MS })
    }

    /// A stream that its caller has given up after so long.
    fn ended(at: u64) -> Tale {
        let mut tale = Tale::new(2);
        let id = tale.call(call(Route::Talk));
        tale.see(1_000, id, Issued).see(1_000, id, Opened).see(1_010, id, Started(true));
        tale.see(at, id, Ended(Err(LOST)));
        tale
    }

    #[test]
    fn a_stream_on_a_slow_way_does_not_end_for_silence() {
        let mut tale = ended(40_000);
        slow(&mut tale);
        assert_eq!(tale.broken(26), ["a call ends for silence though the callee is there"]);
        tale.fault(20_000, 30_000, Fault::Pause { node: 1, lasts: 10_000 * MS });
        tale.is_good(26);
    }

    #[test]
    fn a_stream_on_a_way_that_holds_more_than_a_silence_is_not_judged() {
        let mut tale = ended(40_000);
        let (rate, buffer) = (2_000, 100_000);
        let narrow = Fault::Narrow { from: 1, to: 0, rate, buffer, lasts: 89_900 * MS };
        tale.fault(100, 90_000, narrow);
        tale.is_good(26);
    }

    #[test]
    fn a_handler_on_a_slow_way_is_not_cancelled_for_silence() {
        let mut tale = Tale::new(2);
        let id = tale.call(call(Route::Talk));
        tale.see(1_000, id, Issued).see(1_000, id, Opened).see(1_010, id, Started(true));
        tale.see(70_000, id, Cancelled(CancelReason::CallerSilent));
        slow(&mut tale);
        let rule = ["a handler is cancelled for silence though its caller is there"];
        assert_eq!(tale.broken(26), rule);
    }

    #[test]
    fn a_link_on_a_slow_way_is_not_given_up_for_silence() {
        let silent = |missed| {
            let mut tale = Tale::new(2);
            let mark = |at| Mark { at: at * MS, clock: at * MS };
            let (at, last) = (mark(70_000), mark(5_000));
            let silence = Silence { node: 0, peer: 1, missed, at, last, falsified: false };
            tale.evidence.silences.push(silence);
            slow(&mut tale);
            tale.broken(26)
        };
        let rule = ["a link whose way is slow is given up for silence"];
        assert_eq!(silent(Missed::Bytes), rule);
        assert_eq!(silent(Missed::Pongs), rule);
    }
}
