//! The clocks and timers of async-io.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gridmux_core::driver::runtime::{Timer, WallClock};
use gridmux_core::time::{Instant, Now};

/// Counts from the moment that it was made.
#[derive(Clone, Debug)]
pub(crate) struct SmolClock {
    origin: std::time::Instant,
    wall: Arc<WallClock>,
}

impl SmolClock {
    pub(crate) fn new() -> Self {
        Self { origin: std::time::Instant::now(), wall: Arc::default() }
    }

    pub(crate) fn instant(&self) -> Instant {
        let nanos = self.origin.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub(crate) fn now(&self) -> Now {
        self.wall.now(self.instant(), || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
        })
    }
}

/// A timer that is moved only to an earlier time; a later one is found out when it fires.
#[derive(Debug)]
pub(crate) struct Alarm {
    clock: SmolClock,
    timer: smol::Timer,
    set: Option<Instant>,
}

impl Alarm {
    pub(crate) fn new(clock: SmolClock) -> Self {
        Self { clock, timer: smol::Timer::never(), set: None }
    }

    fn set(&mut self, at: Instant) {
        match self.clock.origin.checked_add(Duration::from_nanos(at.as_nanos())) {
            Some(at) => self.timer.set_at(at),
            // A time that the system cannot express never comes.
            None => self.timer = smol::Timer::never(),
        }
        self.set = Some(at);
    }
}

impl Timer for Alarm {
    fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.instant() >= at {
            self.set = None;
            return Poll::Ready(());
        }
        if self.set.is_none_or(|set| at < set) {
            self.set(at);
        }
        while Pin::new(&mut self.timer).poll(cx).is_ready() {
            if self.clock.instant() >= at {
                self.set = None;
                return Poll::Ready(());
            }
            self.set(at);
        }
        Poll::Pending
    }
}
