//! Which processes the links of a node are with, for all tasks of the node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::link;
use crate::time::Instant;

/// The processes that a node has connections with. Its lock is a leaf: it may be taken under that of a
/// peer, and nothing else is called while it is held.
#[derive(Debug)]
pub(crate) struct Processes(Mutex<Table>);

#[derive(Debug)]
struct Table {
    names: link::Processes,
    /// How many there are with each; a new connection may come before the former is closed.
    connections: BTreeMap<[u8; 16], usize>,
}

impl Processes {
    /// Of a node that has this id and name itself.
    pub(crate) fn new(id: [u8; 16], name: &str) -> Arc<Self> {
        let names = link::Processes::new(id, name);
        Arc::new(Self(Mutex::new(Table { names, connections: BTreeMap::new() })))
    }

    /// There is to be a link with this process, as the peer of this name.
    ///
    /// # Errors
    /// The other name of the process.
    pub(crate) fn claim(
        self: &Arc<Self>,
        now: Instant,
        id: [u8; 16],
        name: &str,
    ) -> Result<Claim, Arc<str>> {
        let mut table = self.lock();
        let Table { names, connections } = &mut *table;
        names.claim(now, id, name, |id, _| connections.contains_key(id))?;
        *connections.entry(id).or_default() += 1;
        Ok(Claim { processes: self.clone(), id })
    }

    /// The peer of this name was removed.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().names.forget(name);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection with a process, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    processes: Arc<Processes>,
    id: [u8; 16],
}

impl Drop for Claim {
    fn drop(&mut self) {
        let connections = &mut self.processes.lock().connections;
        if let Some(count) = connections.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_linked_as_long_as_there_is_a_connection_with_it() {
        let processes = Processes::new([1; 16], "http://own:1");
        let other = |seconds: u64, name: &str| {
            processes.claim(Instant::from_millis(1000 * seconds), [2; 16], name).err()
        };
        let claim = || processes.claim(Instant::ZERO, [2; 16], "http://e:1").expect("it is E");
        let (first, second) = (claim(), claim());
        for seconds in [100, 200] {
            assert_eq!(other(seconds, "http://x:1").as_deref(), Some("http://e:1"));
        }
        drop(first);
        for seconds in [300, 400, 500] {
            assert_eq!(other(seconds, "http://x:1").as_deref(), Some("http://e:1"), "one is left");
        }
        drop(second);
        assert_eq!(
            other(600, "http://x:1").as_deref(),
            Some("http://e:1"),
            "it was there just now"
        );
        assert_eq!(other(700, "http://x:1"), None);
        assert!(processes.lock().connections.is_empty());
    }
}
