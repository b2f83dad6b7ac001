//! Two processes with one name: PROTOCOL.md section 7.11.

use std::collections::VecDeque;

/// Replaced instances that are remembered.
const REMEMBERED: usize = 16;

/// The acceptor's memory of a name's instances: the newest keeps the link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Duplicates {
    current: Option<[u8; 16]>,
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

    /// How many replaced instances are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.replaced.len()
    }

    /// This instance has connected.
    pub(crate) fn on_connected(&mut self, instance: [u8; 16]) {
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

    #[test]
    fn a_replaced_instance_is_refused_while_the_other_is_connected() {
        let mut names = Duplicates::default();
        let (old, new) = ([1; 16], [2; 16]);
        names.on_connected(old);
        assert!(names.may_connect(old, true), "the same process reconnects");
        assert!(names.may_connect(new, true), "a new process takes over");
        names.on_connected(new);
        assert!(!names.may_connect(old, true));
        assert!(names.may_connect(old, false), "the newer one is gone");
        names.on_connected(old);
        assert!(!names.may_connect(new, true));
    }

    #[test]
    fn the_last_sixteen_are_remembered() {
        let mut names = Duplicates::default();
        for id in 0..=17_u8 {
            names.on_connected([id; 16]);
        }
        let refused = (0..=17_u8).filter(|id| !names.may_connect([*id; 16], true)).count();
        assert_eq!(refused, 16);
        assert!(names.may_connect([0; 16], true), "the oldest is forgotten");
    }
}
