//! O12: one connection a pair, agreed by both ends, opened by the side that is to dial. No node
//! takes one before it has started, and one that takes another's place leaves that closed.
//! No stranger is let in: of that, hostile peers tell.
//!
//! Not judged: what a node had with a peer that it has taken out.

use xxhash_rust::xxh3::xxh3_64;

use super::evidence::{ConnectionLife, PairState};
use super::{Bench, Case};
use crate::script::{Fault, NodeKind};
use crate::verdict::Class;

/// Whether `local` is to dial `remote`: PROTOCOL.md section 1, written once more.
pub(super) fn dials(local: &str, remote: &str) -> bool {
    let joined = |first: &str, second: &str| xxh3_64(format!("{first}{second}").as_bytes());
    (joined(local, remote), local) < (joined(remote, local), remote)
}

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let script = &case.evidence.script;
    for connection in &case.evidence.connections {
        let [dialler, acceptor] = connection.nodes;
        if matches!(script.nodes.get(dialler), Some(NodeKind::Hostile(_))) {
            bench.excuse("dialled by a hostile peer");
            continue;
        }
        bench.judged();
        if !dials(&script.node_name(dialler), &script.node_name(acceptor)) {
            let detail = format!("n{dialler} has dialled n{acceptor}");
            bench.fail(Class::Safety, "the wrong side dials", connection.opened_at, detail);
        }
    }
    for pair in &case.evidence.pairs {
        judge_pair(case, bench, pair);
    }
    judge_acceptors(case, bench);
    bench.pass_on_complaints(case);
}

/// What the nodes of ours have accepted.
fn judge_acceptors(case: &Case<'_>, bench: &mut Bench<'_>) {
    let kinds = case.evidence.script.nodes.iter().enumerate();
    for (acceptor, _) in kinds.filter(|(_, kind)| **kind == NodeKind::Ours) {
        let lives = case.evidence.lives.get(acceptor).into_iter().flatten();
        for (number, life) in (0_u64..).zip(lives) {
            for dialler in 0..case.evidence.script.nodes.len() {
                let accepted = case.evidence.accepted(acceptor, number, dialler);
                for (at, _) in &accepted {
                    bench.judged();
                    if life.started.is_none_or(|started| *at < started) {
                        let detail = format!("n{acceptor} is dialled by n{dialler}");
                        let rule = "a connection is taken before the node has started";
                        bench.fail(Class::Safety, rule, *at, detail);
                    }
                }
                judge_replaced(case, bench, [dialler, acceptor], &accepted);
            }
        }
    }
}

/// Wake-ups from a connection to the end of the one whose place it takes.
const WAKES: u64 = 6;

fn judge_replaced(
    case: &Case<'_>,
    bench: &mut Bench<'_>,
    [dialler, acceptor]: [usize; 2],
    accepted: &[(u64, &ConnectionLife)],
) {
    let removes = |fault: &Fault| matches!(fault, Fault::Remove { node, peer, .. } if (*node, *peer) == (acceptor, dialler));
    for ((_, old), (at, _)) in accepted.iter().zip(accepted.iter().skip(1)) {
        let due = case.bounds.by(acceptor, *at, 0, WAKES);
        if old.broken_at[1].is_some_and(|broken| broken <= due) {
            continue;
        }
        if case.bounds.has_come(due, removes) {
            bench.excuse("a peer that was taken out");
        } else {
            let detail = format!("n{acceptor} has two of n{dialler}'s");
            bench.fail(Class::Safety, "a connection that was replaced is left open", due, detail);
        }
    }
}

fn judge_pair(case: &Case<'_>, bench: &mut Bench<'_>, pair: &PairState) {
    let [one, other] = pair.nodes;
    let at = case.evidence.phases.quiet;
    bench.judged();
    if pair.connected[0] != pair.connected[1] {
        let detail = format!("n{one} and n{other}: {:?}", pair.connected);
        bench.fail(Class::Safety, "two ends disagree on their link", at, detail);
    }
    let open = pair.open.len();
    if open > 1 {
        let detail = format!("n{one} and n{other} have {open} connections");
        bench.fail(Class::Safety, "a pair has more than one connection", at, detail);
    }
    if pair.connected == [true; 2] && open == 0 {
        let detail = format!("n{one} and n{other}");
        bench.fail(Class::Safety, "a link is up without a connection", at, detail);
    }
    for place in &pair.open {
        let broken = case.evidence.connections.get(*place).map(|life| life.broken_at);
        if pair.connected == [true; 2] && broken != Some([None; 2]) {
            let detail = format!("n{one} and n{other}, connection {place}");
            bench.fail(Class::Safety, "a link is up on half a connection", at, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::dials;
    use crate::oracle::tale::{MS, Tale};
    use crate::script::{Conduct, Fault, NodeKind};

    #[test]
    fn one_side_of_every_pair_dials() {
        for (one, other) in [("a", "b"), ("a", "aa"), ("http://n0:9000", "http://n1:9000")] {
            assert_ne!(dials(one, other), dials(other, one));
        }
        assert!(!dials("a", "a"));
    }

    #[test]
    fn one_connection_a_pair_is_good() {
        Tale::new(4).is_good(12);
    }

    #[test]
    fn a_connection_by_the_wrong_side_is_bad_unless_it_means_harm() {
        let mut tale = Tale::new(2);
        tale.evidence.connections[0].nodes.reverse();
        assert_eq!(tale.broken(12), ["the wrong side dials"]);
        let dialler = tale.evidence.connections[0].nodes[0];
        tale.evidence.script.nodes[dialler] = NodeKind::Hostile(Conduct::Rules);
        tale.is_good(12);
    }

    #[test]
    fn two_connections_are_bad() {
        let mut tale = Tale::new(2);
        tale.connect(5, 0, 1).evidence.pairs[0].open.push(1);
        tale.evidence.connections[1].accepted_at = None;
        assert_eq!(tale.broken(12), ["a pair has more than one connection"]);
    }

    #[test]
    fn a_connection_that_was_replaced_and_is_left_open_is_bad() {
        let mut tale = Tale::new(2);
        tale.connect(5, 0, 1).evidence.connections[0].broken_at[1] = Some(5 * MS);
        tale.evidence.pairs[0].open = vec![1];
        tale.is_good(12);
        tale.evidence.connections[0].broken_at[1] = None;
        assert_eq!(tale.broken(12), ["a connection that was replaced is left open"]);
        let [dialler, acceptor] = tale.evidence.connections[0].nodes;
        let mut at_once = Tale::new(2);
        at_once.connect(5, 0, 1).evidence.connections[0].accepted_at = Some(5 * MS);
        at_once.evidence.pairs[0].open = vec![0];
        at_once.evidence.connections[1].broken_at = [None, Some(5 * MS)];
        at_once.is_good(12);
        tale.fault(4, 5, Fault::Remove { node: acceptor, peer: dialler, lasts: MS });
        tale.is_good(12);
    }

    #[test]
    fn a_connection_that_is_taken_by_a_node_that_has_not_started_is_bad() {
        let mut tale = Tale::new(2);
        let acceptor = tale.evidence.connections[0].nodes[1];
        let rule = "a connection is taken before the node has started";
        for started in [None, Some(5 * MS)] {
            tale.evidence.lives[acceptor][0].started = started;
            assert_eq!(tale.broken(12), [rule]);
        }
    }

    #[test]
    fn ends_that_disagree_and_links_on_nothing_are_bad() {
        let mut tale = Tale::new(2);
        tale.evidence.pairs[0].connected = [true, false];
        assert_eq!(tale.broken(12), ["two ends disagree on their link"]);
        tale.evidence.pairs[0].connected = [true, true];
        tale.evidence.pairs[0].open.clear();
        assert_eq!(tale.broken(12), ["a link is up without a connection"]);
        tale.evidence.pairs[0].open.push(0);
        tale.evidence.connections[0].broken_at[1] = Some(9 * MS);
        assert_eq!(tale.broken(12), ["a link is up on half a connection"]);
    }
}
