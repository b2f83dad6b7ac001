//! The timers of async-io.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use gridmux_core::driver::clock::RawTimer;
use smol::Timer;

/// A timer on the clock of the system.
#[derive(Debug)]
pub(crate) struct SmolTimer(Timer);

impl SmolTimer {
    pub(crate) fn new() -> Self {
        Self(Timer::never())
    }
}

impl RawTimer for SmolTimer {
    fn now() -> Instant {
        Instant::now()
    }

    fn set(&mut self, at: Instant) {
        self.0.set_at(at);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}
