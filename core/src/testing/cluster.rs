//! Real nodes on loopback sockets, which can be killed, restarted and cut off from each other.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;

use super::tools::sleep;
use crate::auth::SharedSecret;
use crate::builder::Builder;
use crate::driver::runtime::{BoxFuture, Connector, Listener, Runtime, Transport};
use crate::handle::{Grid, PeerHandle};
use crate::link::dials;
use crate::timings::Timings;

/// The secret of all nodes, unless a test sets another.
pub(super) const SECRET: &str = "a secret of the tests";

/// How long a node may take to connect, or a port to be free again.
const PATIENCE: Duration = Duration::from_secs(10);

type Configure<R> = dyn Fn(usize, Builder<R>) -> Builder<R> + Send + Sync;

/// Nodes of one grid in this process, on loopback sockets with ports that the system chose.
///
/// Their retries are quick; everything else is as in production. Of two nodes, the first one
/// dials the second.
pub struct TestGrid<R: Runtime> {
    runtime: R,
    names: Vec<String>,
    nodes: Vec<Option<Grid<R>>>,
    configure: Arc<Configure<R>>,
    wires: Arc<Wires>,
}

impl<R: Runtime> std::fmt::Debug for TestGrid<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestGrid").field("names", &self.names).finish_non_exhaustive()
    }
}

impl<R: Runtime> TestGrid<R> {
    /// So many nodes, listening and started; `configure` adds to the settings of each, by number.
    ///
    /// # Panics
    /// If the system has no ports to give, or the settings cannot work.
    pub fn new(
        runtime: &R,
        nodes: usize,
        configure: impl Fn(usize, Builder<R>) -> Builder<R> + Send + Sync + 'static,
    ) -> Self {
        let bind = |index| {
            let listener = runtime.for_node(index).bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("it has an address");
            (format!("http://{address}"), listener)
        };
        let (names, listeners) = loop {
            let (names, listeners): (Vec<_>, Vec<_>) = (0..nodes).map(bind).unzip();
            // The ports decide who dials. A listener stays with its node's runtime.
            if nodes != 2 || dials(&names[0], &names[1]) {
                break (names, listeners);
            }
        };
        let mut grid = Self {
            runtime: runtime.clone(),
            names,
            nodes: Vec::new(),
            configure: Arc::new(configure),
            wires: Arc::default(),
        };
        for (index, listener) in listeners.into_iter().enumerate() {
            let node = grid.build(index, listener);
            grid.nodes.push(Some(node));
        }
        // Those who are dialled first, so that a pair connects at the first attempt.
        grid.nodes.iter().rev().flatten().for_each(Grid::start);
        grid
    }

    fn build(&self, index: usize, listener: Box<dyn Listener>) -> Grid<R> {
        let name = &self.names[index];
        let runtime = self.runtime.for_node(index);
        let connector = CutConnector {
            own: name.clone(),
            inner: runtime.connector(),
            wires: self.wires.clone(),
        };
        let builder = Grid::builder_on(runtime, name.clone())
            .peers(self.names.iter().cloned())
            .auth(SharedSecret::new(SECRET).expect("it is long enough"))
            .timings(Self::timings())
            .connector(connector);
        let node = (self.configure)(index, builder).start_gate().build().expect("good settings");
        node.listen_on(listener).expect("it has an address");
        node
    }

    /// What the nodes have unless `configure` sets others: quick retries.
    pub fn timings() -> Timings {
        Timings {
            retry_min: Duration::from_millis(10),
            retry_max: Duration::from_millis(20),
            ..Timings::default()
        }
    }

    /// The nodes' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A node that is alive.
    ///
    /// # Panics
    /// If it was killed.
    pub fn node(&self, index: usize) -> &Grid<R> {
        self.nodes[index].as_ref().expect("the node is alive")
    }

    /// One node as another one's peer.
    ///
    /// # Panics
    /// If the first was killed.
    pub fn peer(&self, of: usize, index: usize) -> PeerHandle {
        self.node(of).peer(&self.names[index]).expect("all nodes know each other")
    }

    /// Waits until all that are alive are connected with each other.
    ///
    /// # Panics
    /// If that takes more than ten seconds.
    pub async fn connected(&self) {
        let alive: Vec<usize> =
            (0..self.nodes.len()).filter(|index| self.nodes[*index].is_some()).collect();
        for of in &alive {
            for index in alive.iter().filter(|index| *index != of) {
                self.peer(*of, *index).connected(PATIENCE).await.expect("it connects");
            }
        }
    }

    /// Ends a node without a word: its connections break, its port is closed.
    pub fn kill(&mut self, index: usize) {
        let name = self.names[index].clone();
        for other in self.names.iter().filter(|other| **other != name) {
            self.wires.cut(&name, other);
        }
        self.nodes[index] = None;
    }

    /// Takes a node out of the grid's hands, so that the test can shut it down or drop it.
    ///
    /// # Panics
    /// If it was killed.
    pub fn take(&mut self, index: usize) -> Grid<R> {
        self.nodes[index].take().expect("the node is alive")
    }

    /// Starts a killed node anew under its name: another process, for the other nodes.
    ///
    /// # Panics
    /// If its port stays taken.
    pub async fn restart(&mut self, index: usize) {
        let name = self.names[index].clone();
        let address = name.trim_start_matches("http://");
        let until = self.runtime.instant().after(PATIENCE);
        let listener = loop {
            match self.runtime.for_node(index).bind(address) {
                Ok(listener) => break listener,
                // The killed node's last task has not let go of it yet.
                Err(error) if self.runtime.instant() >= until => panic!("{address}: {error}"),
                Err(_) => sleep(&self.runtime, Duration::from_millis(2)).await,
            }
        };
        for other in self.names.iter().filter(|other| **other != name) {
            self.wires.heal(&name, other);
        }
        let node = self.build(index, listener);
        node.start();
        self.nodes[index] = Some(node);
    }

    /// A second process with a node's name, on the same settings; it does not listen.
    pub fn twin(&self, index: usize) -> Grid<R> {
        let listener = self.runtime.for_node(index).bind("127.0.0.1:0").expect("a free port");
        let node = self.build(index, listener);
        node.start();
        node
    }

    /// Breaks the connection of two nodes and lets them make none.
    pub fn cut(&self, one: usize, other: usize) {
        self.wires.cut(&self.names[one], &self.names[other]);
    }

    /// Lets two nodes connect again.
    pub fn heal(&self, one: usize, other: usize) {
        self.wires.heal(&self.names[one], &self.names[other]);
    }
}

/// Which pairs are cut off from each other, and who is to be told.
#[derive(Debug, Default)]
struct Wires(Mutex<BTreeMap<(String, String), Wire>>);

#[derive(Debug, Default)]
struct Wire {
    is_cut: bool,
    /// How often it was cut: a connection that was made before has ended.
    cuts: u64,
    wakers: Vec<Waker>,
}

impl Wires {
    fn with<T>(&self, one: &str, other: &str, act: impl FnOnce(&mut Wire) -> T) -> T {
        let pair = if one < other { (one, other) } else { (other, one) };
        let mut wires = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(wires.entry((pair.0.to_owned(), pair.1.to_owned())).or_default())
    }

    fn cut(&self, one: &str, other: &str) {
        let wakers = self.with(one, other, |wire| {
            wire.is_cut = true;
            wire.cuts += 1;
            std::mem::take(&mut wire.wakers)
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    fn heal(&self, one: &str, other: &str) {
        self.with(one, other, |wire| wire.is_cut = false);
    }
}

struct CutConnector {
    own: String,
    inner: Box<dyn Connector>,
    wires: Arc<Wires>,
}

impl Connector for CutConnector {
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let (is_cut, cuts) = self.wires.with(&self.own, name, |wire| (wire.is_cut, wire.cuts));
        if is_cut {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        let connecting = self.inner.connect(name);
        let (own, name, wires) = (self.own.clone(), name.to_owned(), self.wires.clone());
        Box::pin(async move {
            let inner = connecting.await?;
            Ok(Box::new(CutTransport { inner, own, name, wires, cuts }) as Box<dyn Transport>)
        })
    }
}

/// The dialler's end of a connection, which breaks when its wire is cut.
struct CutTransport {
    inner: Box<dyn Transport>,
    own: String,
    name: String,
    wires: Arc<Wires>,
    cuts: u64,
}

impl CutTransport {
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.wires.with(&self.own, &self.name, |wire| {
            if wire.cuts != self.cuts {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if !wire.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                wire.wakers.push(cx.waker().clone());
            }
            Ok(())
        })
    }
}

impl Transport for CutTransport {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        self.inner.poll_read(cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        self.inner.poll_write(cx, buf)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_close(cx)
    }
}
