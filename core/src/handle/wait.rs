//! Waiting for a moment: the alarm of a call that cannot start yet.

use std::task::{Context, Poll};

use crate::driver::runtime::{Clock, Timer};
use crate::time::Instant;

/// An alarm that asks for a timer only if it is ever polled.
pub(crate) struct Alarm {
    at: Instant,
    timer: Option<Box<dyn Timer>>,
}

impl std::fmt::Debug for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alarm").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Alarm {
    pub(crate) const fn new(at: Instant) -> Self {
        Self { at, timer: None }
    }

    pub(crate) const fn left(&self, now: Instant) -> std::time::Duration {
        self.at.since(now)
    }

    pub(crate) fn poll(&mut self, clock: &dyn Clock, cx: &mut Context<'_>) -> Poll<()> {
        if clock.instant() >= self.at {
            return Poll::Ready(());
        }
        self.timer.get_or_insert_with(|| clock.timer()).poll_until(self.at, cx)
    }
}
