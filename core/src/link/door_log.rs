//! What the log says about connections that have come to nothing.

use std::net::SocketAddr;

use super::lobby::Origin;
use crate::error::LinkError;
use crate::log::{ScopedRepeats, Told, excerpt};
use crate::time::Instant;

/// Addresses of strangers that the log tells apart within a minute.
const ORIGINS: usize = 256;

const FAILED: &str = "an incoming connection failed";
const CROWDED: &str = "too many unauthenticated connections: the oldest of an address is closed";
const CANNOT_ACCEPT: &str = "cannot accept connections";

/// Which lines about strangers are logged: of each kind one a minute, for each address.
#[derive(Debug)]
pub(crate) struct DoorLog(ScopedRepeats<Option<Origin>>);

impl DoorLog {
    pub(crate) const fn new() -> Self {
        Self(ScopedRepeats::new(ORIGINS))
    }

    /// Whether to [`log_failure`].
    pub(crate) fn tell_failure(
        &mut self,
        remote: Option<SocketAddr>,
        error: &LinkError,
        now: Instant,
    ) -> Option<Told> {
        self.0.tell(Some(Origin::of(remote)), (FAILED, error.kind()), now)
    }

    /// Whether to [`log_crowd`].
    pub(crate) fn tell_crowd(&mut self, now: Instant) -> Option<Told> {
        self.0.tell(None, (CROWDED, ""), now)
    }

    /// Whether to [`log_accept_error`].
    pub(crate) fn tell_accept_error(&mut self, now: Instant) -> Option<Told> {
        self.0.tell(None, (CANNOT_ACCEPT, ""), now)
    }
}

/// An incoming connection has come to nothing: where it came from, who it said it was, and why.
pub(crate) fn log_failure(node: &str, remote: Option<SocketAddr>, error: &LinkError, told: Told) {
    let denial = match error {
        LinkError::Refused(denial) => Some(denial),
        _ => None,
    };
    let remote = remote.map(tracing::field::display);
    let claimed = denial.and_then(|denial| denial.claimed.as_deref());
    let claimed = claimed.map(|name| tracing::field::display(excerpt(name)));
    let (reason, suppressed) = (excerpt(error), told.suppressed);
    // A port scan, and the start and the end of a node of the grid, are no problem.
    let warns = match error {
        LinkError::ClosedByPeer => false,
        _ => denial.is_none_or(|denial| !denial.kind.is_expected()),
    };
    if warns {
        tracing::warn!(%node, remote, claimed, error = %reason, suppressed, "{FAILED}");
    } else {
        tracing::info!(%node, remote, claimed, error = %reason, suppressed, "{FAILED}");
    }
}

/// A connection from `origin` was closed for another one.
pub(crate) fn log_crowd(node: &str, origin: Origin, told: Told) {
    tracing::warn!(%node, address = %origin, suppressed = told.suppressed, "{CROWDED}");
}

/// No connection can be accepted for now.
pub(crate) fn log_accept_error(node: &str, error: &std::io::Error, told: Told) {
    let (error, suppressed) = (excerpt(error), told.suppressed);
    tracing::warn!(%node, %error, suppressed, "{CANNOT_ACCEPT}");
}
