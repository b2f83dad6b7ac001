//! What a node does all day: it asks, talks, walks and locks, and checks every answer.

mod ask;
mod guest;
mod lock;
mod talk;
mod walk;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::driver::time::sleep;
use gridmux_tokio::handle::PeerHandle;
use gridmux_tokio::time::Instant;

use crate::clock;
use crate::ledger::{At, HoldEvent};
use crate::locks::{Locks, Mode, quorum};
use crate::node::Plan;
use crate::outcome::Outcomes;

/// Where a node's holds are told.
pub(crate) type Witness = Arc<dyn Fn(HoldEvent) + Send + Sync>;

/// How many tasks ask each peer at a time.
const ASKERS: usize = 4;

/// How many tasks of each node fight over the locks.
const LOCKERS: usize = 3;

/// How often a worker that waits for a peer looks whether the node stops.
const GLANCE: Duration = Duration::from_millis(100);

/// How long the fight over the locks waits for the last peer if a quorum is there.
const PATIENCE: Duration = Duration::from_secs(9);

/// Whatever a worker needs.
pub(crate) struct Scene<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) plan: Plan,
    pub(crate) locks: Locks<R>,
    pub(crate) outcomes: Outcomes,
    pub(crate) witness: Witness,
    pub(crate) progress: Arc<Progress>,
}

/// What is seen of the workers from outside.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    stop: AtomicBool,
    workers: AtomicUsize,
    holds: AtomicU64,
    held: AtomicUsize,
    /// Peers and guests to which no link has been up yet.
    unmet: Mutex<BTreeSet<String>>,
}

impl Progress {
    /// Before a link to any of these is up.
    pub(crate) fn new(unmet: BTreeSet<String>) -> Self {
        Self { unmet: Mutex::new(unmet), ..Self::default() }
    }

    /// Peers and guests to which no link has been up yet.
    pub(crate) fn unmet(&self) -> BTreeSet<String> {
        self.unmet.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A link to this peer is up, or was.
    pub(crate) fn meet(&self, name: &str) {
        self.unmet.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Has every worker end after what it is doing.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// How many workers have not ended.
    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    /// How many locks are held now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl<R: Runtime> Scene<R> {
    /// Starts all workers; guests are asked for nothing but echoes.
    pub(crate) fn play(self, peers: &[PeerHandle], guests: &[PeerHandle]) {
        let scene = Arc::new(self);
        let mut seeds = fastrand::Rng::with_seed(scene.plan.seed);
        for peer in peers {
            for _ in 0..ASKERS {
                scene.spawn(ask::work(scene.clone(), peer.clone(), seeds.fork()));
            }
            scene.spawn(talk::work(scene.clone(), peer.clone(), seeds.fork()));
            scene.spawn(walk::work(scene.clone(), peer.clone(), seeds.fork()));
        }
        for guest in guests {
            scene.spawn(guest::work(scene.clone(), guest.clone(), seeds.fork()));
        }
        for _ in 0..LOCKERS {
            scene.spawn(lock::work(scene.clone(), seeds.fork()));
        }
        scene.spawn(lock::work_on_orphans(scene.clone(), seeds.fork()));
    }

    fn spawn(self: &Arc<Self>, worker: impl Future<Output = ()> + Send + 'static) {
        let progress = self.progress.clone();
        progress.workers.fetch_add(1, Ordering::Relaxed);
        self.runtime.spawn(async move {
            worker.await;
            progress.workers.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn is_stopping(&self) -> bool {
        self.progress.is_stopping()
    }

    /// Waits until the first link to the peer is up: a call before that proves nothing. Gives
    /// `false` if the node stops first.
    async fn meet(&self, peer: &PeerHandle) -> bool {
        while !self.is_stopping() {
            if peer.connected(GLANCE).await.is_ok() {
                self.progress.meet(peer.name());
                return true;
            }
        }
        false
    }

    /// Waits until links to all nodes have been up, for [`PATIENCE`] at most if the nodes that
    /// are there make a quorum. Gives `false` if the node stops first.
    async fn meet_all(&self) -> bool {
        let begun = self.runtime.instant();
        while !self.is_stopping() {
            let unmet = self.progress.unmet();
            let missing = self.plan.names.iter().filter(|name| unmet.contains(*name)).count();
            let nodes = self.locks.nodes();
            let late = self.runtime.instant().since(begun) > PATIENCE;
            if missing == 0 || late && nodes - missing >= quorum(nodes) {
                return true;
            }
            sleep(&self.runtime, Duration::from_millis(5)).await;
        }
        false
    }

    /// Rests for a random number of milliseconds.
    async fn rest(&self, rng: &mut fastrand::Rng, millis: std::ops::Range<u64>) {
        sleep(&self.runtime, Duration::from_millis(rng.u64(millis))).await;
    }

    /// Tells of a hold that begins now, before it is acted on.
    fn begin(&self, lock: &str, mode: Mode, until: Instant) -> Hold<'_, R> {
        let id = self.progress.holds.fetch_add(1, Ordering::Relaxed);
        self.progress.held.fetch_add(1, Ordering::Relaxed);
        let hold = Hold { scene: self, id, until };
        let (start, until) = (clock::now().into(), hold.shared_until());
        (self.witness)(HoldEvent::Begin { hold: id, lock: lock.to_owned(), mode, start, until });
        hold
    }
}

/// A hold that the witness knows of.
struct Hold<'a, R: Runtime> {
    scene: &'a Scene<R>,
    id: u64,
    /// Until when the holder believes, by its own clock.
    until: Instant,
}

impl<R: Runtime> Hold<'_, R> {
    fn shared_until(&self) -> At {
        clock::shared(&self.scene.runtime, self.until).into()
    }

    fn extend(&mut self, until: Instant) {
        if until != self.until {
            self.until = until;
            let until = self.shared_until();
            (self.scene.witness)(HoldEvent::Extend { hold: self.id, until });
        }
    }

    /// It ends now, or has ended when the holder stopped believing.
    fn end(mut self, until: Instant) {
        self.until = until;
        let end = At::from(clock::now()).min(self.shared_until());
        (self.scene.witness)(HoldEvent::End { hold: self.id, end });
    }
}

impl<R: Runtime> Drop for Hold<'_, R> {
    fn drop(&mut self) {
        self.scene.progress.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A deadline from 1 to 5 seconds.
fn deadline(rng: &mut fastrand::Rng) -> Duration {
    Duration::from_millis(rng.u64(1000..=5000))
}

/// Mostly short, at times long enough to travel alone.
fn text(rng: &mut fastrand::Rng) -> Vec<u8> {
    let len = match rng.u32(0..100) {
        0 => rng.usize(0..100_000),
        1..10 => rng.usize(0..10_000),
        _ => rng.usize(0..600),
    };
    let mut text = vec![0; len];
    rng.fill(&mut text);
    text
}
