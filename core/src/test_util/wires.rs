//! Which nodes can reach each other: what is cut, what is silent, who is dead.
//!
//! All of it acts on the dialler's end of a connection; the other end sees what the transport
//! then does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;

use crate::driver::runtime::{BoxFuture, Connector, Transport};
use crate::handle::{lock, set};

/// One life of a node, from its start to its end: another process, for the other nodes.
pub(super) type Life = u64;

/// Two names, in order.
type Pair = (String, String);

/// The state of all wires of a grid. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Wires(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// Who listens, by name.
    listening: BTreeMap<String, Listening>,
    dead: BTreeSet<Life>,
    cut: BTreeSet<Pair>,
    held: BTreeSet<Pair>,
    lines: BTreeMap<u64, LineState>,
    parked: Vec<Parked>,
}

#[derive(Debug)]
struct Listening {
    life: Life,
    /// Where it listens, as the name of a node.
    url: String,
}

/// One connection, or one that is being made.
#[derive(Debug)]
struct LineState {
    pair: Pair,
    from: Life,
    to: Option<Life>,
    broken: bool,
    waker: Option<Waker>,
}

/// A connection that was dropped while its wire was held: the other end is not to see that yet.
struct Parked {
    pair: Pair,
    /// Held until it is dropped.
    _transport: Box<dyn Transport>,
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parked").field("pair", &self.pair).finish_non_exhaustive()
    }
}

fn pair(one: &str, other: &str) -> Pair {
    let (one, other) = if one < other { (one, other) } else { (other, one) };
    (one.to_owned(), other.to_owned())
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Breaks the lines that `which` chooses; those who use them are to be woken.
    fn break_lines(&mut self, which: impl Fn(&LineState) -> bool) -> Vec<Waker> {
        let mut woken = Vec::new();
        for line in self.lines.values_mut().filter(|line| which(line)) {
            line.broken = true;
            woken.extend(line.waker.take());
        }
        woken
    }
}

impl Wires {
    /// Changes something, then wakes whom it concerns.
    fn change(&self, change: impl FnOnce(&mut State) -> Vec<Waker>) {
        let woken = change(&mut lock(&self.0));
        woken.into_iter().for_each(Waker::wake);
    }

    /// A new life begins.
    pub(super) fn birth(&self) -> Life {
        lock(&self.0).number()
    }

    /// Who asks for `name` gets to `url` from now on.
    pub(super) fn listen(&self, name: &str, life: Life, url: String) {
        lock(&self.0).listening.insert(name.into(), Listening { life, url });
    }

    /// A life ends: its connections break, and it makes and takes none any more.
    pub(super) fn death(&self, life: Life) {
        self.change(|state| {
            state.dead.insert(life);
            state.break_lines(|line| line.from == life || line.to == Some(life))
        });
    }

    /// Breaks the connections of two nodes; they may make new ones.
    pub(super) fn break_link(&self, one: &str, other: &str) {
        let pair = pair(one, other);
        self.change(|state| state.break_lines(|line| line.pair == pair));
    }

    /// Breaks the connections of two nodes and lets them make none.
    pub(super) fn cut(&self, one: &str, other: &str) {
        lock(&self.0).cut.insert(pair(one, other));
        self.break_link(one, other);
    }

    /// Lets two nodes connect again.
    pub(super) fn heal(&self, one: &str, other: &str) {
        lock(&self.0).cut.remove(&pair(one, other));
    }

    /// Stops all bytes between two nodes.
    pub(super) fn hold(&self, one: &str, other: &str) {
        lock(&self.0).held.insert(pair(one, other));
    }

    /// Lets the bytes go on, and both ends see what has happened meanwhile.
    pub(super) fn release(&self, one: &str, other: &str) {
        let pair = pair(one, other);
        // Dropped without the lock: closing a transport is the runtime's code.
        let mut parked = Vec::new();
        self.change(|state| {
            state.held.remove(&pair);
            parked.extend(state.parked.extract_if(.., |parked| parked.pair == pair));
            let lines = state.lines.values_mut().filter(|line| line.pair == pair);
            lines.filter_map(|line| line.waker.take()).collect()
        });
    }

    /// Whether two nodes are kept from connecting.
    pub(super) fn is_cut(&self, one: &str, other: &str) -> bool {
        lock(&self.0).cut.contains(&pair(one, other))
    }

    /// Whether a connection of the two is broken and its owner has not seen it yet.
    pub(super) fn is_breaking(&self, one: &str, other: &str) -> bool {
        let pair = pair(one, other);
        lock(&self.0).lines.values().any(|line| line.pair == pair && line.broken)
    }

    /// How this life of a node connects to others; `inner` opens the connections.
    pub(super) fn connector(
        &self,
        own: &str,
        life: Life,
        inner: Box<dyn Connector>,
    ) -> impl Connector + use<> {
        WiredConnector { own: own.into(), life, inner: inner.into(), wires: self.clone() }
    }

    /// A line to the node `name`, and where that listens.
    fn open(&self, own: &str, from: Life, name: &str) -> (Line, String) {
        let mut state = lock(&self.0);
        let listening = state.listening.get(name);
        let to = listening.map(|listening| listening.life);
        let url = listening.map_or(name, |listening| &listening.url).to_owned();
        let pair = pair(own, name);
        let dead = |life| state.dead.contains(&life);
        let broken = state.cut.contains(&pair) || dead(from) || to.is_some_and(dead);
        let id = state.number();
        state.lines.insert(id, LineState { pair, from, to, broken, waker: None });
        (Line { id, wires: self.clone() }, url)
    }
}

/// One connection's hold on its wire.
struct Line {
    id: u64,
    wires: Wires,
}

impl Line {
    /// Ready while bytes flow, or with the error once it is broken; whenever that changes, the
    /// task of `cx` is woken.
    fn poll(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.wires.0);
        let State { lines, held, dead, .. } = &mut *state;
        let line = lines.get_mut(&self.id).expect("there until it is dropped");
        if dead.contains(&line.from) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let held = held.contains(&line.pair);
        if line.broken && !held {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let former = set(&mut line.waker, cx.waker());
        // Not under the lock: a waker may own its task, and that another line.
        drop((state, former));
        if held { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Drops the connection, or keeps it until its wire is released.
    fn let_go(&self, transport: Box<dyn Transport>) {
        let mut state = lock(&self.wires.0);
        let pair = &state.lines[&self.id].pair;
        if state.held.contains(pair) {
            let parked = Parked { pair: pair.clone(), _transport: transport };
            state.parked.push(parked);
        } else {
            drop(state);
            drop(transport);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Not under the lock either.
        let line = lock(&self.wires.0).lines.remove(&self.id);
        drop(line);
    }
}

struct WiredConnector {
    own: String,
    life: Life,
    inner: Arc<dyn Connector>,
    wires: Wires,
}

impl Connector for WiredConnector {
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let (line, url) = self.wires.open(&self.own, self.life, name);
        let inner = self.inner.clone();
        Box::pin(async move {
            match std::future::poll_fn(|cx| line.poll(cx)).await {
                Ok(()) => {}
                Err(_) => return Err(io::ErrorKind::ConnectionRefused.into()),
            }
            let inner = Some(inner.connect(&url).await?);
            Ok(Box::new(WiredTransport { inner, line }) as Box<dyn Transport>)
        })
    }
}

/// The dialler's end of a connection.
struct WiredTransport {
    /// Always there, until the drop.
    inner: Option<Box<dyn Transport>>,
    line: Line,
}

impl WiredTransport {
    fn poll_flow(&mut self, cx: &Context<'_>) -> Poll<io::Result<&mut dyn Transport>> {
        ready!(self.line.poll(cx))?;
        match &mut self.inner {
            Some(inner) => Poll::Ready(Ok(&mut **inner)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Transport for WiredTransport {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        ready!(self.poll_flow(cx))?.poll_read(cx, buf)
    }

    fn try_read(&mut self, buf: &mut BytesMut) -> Option<Poll<io::Result<usize>>> {
        // As long as the line is held, the task has to be woken when it is not any more.
        match self.poll_flow(&Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(inner)) => inner.try_read(buf),
            _ => None,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flow(cx))?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flow(cx))?.poll_write_vectored(cx, bufs)
    }

    fn unsent(&self) -> Option<usize> {
        self.inner.as_ref().and_then(|inner| inner.unsent())
    }

    fn remote_addr(&self) -> Option<std::net::SocketAddr> {
        self.inner.as_ref().and_then(|inner| inner.remote_addr())
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flow(cx))?.poll_close(cx)
    }
}

impl Drop for WiredTransport {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            self.line.let_go(inner);
        }
    }
}
