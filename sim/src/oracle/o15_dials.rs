//! O15: dials keep their distance, on the dialler's clock.
//!
//! - An attempt starts at least `retry_min` after the start of the one before, and after the loss
//!   of a link that was up for less than `stable_after`. So no more than 60 a minute.
//! - After an attempt that has failed, the next one starts `retry_max` after its *start*, or at
//!   once if it took longer; plus wake-ups and pauses. Not judged where the dialler does not dial
//!   any more: it shuts down, has removed the peer, was told of a duplicate, or has a link.
//! - A process whose link another process of its name has taken keeps away for as long as that
//!   one has it: it is not let in again (PROTOCOL.md section 7.11).
//!
//! And no task is polled without end while time stands still: nobody waits by asking again.
//!
//! Not judged: the first attempt to a peer that was removed and added again, or after a machine has
//! panicked, when the time between two attempts begins anew; and what was dialled while the node was
//! stopped, whose times are not those at which it was decided.

use std::collections::BTreeSet;

use super::bounds::nanos;
use super::evidence::DialAttempt;
use super::{Bench, Case};
use crate::script::Fault;
use crate::verdict::Class;

/// Wake-ups from the end of an attempt to the next one.
const WAKES: u64 = 8;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    if let Some(at) = case.evidence.inside.busy_at {
        let rule = "tasks run while time stands still";
        bench.fail(Class::Liveness, rule, at, String::new());
    }
    let dials = &case.evidence.dials;
    for (place, dial) in dials.iter().enumerate() {
        if !case.evidence.script.nodes.get(dial.from).is_some_and(|kind| kind.is_ours()) {
            continue;
        }
        let same = |other: &&DialAttempt| {
            (other.from, other.life, other.to) == (dial.from, dial.life, dial.to)
        };
        let former = dials[..place].iter().rev().find(same);
        judge_early(case, bench, dial, former);
        judge_late(case, bench, dial, dials[place + 1..].iter().find(same));
    }
    for (acceptor, lives) in case.evidence.lives.iter().enumerate() {
        for (life, _) in (0_u64..).zip(lives) {
            for dialler in 0..case.evidence.lives.len() {
                judge_turns(case, bench, [dialler, acceptor], life);
            }
        }
    }
}

/// Instances of a name that an acceptor remembers, at least.
const REMEMBERED: usize = 16;

/// Whether a process that was replaced is let in while the one that took its place is connected.
fn judge_turns(case: &Case<'_>, bench: &mut Bench<'_>, nodes: [usize; 2], life: u64) {
    let [dialler, acceptor] = nodes;
    if !case.evidence.script.nodes.get(acceptor).is_some_and(|kind| kind.is_ours()) {
        return;
    }
    let accepted = case.evidence.accepted(acceptor, life, dialler);
    for (place, pair) in accepted.windows(2).enumerate() {
        let [(taken_at, newer), (at, again)] = *pair else { continue };
        let process = again.lives[0];
        let before = || accepted[..place].iter().map(|(_, one)| one.lives[0]);
        if newer.lives[0] == process || !before().any(|other| other == process) {
            continue;
        }
        bench.judged();
        let since: BTreeSet<u64> = before().rev().take_while(|other| *other != process).collect();
        let over = case.bounds.by(acceptor, at, 0, WAKES);
        let lost = case
            .evidence
            .views_of(acceptor, dialler)
            .any(|view| !view.up && (taken_at..=over).contains(&view.at));
        // The one that gives way is dropped in this very instant.
        let broken = newer.broken_at.iter().flatten().any(|broken| *broken < at);
        if lost || broken || since.len() >= REMEMBERED {
            continue;
        }
        let removes = |fault: &Fault| {
            matches!(fault, Fault::Remove { node, peer, .. }
                if (*node, *peer) == (acceptor, dialler))
        };
        if case.bounds.has_come(at, removes) {
            bench.excuse("removed and added again");
            continue;
        }
        let detail = format!("life {process} of n{dialler} at n{acceptor}");
        let rule = "a process takes its name back from the one that replaced it";
        bench.fail(Class::Safety, rule, at, detail);
    }
}

/// Whether a node has taken a peer out, and in again, at some time of these.
fn was_removed(case: &Case<'_>, dial: &DialAttempt, from: u64, to: u64) -> bool {
    let mut faults = case.evidence.faults();
    faults.any(|(fault, fired)| {
        let is = matches!(fault, Fault::Remove { node, peer, .. }
            if (*node, *peer) == (dial.from, dial.to));
        let late = case.bounds.by(dial.from, fired.until, 0, WAKES);
        is && fired.at <= to && late >= from
    })
}

/// Whether the machine that has dialled may panic from then on up to this time: at once, or when an
/// application uses it, until the healing.
fn may_have_panicked(case: &Case<'_>, dial: &DialAttempt, to: u64) -> bool {
    let mut faults = case.evidence.faults();
    faults.any(|(fault, fired)| match fault {
        Fault::Panic { node, peer, using } if (*node, *peer) == (dial.from, dial.to) => {
            let late = match using {
                true => case.evidence.phases.heal,
                false => case.bounds.by(dial.from, fired.at, 0, WAKES),
            };
            fired.at <= to && late >= dial.at
        }
        _ => false,
    })
}

fn judge_early(
    case: &Case<'_>,
    bench: &mut Bench<'_>,
    dial: &DialAttempt,
    former: Option<&DialAttempt>,
) {
    let timings = &case.evidence.timings;
    let (spacing, stable) = (nanos(timings.retry_min), nanos(timings.stable_after));
    let views = || {
        let seen = case.evidence.views_of(dial.from, dial.to);
        seen.filter(|view| view.life == dial.life && view.at <= dial.at)
    };
    let lost = views().filter(|view| !view.up).last();
    let up = lost.and_then(|lost| views().filter(|view| view.up && view.at <= lost.at).last());
    // What the application has seen of a link, it may have seen late: by its clock, so much.
    let lateness = |at: u64| {
        let knobs = &case.evidence.script.knobs;
        let late = knobs.laziness.saturating_add(knobs.slack).saturating_mul(2);
        let early = case.bounds.learned_from(dial.from, at, late.saturating_add(1_000_000));
        case.bounds.most_clock(dial.from, early, at)
    };
    let short_life = match (up, lost) {
        (Some(up), Some(lost)) => {
            let lived = lost.clock.saturating_sub(up.clock).saturating_add(lateness(up.at));
            (lived < stable).then(|| (lost.at, lost.clock.saturating_sub(lateness(lost.at))))
        }
        _ => None,
    };
    let former = former.map(|former| (former.at, former.clock, "the attempt before"));
    let lost = short_life.map(|(at, clock)| (at, clock, "the loss"));
    for (at, clock, what) in former.into_iter().chain(lost) {
        bench.judged();
        if dial.clock.saturating_sub(clock).saturating_add(case.evidence.script.knobs.grain)
            >= spacing
        {
            continue;
        }
        if was_removed(case, dial, at, dial.at) {
            bench.excuse("removed and added again");
        } else if case.bounds.is_paused(dial.from, at) {
            bench.excuse("dialled by a node that was stopped");
        } else {
            let passed = dial.clock.saturating_sub(clock);
            let detail = format!("n{} dials n{} {passed} ns after {what}", dial.from, dial.to);
            bench.fail(Class::Safety, "a dial comes too early", dial.at, detail);
        }
    }
}

fn judge_late(
    case: &Case<'_>,
    bench: &mut Bench<'_>,
    dial: &DialAttempt,
    next: Option<&DialAttempt>,
) {
    let Some(over) = dial.over else { return };
    let spacing = nanos(case.evidence.timings.retry_max);
    let spaced = case.bounds.by(dial.from, dial.at, spacing, WAKES);
    let due = spaced.max(case.bounds.by(dial.from, over, 0, WAKES));
    let stops = |fault: &Fault| matches!(fault, Fault::Shutdown { node, .. } if *node == dial.from);
    let excused = case.bounds.has_come(due, stops)
        || was_removed(case, dial, dial.at, due)
        || may_have_panicked(case, dial, due)
        || case.evidence.is_dead(dial.from, dial.life, due)
        || due >= case.evidence.phases.quiet;
    if excused {
        return;
    }
    bench.judged();
    if next.is_none_or(|next| next.at > due) {
        let detail = format!("n{} has given up n{} at {over}", dial.from, dial.to);
        bench.fail(Class::Liveness, "a dial comes too late", due, detail);
    }
}

#[cfg(test)]
mod tests {
    use crate::oracle::tale::{MS, Tale};
    use crate::oracle::{ConnectionLife, DialAttempt, LinkView};
    use crate::script::Fault;

    /// Node 0 has no link with node 1, and dials: when, and when that was over.
    fn dials(times: &[(u64, Option<u64>)]) -> Tale {
        let mut tale = Tale::new(2);
        tale.evidence.views.clear();
        for (at, over) in times {
            let (at, over) = (at * MS, over.map(|over| over * MS));
            let dial = DialAttempt { from: 0, life: 0, to: 1, at, clock: at, over };
            tale.evidence.dials.push(dial);
        }
        tale
    }

    #[test]
    fn a_process_that_takes_its_name_back_is_bad() {
        let mut tale = Tale::new(2);
        tale.evidence.views.clear();
        let first = tale.evidence.connections[0];
        let nodes = first.nodes;
        let taken = |at: u64, process: u64| ConnectionLife {
            lives: [process, 0],
            opened_at: at * MS,
            accepted_at: Some(at * MS),
            agreed_at: Some(at * MS),
            refused_at: None,
            ..first
        };
        tale.evidence.connections.extend([taken(50, 1), taken(90, 0)]);
        let rule = "a process takes its name back from the one that replaced it";
        assert_eq!(tale.broken(15), [rule]);
        let view =
            LinkView { node: nodes[1], life: 0, peer: nodes[0], at: 70 * MS, clock: 0, up: false };
        tale.evidence.views.push(view);
        tale.is_good(15);
        tale.evidence.views.clear();
        tale.evidence.connections[1].broken_at[1] = Some(80 * MS);
        tale.is_good(15);
        tale.evidence.connections[1] = taken(50, 0);
        assert_eq!(tale.broken(15), [""; 0], "one process all the time");
    }

    #[test]
    fn attempts_one_to_two_seconds_apart_are_good() {
        dials(&[(0, Some(1)), (1_000, Some(1_001)), (3_000, None)]).is_good(15);
        dials(&[(0, Some(4_000)), (4_000, None)]).is_good(15);
    }

    #[test]
    fn a_busy_loop_is_bad() {
        let mut tale = dials(&[(0, None)]);
        tale.evidence.inside.busy_at = Some(3 * MS);
        assert_eq!(tale.broken(15), ["tasks run while time stands still"]);
    }

    #[test]
    fn an_attempt_that_comes_early_is_bad() {
        let mut tale = dials(&[(0, Some(1)), (900, None)]);
        assert_eq!(tale.broken(15), ["a dial comes too early"]);
        tale.fault(100, 850, Fault::Remove { node: 0, peer: 1, lasts: 750 * MS });
        tale.is_good(15);
    }

    #[test]
    fn a_former_life_dials_for_itself() {
        let mut tale = dials(&[(0, None), (10, None)]);
        tale.evidence.dials[1].life = 1;
        assert_eq!(tale.broken(15), [""; 0]);
    }

    #[test]
    fn only_a_stable_link_is_dialled_again_at_once() {
        let lived = |lost| {
            let mut tale = dials(&[(0, None), (lost, None)]);
            tale.connect(1, 0, 1).lose(lost, 0, 1);
            tale
        };
        lived(12_000).is_good(15);
        assert_eq!(lived(9_000).broken(15), ["a dial comes too early"]);
        // It may have come up before the node was stopped, whose application sees it later.
        let mut stopped = lived(12_000);
        stopped.evidence.views.iter_mut().filter(|view| view.up).for_each(|view| {
            (view.at, view.clock) = (9_000 * MS, 9_000 * MS);
        });
        assert_eq!(stopped.broken(15), ["a dial comes too early"]);
        stopped.fault(1, 9_000, Fault::Pause { node: 0, lasts: 8_999 * MS });
        stopped.is_good(15);
    }

    #[test]
    fn spacing_counted_from_the_failure_is_too_late() {
        let late = dials(&[(0, Some(2_000)), (3_500, None)]);
        assert_eq!(late.broken(15), ["a dial comes too late"]);
        let mut paused = dials(&[(0, Some(2_000)), (3_500, None)]);
        paused.fault(1_990, 3_499, Fault::Pause { node: 0, lasts: 1_509 * MS });
        paused.is_good(15);
        let never = dials(&[(0, Some(2_000))]);
        assert_eq!(never.broken(15), ["a dial comes too late"]);
    }

    #[test]
    fn a_panic_has_the_time_to_the_next_attempt_begin_anew() {
        let late = |at, using| {
            let mut tale = dials(&[(0, Some(2_000)), (3_500, None)]);
            tale.evidence.phases.heal = 10_000 * MS;
            tale.fault(at, at, Fault::Panic { node: 0, peer: 1, using });
            tale
        };
        late(1_900, false).is_good(15);
        let mut former = late(500, false);
        former.evidence.dials.iter_mut().for_each(|dial| dial.at += 1_000 * MS);
        assert_eq!(former.broken(15), ["a dial comes too late"]);
        let mut armed = late(500, true);
        armed.evidence.dials.iter_mut().for_each(|dial| dial.at += 1_000 * MS);
        armed.is_good(15);
        armed.evidence.phases.heal = 900 * MS;
        assert_eq!(armed.broken(15), ["a dial comes too late"]);
    }

    #[test]
    fn a_node_that_shuts_down_dials_no_more() {
        let mut tale = dials(&[(0, Some(2_000))]);
        tale.fault(1_000, 9_000, Fault::Shutdown { node: 0, grace: 0, back: None });
        assert_eq!(tale.broken(15), [""; 0]);
    }
}
