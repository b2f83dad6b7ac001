//! What a runtime supplies: clock and timer, byte transport, spawn.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::BytesMut;

use crate::time::{Instant, Now};
use crate::wire::Timestamp;

/// A future on the heap, as the object-safe parts of this module use it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Both clocks, and timers on the monotonic one.
pub trait Clock: Send + Sync + 'static {
    /// The monotonic clock.
    fn instant(&self) -> Instant;

    /// Both clocks.
    fn now(&self) -> Now;

    /// A timer that is not armed.
    fn timer(&self) -> Box<dyn Timer>;
}

/// Both clocks for the price of one: the wall clock is read once a second, and in between it runs
/// with the monotonic one.
#[derive(Debug, Default)]
pub struct WallClock {
    /// When the wall clock is to be read again, in nanoseconds of the monotonic clock.
    stale_at: AtomicU64,
    /// What the wall clock showed beyond the monotonic one, in nanoseconds since 1970.
    offset: AtomicI64,
}

impl WallClock {
    const FRESH: u64 = 1_000_000_000;

    /// Both clocks at `instant`; `read` reads the wall clock in nanoseconds since 1970.
    pub fn now(&self, instant: Instant, read: impl FnOnce() -> i128) -> Now {
        let nanos = instant.as_nanos();
        if nanos >= self.stale_at.load(Ordering::Acquire) {
            let offset = read() - i128::from(nanos);
            let bounded = offset.clamp(i64::MIN.into(), i64::MAX.into());
            self.offset.store(bounded as i64, Ordering::Relaxed);
            self.stale_at.store(nanos.saturating_add(Self::FRESH), Ordering::Release);
        }
        let wall = i128::from(self.offset.load(Ordering::Relaxed)) + i128::from(nanos);
        Now { instant, wall: Timestamp::from_unix_nanos(wall) }
    }
}

/// A single alarm.
pub trait Timer: Send {
    /// Ready once `at` has come; until then the task of `cx` is woken at `at`, never early by
    /// more than the clock's grain, and as late as the runtime's own timers are. A new `at`
    /// replaces the former one.
    fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()>;
}

/// A byte stream in both directions: TCP, TLS over it, or what an HTTP server has upgraded.
///
/// Dropping it closes it.
pub trait Transport: Send + 'static {
    /// Appends what has come to `buf`, at most its spare capacity, and gives the number of
    /// bytes; 0 is the end of the stream.
    ///
    /// # Errors
    /// The transport has failed.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// Writes some of `buf`, at least one byte unless it is empty, and sends it without delay.
    ///
    /// # Errors
    /// The transport has failed.
    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;

    /// Ends our direction.
    ///
    /// # Errors
    /// The transport has failed.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Accepts connections. Dropping it closes it.
pub trait Listener: Send + 'static {
    /// The next connection. After an error it goes on: one connection failed, or the process
    /// has no descriptors left.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Transport>>>;

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Opens connections to peers, by name; TLS is its business.
pub trait Connector: Send + Sync + 'static {
    /// Connects to the node of this name, a base URL; the WebSocket upgrade is not its business.
    /// The caller limits the time ([`Timings::dial`](crate::timings::Timings::dial)) by dropping
    /// the future. Called on the link's task, it must not block.
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>>;
}

/// An async runtime.
pub trait Runtime: Clock + Clone + Sized {
    /// Whether the runtime can run anything at all.
    ///
    /// # Errors
    /// What is missing.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }

    /// Runs `future` to its end, concurrently, and drops it if the runtime itself ends. It may be
    /// called from any thread.
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F);

    /// Listens on `address`, `host:port`; port 0 lets the system choose.
    ///
    /// # Errors
    /// The address is malformed or taken.
    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>>;

    /// The connector that is used unless another one is set: plain TCP.
    fn connector(&self) -> Box<dyn Connector>;

    /// Random bytes from the system, for seeds and the instance id.
    ///
    /// # Errors
    /// The system has none to give.
    fn random(&self) -> io::Result<[u8; 16]>;
}
