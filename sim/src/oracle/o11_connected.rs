//! O11: after the healing every pair of the core is connected within [`heal_bound`], and stays so
//! until everything is at rest. Where a process of the pair has started later than the healing,
//! the time runs from then. And at no time is a peer refused that is known, whose clock is right,
//! and that has no other process of its name.
//!
//! Not judged: pairs whose wall clocks are further apart than `Timings::clock_skew`, which refuse
//! one another for ever (PROTOCOL.md section 4.2).

use super::bounds::nanos;
use super::evidence::{ConnectionLife, PairState};
use super::{Bench, Case, heal_bound};
use crate::script::{Fault, NodeKind};
use crate::verdict::Class;

/// Clocks that differ by this much less than what is allowed are far enough from it.
const MARGIN: u64 = 1_000_000_000;

/// A task that now and then takes this long to run makes a busy link slow, in nanoseconds.
const SLOW_TURN: u64 = 100_000_000;

/// Whether the wall clocks of a pair are too far apart for it.
pub(super) fn are_clocks_apart(case: &Case<'_>, pair: &PairState) -> bool {
    let wall = |node: usize| case.evidence.walls.get(node).copied().unwrap_or(0);
    let apart = wall(pair.nodes[0]).abs_diff(wall(pair.nodes[1]));
    apart.saturating_add(MARGIN) > nanos(case.evidence.timings.clock_skew)
}

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for connection in &case.evidence.connections {
        judge_refusal(case, bench, connection);
    }
    judge_pairs(case, bench);
    bench.pass_on_complaints(case);
}

/// What one of ours refuses another has a cause.
fn judge_refusal(case: &Case<'_>, bench: &mut Bench<'_>, connection: &ConnectionLife) {
    let evidence = case.evidence;
    let [dialler, acceptor] = connection.nodes;
    let kind = |node: usize| evidence.script.nodes.get(node).copied().unwrap_or_default();
    let Some(at) = connection.refused_at.filter(|at| *at < evidence.phases.quiet) else { return };
    if ![dialler, acceptor].into_iter().map(kind).all(NodeKind::is_ours) {
        return;
    }
    bench.judged();
    // Who has gone meanwhile may have been replaced, or have said what time it was long ago.
    let gone = connection.broken_at[0].is_some_and(|broken| broken <= at);
    let explains = |fault: &Fault| match fault {
        Fault::Twin { node, .. } => *node == dialler,
        Fault::Shutdown { node, .. } => *node == acceptor,
        Fault::Remove { node, peer, .. } => (*node, *peer) == (acceptor, dialler),
        Fault::Skew { node, .. } | Fault::Jump { node, .. } | Fault::Rate { node, .. } => {
            connection.nodes.contains(node)
        }
        _ => false,
    };
    let known = case.bounds.has_come(at, explains);
    if gone || known || case.bounds.is_corrupted(dialler, acceptor, at) {
        bench.excuse("a connection is refused");
    } else {
        let detail = format!("n{acceptor} refuses n{dialler}");
        bench.fail(Class::Liveness, "a peer is refused without a cause", at, detail);
    }
}

fn judge_pairs(case: &Case<'_>, bench: &mut Bench<'_>) {
    let evidence = case.evidence;
    let bound = heal_bound(&evidence.script, &evidence.timings);
    for pair in &evidence.pairs {
        if are_clocks_apart(case, pair) {
            bench.excuse("clocks too far apart");
            continue;
        }
        let starts = pair.nodes.map(|node| evidence.last_start(node));
        let due = starts.into_iter().fold(evidence.phases.heal, u64::max).saturating_add(bound);
        if due >= evidence.phases.quiet {
            bench.excuse("started too late to be connected in time");
            continue;
        }
        bench.judged();
        for (place, [node, peer]) in [pair.nodes, [pair.nodes[1], pair.nodes[0]]].iter().enumerate()
        {
            let who = format!("n{node} with n{peer}");
            if !evidence.is_up(*node, *peer, due) {
                let detail = format!("{who}, {bound} ns after the healing");
                bench.fail(Class::Liveness, "a pair is not connected in time", due, detail);
                continue;
            }
            let after = due..=evidence.phases.quiet;
            let lost = evidence
                .views_of(*node, *peer)
                .find(|view| !view.up && after.contains(&view.at))
                .map(|view| view.at);
            if lost.is_some() && is_busy_for_go(case, pair) {
                bench.excuse("a Go node takes a busy link for a dead one");
                continue;
            }
            if lost.is_some() || !pair.connected[place] {
                let at = lost.unwrap_or(evidence.phases.quiet);
                bench.fail(Class::Liveness, "a link is lost after the healing", at, who);
            }
        }
    }
}

/// Whether one of the pair is no node of ours, and tasks or the network are so slow that its pongs
/// may wait behind data for long: only pongs are signs of life to it (PROTOCOL.md section 7.6).
fn is_busy_for_go(case: &Case<'_>, pair: &PairState) -> bool {
    let script = &case.evidence.script;
    let is_slow = script.knobs.laziness >= SLOW_TURN || script.knobs.rate > 0;
    is_slow && pair.nodes.iter().any(|node| !script.nodes[*node].is_ours())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gridmux_core::timings::Timings;

    use crate::oracle::heal_bound;
    use crate::oracle::tale::{MS, Tale};
    use crate::script::{Deed, Fault, Line, Moment, NodeKind, Script};
    use crate::swarm::SECOND;
    use crate::world::Damage;

    /// Healed at 10 s.
    fn connects(at: u64) -> Tale {
        let mut tale = Tale::new(3);
        tale.lose(5, 0, 1).connect(at, 0, 1);
        tale
    }

    #[test]
    fn the_bound_is_made_of_the_timings() {
        let seconds = |nanos: u64| Duration::from_nanos(nanos).as_secs();
        let bound = |script: &Script| heal_bound(script, &Timings::default());
        let mut script = Script::new(1, 2);
        assert_eq!(seconds(bound(&script)), 30 + 4 + 2 + 4);
        script.knobs.drift = 500_000;
        assert_eq!(seconds(bound(&script)), 80, "a slow clock takes longer");
        script.knobs.drift = 0;
        let mut add = |fault| {
            script.lines.push(Line { moment: Moment::At(0), deed: Deed::Fault(fault) });
            seconds(bound(&script))
        };
        assert_eq!(add(Fault::Twin { node: 0, lasts: MS }), 40 + 12);
        assert_eq!(add(Fault::Damage { from: 0, to: 1, damage: Damage::Flip(1) }), 80 + 12);
    }

    #[test]
    fn pairs_that_connect_in_time_are_good() {
        Tale::new(3).is_good(11);
        connects(49_000).is_good(11);
    }

    #[test]
    fn a_pair_that_connects_late_is_bad() {
        let rule = "a pair is not connected in time";
        assert_eq!(connects(51_000).broken(11), [rule; 2], "at both ends");
    }

    #[test]
    fn a_later_birth_moves_the_bound() {
        let mut tale = connects(51_000);
        tale.evidence.lives[0][0].started = Some(12_000 * MS);
        tale.is_good(11);
    }

    #[test]
    fn a_link_that_is_lost_again_is_bad() {
        let mut tale = connects(20_000);
        tale.lose(100_000, 0, 1).connect(100_001, 0, 1);
        assert_eq!(tale.broken(11), ["a link is lost after the healing"; 2]);
        tale.evidence.script.knobs.laziness = 500 * MS;
        assert_eq!(tale.broken(11).len(), 2, "slowness alone is no reason");
        tale.evidence.script.nodes[1] = NodeKind::Go;
        assert!(tale.broken(11).is_empty());
    }

    #[test]
    fn a_refusal_has_a_cause() {
        let refused = || {
            let mut tale = Tale::new(2);
            tale.evidence.connections[0].accepted_at = None;
            tale.evidence.connections[0].refused_at = Some(7 * MS);
            tale
        };
        assert_eq!(refused().broken(11), ["a peer is refused without a cause"]);
        let [dialler, acceptor] = refused().evidence.connections[0].nodes;
        let lasts = SECOND;
        for fault in [
            Fault::Twin { node: dialler, lasts },
            Fault::Shutdown { node: acceptor, grace: lasts, back: None },
            Fault::Remove { node: acceptor, peer: dialler, lasts },
            Fault::Skew { node: acceptor, by: 0 },
            Fault::Damage { from: dialler, to: acceptor, damage: Damage::Flip(1) },
        ] {
            let mut tale = refused();
            tale.fault(6, 6, fault).is_good(11);
            assert_eq!(tale.verdicts(11).excuses["a connection is refused"], 1);
        }
        let mut other = refused();
        other.fault(6, 6, Fault::Twin { node: acceptor, lasts });
        assert_eq!(other.broken(11).len(), 1, "the acceptor's twin is no cause");
        let mut gone = refused();
        gone.evidence.connections[0].broken_at[0] = Some(6 * MS);
        gone.is_good(11);
    }

    #[test]
    fn clocks_that_are_too_far_apart_keep_a_pair_from_connecting() {
        let mut tale = connects(299_000);
        tale.evidence.walls[0] = 301_000_000_000;
        let verdicts = tale.verdicts(11);
        assert_eq!(verdicts.failures, []);
        assert_eq!(verdicts.excuses["clocks too far apart"], 2);
    }
}
