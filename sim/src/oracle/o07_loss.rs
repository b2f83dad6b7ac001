//! O7: when a node has lost a link, every call that it had open on it fails, and every handler
//! that it ran for the peer is told: within a few wake-ups, the pace of a stream's reader, and
//! the pauses of the node.
//!
//! That no call of another pair fails with it is O3's: the cause must be of the call's own pair.
//! Not judged: calls that wait for a link and may not have been sent, streams that their
//! application has stopped reading, routes that run to their end.

use super::evidence::LinkView;
use super::o05_deadlines::reader_lag;
use super::story::Story;
use super::{Bench, Case};
use crate::script::Route;

/// Wake-ups from the loss to the application's own record of it.
const WAKES: u64 = 6;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for view in case.evidence.views.iter().filter(|view| !view.up) {
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
    bench.judged();
    if !over(due) {
        let detail = format!("the link was lost at {}", view.at);
        bench.late_call("a call outlives its link", due, story, &detail);
    }
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

    fn lost(ended: u64, told: u64) -> Tale {
        let mut tale = Tale::of(call(Route::Talk), &[(5, Issued), (6, Started(true))]);
        tale.lose(50, 0, 1).see(told, 0, HandlerDropped).see(ended, 0, Ended(Err(LOST)));
        tale
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
        assert_eq!(tale.broken(7), [""; 0]);
    }

    #[test]
    fn who_waits_for_a_link_may_go_on_waiting() {
        let mut patient = call(Route::Echo);
        patient.wait_link = Some(9_000 * MS);
        let mut tale = Tale::of(patient, &[(5, Issued)]);
        tale.lose(50, 0, 1);
        assert_eq!(tale.verdicts(7).excuses["waits for a link"], 1);
        assert_eq!(tale.broken(7), [""; 0]);
        tale.see(49, 0, Started(true)).see(50, 0, HandlerDropped);
        assert_eq!(tale.broken(7), ["a call outlives its link"]);
    }
}
