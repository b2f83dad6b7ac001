//! The runtime that simulated nodes run on: what tokio is elsewhere.

use std::any::type_name;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use gridmux_core::driver::runtime::{Clock, Connector, Listener, Runtime, Timer};
use gridmux_core::driver::workers::{Post, Workers};
use gridmux_core::node::authority;
use gridmux_core::time::{Instant, Now};
use gridmux_core::wire::Timestamp;

use super::executor::Role;
use super::lives::LifeId;
use super::network::{Dialling, SimListener};
use super::{Shared, World};
use crate::keyed::{Keyed, mix};

/// One life of a simulated node, as the runtime of whatever runs on it.
///
/// It is a [`Runtime`]: [`Grid::builder_on`](gridmux_core::handle::Grid::builder_on) takes it, and
/// so does every function that is generic over the runtime.
#[derive(Clone)]
pub struct SimRuntime {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: LifeId,
    /// Tasks that run one handler after another, in the runs that have them.
    pub(crate) workers: Option<Arc<Workers>>,
}

impl std::fmt::Debug for SimRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimRuntime").field("life", &self.life).finish_non_exhaustive()
    }
}

impl SimRuntime {
    fn world(&self) -> World<'_> {
        self.shared.world()
    }

    /// Simulated time, the node, and the how-manieth life of it.
    pub(crate) fn whereabouts(&self) -> (u64, usize, u64) {
        let world = self.world();
        let life = world.lives.get(self.life);
        (world.now, life.node, life.number)
    }

    /// The name of a node.
    pub(crate) fn name_of(&self, node: usize) -> String {
        self.world().names.get(node).cloned().unwrap_or_default()
    }

    /// Whether the process has not ended. Destructors run when it has.
    pub(crate) fn is_alive(&self) -> bool {
        self.world().lives.get(self.life).alive
    }

    /// What the node's clocks show, without its having looked at them.
    pub(crate) fn shown(&self) -> Now {
        let world = self.world();
        let clock = &world.lives.get(self.life).clock;
        let wall = Timestamp::from_unix_nanos(clock.wall(world.now));
        Now { instant: Instant::from_nanos(clock.monotonic(world.now)), wall }
    }

    /// When the node's monotonic clock will show `at`, in simulated time; when it first showed
    /// anything, or was tampered with last, if that is over. `None` for never.
    pub(crate) fn when(&self, at: Instant) -> Option<u64> {
        self.world().lives.get(self.life).clock.when(at.as_nanos())
    }

    /// Adds what an application has seen to the hash of everything.
    pub(crate) fn digest(&self, words: &[u64]) {
        self.world().digest(words);
    }

    /// The keyed randomness of this run.
    pub(crate) fn keyed(&self) -> Keyed {
        self.world().keyed
    }

    /// Runs `future` as a task that the node's application, not its grid, owns; its turns are drawn
    /// with `key`, which is its own on this node.
    pub(crate) fn spawn_keyed(&self, key: u64, future: impl Future<Output = ()> + Send + 'static) {
        self.spawn_as(Role::Script, key, future);
    }

    /// Runs `future` as what drives the node's machines: no application's laziness concerns it.
    pub(crate) fn spawn_grid(&self, key: u64, future: impl Future<Output = ()> + Send + 'static) {
        self.spawn_as(Role::Grid, key, future);
    }

    fn spawn_next(&self, role: Role, future: impl Future<Output = ()> + Send + 'static) {
        let mut world = self.world();
        let key = world.next_key(self.life, |made| &mut made.tasks);
        world.spawn(self.life, role, key, Box::pin(future));
    }

    fn spawn_as(&self, role: Role, key: u64, future: impl Future<Output = ()> + Send + 'static) {
        let mut world = self.world();
        let key = mix(world.lives.get(self.life).key() ^ key);
        world.spawn(self.life, role, key, Box::pin(future));
    }
}

impl Clock for SimRuntime {
    fn instant(&self) -> Instant {
        let mut world = self.world();
        let now = world.now;
        world.feel_clock(self.life);
        Instant::from_nanos(world.lives.get(self.life).clock.monotonic(now))
    }

    fn now(&self) -> Now {
        self.world().feel_clock(self.life);
        self.shown()
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(SimTimer::new(&self.shared, self.life))
    }
}

pub(crate) struct SimTimer {
    shared: Arc<Shared>,
    life: LifeId,
    index: u32,
}

impl SimTimer {
    pub(crate) fn new(shared: &Arc<Shared>, life: LifeId) -> Self {
        Self { shared: shared.clone(), life, index: shared.world().add_timer(life) }
    }
}

impl Timer for SimTimer {
    fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut world = self.shared.world();
        let now = world.now;
        if world.lives.get(self.life).clock.monotonic(now) >= at.as_nanos() {
            return Poll::Ready(());
        }
        world.arm(self.life, self.index, at.as_nanos(), cx.waker());
        Poll::Pending
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        let waker = self.shared.world().timers.remove(self.index);
        // Not under the lock: it may own the task.
        drop(waker);
    }
}

impl Runtime for SimRuntime {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        // What the grid spawns of its own is told from handlers by its name.
        let name = type_name::<F>();
        let grid = name.starts_with("gridmux_core::driver::");
        self.spawn_next(if grid { Role::Grid } else { Role::Handler }, future);
    }

    fn spawn_short<F: Future<Output = ()> + Send + 'static>(&self, post: &Post<F>, future: F) {
        let Some(workers) = &self.workers else { return self.spawn(future) };
        if let Some(worker) = workers.take(post, future) {
            self.spawn_next(Role::Handler, worker);
        }
    }

    fn rest(&self) {
        self.workers.iter().for_each(|workers| workers.rest());
    }

    fn yield_now(&self, _: &mut Context<'_>) -> bool {
        self.world().turn_later()
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let mut world = self.world();
        let node = world.lives.get(self.life).node;
        let own = world.names.get(node).and_then(|name| authority(name));
        if own != Some(address) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        world.listen(self.life, node)?;
        Ok(Box::new(SimListener { shared: self.shared.clone(), life: self.life, node }))
    }

    fn connector(&self) -> Box<dyn Connector> {
        Box::new(Dialling { shared: self.shared.clone(), life: self.life })
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        Ok(self.world().entropy(self.life))
    }
}
