//! The timers of tokio.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use gridmux_core::driver::clock::RawTimer;
use tokio::time::Sleep;

/// A sleep on the clock of tokio, which its tests can pause.
#[derive(Debug)]
pub(crate) struct TokioTimer(Pin<Box<Sleep>>);

impl TokioTimer {
    /// To be called within a runtime.
    pub(crate) fn new() -> Self {
        Self(Box::pin(tokio::time::sleep(Duration::ZERO)))
    }
}

impl RawTimer for TokioTimer {
    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn set(&mut self, at: Instant) {
        self.0.as_mut().reset(at.into());
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}
