//! Clocks at the edge of what there can be, and nodes whose lists of peers differ when they start.

use super::draw::Draw;
use super::{MILLI, SECOND};
use crate::script::{Deed, Fault, Line, Moment, NodeKind, Script, bounds};

/// In one seed of so many a clock jumps nearly to its end.
const FAR: u64 = 12;

/// In one seed of so many a node starts with a peer less than the others.
const UNLISTED: u64 = 10;

/// Adds them to a script.
pub(crate) fn add(draw: Draw, script: &mut Script) {
    if draw.one_in("far", FAR) {
        far(draw.of("jump"), script);
    }
    if draw.one_in("unlisted", UNLISTED) {
        unlisted(draw.of("lists"), script);
    }
}

/// A monotonic clock jumps as far as it may with all its other jumps, up to an hour less.
fn far(draw: Draw, script: &mut Script) {
    let node = draw.node("node", script.nodes.len());
    let jump = |line: &Line| match line.deed {
        Deed::Fault(Fault::Jump { node: whose, ahead }) if whose == node => ahead,
        _ => 0,
    };
    let others: u64 = script.lines.iter().map(jump).sum();
    let left = bounds::CLOCK.saturating_sub(script.knobs.origin).saturating_sub(others);
    let ahead = left.saturating_sub(draw.below("short", 3_600 * SECOND));
    let at = Moment::At(draw.range("at", SECOND, script.heal - SECOND / 2));
    if ahead > 0 {
        let deed = Deed::Fault(Fault::Jump { node, ahead });
        script.lines.push(Line { moment: at, deed });
    }
}

/// A node of ours does not list another one when it starts, which may list it, and adds it later.
fn unlisted(draw: Draw, script: &mut Script) {
    let (node, peer) = draw.pair("pair", script.nodes.len());
    let lasts = draw.spread("lasts", 500 * MILLI, script.heal / 2);
    let both = draw.one_in("both", 3);
    for (node, peer) in [(node, peer), (peer, node)].into_iter().take(1 + usize::from(both)) {
        if script.nodes[node] == NodeKind::Ours {
            let deed = Deed::Fault(Fault::Remove { node, peer, lasts });
            script.lines.push(Line { moment: Moment::At(0), deed });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::script::{Deed, Fault, Moment, Script, bounds};
    use crate::swarm::{Profile, SECOND, script};

    fn count(is: impl Fn(&Script) -> bool) -> usize {
        (0..400).filter(|seed| is(&script(*seed, Profile::Quick))).count()
    }

    #[test]
    fn some_clocks_jump_to_their_end_and_some_begin_far_from_zero() {
        let far = count(|script| {
            script.lines.iter().any(|line| {
                let years = bounds::CLOCK / 100;
                matches!(line.deed, Deed::Fault(Fault::Jump { ahead, .. }) if ahead > years)
            })
        });
        assert!((15..60).contains(&far), "{far}");
        let begin = count(|script| script.knobs.origin > bounds::CLOCK / 2);
        assert!((10..60).contains(&begin), "{begin}");
    }

    #[test]
    fn some_wall_clocks_are_years_apart_and_some_just_too_far() {
        let skewed = |by: i64| {
            count(|script| {
                script.lines.iter().any(|line| {
                    matches!(line.deed, Deed::Fault(Fault::Skew { by: other, .. }) if other == by)
                })
            })
        };
        assert!(skewed(-300 * SECOND as i64) > 3);
        assert!(skewed(bounds::SKEW as i64) > 3 && skewed(-(bounds::SKEW as i64)) > 3);
    }

    #[test]
    fn some_nodes_start_with_a_peer_less() {
        let unlisted = count(|script| {
            script.lines.iter().any(|line| {
                let removed = matches!(line.deed, Deed::Fault(Fault::Remove { .. }));
                removed && line.moment == Moment::At(0)
            })
        });
        assert!((20..60).contains(&unlisted), "{unlisted}");
    }
}
