//! The clocks and timers of tokio.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gridmux_core::driver::runtime::{Timer, WallClock};
use gridmux_core::time::{Instant, Now};
use tokio::time::Sleep;

/// Counts from the moment that it was made, on tokio's clock.
#[derive(Clone, Debug)]
pub(crate) struct TokioClock {
    origin: tokio::time::Instant,
    wall: Arc<WallClock>,
}

impl TokioClock {
    pub(crate) fn new() -> Self {
        Self { origin: tokio::time::Instant::now(), wall: Arc::default() }
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

    fn tokio_instant(&self, at: Instant) -> tokio::time::Instant {
        let since = Duration::from_nanos(at.as_nanos());
        // A time that tokio cannot express is as good as never.
        let far = Duration::from_secs(365 * 24 * 3600);
        self.origin.checked_add(since).unwrap_or_else(|| tokio::time::Instant::now() + far)
    }
}

/// A timer that is moved only to an earlier time; a later one is found out when it fires.
#[derive(Debug)]
pub(crate) struct Alarm {
    clock: TokioClock,
    sleep: Pin<Box<Sleep>>,
    set: Option<Instant>,
}

impl Alarm {
    pub(crate) fn new(clock: TokioClock) -> Self {
        Self { clock, sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), set: None }
    }
}

impl Timer for Alarm {
    fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        // tokio's cooperative budget can hide an elapsed sleep, so the clock is asked first.
        if self.clock.instant() >= at {
            self.set = None;
            return Poll::Ready(());
        }
        if self.set.is_none_or(|set| at < set) {
            self.sleep.as_mut().reset(self.clock.tokio_instant(at));
            self.set = Some(at);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.clock.instant() >= at {
                self.set = None;
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.clock.tokio_instant(at));
            self.set = Some(at);
        }
        Poll::Pending
    }
}
