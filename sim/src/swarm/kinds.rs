//! Which nodes are not ours.

use super::draw::Draw;
use crate::script::{Conduct, NodeKind, Script};

/// One seed in so many has a Go node.
const GO: u64 = 6;
/// One seed in so many has a node that a loop of its own drives.
const LOOP: u64 = 4;
/// One seed in so many has a hostile one, unless it has but two nodes.
const HOSTILE: u64 = 5;

/// Says what the nodes are. A hostile one is not among those that must be well after the healing.
pub(crate) fn draw(draw: Draw, script: &mut Script) {
    let nodes = script.nodes.len();
    if draw.one_in("go", GO) {
        script.nodes[draw.node("which go", nodes)] = NodeKind::Go;
    }
    let looped = draw.node("which loop", nodes);
    if script.nodes[looped] == NodeKind::Ours && draw.one_in("loop", LOOP) {
        script.nodes[looped] = NodeKind::Loop;
    }
    if nodes > 2 && draw.one_in("hostile", HOSTILE) {
        let conducts = [Conduct::Rules, Conduct::Handshakes, Conduct::Handshakes, Conduct::Merges];
        let hostile = draw.node("which hostile", nodes);
        script.nodes[hostile] = NodeKind::Hostile(draw.pick("conduct", &conducts));
        script.core.retain(|node| *node != hostile);
        if script.core.len() < 2 {
            script.core = (0..nodes).filter(|node| *node != hostile).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::script::NodeKind;
    use crate::swarm::{Profile, script};

    #[test]
    fn some_seeds_have_loops_and_go_nodes_and_some_hostile_ones_which_are_no_core() {
        let (mut go, mut looped, mut hostile) = (0, 0, 0);
        for seed in 0..400 {
            let script = script(seed, Profile::Quick);
            assert!(script.core.len() > 1, "{seed}");
            go += usize::from(script.nodes.contains(&NodeKind::Go));
            looped += usize::from(script.nodes.contains(&NodeKind::Loop));
            for (node, kind) in script.nodes.iter().enumerate() {
                if matches!(kind, NodeKind::Hostile(_)) {
                    hostile += 1;
                    assert!(!script.core.contains(&node), "{seed}");
                }
            }
        }
        assert!((40..100).contains(&go), "{go}");
        assert!((50..130).contains(&looped), "{looped}");
        assert!((20..70).contains(&hostile), "{hostile}");
    }
}
