//! Which process has which name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::time::Instant;

/// Another name is taken for a process whose links are gone once this has passed since it first asked.
const KEPT: Duration = Duration::from_secs(30);

/// The instance id of a process.
type Id = [u8; 16];

/// The names of the processes that a node has links with, or had last. A process has one name: if it
/// answers under another, an address has become that of another node.
///
/// A name is kept for a while when its link is lost: an acceptor that takes a second connection of ours
/// gives up the first, and which of both we hear of first is chance. At most one process without a link
/// is remembered for each name.
#[derive(Debug)]
pub(crate) struct Processes {
    own: (Id, Arc<str>),
    known: BTreeMap<Id, Known>,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    /// When it first had another name, with its link gone.
    contested: Option<Instant>,
}

impl Processes {
    /// Of a node that has this id and name itself.
    pub(crate) fn new(id: Id, name: &str) -> Self {
        Self { own: (id, name.into()), known: BTreeMap::new() }
    }

    /// There is to be a link with this process as the peer `name`. `is_linked` tells whether there is
    /// one with another process, as that peer.
    ///
    /// # Errors
    /// The other name of the process.
    pub(crate) fn claim(
        &mut self,
        now: Instant,
        id: Id,
        name: &str,
        is_linked: impl Fn(&Id, &str) -> bool,
    ) -> Result<(), Arc<str>> {
        if id == [0; 16] {
            // A peer that does not say.
            return Ok(());
        }
        if id == self.own.0 {
            return Err(self.own.1.clone());
        }
        if let Some(known) = self.known.get_mut(&id)
            && *known.name != *name
        {
            if is_linked(&id, &known.name) {
                known.contested = None;
                return Err(known.name.clone());
            }
            if now.since(*known.contested.get_or_insert(now)) < KEPT {
                return Err(known.name.clone());
            }
        }
        self.known.insert(id, Known { name: name.into(), contested: None });
        let former = |other: &Id, known: &Known| *other != id && *known.name == *name;
        self.known.retain(|other, known| !former(other, known) || is_linked(other, name));
        Ok(())
    }

    /// The peer of this name was removed.
    pub(crate) fn forget(&mut self, name: &str) {
        self.known.retain(|_, known| *known.name != *name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Id = [1; 16];
    const X: &str = "http://x:1";
    const E: &str = "http://e:1";

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(1000 * seconds)
    }

    #[test]
    fn a_process_has_one_name_while_it_is_linked_and_a_while_longer() {
        let mut processes = Processes::new(OWN, "http://own:1");
        let mut other = |seconds, id: u8, name: &str, linked: bool| {
            processes.claim(at(seconds), [id; 16], name, |_, _| linked).err()
        };
        assert_eq!(other(0, 1, X, false).as_deref(), Some("http://own:1"), "it is this one");
        assert_eq!((other(0, 0, E, true), other(0, 0, X, true)), (None, None), "they do not say");
        assert_eq!(other(0, 2, E, false), None);
        assert_eq!(other(100, 2, E, true), None, "it connects anew");
        for seconds in [101, 200] {
            assert_eq!(other(seconds, 2, X, true).as_deref(), Some(E));
        }
        for seconds in [300, 329] {
            assert_eq!(other(seconds, 2, X, false).as_deref(), Some(E), "its link was just lost");
        }
        assert_eq!(other(329, 2, E, false), None, "and it is back");
        assert_eq!(other(330, 2, X, false).as_deref(), Some(E), "which begins the time anew");
        assert_eq!(other(360, 2, X, false), None, "E is gone");
        assert_eq!(other(361, 2, E, true).as_deref(), Some(X));
    }

    #[test]
    fn one_process_without_a_link_is_remembered_for_each_name() {
        let mut processes = Processes::new(OWN, "http://own:1");
        for id in 2..100 {
            processes.claim(at(0), [id; 16], E, |_, _| false).expect("E starts anew each time");
            processes.claim(at(0), [id + 100; 16], X, |other, _| *other == [102; 16]).expect("X");
        }
        let left: Vec<_> = processes.known.keys().map(|id| id[0]).collect();
        assert_eq!(left, [99, 102, 199], "the last of E, and of X also the one that is linked");
        processes.forget(X);
        assert_eq!(processes.known.len(), 1);
    }
}
