//! What a node logs about its handlers, and about itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::shared::Shared;
use crate::log::{Kind, ScopedRepeats, Told, excerpt};
use crate::time::Instant;

/// Which lines about handlers and machines are logged: of each kind one a minute, for each route and each
/// peer. There are no more scopes than routes and peers.
#[derive(Debug)]
pub(crate) struct NodeLog(Mutex<ScopedRepeats<Scope>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Route(RouteName),
    Peer(Arc<str>),
}

/// A route in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RouteName {
    pub(crate) handler: u8,
    pub(crate) name: &'static str,
}

impl Default for NodeLog {
    fn default() -> Self {
        Self(Mutex::new(ScopedRepeats::new(usize::MAX)))
    }
}

impl NodeLog {
    fn tell(&self, scope: Scope, kind: Kind, now: Instant) -> Option<Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).tell(scope, kind, now)
    }
}

impl Shared {
    pub(crate) fn log_bug(&self) {
        #[cfg(any(test, feature = "testing"))]
        super::fault::count_bug();
        let line = "a bug: the link's machine panicked; the link is dropped";
        let scope = Scope::Peer(self.name.clone());
        if let Some(told) = self.log.tell(scope, (line, ""), self.clock.instant()) {
            let (node, peer, suppressed) = (&self.node.name, &self.name, told.suppressed);
            tracing::error!(%node, %peer, suppressed, "{line}");
        }
    }

    /// The process's panic hook has had its say already, for each panic: that is the application's.
    pub(crate) fn log_panic(&self, route: RouteName, text: &str) {
        let line = "a handler panicked";
        let scope = Scope::Route(route);
        if let Some(told) = self.log.tell(scope, (line, ""), self.clock.instant()) {
            let (node, peer, suppressed) = (&self.node.name, &self.name, told.suppressed);
            let panic = excerpt(text);
            tracing::error!(%node, %peer, route = route.name, %panic, suppressed, "{line}");
        }
    }

    pub(crate) fn log_slow(&self, route: RouteName, took: Duration, now: Instant) {
        let line = "an inline handler is slow";
        if let Some(told) = self.log.tell(Scope::Route(route), (line, ""), now) {
            let (node, suppressed) = (&self.node.name, told.suppressed);
            tracing::warn!(%node, route = route.name, ?took, suppressed, "{line}");
        }
    }
}
