//! Tokio with a clock that stands until a test moves it.
#![allow(dead_code, reason = "each file of tests needs a part of it")]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use gridmux_tokio::Tokio;
use gridmux_tokio::driver::runtime::{
    BoxFuture, Clock, Connector, Listener, Runtime, Timer, Transport,
};
use gridmux_tokio::time::{Instant, Now};
use gridmux_tokio::wire::Timestamp;

/// It counts how often a link's task has yielded.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(crate) tokio: Tokio,
    pub(crate) nanos: Arc<AtomicU64>,
    pub(crate) timers: Timers,
    pub(crate) yields: Arc<AtomicUsize>,
    pub(crate) slow_to_wake: bool,
    /// It has nothing to yield with.
    pub(crate) sleepy: bool,
    /// The next look for bytes panics.
    pub(crate) faulty: Arc<AtomicBool>,
}

impl Standing {
    pub(crate) fn pass(&self, time: Duration) {
        self.nanos.fetch_add(time.as_nanos() as u64, Ordering::AcqRel);
    }

    /// Has all who wait for a time look at the clock.
    pub(crate) fn ring(&self) {
        let timers = std::mem::take(&mut *self.timers.lock().expect("not poisoned"));
        timers.into_iter().for_each(Waker::wake);
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            tokio: Tokio::default(),
            nanos: Arc::new(AtomicU64::new(1_000_000_000)),
            timers: Timers::default(),
            yields: Arc::default(),
            slow_to_wake: false,
            sleepy: false,
            faulty: Arc::default(),
        }
    }
}

/// Connections whose tasks look for bytes themselves.
struct Looked<T> {
    inner: T,
    faulty: Arc<AtomicBool>,
}

impl Connector for Looked<Box<dyn Connector>> {
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let (connecting, faulty) = (self.inner.connect(name), self.faulty.clone());
        Box::pin(async { Ok(Box::new(Looked { inner: connecting.await?, faulty }) as Box<_>) })
    }
}

impl Transport for Looked<Box<dyn Transport>> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.inner.poll_read(cx, buf)
    }

    fn try_read(&mut self, buf: &mut BytesMut) -> Option<Poll<io::Result<usize>>> {
        assert!(!self.faulty.swap(false, Ordering::AcqRel), "a fault that a test has asked for");
        Some(self.inner.poll_read(&mut Context::from_waker(Waker::noop()), buf))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.inner.poll_write(cx, buf)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.inner.remote_addr()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_close(cx)
    }
}

/// Who waits for a time, until a test has it look at the clock.
pub(crate) type Timers = Arc<Mutex<Vec<Waker>>>;

impl Timer for Standing {
    fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.instant() >= at {
            return Poll::Ready(());
        }
        self.timers.lock().expect("not poisoned").push(cx.waker().clone());
        Poll::Pending
    }
}

impl Clock for Standing {
    fn instant(&self) -> Instant {
        Instant::from_nanos(self.nanos.load(Ordering::Acquire))
    }

    fn now(&self) -> Now {
        let wall = Timestamp { seconds: 1_700_000_000, nanos: 0 };
        Now { instant: self.instant(), wall }
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(self.clone())
    }
}

impl Runtime for Standing {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        self.tokio.spawn(future);
    }

    fn yield_now(&self, cx: &mut Context<'_>) -> bool {
        self.yields.fetch_add(1, Ordering::AcqRel);
        !self.sleepy && self.tokio.yield_now(cx)
    }

    fn is_slow_to_wake(&self) -> bool {
        self.slow_to_wake
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        self.tokio.bind(address)
    }

    fn connector(&self) -> Box<dyn Connector> {
        Box::new(Looked { inner: self.tokio.connector(), faulty: self.faulty.clone() })
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        self.tokio.random()
    }
}
