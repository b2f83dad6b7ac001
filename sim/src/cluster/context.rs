//! What the code of a node gets from the simulation.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use gridmux_core::auth::SharedSecret;
use gridmux_core::builder::Builder;
use gridmux_core::driver::runtime::{Clock as _, Runtime as _};
use gridmux_core::driver::time;
use gridmux_core::handle::Grid;
use gridmux_core::limits::Limits;
use gridmux_core::node::authority;
use gridmux_core::time::Instant;
use gridmux_core::timings::Timings;

use super::board::{Board, Note};
use super::orders::Orders;
use crate::keyed::{Purpose, name_key};
use crate::script::Operation;
use crate::world::SimRuntime;

/// Whatever a node's main function fails with.
pub type NodeError = Box<dyn std::error::Error + Send + Sync>;

/// What is the same for all nodes of a run.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) names: Vec<String>,
    pub(super) secret: SharedSecret,
    pub(super) timings: Timings,
    pub(super) limits: Limits,
    pub(super) first_generation: u32,
}

/// One process of a simulated node, as its own code sees it. Clones are the same.
///
/// A process that is killed stops in the middle of whatever it does. Destructors of its tasks
/// still run, which those of a real process would not; what they note or write to a disk is
/// ignored.
pub struct NodeContext<N = ()> {
    inner: Arc<Inner<N>>,
}

struct Inner<N> {
    runtime: SimRuntime,
    board: Arc<Board<N>>,
    common: Arc<Common>,
    orders: Arc<Orders>,
    node: usize,
    life: u64,
}

impl<N> Clone for NodeContext<N> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<N> std::fmt::Debug for NodeContext<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inner { node, life, .. } = &*self.inner;
        f.debug_struct("NodeContext")
            .field("node", node)
            .field("life", life)
            .finish_non_exhaustive()
    }
}

impl<N: Send + 'static> NodeContext<N> {
    pub(super) fn new(
        runtime: SimRuntime,
        board: &Arc<Board<N>>,
        common: &Arc<Common>,
        orders: &Arc<Orders>,
    ) -> Self {
        let (_, node, life) = runtime.whereabouts();
        let (board, common) = (board.clone(), common.clone());
        let orders = orders.clone();
        Self { inner: Arc::new(Inner { runtime, board, common, orders, node, life }) }
    }

    // ---- who this is ----

    /// The node's number, from 0.
    pub fn node(&self) -> usize {
        self.inner.node
    }

    /// The how-manieth life of the node's process this is, from 0.
    pub fn life(&self) -> u64 {
        self.inner.life
    }

    /// The node's name in the grid.
    pub fn name(&self) -> &str {
        &self.inner.common.names[self.inner.node]
    }

    /// The names of all nodes, by number.
    pub fn names(&self) -> &[String] {
        &self.inner.common.names
    }

    /// Where the node listens: what [`Builder::bind`] is to be given.
    pub fn address(&self) -> &str {
        authority(self.name()).unwrap_or_default()
    }

    // ---- the grid and the runtime ----

    /// Settings of this node's grid: the names of all nodes, the secret that they share, the
    /// timings and limits of the simulation. Routes are left to be added; then
    /// `.bind(context.address()).await`.
    pub fn builder(&self) -> Builder<SimRuntime> {
        let Common { names, secret, timings, limits, first_generation } = &*self.inner.common;
        Grid::builder_on(self.inner.runtime.clone(), self.name())
            .peers(names.iter().cloned())
            .auth(secret.clone())
            .timings(timings.clone())
            .limits(limits.clone())
            .first_generation(*first_generation)
    }

    /// The runtime, for code that is generic over it.
    pub fn runtime(&self) -> &SimRuntime {
        &self.inner.runtime
    }

    /// Runs `future` as a task of this process.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.inner.runtime.spawn(future);
    }

    /// What the node's monotonic clock shows. Clocks of different nodes need not agree on
    /// anything, rates included; those of one node's lives neither.
    pub fn now(&self) -> Instant {
        self.inner.runtime.instant()
    }

    /// Waits for `duration` of the node's monotonic clock.
    ///
    /// # Cancel safety
    /// It can be dropped at any time.
    pub async fn sleep(&self, duration: Duration) {
        time::sleep(&self.inner.runtime, duration).await;
    }

    /// Waits until this process is asked to end, as a supervisor or Ctrl-C would; gives how long
    /// it may take. One that does not end within that time, by returning from its main function,
    /// is killed.
    ///
    /// # Cancel safety
    /// It can be dropped at any time; whoever asks later is told as well.
    pub async fn stopped(&self) -> Duration {
        poll_fn(|cx| self.inner.orders.poll_stopped(cx)).await
    }

    /// Whether [`stopped`](Self::stopped) would return at once.
    pub fn is_stopping(&self) -> bool {
        self.inner.orders.is_stopping()
    }

    // ---- the simulation ----

    /// Waits for the next operation that a script's `do` line tells this process to do: see
    /// [`Simulation::operations`]. They come in order, each to one who waits; those that nobody
    /// has taken when the process ends are lost.
    ///
    /// # Cancel safety
    /// It can be dropped at any time: nothing is taken before it returns.
    ///
    /// [`Simulation::operations`]: super::Simulation::operations
    pub async fn operation(&self) -> Operation {
        poll_fn(|cx| self.inner.orders.poll_operation(cx)).await
    }

    /// A random number for this purpose, the how-manieth: it depends on the seed, the node and
    /// its life, and on nothing that happens in the run. It makes a good seed for a generator.
    pub fn random(&self, what: &str, nth: u64) -> u64 {
        self.inner.runtime.keyed().draw(Purpose::User, self.key(what, nth))
    }

    /// The same below `bound`; 0 if that is 0.
    pub fn random_below(&self, what: &str, nth: u64, bound: u64) -> u64 {
        self.inner.runtime.keyed().below(Purpose::User, self.key(what, nth), bound)
    }

    fn key(&self, what: &str, nth: u64) -> [u64; 3] {
        [(self.inner.node as u64) << 32 | self.inner.life, name_key(what), nth]
    }

    /// Adds to the history of the run, which checks and judges look at.
    pub fn note(&self, event: N) {
        let Inner { runtime, board, node, life, .. } = &*self.inner;
        if runtime.is_alive() {
            let at = self.simulated_now();
            board.state().notes.push(Note { at, node: *node, life: *life, event });
        }
    }

    /// Simulated time since the beginning of the run, which no node could know: for notes only.
    pub fn simulated_now(&self) -> Duration {
        Duration::from_nanos(self.inner.runtime.whereabouts().0)
    }

    /// The simulated time at which this node's monotonic clock shows `at`, to compare the times
    /// of several nodes in notes; no node could know it. It is exact unless the clock was
    /// tampered with since, by [`Clock`] or [`Rate`]; [`Duration::MAX`] if that time never comes.
    ///
    /// [`Clock`]: crate::swarm::FaultKind::Clock
    /// [`Rate`]: crate::swarm::FaultKind::Rate
    pub fn simulated(&self, at: Instant) -> Duration {
        self.inner.runtime.when(at).map_or(Duration::MAX, Duration::from_nanos)
    }

    /// What the node keeps when its process ends: one value of each type, at first the default.
    pub fn disk<T: Clone + Default + Send + 'static>(&self) -> Disk<T, N> {
        Disk { context: self.clone(), of: PhantomData }
    }
}

/// A value that outlives the processes of its node. All handles of one node and type are of the
/// same value.
///
/// A change is durable and whole as soon as it is made; a node that acts before it writes, or
/// writes in two steps, can die in between.
pub struct Disk<T, N = ()> {
    context: NodeContext<N>,
    of: PhantomData<fn() -> T>,
}

impl<T, N> std::fmt::Debug for Disk<T, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("node", &self.context.inner.node).finish_non_exhaustive()
    }
}

impl<T, N> Clone for Disk<T, N> {
    fn clone(&self) -> Self {
        Self { context: self.context.clone(), of: PhantomData }
    }
}

impl<T: Clone + Default + Send + 'static, N: Send + 'static> Disk<T, N> {
    /// A copy of the value.
    ///
    /// # Panics
    /// Within a [`write`](Self::write) of the same value.
    pub fn read(&self) -> T {
        let Inner { board, node, .. } = &*self.context.inner;
        board.state().disk(*node).cloned().unwrap_or_default()
    }

    /// Changes the value. `change` may make notes, and use what the node has of other types on its
    /// disk.
    ///
    /// # Panics
    /// If `change` reads or writes the value that it changes.
    pub fn write<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let Inner { runtime, board, node, .. } = &*self.context.inner;
        if runtime.is_alive()
            && let Some(value) = board.lend::<T>(*node).value()
        {
            return change(value);
        }
        change(&mut self.read())
    }
}
