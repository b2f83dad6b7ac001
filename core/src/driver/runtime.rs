//! What a runtime supplies: clock and timer, byte transport, spawn.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;

use super::resolver::Resolver;
use super::workers::Post;
use crate::node;
use crate::time::{Instant, Now};

/// A future on the heap, as the object-safe parts of this module use it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Bytes that a transport should let the system hold unsent, where the system can be told
/// (`TCP_NOTSENT_LOWAT`): a link ping waits behind them.
pub const UNSENT: u32 = 128 * 1024;

/// Connections that a listener should let the system hold until they are accepted.
pub const BACKLOG: i32 = 1024;

/// Both clocks, and timers on the monotonic one. [`SystemClock`](super::clock::SystemClock) is
/// most of one.
pub trait Clock: Send + Sync + 'static {
    /// The monotonic clock.
    fn instant(&self) -> Instant;

    /// Both clocks.
    fn now(&self) -> Now;

    /// A timer that is not armed.
    fn timer(&self) -> Box<dyn Timer>;
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

    /// [`Self::poll_read`] for a task that stays awake and tries again soon: if there is nothing yet
    /// (`Some(Poll::Pending)`), it need not be woken when there is, and calls [`Self::poll_read`] before it
    /// sleeps. `None`, which it is unless this is overridden, says that [`Self::poll_read`] is to be
    /// called in any case: worth more only where to be woken costs much more than to look.
    fn try_read(&mut self, buf: &mut BytesMut) -> Option<Poll<io::Result<usize>>> {
        let _ = buf;
        None
    }

    /// [`Self::poll_write`] for several pieces in their order, at least one, none of them empty: gives
    /// how many bytes of all of them were written, at least one.
    ///
    /// Unless this is overridden, it writes of the first one only, so that each frame is a write of its
    /// own, and a record of its own under TLS. A transport that wraps another one passes it on.
    ///
    /// # Errors
    /// The transport has failed.
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.first().map_or(&[][..], |buf| buf);
        self.poll_write(cx, first)
    }

    /// Bytes that [`Self::poll_write`] has taken and that the other end's system has not acknowledged;
    /// `None`, which it is unless this is overridden, if the system does not tell.
    ///
    /// It is asked for a few times a second while the transport takes nothing more, and at link pings. A
    /// write counts as stalled once nothing has left for 3.8 s; without this, once nothing was taken for
    /// 3 s, which ends links of less than some 40 KiB/s, for sockets become writable in large steps.
    /// [`TcpProgress`](super::tcp_progress::TcpProgress) is most of one for TCP. A transport that wraps
    /// another one passes it on.
    fn unsent(&self) -> Option<usize> {
        None
    }

    /// Where the other end is, if the transport knows: for limits on strangers, and for logs. A transport
    /// that wraps another one passes it on.
    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

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
    /// the future. Called on the link's task, it must not block: to look up names, use a
    /// [`Resolver`], or wrap the runtime's connector.
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>>;
}

/// What a [`Connector`] does for plain TCP: looks up the host of a node's name, a base URL, and has `open`
/// connect to one of its addresses after the other, until one connects. A name without a host gives
/// [`InvalidInput`](io::ErrorKind::InvalidInput).
///
/// One whose resolver is the runtime's own would take a thread of the runtime for each attempt whose name
/// is not answered: see [`Resolver`].
pub fn connect<F, T>(
    resolver: &Resolver,
    name: &str,
    open: impl Fn(SocketAddr) -> F + Send + 'static,
) -> BoxFuture<'static, io::Result<Box<dyn Transport>>>
where
    F: Future<Output = io::Result<T>> + Send + 'static,
    T: Transport,
{
    let lookup = node::dial_host(name).map(|(host, port)| resolver.lookup(host, port));
    Box::pin(async move {
        let mut failure = io::Error::from(io::ErrorKind::InvalidInput);
        let Some(lookup) = lookup else { return Err(failure) };
        for address in lookup.await? {
            match open(address).await {
                Ok(transport) => return Ok(Box::new(transport) as Box<dyn Transport>),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    })
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

    /// The same, for one of many futures that are short and of one type, such as handlers: a
    /// runtime may have tasks that run one after the other ([`Workers`](super::workers::Workers)),
    /// and then remembers them in `post`, which is given with futures of one place on one runtime.
    fn spawn_short<F: Future<Output = ()> + Send + 'static>(&self, post: &Post<F>, future: F) {
        let _ = post;
        self.spawn(future);
    }

    /// A link has been idle for a while, or is over: what is kept to be used again can be given back.
    fn rest(&self) {}

    /// Ready once the tasks that [`Self::rest`] has ended are gone; until then the task of `cx` is woken
    /// when they are. A shutdown waits for it.
    fn poll_rested(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    /// Has the task that is being polled polled again after others had their turn; as long as it is,
    /// the runtime looks for what is readable now and then. `false` if the runtime has no such thing,
    /// so that the task sleeps.
    ///
    /// The tasks of busy links stay awake so for a moment: see
    /// [`Builder::busy_poll`](crate::builder::Builder::busy_poll).
    fn yield_now(&self, cx: &mut Context<'_>) -> bool {
        let _ = cx;
        false
    }

    /// Whether to wake a task that sleeps takes several times as long as a message over loopback: links'
    /// tasks then [stay awake](crate::builder::Builder::busy_poll) for single messages, too.
    fn is_slow_to_wake(&self) -> bool {
        false
    }

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

    /// What the node of this number, from 0, runs on in a
    /// [`TestGrid`](crate::test_util::TestGrid): this runtime, unless a test has one that mixes
    /// several.
    #[cfg(any(test, feature = "test-util"))]
    fn for_node(&self, index: usize) -> Self {
        let _ = index;
        self.clone()
    }
}
