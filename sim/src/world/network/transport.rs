//! What a node holds of the network: listeners, and ends of connections.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use gridmux_core::driver::runtime::{BoxFuture, Connector, Listener, Timer, Transport};
use gridmux_core::time::Instant;

use super::{ConnId, DialFate, End};
use crate::world::lives::{LifeId, NOBODY};
use crate::world::runtime::SimTimer;
use crate::world::{Dialled, Shared, SimRuntime};

/// One end of a connection.
pub(crate) struct SimTransport {
    pub(crate) shared: Arc<Shared>,
    pub(crate) conn: ConnId,
    pub(crate) end: End,
}

impl Transport for SimTransport {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.shared.world().read(self.conn, self.end, buf, Some(cx))
    }

    fn try_read(&mut self, buf: &mut BytesMut) -> Option<Poll<io::Result<usize>>> {
        Some(self.shared.world().read(self.conn, self.end, buf, None))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.world().write(self.conn, self.end, buf, cx)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut bytes = Vec::new();
        bufs.iter().for_each(|buf| bytes.extend_from_slice(buf));
        self.poll_write(cx, &bytes)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        Some(address(self.shared.world().network.conn(self.conn).node(self.end.other())))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shared.world().finish(self.conn, self.end))
    }
}

impl Drop for SimTransport {
    fn drop(&mut self) {
        let wakers = self.shared.world().let_go(self.conn, self.end);
        // Not under the lock: a waker may own its task.
        drop(wakers);
    }
}

/// A port that is listened on.
pub(crate) struct SimListener {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: LifeId,
    pub(crate) node: usize,
}

impl Listener for SimListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Transport>>> {
        let runtime = SimRuntime { shared: self.shared.clone(), life: self.life, workers: None };
        accept_transport(&runtime, self.node, cx)
            .map(|transport| Ok(Box::new(transport) as Box<dyn Transport>))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(address(self.node))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let gone = self.shared.world().stop_listening(self.node, self.life);
        drop(gone);
    }
}

/// Where a node is.
fn address(node: usize) -> SocketAddr {
    let host = u8::try_from(node + 1).unwrap_or(u8::MAX);
    SocketAddr::from(([10, 0, 0, host], 9000))
}

/// Opens connections for one life.
pub(crate) struct Dialling {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: LifeId,
}

impl Connector for Dialling {
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let opening = self.open(name);
        Box::pin(async move { Ok(Box::new(opening.await?) as Box<dyn Transport>) })
    }
}

impl Dialling {
    fn open(&self, name: &str) -> impl Future<Output = io::Result<SimTransport>> + use<> {
        let (shared, life) = (self.shared.clone(), self.life);
        let dialled = shared.world().dial(life, name);
        async move {
            let Dialled { number, from, to, fate, takes } = dialled?;
            let attempt = Attempt { shared: shared.clone(), number, connected: false };
            match fate {
                DialFate::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
                DialFate::Hangs => std::future::pending::<()>().await,
                DialFate::Works | DialFate::Takes(_) => Pause::new(&shared, takes).await,
            }
            // A partition lets no handshake through, and nobody is told.
            while shared.world().is_blocked(from, to) {
                Pause::new(&shared, BLOCKED_RETRY).await;
            }
            let conn = shared.world().establish(life, from, to)?;
            attempt.succeed();
            Ok(SimTransport { shared, conn, end: End::Dialler })
        }
    }
}

/// Opens a connection, whose place in the network is known.
pub(crate) fn open_transport(
    runtime: &SimRuntime,
    name: &str,
) -> impl Future<Output = io::Result<SimTransport>> + use<> {
    Dialling { shared: runtime.shared.clone(), life: runtime.life }.open(name)
}

/// The next connection to a node that listens, whose place in the network is known.
pub(crate) fn accept_transport(
    runtime: &SimRuntime,
    node: usize,
    cx: &Context<'_>,
) -> Poll<SimTransport> {
    let Some(conn) = runtime.shared.world().accept(node, runtime.life, cx) else {
        return Poll::Pending;
    };
    Poll::Ready(SimTransport { shared: runtime.shared.clone(), conn, end: End::Acceptor })
}

/// An attempt to connect; dropped before it has succeeded, it says so.
struct Attempt {
    shared: Arc<Shared>,
    number: usize,
    connected: bool,
}

impl Attempt {
    fn succeed(mut self) {
        self.connected = true;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.connected {
            self.shared.world().dial_over(self.number);
        }
    }
}

/// A handshake that is lost is tried again after this long.
const BLOCKED_RETRY: u64 = 200_000_000;

/// Waits in simulated time, whatever the node's own clock shows.
struct Pause {
    timer: SimTimer,
    until: Instant,
}

impl Pause {
    fn new(shared: &Arc<Shared>, wait: u64) -> Self {
        let until = Instant::from_nanos(shared.world().now.saturating_add(wait));
        Self { timer: SimTimer::new(shared, NOBODY), until }
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        self.timer.poll_until(until, cx)
    }
}
