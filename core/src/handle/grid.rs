//! A running node, as a user holds it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use super::budget::Budget;
use super::node_log::NodeLog;
use super::peer::{LinkWait, PeerHandle};
use super::service::Services;
use super::shared::Shared;
use super::wakers::{List, Waiting};
use crate::builder::Builder;
use crate::driver::busy_poll;
use crate::driver::runtime::{Connector, Listener, Runtime, Transport};
use crate::driver::time::timeout;
use crate::driver::{Doorway, PeerTask, accept_loop, admit};
use crate::error::{ConfigError, LinkError};
use crate::grid::{Generations, GridState};
use crate::log::excerpt;
use crate::node::{Node, check_name, is_secure};
use crate::peer::Peer;
use crate::rng::KeyedRng;
use crate::stats::Stats;
use crate::time::Now;

/// A node that runs. Cheap to clone; when the last clone is dropped, the links are closed without
/// grace. [`Grid::shutdown`] ends it properly.
///
/// The node holds its handlers, and with them what they have captured. A handler that holds a clone of
/// this keeps the node alive until it is shut down: links stay up and the port stays taken though all
/// other clones are gone. Handlers get their peers from [`Context::peer`](super::Context::peer), which
/// keeps nothing alive, and all else from a [`WeakGrid`].
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
    /// The connector is the runtime's own, which knows no TLS.
    plain: bool,
    busy_polling: busy_poll::Policy,
    pub(crate) doorway: Arc<Doorway>,
    seeds: Mutex<KeyedRng>,
    generations: Mutex<Generations>,
    budget: Arc<Budget>,
    local_addr: Mutex<Option<SocketAddr>>,
    log: Arc<NodeLog>,
    draining: AtomicBool,
}

/// How long a shutdown waits for handlers that were cancelled and for what the runtime keeps.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Some peers are not connected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not connected to {}", list(peers))]
#[non_exhaustive]
pub struct NotConnected {
    /// Their names, each with the reason for which its last link or attempt has ended, as
    /// [`PeerHandle::last_error`] gives it.
    pub peers: Vec<(String, Option<LinkError>)>,
}

impl NotConnected {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.peers.iter().map(|(name, _)| &**name)
    }
}

fn list(peers: &[(String, Option<LinkError>)]) -> String {
    let one = |(name, error): &(String, Option<LinkError>)| match error {
        Some(error) => format!("{name} ({})", excerpt(error)),
        None => format!("{name} (no link or attempt has ended yet)"),
    };
    peers.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The checked parts of a node.
pub(crate) struct Parts<R> {
    pub(crate) runtime: R,
    pub(crate) state: GridState,
    pub(crate) services: Services<R>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) plain: bool,
    pub(crate) busy_polling: busy_poll::Policy,
    pub(crate) seeds: KeyedRng,
    pub(crate) first_generation: u32,
}

/// A node, without keeping it alive: for its own handlers, above all.
///
/// ```
/// use std::sync::{Arc, OnceLock};
///
/// use gridmux_core::builder::{BuildError, Builder};
/// use gridmux_core::driver::runtime::Runtime;
/// use gridmux_core::handle::{Grid, WeakGrid};
/// use gridmux_core::payload::NoPayload;
/// use gridmux_core::route::Unary;
///
/// const NODES: Unary<NoPayload, u32> = Unary::new(1, "nodes");
///
/// fn node<R: Runtime>(builder: Builder<R>) -> Result<Grid<R>, BuildError> {
///     let own = Arc::new(OnceLock::<WeakGrid<R>>::new());
///     let inside = own.clone();
///     let grid = builder
///         .serve_inline(NODES, move |_, _| {
///             let grid = inside.get().and_then(WeakGrid::upgrade).ok_or("not running")?;
///             Ok::<_, &str>(grid.peers().len() as u32 + 1)
///         })
///         .build()?;
///     let _ = own.set(grid.downgrade());
///     Ok(grid)
/// }
/// ```
pub struct WeakGrid<R: Runtime> {
    inner: Weak<GridInner<R>>,
}

impl<R: Runtime> WeakGrid<R> {
    /// The node, unless the last [`Grid`] of it was dropped.
    pub fn upgrade(&self) -> Option<Grid<R>> {
        Some(Grid { inner: self.inner.upgrade()? })
    }
}

impl<R: Runtime> Clone for WeakGrid<R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<R: Runtime> std::fmt::Debug for WeakGrid<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeakGrid").finish_non_exhaustive()
    }
}

impl<R: Runtime> Grid<R> {
    pub(crate) fn run(mut parts: Parts<R>) -> Self {
        let (node, peers) = parts.state.into_parts();
        let doorway = Arc::new(Doorway::new(node.clone(), parts.seeds.next_seed()));
        let budget = Budget::new(node.limits.node_bytes);
        let grid = Self {
            inner: Arc::new(GridInner {
                runtime: parts.runtime,
                node,
                services: parts.services,
                connector: parts.connector,
                plain: parts.plain,
                busy_polling: parts.busy_polling,
                doorway,
                seeds: Mutex::new(parts.seeds),
                generations: Mutex::new(parts.first_generation.into()),
                budget,
                local_addr: Mutex::new(None),
                log: Arc::default(),
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
    /// The address is malformed or taken, or the node has shut down.
    pub fn listen(&self, address: &str) -> io::Result<SocketAddr> {
        if self.inner.doorway.tasks.is_closed() {
            return Err(io::Error::other("the node has shut down"));
        }
        let listener = self.inner.runtime.bind(address)?;
        self.listen_on(listener)
    }

    /// The node, without keeping it alive.
    pub fn downgrade(&self) -> WeakGrid<R> {
        WeakGrid { inner: Arc::downgrade(&self.inner) }
    }

    /// Takes the connections of a listener of one's own: TLS, a Unix socket.
    ///
    /// # Errors
    /// The listener does not know its address.
    pub fn listen_on(&self, listener: Box<dyn Listener>) -> io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        self.listen_at(listener, address);
        Ok(address)
    }

    pub(crate) fn listen_at(&self, listener: Box<dyn Listener>, address: SocketAddr) {
        *lock(&self.inner.local_addr) = Some(address);
        let (runtime, doorway) = (self.inner.runtime.clone(), self.inner.doorway.clone());
        let tasks = doorway.tasks.clone();
        tasks.spawn_until_closed(&self.inner.runtime, accept_loop(runtime, doorway, listener));
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
    /// are checked here. Connections that come in while the start gate is closed are refused. Beyond
    /// [`Limits::unauthenticated`](crate::limits::Limits::unauthenticated) an older one is closed for this
    /// one; that the server has checked a token is not known here, and counts for nothing.
    ///
    /// ```
    /// use gridmux_core::driver::runtime::{Runtime, Transport};
    /// use gridmux_core::handle::Grid;
    /// use gridmux_core::websocket::UpgradeRequest;
    ///
    /// /// What to answer to these first bytes, and how many of them were the head; `None` if
    /// /// more are needed. The answer names the node: a dialler that meant another one notices.
    /// fn answer<R: Runtime>(grid: &Grid<R>, received: &[u8]) -> Option<(Vec<u8>, usize)> {
    ///     match UpgradeRequest::parse(received) {
    ///         Ok(parsed) => parsed.map(|(request, head)| (request.accept_as(grid.name()), head)),
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
    /// [`ConfigError::UnknownPeer`], or [`ConfigError::OwnName`]: a node does not call itself.
    pub fn peer(&self, name: &str) -> Result<PeerHandle, ConfigError> {
        match self.inner.doorway.peer(name) {
            Some(shared) => Ok(PeerHandle::new(shared)),
            None => Err(self.inner.node.no_peer(name)),
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
    /// [`NotConnected`] names those that are not within `timeout`, and why they are not.
    pub async fn connected(&self, timeout: Duration) -> Result<(), NotConnected> {
        let at = self.inner.runtime.instant().after(timeout);
        let mut waiting: Vec<_> = self.peers().iter().map(|peer| LinkWait::new(peer, at)).collect();
        let mut missing = Vec::new();
        std::future::poll_fn(|cx| {
            waiting.retain_mut(|wait| match wait.poll(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(())) => false,
                Poll::Ready(Err(_)) => {
                    missing.push((wait.name().to_owned(), wait.last_error()));
                    false
                }
            });
            if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        if missing.is_empty() { Ok(()) } else { Err(NotConnected { peers: missing }) }
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
    /// [`ConfigError`]: a bad name, the own one, one that is taken, or one with `https://` on a node
    /// without a [`connector`](Builder::connector).
    pub fn add_peer(&self, name: &str) -> Result<PeerHandle, ConfigError> {
        check_name(name)?;
        let inner = &self.inner;
        if name == inner.node.name {
            return Err(ConfigError::OwnName(name.into()));
        }
        if inner.plain && is_secure(name) {
            return Err(ConfigError::TlsWithoutConnector(name.into()));
        }
        if planted!(AddPeerReplaces, inner.doorway.peer(name).is_some()) {
            inner.doorway.remove(name);
        }
        if inner.doorway.peer(name).is_some() {
            return Err(ConfigError::NameTaken(name.into()));
        }
        let now = inner.runtime.now();
        let seed = lock(&inner.seeds).next_seed();
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
    /// [`ConfigError::UnknownPeer`], or [`ConfigError::OwnName`].
    pub fn remove_peer(&self, name: &str) -> Result<(), ConfigError> {
        let Some(shared) = self.inner.doorway.remove(name) else {
            return Err(self.inner.node.no_peer(name));
        };
        let now = self.inner.runtime.now();
        shared.with(|state| {
            state.peer.remove(now);
            lock(&self.inner.generations).leave(&state.peer);
        });
        self.inner.doorway.processes().forget(name);
        Ok(())
    }

    /// Ends the node gracefully (PROTOCOL.md section 7.9): the peers are told, new calls are
    /// refused on both sides, running ones go on until done or until `grace` is over; then what
    /// is queued is sent (at most 1 s) and the links are closed (at most 1 s).
    ///
    /// Afterwards nothing of the node is left: its ports are free, its connections closed, its tasks gone.
    /// There are three exceptions. A handler whose route says [`run_to_end`](crate::route::Unary::run_to_end)
    /// runs on beyond the grace. Another one that was cancelled and does not return from its current poll
    /// is waited for at most 1 s. A name that is being looked up has a thread until the system's resolver
    /// gives up ([`Resolver`](crate::driver::resolver::Resolver)).
    ///
    /// A handler may call this. Its own call is one of those that the grace waits for, and at the end of
    /// the grace it is dropped like the others, unless it runs to its end.
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
        self.inner.doorway.close();
        std::future::poll_fn(|cx| self.inner.doorway.tasks.poll_gone(cx)).await;
        // In vain only where a handler blocks its thread.
        let _ = timeout(&self.inner.runtime, LAST_WAIT, self.inner.handlers_gone()).await;
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
        let (doorway, budget) = (Arc::downgrade(&self.doorway), self.budget.clone());
        let shared = Arc::new(Shared::new(clock, peer, doorway, self.log.clone(), budget));
        if !self.doorway.insert(shared.clone()) {
            return None;
        }
        let seed = lock(&self.seeds).next_seed();
        let task = PeerTask::new(
            self.runtime.clone(),
            shared.clone(),
            self.services.clone(),
            self.connector.clone(),
            self.doorway.processes().clone(),
            self.busy_polling,
            seed,
        );
        self.doorway.tasks.spawn(&self.runtime, task);
        Some(shared)
    }

    /// Waits for the handlers that have been cancelled, and then for the tasks in which they ran.
    async fn handlers_gone(&self) {
        let peers = self.doorway.peers_and_removed().into_iter();
        let mut waiting: Vec<_> = peers.map(|shared| Waiting::new(shared, List::State)).collect();
        std::future::poll_fn(|cx| {
            waiting.retain_mut(|waiting| {
                waiting.look(cx.waker(), |state| {
                    let left = state.has_handlers();
                    (left, left)
                })
            });
            if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.runtime.rest();
        std::future::poll_fn(|cx| self.runtime.poll_rested(cx)).await;
    }
}

impl<R: Runtime> Drop for GridInner<R> {
    fn drop(&mut self) {
        self.doorway.close();
        let now: Now = self.runtime.now();
        for shared in self.doorway.peers() {
            shared.with(|state| state.peer.shutdown(now, Duration::ZERO));
        }
        self.runtime.rest();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
