//! What is known of the nodes of a run, and the line at the end.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::homes::Kind;
use crate::node::View;
use crate::outcome::Counts;

/// Peers that were to be met and were not, in words, by the node that has missed them. A cluster
/// has `size` nodes, and guests, which may stay away unless there is but one node.
pub(crate) fn missed(nodes: &[Lives], size: usize, guests: &[String]) -> Vec<String> {
    let missed = |node: &Lives| {
        let Some(mut names) = node.never_met() else {
            return Some(format!("{} was not seen running", node.name));
        };
        if size > 1 || names.len() < guests.len() {
            names.retain(|name| !guests.contains(name));
        }
        let names: Vec<_> = names.into_iter().collect();
        (!names.is_empty())
            .then(|| format!("{} has never had a link to {}", node.name, names.join(", ")))
    };
    nodes.iter().filter_map(missed).collect()
}

/// The result, printed as one JSON object.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) nodes: usize,
    pub(crate) seconds: f64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
    pub(crate) reconnects: u64,
    pub(crate) kills: u64,
}

/// Whether a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    Draining,
    Down,
    /// For good, in good order.
    Ended,
}

/// One node through all its lives.
#[derive(Clone, Debug)]
pub(crate) struct Lives {
    pub(crate) name: String,
    runtime: Kind,
    /// The sums of the lives that are over.
    past: (Counts, u64),
    /// Peers that no life that is over has met; `None` before the first has been looked at.
    never_met: Option<BTreeSet<String>>,
    /// The newest look at the present life.
    present: Option<View>,
    ended: bool,
}

impl Lives {
    pub(crate) const fn new(name: String, runtime: Kind) -> Self {
        let none = Counts::NONE;
        let never_met = None;
        Self { name, runtime, past: (none, 0), never_met, present: None, ended: false }
    }

    pub(crate) fn see(&mut self, view: View) {
        self.present = Some(view);
    }

    /// This life is over, by violence.
    pub(crate) fn die(&mut self) {
        self.past = self.totals();
        self.never_met = self.never_met();
        self.present = None;
    }

    /// Peers and guests to which this node has had no link in any of its lives; `None` if it was
    /// never looked at.
    pub(crate) fn never_met(&self) -> Option<BTreeSet<String>> {
        match (&self.never_met, &self.present) {
            (past, None) => past.clone(),
            (None, Some(view)) => Some(view.unmet.clone()),
            (Some(past), Some(view)) => Some(past & &view.unmet),
        }
    }

    pub(crate) const fn runtime(&self) -> Kind {
        self.runtime
    }

    /// The newest look at the present life, or an empty one.
    pub(crate) fn view(&self) -> View {
        self.present.clone().unwrap_or_default()
    }

    /// The last life is over, in good order.
    pub(crate) const fn end(&mut self) {
        self.ended = true;
    }

    /// Calls and reconnects of all lives.
    pub(crate) fn totals(&self) -> (Counts, u64) {
        let (mut counts, mut reconnects) = self.past;
        if let Some(view) = &self.present {
            counts += view.counts;
            reconnects += view.reconnects;
        }
        (counts, reconnects)
    }

    pub(crate) fn state(&self) -> State {
        match &self.present {
            _ if self.ended => State::Ended,
            None => State::Down,
            Some(view) if view.stopping => State::Draining,
            Some(_) => State::Up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmet(names: &[&str]) -> View {
        let unmet = names.iter().map(|name| (*name).to_owned()).collect();
        View { unmet, ..View::default() }
    }

    fn node(lives: &[View]) -> Lives {
        let mut node = Lives::new("a".into(), Kind::Tokio);
        for (number, view) in lives.iter().enumerate() {
            if number > 0 {
                node.die();
            }
            node.see(view.clone());
        }
        node
    }

    #[test]
    fn a_peer_is_missed_if_no_life_of_a_node_has_met_it() {
        let none = [node(&[unmet(&["b", "c"])])];
        assert_eq!(missed(&none, 3, &[]), ["a has never had a link to b, c"]);
        let one_each = [node(&[unmet(&["b"]), unmet(&["c"])])];
        assert_eq!(missed(&one_each, 3, &[]), [""; 0]);
        let only_one = [node(&[unmet(&["b"]), unmet(&["b", "c"])])];
        assert_eq!(missed(&only_one, 3, &[]), ["a has never had a link to b"]);
        assert_eq!(missed(&[node(&[])], 3, &[]), ["a was not seen running"]);
    }

    #[test]
    fn a_guest_may_stay_away_unless_guests_are_all_that_was_to_be_met() {
        let guests = ["g".to_owned(), "h".to_owned()];
        assert_eq!(missed(&[node(&[unmet(&["g", "h"])])], 2, &guests), [""; 0]);
        assert_eq!(missed(&[node(&[unmet(&["g"])])], 1, &guests), [""; 0]);
        let none = missed(&[node(&[unmet(&["g", "h"])])], 1, &guests);
        assert_eq!(none, ["a has never had a link to g, h"]);
    }
}
