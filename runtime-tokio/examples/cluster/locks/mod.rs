//! A replicated lock service: every node keeps a table of leases, and a lock is held by whoever
//! has it in a majority of tables.
//!
//! Why no two holders that exclude each other ever believe at once: a table keeps a lease for [`LEASE`] from the
//! moment that it *receives* the request or refresh, which is after the holder *began* to ask; the
//! holder believes for [`BELIEF`] from that beginning. Two majorities share a table, and that
//! table lets nobody else in before the holder has stopped believing, with [`LEASE`] − [`BELIEF`]
//! to spare. A table that has forgotten everything, because its node was restarted, grants nothing
//! for one [`LEASE`].

mod client;
mod guard;
mod mistake;
mod routes;
mod service;
mod table;

use std::time::Duration;

pub(crate) use self::client::{Attempt, Locks};
pub(crate) use self::guard::Guard;
pub(crate) use self::mistake::Mistake;
pub(crate) use self::service::serve;
pub(crate) use self::table::{Mode, Table};

/// How long a table keeps a lock that is not refreshed.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// How long after it began its last successful refresh a holder believes that it holds the lock.
pub(crate) const BELIEF: Duration = Duration::from_secs(2);

/// Between two refreshes.
pub(crate) const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// A margin is left: the holder gives up before any table does, and can miss a refresh.
const _: () = assert!(BELIEF.as_millis() < LEASE.as_millis());
const _: () = assert!(REFRESH_EVERY.as_millis() < BELIEF.as_millis());

/// How many of `nodes` tables a lock needs, to write or to read.
pub(crate) const fn quorum(nodes: usize) -> usize {
    nodes / 2 + 1
}

/// The answers to one question to all tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    nodes: usize,
    quorum: usize,
    yes: usize,
    no: usize,
}

impl Tally {
    pub(crate) const fn new(nodes: usize, quorum: usize) -> Self {
        Self { nodes, quorum, yes: 0, no: 0 }
    }

    /// Counts one table's answer, or that it gave none.
    pub(crate) const fn count(&mut self, yes: bool) {
        if yes {
            self.yes += 1;
        } else {
            self.no += 1;
        }
    }

    /// Whether there is a quorum; `None` while that is open.
    pub(crate) const fn decided(&self) -> Option<bool> {
        if self.yes >= self.quorum {
            Some(true)
        } else if self.no > self.nodes - self.quorum {
            Some(false)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_more_than_half() {
        let quorums: Vec<_> = (1..=7).map(quorum).collect();
        assert_eq!(quorums, [1, 2, 2, 3, 3, 4, 4]);
        assert!((1..=100).all(|nodes| 2 * quorum(nodes) > nodes), "two quorums share a node");
    }

    #[test]
    fn a_tally_is_decided_as_soon_as_it_can_be() {
        let tally = |nodes, answers: &[bool]| {
            let mut tally = Tally::new(nodes, quorum(nodes));
            answers.iter().for_each(|yes| tally.count(*yes));
            tally.decided()
        };
        assert_eq!(tally(3, &[]), None);
        assert_eq!(tally(3, &[true, false]), None);
        assert_eq!(tally(3, &[true, true]), Some(true));
        assert_eq!(tally(3, &[false, false]), Some(false));
        assert_eq!(tally(4, &[true, true]), None);
        assert_eq!(tally(4, &[true, true, false]), None);
        assert_eq!(tally(4, &[false, false]), Some(false));
        assert_eq!(tally(1, &[true]), Some(true));
        assert_eq!(tally(1, &[false]), Some(false));
    }

    #[test]
    fn every_full_set_of_answers_decides() {
        for nodes in 1..=9 {
            for yes in 0..=nodes {
                let mut tally = Tally::new(nodes, quorum(nodes));
                (0..nodes).for_each(|node| tally.count(node < yes));
                assert_eq!(tally.decided(), Some(yes >= quorum(nodes)), "{yes} of {nodes}");
            }
        }
    }
}
