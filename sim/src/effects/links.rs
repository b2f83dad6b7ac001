//! What links have felt: connections that die again and again, names that are alike, nodes that
//! are dead for good.

use std::collections::BTreeMap;

use super::Felt;
use crate::oracle::{ConnectionLife, Evidence};
use crate::script::{Deed, Fault};

/// So many connections of a pair lost within so long are a flapping link.
const LOST: usize = 3;
const WITHIN: u64 = 5_000_000_000;

pub(super) fn count(evidence: &Evidence, felt: &mut Felt) {
    let mut losses = BTreeMap::<_, Vec<u64>>::new();
    for connection in &evidence.connections {
        let [one, other] = connection.nodes;
        let ends = losses.entry((one.min(other), one.max(other))).or_default();
        ends.extend(lost(connection).filter(|at| *at < evidence.phases.heal));
        felt.add_if("D5", connection.accepted_at.is_some() && could_be_taken(evidence, one, other));
        felt.add_case("A8.lists", is_unlisted(evidence, connection).into());
    }
    felt.add("N7", widows(evidence));
    for mut ends in losses.into_values() {
        ends.sort_unstable();
        let flaps = ends.windows(LOST).filter(|few| few[LOST - 1] - few[0] <= WITHIN);
        felt.add("D6", flaps.count() as u64);
    }
}

/// Nodes of the core that have seen, from the healing on, that another one is dead for good.
fn widows(evidence: &Evidence) -> u64 {
    let (heal, core) = (evidence.phases.heal, &evidence.script.core);
    let is_dead = |node: usize| {
        let last = evidence.lives.get(node).and_then(|lives| lives.last());
        !core.contains(&node) && last.is_some_and(|life| life.died.is_some_and(|at| at <= heal))
    };
    let seen = evidence.views.iter().filter(|view| !view.up && view.at >= heal);
    seen.filter(|view| core.contains(&view.node) && is_dead(view.peer)).count() as u64
}

/// When the first end noticed that a connection is gone.
fn lost(connection: &ConnectionLife) -> impl Iterator<Item = u64> {
    connection.broken_at.into_iter().flatten().min().into_iter()
}

/// The acceptor knows somebody else, perhaps itself, for whom it could take the dialler: one name
/// begins with the other.
fn could_be_taken(evidence: &Evidence, dialler: usize, acceptor: usize) -> bool {
    let name = |node: usize| evidence.script.node_name(node);
    let mut others = (0..evidence.script.nodes.len()).filter(|node| *node != dialler);
    let is_alike = |node: usize| is_nested(&name(node), &name(dialler));
    match evidence.script.nodes.len() {
        2 => is_alike(acceptor),
        _ => others.any(|node| node != acceptor && is_alike(node)),
    }
}

/// Whether the acceptor refuses a dialler that it has not listed since its process started.
fn is_unlisted(evidence: &Evidence, connection: &ConnectionLife) -> bool {
    let [dialler, acceptor] = connection.nodes;
    let Some(at) = connection.refused_at else { return false };
    let lives = evidence.lives.get(acceptor).into_iter().flatten();
    let Some(born) = lives.map(|life| life.born).filter(|born| *born <= at).max() else {
        return false;
    };
    evidence.fired.iter().any(|fired| {
        let deed = evidence.script.lines.get(fired.line).map(|line| &line.deed);
        let (node, peer) = match deed {
            Some(Deed::Fault(Fault::Remove { node, peer, .. })) => (*node, *peer),
            _ => return false,
        };
        (node, peer) == (acceptor, dialler) && fired.at <= born && at <= fired.until
    })
}

/// One name begins with the other.
fn is_nested(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::super::Felt;
    use crate::oracle::tale::{MS, Tale};
    use crate::script::Fault;

    fn felt_of(tale: &Tale) -> Vec<(&'static str, u64)> {
        let mut felt = Felt::default();
        super::count(&tale.evidence, &mut felt);
        felt.0.into_iter().collect()
    }

    #[test]
    fn a_link_flaps_when_three_connections_of_a_pair_die_soon() {
        let flapping = |apart: u64| {
            let mut tale = Tale::new(2);
            tale.lose(1_000, 0, 1);
            for n in 1..3 {
                tale.connect(1_000 + n * apart - 100, 0, 1).lose(1_000 + n * apart, 0, 1);
            }
            felt_of(&tale)
        };
        assert_eq!(flapping(2_500), [("D6", 1)]);
        assert_eq!(flapping(2_600), []);
    }

    #[test]
    fn survivors_feel_a_death_for_good() {
        let mut tale = Tale::new(3);
        tale.kill(10_000, 2);
        assert_eq!(felt_of(&tale), [], "of the core");
        tale.evidence.script.core = vec![0, 1];
        assert_eq!(felt_of(&tale), [("N7", 2)]);
        let mut lives = Tale::new(3);
        lives.evidence.script.core = vec![0, 1];
        lives.lose(10_000, 0, 2);
        assert_eq!(felt_of(&lives), [], "a link that was lost is no death");
    }

    #[test]
    fn names_are_alike_when_one_begins_with_the_other() {
        assert!(super::is_nested("http://n:9", "http://n:90"));
        assert!(!super::is_nested("http://n0:9000", "http://n1:9000"));
    }

    #[test]
    fn names_that_are_alike_matter_to_who_accepts_and_knows_another() {
        let nested = |nodes: usize| {
            let mut tale = Tale::new(nodes);
            tale.evidence.script.nested = true;
            let accepted = tale.evidence.connections.iter();
            let count = accepted.filter(|connection| connection.accepted_at.is_some()).count();
            (felt_of(&tale), [("D5", count as u64)])
        };
        for nodes in [2, 3] {
            let (felt, all) = nested(nodes);
            assert_eq!(felt, all);
        }
        let mut refused = Tale::new(3);
        refused.evidence.script.nested = true;
        refused.evidence.connections.iter_mut().for_each(|one| one.accepted_at = None);
        assert_eq!(felt_of(&refused), []);
    }

    #[test]
    fn a_list_differs_when_a_process_that_started_without_a_peer_refuses_it() {
        let refused = |removed: u64| {
            let mut tale = Tale::new(2);
            tale.evidence.connections[0].accepted_at = None;
            tale.evidence.connections[0].refused_at = Some(7 * MS);
            let [peer, node] = tale.evidence.connections[0].nodes;
            tale.evidence.lives[node][0].born = 5 * MS;
            tale.fault(removed, 60_000, Fault::Remove { node, peer, lasts: 60_000 * MS });
            felt_of(&tale)
        };
        assert_eq!(refused(4), [("A8", 1), ("A8.lists", 1)]);
        assert_eq!(refused(6), [], "it had listed it");
    }

    #[test]
    fn other_pairs_flap_for_themselves() {
        let mut tale = Tale::new(3);
        tale.lose(1_000, 0, 1).lose(1_100, 0, 2).lose(1_200, 1, 2);
        assert_eq!(felt_of(&tale), []);
    }
}
