//! O12: one connection a pair, agreed by both ends, opened by the side that is to dial.

use xxhash_rust::xxh3::xxh3_64;

use super::evidence::PairState;
use super::{Bench, Case};
use crate::script::NodeKind;
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
    use crate::script::{Conduct, NodeKind};

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
        assert_eq!(tale.broken(12), ["a pair has more than one connection"]);
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
