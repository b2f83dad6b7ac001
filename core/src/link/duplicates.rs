//! Two processes with one name: PROTOCOL.md section 7.11.

use std::collections::VecDeque;

use crate::time::Instant;

/// Replaced instances that are remembered.
const REMEMBERED: usize = 16;

/// The acceptor's memory of a name's instances: the newest keeps the link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Duplicates {
    current: Option<[u8; 16]>,
    /// When the connection that the current one has was accepted.
    came: Instant,
    replaced: VecDeque<[u8; 16]>,
}

impl Duplicates {
    /// Whether this instance may connect; `connected` says that the current one is.
    pub(crate) fn may_connect(&self, instance: [u8; 16], connected: bool) -> bool {
        !connected
            || self.current == Some(instance)
            || !self.replaced.contains(&instance)
            || planted!(InstanceIgnored)
    }

    /// Whether a connection that was accepted then is older than the newest that was a link: its
    /// Connect comes late, and who has dialled it has had another one since, or is gone.
    pub(crate) fn is_late(&self, came: Instant) -> bool {
        came < self.came
    }

    /// How many replaced instances are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.replaced.len()
    }

    /// This instance has connected, on a connection that was accepted then.
    pub(crate) fn on_connected(&mut self, instance: [u8; 16], came: Instant) {
        self.came = came;
        self.replaced.retain(|id| *id != instance);
        if let Some(former) = self.current.replace(instance)
            && former != instance
        {
            if self.replaced.len() == REMEMBERED && !planted!(InstancesNeverForgotten) {
                self.replaced.pop_front();
            }
            self.replaced.push_back(former);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Instant = Instant::from_nanos(7);

    #[test]
    fn a_replaced_instance_is_refused_while_the_other_is_connected() {
        let mut names = Duplicates::default();
        let (old, new) = ([1; 16], [2; 16]);
        names.on_connected(old, AT);
        assert!(names.may_connect(old, true), "the same process reconnects");
        assert!(names.may_connect(new, true), "a new process takes over");
        names.on_connected(new, AT);
        assert!(!names.may_connect(old, true));
        assert!(names.may_connect(old, false), "the newer one is gone");
        names.on_connected(old, AT);
        assert!(!names.may_connect(new, true));
    }

    #[test]
    fn the_last_sixteen_are_remembered() {
        let mut names = Duplicates::default();
        for id in 0..=17_u8 {
            names.on_connected([id; 16], AT);
        }
        let refused = (0..=17_u8).filter(|id| !names.may_connect([*id; 16], true)).count();
        assert_eq!(refused, 16);
        assert!(names.may_connect([0; 16], true), "the oldest is forgotten");
    }
}
