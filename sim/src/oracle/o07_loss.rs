//! O7: when a node has lost a link, every call that it had open on it fails, and every handler
//! that it ran for the peer is told: within a few wake-ups, the pace of a stream's reader, and
//! the pauses of the node.
//!
//! No link between two of ours is lost without a fault that they can have felt within the time in
//! which a dead link is found.
//!
//! That no call of another pair fails with it is O3's: the cause must be of the call's own pair.
//! Not judged: calls that wait for a link and may not have been sent, streams that their
//! application has stopped reading, routes that run to their end.

use super::bounds::{call_bytes, nanos};
use super::evidence::LinkView;
use super::o05_deadlines::reader_lag;
use super::story::{Serving, Story};
use super::{Bench, Case};
use crate::history::Sight;
use crate::script::{NodeKind, Route};
use crate::verdict::Class;

/// Wake-ups from the loss to the application's own record of it.
const WAKES: u64 = 6;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for (place, view) in case.evidence.views.iter().enumerate().filter(|(_, view)| !view.up) {
        judge_cause(case, bench, place, view);
        for story in &case.stories {
            let ends = (story.call.from, story.call.to);
            if ends == (view.node, view.peer) && story.ours[0] {
                judge_caller(case, bench, story, view);
            }
            if ends == (view.peer, view.node) && story.ours[1] {
                judge_handlers(case, bench, story, view);
            }
        }
    }
}

/// A link between two of ours is not lost without a fault that either can have felt in the time in
/// which a dead link is found.
fn judge_cause(case: &Case<'_>, bench: &mut Bench<'_>, place: usize, view: &LinkView) {
    let LinkView { node, life, peer, at, .. } = *view;
    let script = &case.evidence.script;
    let is_ours = |node: usize| script.nodes.get(node) == Some(&NodeKind::Ours);
    let before = case.evidence.views[..place].iter().rev();
    let mut before = before.filter(|one| (one.node, one.life, one.peer) == (node, life, peer));
    let was_up = before.next().is_some_and(|one| one.up);
    if !was_up || !is_ours(node) || !is_ours(peer) || at >= case.evidence.phases.quiet {
        return;
    }
    bench.judged();
    let timings = &case.evidence.timings;
    let detection = nanos(timings.silence) + nanos(timings.ping_interval);
    let near = at.saturating_sub(case.bounds.span(node, detection, WAKES));
    if script.knobs.rate > 0 {
        return bench.excuse("a slow network");
    }
    if case.bounds.is_corrupted(node, peer, at) {
        return bench.excuse("a byte was changed on the way");
    }
    if case.bounds.may_have_panicked(node, peer, near, at) {
        return bench.excuse("a machine has panicked");
    }
    if !case.bounds.is_troubled(node, peer, near, at) {
        let detail = format!("n{node} has lost n{peer}");
        bench.fail(Class::Safety, "a link is lost without a cause", at, detail);
    }
}

fn judge_caller(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>, view: &LinkView) {
    let Some(issued) = story.issued() else { return };
    if issued.life != view.life || issued.at >= view.at {
        return;
    }
    let over = |by: u64| {
        let ended = story.ended().is_some_and(|(entry, _)| entry.at <= by);
        ended || story.dropped().is_some_and(|entry| entry.at <= by)
    };
    if over(view.at) {
        return;
    }
    if story.call.wait_link.is_some() && story.started().is_none_or(|started| started.at > view.at)
    {
        return bench.excuse("waits for a link");
    }
    if story.call.reading.stop.is_some() {
        return bench.excuse("stopped reading");
    }
    let (lag, wakes) = reader_lag(case, story);
    let due = case.bounds.by_turns(view.node, view.at, 0, lag, wakes + WAKES);
    if case.evidence.is_dead(view.node, view.life, due) || due >= case.evidence.phases.drain {
        return;
    }
    if waited_for_room(case, story, view, due) {
        return bench.excuse("had no room, and goes on with the next link");
    }
    bench.judged();
    if !over(due) {
        let detail = format!("the link was lost at {}", view.at);
        bench.late_call("a call outlives its link", due, story, &detail);
    }
}

/// Whether a call may have waited for room in the queue when the link was lost, and has found it on
/// the next link before its task ran, by `due`: nothing of it was on the link that was lost.
fn waited_for_room(case: &Case<'_>, story: &Story<'_>, view: &LinkView, due: u64) -> bool {
    let pair = (story.call.from, story.call.to);
    let others = case.stories.iter().filter(|other| (other.call.from, other.call.to) == pair);
    let bytes = others.map(|other| call_bytes(other.call)).fold(0, u64::saturating_add);
    let connected = case.evidence.views_of(view.node, view.peer);
    let soon = view.at..=due;
    let mut next =
        connected.filter(|one| one.up && one.life == view.life && soon.contains(&one.at));
    let opened = story.caller.iter().find(|entry| entry.sight == Sight::Opened);
    bytes >= case.evidence.limits.queued_bytes as u64
        && story.servings.iter().filter_map(Serving::started).all(|started| started.at >= view.at)
        && opened.is_none_or(|opened| opened.at >= view.at)
        && next.next().is_some()
}

fn judge_handlers(case: &Case<'_>, bench: &mut Bench<'_>, story: &Story<'_>, view: &LinkView) {
    if story.call.route == Route::RunToEnd {
        return;
    }
    for serving in &story.servings {
        let open = serving.started().is_some_and(|started| started.at < view.at)
            && serving.told().is_none_or(|told| told.at > view.at);
        if serving.life != view.life || !open {
            continue;
        }
        let due = case.bounds.by(view.node, view.at, 0, WAKES);
        if case.evidence.is_dead(view.node, view.life, due) || due >= case.evidence.phases.quiet {
            continue;
        }
        bench.judged();
        if serving.told().is_none_or(|told| told.at > due) {
            let detail = format!("the link was lost at {}", view.at);
            bench.late_call("a handler outlives its link", due, story, &detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::history::Sight::{Ended, HandlerDropped, Issued, Started};
    use crate::oracle::tale::{LOST, MS, Tale, call};
    use crate::script::{Fault, Route};
    use crate::world::Death;

    const RESET: Fault = Fault::Reset { one: 0, other: 1, late: 0 };

    fn lost(ended: u64, told: u64) -> Tale {
        let mut tale = Tale::of(call(Route::Talk), &[(5, Issued), (6, Started(true))]);
        tale.fault(50, 50, RESET).lose(50, 0, 1).see(told, 0, HandlerDropped).see(
            ended,
            0,
            Ended(Err(LOST)),
        );
        tale
    }

    #[test]
    fn a_link_that_is_lost_without_a_cause_is_bad() {
        let mut tale = lost(50, 51);
        tale.evidence.fired.clear();
        let rule = "a link is lost without a cause";
        assert_eq!(tale.broken(7), [rule, rule], "at both ends");
        let mut before = Tale::new(2);
        before.fault(9, 9, RESET).lose(50_000, 0, 1);
        assert_eq!(before.broken(7).len(), 2, "long ago");
    }

    #[test]
    fn a_machine_that_panics_when_it_is_used_loses_its_link_then() {
        let mut tale = Tale::new(2);
        tale.fault(9, 9, Fault::Panic { node: 0, peer: 1, using: true }).lose(50_000, 0, 1);
        assert_eq!(tale.broken(7).len(), 2, "it has not panicked");
        tale.evidence.inside.bugs.push(50_000 * MS);
        assert!(tale.broken(7).is_empty());
    }

    #[test]
    fn both_ends_of_a_call_that_learn_of_the_loss_at_once_are_good() {
        lost(50, 51).is_good(7);
    }

    #[test]
    fn a_call_that_outlives_its_link_is_bad() {
        assert_eq!(lost(100, 51).broken(7), ["a call outlives its link"]);
        let mut paused = lost(100, 51);
        paused.fault(49, 99, Fault::Pause { node: 0, lasts: 50 * MS });
        paused.is_good(7);
    }

    #[test]
    fn a_call_that_has_found_no_room_may_go_on_with_the_next_link() {
        let waits = |started, next| {
            let mut tale = Tale::of(call(Route::Talk), &[(5, Issued), (started, Started(true))]);
            tale.fault(50, 50, RESET).lose(50, 0, 1).connect(next, 0, 1);
            tale.see(100, 0, Ended(Ok(true))).see(100, 0, HandlerDropped);
            tale
        };
        let rule = ["a call outlives its link"];
        assert_eq!(waits(53, 50).broken(7), rule, "there is room for all of it");
        let full = |next| {
            let mut tale = waits(next + 2, next);
            tale.evidence.limits.queued_bytes = 1;
            tale
        };
        full(50).is_good(7);
        assert_eq!(full(90).broken(7), rule, "it is told of the loss before");
        let mut before = waits(6, 50);
        before.evidence.limits.queued_bytes = 1;
        assert!(before.broken(7).contains(&rule[0]), "it was on the link that was lost");
    }

    #[test]
    fn a_handler_that_outlives_its_link_is_bad() {
        assert_eq!(lost(50, 100).broken(7), ["a handler outlives its link"]);
        let mut lazy = lost(50, 100);
        lazy.evidence.script.knobs.laziness = 9 * MS;
        lazy.is_good(7);
    }

    #[test]
    fn the_loss_of_another_link_ends_nothing() {
        let mut tale = Tale::new(3);
        let id = tale.call(call(Route::Talk));
        tale.see(5, id, Issued).see(6, id, Started(true)).lose(50, 0, 2).lose(50, 1, 2);
        let crash = Fault::Crash { node: 2, how: Death::Reset, back: None };
        tale.fault(50, 90, crash).is_good(7);
    }

    #[test]
    fn who_waits_for_a_link_may_go_on_waiting() {
        let mut patient = call(Route::Echo);
        patient.wait_link = Some(9_000 * MS);
        let mut tale = Tale::of(patient, &[(5, Issued)]);
        tale.fault(50, 50, RESET).lose(50, 0, 1);
        assert_eq!(tale.verdicts(7).excuses["waits for a link"], 1);
        assert_eq!(tale.broken(7), [""; 0]);
        tale.see(49, 0, Started(true)).see(50, 0, HandlerDropped);
        assert_eq!(tale.broken(7), ["a call outlives its link"]);
    }
}
