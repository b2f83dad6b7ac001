//! Nodes that run in this process, and what can be done to them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::builder::TestGridBuilder;
use super::network::Network;
use super::wait::{PATIENCE, eventually, sleep, within};
use super::wires::{Life, Wires};
use crate::auth::SharedSecret;
use crate::builder::{BuildError, Builder};
use crate::driver::runtime::{Listener, Runtime};
use crate::handle::{Grid, PeerHandle};
use crate::link::{LinkState, dials};
use crate::timings::Timings;

/// The secret of all nodes of a [`TestGrid`], unless its settings have another: for a node of one's
/// own that is to join them.
pub const SECRET: &str = "a secret of the tests";

/// Any port of the loopback address.
const ANYWHERE: &str = "127.0.0.1:0";

pub(super) type Configure<R> = dyn Fn(usize, Builder<R>) -> Builder<R> + Send + Sync;

/// Nodes of one grid in this process, which can be killed, restarted and cut off; see the
/// [module](super).
///
/// Nodes go by their numbers from 0; a number that is none is a bug of the test and panics.
///
/// Their retries are quick; everything else is as in production. When it is dropped, the nodes
/// that it still has are killed.
pub struct TestGrid<R: Runtime> {
    runtime: R,
    network: Network,
    names: Vec<String>,
    /// Where each one listens, `host:port`.
    addresses: Vec<String>,
    nodes: Vec<Option<Living<R>>>,
    configure: Arc<Configure<R>>,
    wires: Wires,
}

struct Living<R: Runtime> {
    grid: Grid<R>,
    life: Life,
}

impl<R: Runtime> std::fmt::Debug for TestGrid<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestGrid").field("names", &self.names).finish_non_exhaustive()
    }
}

impl<R: Runtime> TestGrid<R> {
    /// So many nodes on loopback sockets, started; `configure` adds to the settings of each, by
    /// number. It is [`TestGridBuilder::start`] in short.
    ///
    /// # Panics
    /// If the system has no ports to give, or the settings cannot work.
    pub fn new(
        runtime: &R,
        nodes: usize,
        configure: impl Fn(usize, Builder<R>) -> Builder<R> + Send + Sync + 'static,
    ) -> Self {
        let builder = Self::builder(runtime, nodes).on_sockets().configure(configure);
        builder.start().expect("good settings and a free port")
    }

    /// As [`Self::new`], but the nodes are joined in memory.
    ///
    /// # Panics
    /// If the settings cannot work.
    pub fn in_memory(
        runtime: &R,
        nodes: usize,
        configure: impl Fn(usize, Builder<R>) -> Builder<R> + Send + Sync + 'static,
    ) -> Self {
        let builder = Self::builder(runtime, nodes).in_memory().configure(configure);
        builder.start().expect("good settings")
    }

    /// Settings of so many nodes.
    pub fn builder(runtime: &R, nodes: usize) -> TestGridBuilder<R> {
        TestGridBuilder::new(runtime, nodes)
    }

    pub(super) fn start(settings: TestGridBuilder<R>) -> Result<Self, BuildError> {
        let TestGridBuilder { runtime, nodes, network, names, configure } = settings;
        let mut grid = Self {
            runtime,
            network,
            names: Vec::new(),
            addresses: Vec::new(),
            nodes: Vec::new(),
            configure,
            wires: Wires::default(),
        };
        let listeners = loop {
            let listeners = grid.bind(nodes)?;
            grid.names = match &names {
                Some(names) => (0..nodes).map(names).collect(),
                None => grid.addresses.iter().map(|address| format!("http://{address}")).collect(),
            };
            // The ports decide who dials. A listener stays with its node's runtime.
            match &grid.names[..] {
                [one, other] if names.is_none() && !dials(one, other) => {}
                _ => break listeners,
            }
        };
        for (index, listener) in listeners.into_iter().enumerate() {
            let node = grid.build(index, Some(listener))?;
            grid.nodes.push(Some(node));
        }
        // Those who are dialled first, so that a pair connects at the first attempt.
        grid.nodes.iter().rev().flatten().for_each(|node| node.grid.start());
        Ok(grid)
    }

    /// A listener for each node; their addresses are the grid's from now on.
    fn bind(&mut self, nodes: usize) -> Result<Vec<Box<dyn Listener>>, BuildError> {
        let bind = |index| self.network.bind(&self.runtime.for_node(index), ANYWHERE);
        let bound = || {
            let listeners: Vec<_> = (0..nodes).map(bind).collect::<io::Result<_>>()?;
            let addresses = listeners.iter().map(|listener| listener.local_addr());
            let addresses = addresses.map(|at| Ok(at?.to_string())).collect::<io::Result<_>>()?;
            Ok((listeners, addresses))
        };
        let (listeners, addresses) = bound().map_err(|source| cannot_listen(ANYWHERE, source))?;
        self.addresses = addresses;
        Ok(listeners)
    }

    /// A new life of a node; without a listener it can only dial.
    fn build(
        &self,
        index: usize,
        listener: Option<Box<dyn Listener>>,
    ) -> Result<Living<R>, BuildError> {
        let (runtime, name) = (self.runtime.for_node(index), &self.names[index]);
        let life = self.wires.birth();
        let connector = self.wires.connector(name, life, self.network.connector(&runtime));
        let builder = Grid::builder_on(runtime, name.clone())
            .peers(self.names.iter().cloned())
            .auth(SharedSecret::new(SECRET).expect("it is long enough"))
            .timings(Self::timings());
        let builder = (self.configure)(index, builder).connector(connector);
        let grid = builder.start_gate().build()?;
        if let Some(listener) = listener {
            self.wires.listen(name, life, format!("http://{}", self.addresses[index]));
            let address = &self.addresses[index];
            grid.listen_on(listener).map_err(|source| cannot_listen(address, source))?;
        }
        Ok(Living { grid, life })
    }

    /// What the nodes have unless their settings have others: quick retries.
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

    /// Whether the grid has this node: it was neither killed nor taken.
    pub fn is_alive(&self, index: usize) -> bool {
        self.nodes[index].is_some()
    }

    /// A node that is alive.
    ///
    /// # Panics
    /// If it was killed or taken.
    pub fn node(&self, index: usize) -> &Grid<R> {
        &self.nodes[index].as_ref().expect("the node is alive").grid
    }

    /// One node as another one's peer.
    ///
    /// # Panics
    /// If `of` was killed or taken, or has removed that peer.
    pub fn peer(&self, of: usize, index: usize) -> PeerHandle {
        self.node(of).peer(&self.names[index]).expect("all nodes know each other")
    }

    /// Waits until all that are alive and not cut off from each other are connected, by
    /// connections that are whole at that time: right after [`Self::heal_all`] or
    /// [`Self::restart`] it waits for the new ones.
    ///
    /// # Panics
    /// If that takes more than ten seconds.
    pub async fn connected(&self) {
        for (one, other) in self.pairs() {
            let (name, other_name) = (&self.names[one], &self.names[other]);
            let alive = self.is_alive(one) && self.is_alive(other);
            if !alive || self.wires.is_cut(name, other_name) {
                continue;
            }
            let what = format!("{name} and {other_name} are connected");
            let whole = || !self.wires.is_breaking(name, other_name);
            eventually(&self.runtime, &what, whole).await;
            for (of, to) in [(one, other), (other, one)] {
                self.peer(of, to).connected(PATIENCE).await.expect(&what);
            }
        }
    }

    /// Waits until the node `of` sees that it has no link to the node `index`.
    ///
    /// # Panics
    /// If `of` was killed or taken, or if it takes more than ten seconds.
    pub async fn disconnected(&self, of: usize, index: usize) {
        let mut states = self.peer(of, index).watch();
        let gone = async { while states.changed().await == Some(LinkState::Connected) {} };
        within(&self.runtime, PATIENCE, "the link is lost", gone).await;
    }

    /// Ends a node without a word, as `kill -9` does; one that is dead stays so.
    ///
    /// From now on nobody can reach it: its connections are broken, and it makes and takes no
    /// other. Everything that is held of it ends, whoever holds it: its own calls and streams
    /// fail, new ones fail with [`ShuttingDown`](crate::error::CallError::ShuttingDown). The others
    /// see their connections break once their tasks run; [`Self::disconnected`] waits for that.
    ///
    /// Its handlers are in this process, so they can only be told: each one is cancelled, polled
    /// once more and dropped, as by a lost link. One whose route says `run_to_end` runs on, as
    /// does every task that a handler has started; nothing that they send gets out.
    pub fn kill(&mut self, index: usize) {
        if let Some(Living { grid, life }) = self.nodes[index].take() {
            self.wires.death(life);
            grid.kill();
        }
    }

    /// Takes a node out of the grid's hands, so that the test can shut it down or drop it.
    ///
    /// # Panics
    /// If it was killed or taken.
    pub fn take(&mut self, index: usize) -> Grid<R> {
        self.nodes[index].take().expect("the node is alive").grid
    }

    /// Ends a node properly: [`Grid::shutdown`]. The grid has it no more, so that dropping this
    /// future leaves the rest of the shutdown to the node's own tasks.
    ///
    /// # Panics
    /// If it was killed or taken.
    pub async fn shutdown(&mut self, index: usize, grace: Duration) {
        self.take(index).shutdown(grace).await;
    }

    /// Starts a node anew under its name, at its address: another process, for the other nodes.
    /// If it is alive, it is killed first. Cuts and holds stay as they are.
    ///
    /// # Panics
    /// If its address stays taken for ten seconds, by a node that was taken and still listens; or
    /// if its settings cannot work.
    pub async fn restart(&mut self, index: usize) {
        self.kill(index);
        let (runtime, address) = (self.runtime.for_node(index), &self.addresses[index]);
        let until = runtime.instant().after(PATIENCE);
        let listener = loop {
            match self.network.bind(&runtime, address) {
                Ok(listener) => break listener,
                // The former node's last task has not let go of it yet.
                Err(error) if runtime.instant() >= until => panic!("{address}: {error}"),
                Err(_) => sleep(&runtime, Duration::from_millis(2)).await,
            }
        };
        let node = self.build(index, Some(listener)).expect("good settings");
        node.grid.start();
        self.nodes[index] = Some(node);
    }

    /// A second process with a node's name, on the same settings. It does not listen, and is none
    /// of the grid's nodes; but it shares the node's cuts and holds.
    ///
    /// # Panics
    /// If its settings cannot work.
    pub fn twin(&self, index: usize) -> Grid<R> {
        let twin = self.build(index, None).expect("good settings").grid;
        twin.start();
        twin
    }

    /// Breaks the connection of two nodes. They connect again at once.
    pub fn break_link(&self, one: usize, other: usize) {
        self.wires.break_link(&self.names[one], &self.names[other]);
    }

    /// Breaks the connection of two nodes and lets them make none: attempts are refused until
    /// [`Self::heal`].
    pub fn cut(&self, one: usize, other: usize) {
        self.wires.cut(&self.names[one], &self.names[other]);
    }

    /// Lets two nodes that were cut connect again.
    pub fn heal(&self, one: usize, other: usize) {
        self.wires.heal(&self.names[one], &self.names[other]);
    }

    /// Cuts every pair of nodes that are not in the same group. Nodes that are in none form one
    /// more group, so that `&[&[2]]` isolates node 2. Pairs within a group stay as they are.
    ///
    /// # Panics
    /// If a node is in two groups.
    pub fn partition(&self, groups: &[&[usize]]) {
        let mut group_of = vec![groups.len(); self.names.len()];
        for (group, members) in groups.iter().enumerate() {
            for member in *members {
                assert_eq!(group_of[*member], groups.len(), "node {member} is in two groups");
                group_of[*member] = group;
            }
        }
        let apart = |(one, other): &(usize, usize)| group_of[*one] != group_of[*other];
        self.pairs().filter(apart).for_each(|(one, other)| self.cut(one, other));
    }

    /// Stops all bytes between two nodes, in both directions and without an error: a network that
    /// has gone silent. Neither sees what else happens to the other, not even its death; what is
    /// written before its buffers are full waits, and attempts to connect hang. So they find out
    /// by their own timers: [`Timings::silence`], [`Timings::write_stall`], [`Timings::dial`].
    pub fn hold(&self, one: usize, other: usize) {
        self.wires.hold(&self.names[one], &self.names[other]);
    }

    /// Lets the bytes between two nodes go on, and both see what has happened meanwhile.
    pub fn release(&self, one: usize, other: usize) {
        self.wires.release(&self.names[one], &self.names[other]);
    }

    /// Heals every cut and releases every hold.
    pub fn heal_all(&self) {
        for (one, other) in self.pairs() {
            self.heal(one, other);
            self.release(one, other);
        }
    }

    /// Every pair of nodes, once.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<R> {
        let nodes = self.names.len();
        (0..nodes).flat_map(move |one| (one + 1..nodes).map(move |other| (one, other)))
    }
}

fn cannot_listen(address: &str, source: io::Error) -> BuildError {
    BuildError::Listen { address: address.into(), source }
}

impl<R: Runtime> Drop for TestGrid<R> {
    fn drop(&mut self) {
        (0..self.nodes.len()).for_each(|index| self.kill(index));
        // What a hold keeps must not outlive the test.
        self.heal_all();
    }
}
