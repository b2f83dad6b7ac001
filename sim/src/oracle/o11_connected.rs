//! O11: after the healing every pair of the core is connected within [`heal_bound`], and stays so
//! until everything is at rest. Where a process of the pair has started later than the healing,
//! the time runs from then.
//!
//! Not judged: pairs whose wall clocks are further apart than `Timings::clock_skew`, which refuse
//! one another for ever (PROTOCOL.md section 4.2).

use super::bounds::nanos;
use super::evidence::PairState;
use super::{Bench, Case, heal_bound};
use crate::verdict::Class;

/// Clocks that differ by this much less than what is allowed are far enough from it.
const MARGIN: u64 = 1_000_000_000;

/// Whether the wall clocks of a pair are too far apart for it.
pub(super) fn are_clocks_apart(case: &Case<'_>, pair: &PairState) -> bool {
    let wall = |node: usize| case.evidence.walls.get(node).copied().unwrap_or(0);
    let apart = wall(pair.nodes[0]).abs_diff(wall(pair.nodes[1]));
    apart.saturating_add(MARGIN) > nanos(case.evidence.timings.clock_skew)
}

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
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
            if lost.is_some() || !pair.connected[place] {
                let at = lost.unwrap_or(evidence.phases.quiet);
                bench.fail(Class::Liveness, "a link is lost after the healing", at, who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gridmux_core::timings::Timings;

    use crate::oracle::heal_bound;
    use crate::oracle::tale::{MS, Tale};
    use crate::script::{Deed, Fault, Line, Moment, Script};
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
