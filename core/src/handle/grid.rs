//! A running node, as a user holds it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use super::budget::Budget;
use super::peer::{LinkWait, PeerHandle};
use super::service::Services;
use super::shared::Shared;
use super::wakers::{List, Waiting};
use crate::builder::Builder;
use crate::driver::busy_poll;
use crate::driver::runtime::{Connector, Listener, Runtime, Transport};
use crate::driver::{Doorway, PeerTask, accept_loop, admit};
use crate::error::ConfigError;
use crate::grid::{Generations, GridState};
use crate::node::Node;
use crate::peer::Peer;
use crate::rng::Rng;
use crate::stats::Stats;
use crate::time::Now;

/// A node that runs. Cheap to clone; when the last clone is dropped, the links are closed without
/// grace. [`Grid::shutdown`] ends it properly.
///
/// ```
/// use std::time::Duration;
///
/// use gridmux_core::driver::runtime::Runtime;
/// use gridmux_core::handle::Grid;
///
/// async fn run<R: Runtime>(grid: Grid<R>) {
///     // Not being connected to all is no reason to give up: the node goes on trying.
///     if let Err(missing) = grid.connected(Duration::from_secs(10)).await {
///         eprintln!("{missing}");
///     }
///     for peer in grid.peers() {
///         println!("{}: {:?}, {:?}", peer.name(), peer.state(), peer.stats().round_trip);
///     }
///     grid.shutdown(Duration::from_secs(5)).await;
/// }
/// ```
pub struct Grid<R: Runtime> {
    inner: Arc<GridInner<R>>,
}

impl<R: Runtime> Clone for Grid<R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<R: Runtime> std::fmt::Debug for Grid<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grid").field("name", &self.inner.node.name).finish_non_exhaustive()
    }
}

pub(crate) struct GridInner<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) node: Arc<Node>,
    services: Services<R>,
    connector: Arc<dyn Connector>,
    busy_polling: busy_poll::Policy,
    pub(crate) doorway: Arc<Doorway>,
    seeds: Mutex<Rng>,
    generations: Mutex<Generations>,
    budget: Arc<Budget>,
    local_addr: Mutex<Option<SocketAddr>>,
    draining: AtomicBool,
}

/// Some peers are not connected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not connected to {}", names.join(", "))]
pub struct NotConnected {
    /// Their names.
    pub names: Vec<String>,
}

impl<R: Runtime> Grid<R> {
    pub(crate) fn run(
        runtime: R,
        state: GridState,
        services: Services<R>,
        connector: Arc<dyn Connector>,
        busy_polling: busy_poll::Policy,
        mut seeds: Rng,
        first_generation: u32,
    ) -> Self {
        let (node, peers) = state.into_parts();
        let doorway = Arc::new(Doorway::new(node.clone(), seeds.next_u64()));
        let budget = Budget::new(node.limits.node_bytes);
        let grid = Self {
            inner: Arc::new(GridInner {
                runtime,
                node,
                services,
                connector,
                busy_polling,
                doorway,
                seeds: Mutex::new(seeds),
                generations: Mutex::new(first_generation.into()),
                budget,
                local_addr: Mutex::new(None),
                draining: AtomicBool::new(false),
            }),
        };
        for peer in peers {
            grid.inner.adopt(peer);
        }
        grid
    }

    /// Settings of a node of this name, its base URL, on the runtime that is current.
    pub fn builder(name: impl Into<String>) -> Builder<R>
    where
        R: Default,
    {
        Builder::new(R::default(), name.into())
    }

    /// Settings of a node of this name, its base URL, on this runtime.
    pub fn builder_on(runtime: R, name: impl Into<String>) -> Builder<R> {
        Builder::new(runtime, name.into())
    }

    /// Listens on `address` (`host:port`, port 0 lets the system choose) and takes what comes in,
    /// until the shutdown. It may be called for several addresses. A host's name is looked up on
    /// this thread, which blocks meanwhile.
    ///
    /// # Errors
    /// The address is malformed or taken.
    pub fn listen(&self, address: &str) -> io::Result<SocketAddr> {
        let listener = self.inner.runtime.bind(address)?;
        self.listen_on(listener)
    }

    /// Takes the connections of a listener of one's own: TLS, a Unix socket.
    ///
    /// # Errors
    /// The listener does not know its address.
    pub fn listen_on(&self, listener: Box<dyn Listener>) -> io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        *lock(&self.inner.local_addr) = Some(address);
        let (runtime, doorway) = (self.inner.runtime.clone(), self.inner.doorway.clone());
        self.inner.runtime.spawn(accept_loop(runtime, doorway, listener));
        Ok(address)
    }

    /// Where the node listens, if it does; the latest address if there are several.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        *lock(&self.inner.local_addr)
    }

    /// Takes one connection of which nothing has been read.
    pub fn accept(&self, transport: Box<dyn Transport>) {
        let (runtime, doorway) = (self.inner.runtime.clone(), self.inner.doorway.clone());
        let acceptor = doorway.acceptor(runtime.instant());
        admit(&runtime, doorway, acceptor, transport);
    }

    /// Takes one connection that an HTTP server has upgraded already: it has read the request and
    /// answered 101. `leftover` is what it has read behind the request's head.
    ///
    /// The first message, Connect, names the caller and has a token and a time of its own, which
    /// are checked here. Connections that come in while the start gate is closed, or beyond
    /// [`Limits::unauthenticated`](crate::limits::Limits::unauthenticated), are refused or closed.
    ///
    /// ```
    /// use gridmux_core::driver::runtime::{Runtime, Transport};
    /// use gridmux_core::handle::Grid;
    /// use gridmux_core::websocket::UpgradeRequest;
    ///
    /// /// What to answer to these first bytes, and how many of them were the head; `None` if
    /// /// more are needed.
    /// fn answer(received: &[u8]) -> Option<(Vec<u8>, usize)> {
    ///     match UpgradeRequest::parse(received) {
    ///         Ok(parsed) => parsed.map(|(request, head)| (request.accept(), head)),
    ///         Err(refusal) => Some((refusal.response(), received.len())),
    ///     }
    /// }
    ///
    /// /// Once the answer is written.
    /// fn take<R: Runtime>(grid: &Grid<R>, connection: Box<dyn Transport>, leftover: &[u8]) {
    ///     grid.accept_upgraded(connection, leftover);
    /// }
    /// ```
    pub fn accept_upgraded(&self, transport: Box<dyn Transport>, leftover: &[u8]) {
        let (runtime, doorway) = (self.inner.runtime.clone(), self.inner.doorway.clone());
        let acceptor = doorway.upgraded(runtime.instant(), leftover);
        admit(&runtime, doorway, acceptor, transport);
    }

    /// Opens the start gate, if the builder left it closed: from now on the node dials, and
    /// answers upgrades (PROTOCOL.md section 7.12).
    pub fn start(&self) {
        let now = self.inner.runtime.now();
        let start_all = || {
            for shared in self.inner.doorway.peers() {
                shared.with(|state| state.peer.start(now));
            }
        };
        // The peers before the door, or a Connect could come to one that is not started; then again
        // for those that were added meanwhile.
        start_all();
        self.inner.doorway.start();
        start_all();
    }

    /// The node's own name.
    pub fn name(&self) -> &str {
        &self.inner.node.name
    }

    /// The peer of this name.
    ///
    /// # Errors
    /// [`ConfigError::UnknownPeer`].
    pub fn peer(&self, name: &str) -> Result<PeerHandle, ConfigError> {
        match self.inner.doorway.peer(name) {
            Some(shared) => Ok(PeerHandle::new(shared)),
            None => Err(ConfigError::UnknownPeer(name.into())),
        }
    }

    /// All peers, by name.
    pub fn peers(&self) -> Vec<PeerHandle> {
        self.inner.doorway.peers().into_iter().map(PeerHandle::new).collect()
    }

    /// Waits until every link is up, or was seen to be. A peer that is draining counts.
    ///
    /// # Cancel safety
    /// It can be dropped and asked anew at will.
    ///
    /// # Errors
    /// [`NotConnected`] names those that are not within `timeout`.
    pub async fn connected(&self, timeout: Duration) -> Result<(), NotConnected> {
        let at = self.inner.runtime.instant().after(timeout);
        let mut waiting: Vec<_> = self.peers().iter().map(|peer| LinkWait::new(peer, at)).collect();
        let mut names = Vec::new();
        std::future::poll_fn(|cx| {
            waiting.retain_mut(|wait| match wait.poll(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(())) => false,
                Poll::Ready(Err(_)) => {
                    names.push(wait.name().to_owned());
                    false
                }
            });
            if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        if names.is_empty() { Ok(()) } else { Err(NotConnected { names }) }
    }

    /// The figures of all links together.
    pub fn stats(&self) -> Stats {
        self.peers().iter().fold(Stats::default(), |mut sum, peer| {
            sum.merge(&peer.stats());
            sum
        })
    }

    /// Adds a peer to the running grid.
    ///
    /// # Errors
    /// A bad name, or one that is taken.
    pub fn add_peer(&self, name: &str) -> Result<PeerHandle, ConfigError> {
        crate::node::check_name(name)?;
        let inner = &self.inner;
        if planted!(AddPeerReplaces, inner.doorway.peer(name).is_some()) {
            inner.doorway.remove(name);
        }
        if name == inner.node.name || inner.doorway.peer(name).is_some() {
            return Err(ConfigError::NameTaken(name.into()));
        }
        let now = inner.runtime.now();
        let seed = lock(&inner.seeds).next_u64();
        let first_generation = lock(&inner.generations).first(name);
        let peer = Peer::new(inner.node.clone(), name, seed, first_generation, now.instant);
        let Some(shared) = inner.adopt(peer) else {
            return Err(ConfigError::NameTaken(name.into()));
        };
        // Only now that the peer can be found: a start or a shutdown meanwhile has seen it, or is
        // seen here.
        shared.with(|state| {
            if inner.draining.load(Ordering::Acquire) {
                state.peer.shutdown(now, Duration::ZERO);
            } else if inner.doorway.has_started() {
                state.peer.start(now);
            }
        });
        Ok(PeerHandle::new(shared))
    }

    /// Takes a peer out of the running grid: its calls fail with
    /// [`PeerRemoved`](crate::error::CallError::PeerRemoved), its link ends as in
    /// [`Self::shutdown`], without grace for what runs.
    ///
    /// # Errors
    /// [`ConfigError::UnknownPeer`].
    pub fn remove_peer(&self, name: &str) -> Result<(), ConfigError> {
        let Some(shared) = self.inner.doorway.remove(name) else {
            return Err(ConfigError::UnknownPeer(name.into()));
        };
        let now = self.inner.runtime.now();
        shared.with(|state| {
            state.peer.remove(now);
            lock(&self.inner.generations).leave(&state.peer);
        });
        Ok(())
    }

    /// Ends the node gracefully (PROTOCOL.md section 7.9): the peers are told, new calls are
    /// refused on both sides, running ones go on until done or until `grace` is over; then what
    /// is queued is sent (at most 1 s) and the links are closed (at most 1 s).
    ///
    /// # Cancel safety
    /// Dropped, the shutdown goes on, and the node stops listening at once; called again, it can
    /// only shorten the grace.
    pub async fn shutdown(&self, grace: Duration) {
        // However this ends: nothing else would end the accept loops while the grid is held.
        let _closes = CloseOnDrop(&self.inner.doorway);
        self.inner.draining.store(true, Ordering::Release);
        let now = self.inner.runtime.now();
        let peers = self.inner.doorway.peers();
        for shared in &peers {
            shared.with(|state| state.peer.shutdown(now, grace));
        }
        let mut waiting: Vec<_> =
            peers.into_iter().map(|shared| Waiting::new(shared, List::State)).collect();
        std::future::poll_fn(|cx| {
            // Every one is asked, so that every one wakes us.
            waiting.retain_mut(|waiting| {
                waiting.look(cx.waker(), |state| {
                    let left = !state.peer.is_drained();
                    (left, left)
                })
            });
            if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Ends the node where it stands, whoever else holds it: everything that is open fails. That
    /// nobody is told is the business of the caller, who has its connections.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn kill(&self) {
        self.inner.draining.store(true, Ordering::Release);
        self.inner.doorway.close();
        self.inner.doorway.peers().iter().for_each(|shared| shared.abandon());
    }
}

struct CloseOnDrop<'a>(&'a Doorway);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<R: Runtime> GridInner<R> {
    /// Starts the task of a peer, unless there is one of its name.
    fn adopt(&self, peer: Peer) -> Option<Arc<Shared>> {
        let clock = Arc::new(self.runtime.clone());
        let shared = Arc::new(Shared::new(clock, peer, self.budget.clone()));
        if !self.doorway.insert(shared.clone()) {
            return None;
        }
        let seed = lock(&self.seeds).next_u64();
        let task = PeerTask::new(
            self.runtime.clone(),
            shared.clone(),
            self.services.clone(),
            self.connector.clone(),
            self.busy_polling,
            seed,
        );
        self.runtime.spawn(task);
        Some(shared)
    }
}

impl<R: Runtime> Drop for GridInner<R> {
    fn drop(&mut self) {
        self.doorway.close();
        let now: Now = self.runtime.now();
        for shared in self.doorway.peers() {
            shared.with(|state| state.peer.shutdown(now, Duration::ZERO));
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
