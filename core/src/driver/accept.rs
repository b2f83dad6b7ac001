//! Incoming connections, until each has proved who it is.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::active::Active;
use super::runtime::{Listener, Runtime, Timer, Transport};
use crate::error::LinkError;
use crate::handle::Shared;
use crate::link::{Accepting, Acceptor, Door, Hello, LINGER};
use crate::node::Node;
use crate::rng::Rng;
use crate::time::Instant;

/// How long the accept loop rests after an error such as running out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Turns of one connection before other tasks get theirs.
const BUDGET: usize = 16;

/// The same refusal is logged again after this long, if so many others have not come between.
const NEWS_AFTER: Duration = Duration::from_secs(60);
const REFUSALS: usize = 16;

/// What connections that nobody owns yet know of the node: its peers by name, its gate, its limit.
#[derive(Debug)]
pub(crate) struct Doorway {
    node: Arc<Node>,
    peers: RwLock<BTreeMap<Arc<str>, Arc<Shared>>>,
    started: AtomicBool,
    closed: AtomicBool,
    unauthenticated: AtomicUsize,
    /// That there are too many is logged once, until half of them are gone.
    crowded: AtomicBool,
    seeds: Mutex<Rng>,
    /// Why connections were refused lately, and when that was logged.
    refusals: Mutex<VecDeque<(LinkError, Instant)>>,
    /// The accept loops, to be told when the doorway closes.
    loops: Mutex<Vec<Waker>>,
}

impl Doorway {
    pub(crate) fn new(node: Arc<Node>, seed: u64) -> Self {
        Self {
            node,
            peers: RwLock::default(),
            started: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            unauthenticated: AtomicUsize::new(0),
            crowded: AtomicBool::new(false),
            seeds: Mutex::new(Rng::new(seed)),
            refusals: Mutex::default(),
            loops: Mutex::default(),
        }
    }

    pub(crate) fn start(&self) {
        self.started.store(true, Ordering::Release);
    }

    pub(crate) fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Ends the accept loops.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let loops = std::mem::take(&mut *locked(&self.loops));
        loops.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn peer(&self, name: &str) -> Option<Arc<Shared>> {
        self.peers.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn peers(&self) -> Vec<Arc<Shared>> {
        let peers = self.peers.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        peers.values().cloned().collect()
    }

    /// `false` if there is a peer of this name.
    pub(crate) fn insert(&self, shared: Arc<Shared>) -> bool {
        let mut peers = self.peers.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        match peers.entry(shared.name.clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(shared);
                true
            }
        }
    }

    pub(crate) fn remove(&self, name: &str) -> Option<Arc<Shared>> {
        self.peers.write().unwrap_or_else(std::sync::PoisonError::into_inner).remove(name)
    }

    /// Whether this was not logged lately: a node that is refused tries again for ever.
    fn is_news(&self, error: &LinkError, now: Instant) -> bool {
        let mut refusals = locked(&self.refusals);
        refusals.retain(|(_, at)| now.since(*at) < NEWS_AFTER);
        if refusals.iter().any(|(logged, _)| logged == error) {
            return false;
        }
        if refusals.len() == REFUSALS {
            refusals.pop_front();
        }
        refusals.push_back((error.clone(), now));
        true
    }

    pub(crate) fn acceptor(&self, now: Instant) -> Acceptor {
        Acceptor::new(self.node.clone(), now, locked(&self.seeds).next_u64())
    }

    pub(crate) fn upgraded(&self, now: Instant, leftover: &[u8]) -> Acceptor {
        let seed = locked(&self.seeds).next_u64();
        Acceptor::upgraded(self.node.clone(), now, seed, leftover)
    }
}

impl Door for Doorway {
    fn is_started(&self) -> bool {
        self.has_started()
    }

    fn knows(&self, name: &str) -> bool {
        self.peer(name).is_some()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Accepts until the doorway closes.
pub(crate) async fn accept_loop<R: Runtime>(
    runtime: R,
    doorway: Arc<Doorway>,
    mut listener: Box<dyn Listener>,
) {
    let mut timer = runtime.timer();
    let mut failing = false;
    loop {
        let accepted = std::future::poll_fn(|cx| {
            locked(&doorway.loops).push(cx.waker().clone());
            if doorway.closed.load(Ordering::Acquire) {
                return Poll::Ready(None);
            }
            let polled = listener.poll_accept(cx).map(Some);
            locked(&doorway.loops).retain(|waker| !waker.will_wake(cx.waker()));
            if polled.is_pending() {
                locked(&doorway.loops).push(cx.waker().clone());
            }
            polled
        });
        match accepted.await {
            None => return,
            Some(Ok(transport)) => {
                failing = false;
                let acceptor = doorway.acceptor(runtime.instant());
                admit(&runtime, doorway.clone(), acceptor, transport);
            }
            Some(Err(error)) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(node = %doorway.node.name, %error, "cannot accept connections");
                }
                let at = runtime.instant().after(ACCEPT_PAUSE);
                std::future::poll_fn(|cx| timer.poll_until(at, cx)).await;
            }
        }
    }
}

/// Takes one connection through upgrade and Connect on a task of its own, if there are not too
/// many of its kind; otherwise it is closed.
pub(crate) fn admit<R: Runtime>(
    runtime: &R,
    doorway: Arc<Doorway>,
    acceptor: Acceptor,
    transport: Box<dyn Transport>,
) {
    let before = doorway.unauthenticated.fetch_add(1, Ordering::AcqRel);
    let slot = Slot(doorway);
    if before >= slot.0.node.limits.unauthenticated {
        if !slot.0.crowded.swap(true, Ordering::AcqRel) {
            tracing::warn!(node = %slot.0.node.name, "too many unauthenticated connections");
        }
        return;
    }
    let timer = runtime.timer();
    let task = Admission {
        runtime: runtime.clone(),
        slot,
        acceptor: Some(acceptor),
        transport: Some(transport),
        timer,
        fresh: true,
        outcome: None,
    };
    runtime.spawn(task);
}

/// One of the connections that may be unauthenticated at a time.
#[derive(Debug)]
struct Slot(Arc<Doorway>);

impl Drop for Slot {
    fn drop(&mut self) {
        let freed = usize::from(!planted!(AcceptSlotLeaked));
        let before = self.0.unauthenticated.fetch_sub(freed, Ordering::AcqRel);
        if before <= self.0.node.limits.unauthenticated.div_ceil(2) {
            self.0.crowded.store(false, Ordering::Release);
        }
    }
}

/// One connection on its way in.
struct Admission<R> {
    runtime: R,
    slot: Slot,
    acceptor: Option<Acceptor>,
    transport: Option<Box<dyn Transport>>,
    timer: Box<dyn Timer>,
    /// What was read before it came here has not been looked at.
    fresh: bool,
    /// Refused: written out, until then at the latest, and closed.
    outcome: Option<Instant>,
}

impl<R> Unpin for Admission<R> {}

impl<R: Runtime> Future for Admission<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..BUDGET {
            if let Some(done) = this.step(cx) {
                return done;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<R: Runtime> Admission<R> {
    /// One turn: write, read, look at the clock. `None`: another turn.
    fn step(&mut self, cx: &mut Context<'_>) -> Option<Poll<()>> {
        let (Some(acceptor), Some(transport)) = (&mut self.acceptor, &mut self.transport) else {
            return Some(Poll::Ready(()));
        };
        while !acceptor.write_buf().is_empty() {
            match transport.poll_write(cx, acceptor.write_buf()) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => acceptor.handle_written(bytes),
                Poll::Ready(_) => return Some(Poll::Ready(())),
                Poll::Pending => break,
            }
        }
        if let Some(until) = self.outcome {
            return self.linger(until, cx);
        }
        // Before reading: whoever never stops sending has no more time than the others.
        let late = self.timer.poll_until(acceptor.poll_timeout(), cx).is_ready();
        let outcome = if late {
            acceptor.handle_timeout(self.runtime.instant())
        } else if std::mem::take(&mut self.fresh) {
            acceptor.handle_read(self.runtime.now(), &*self.slot.0)
        } else {
            match transport.poll_read(cx, acceptor.read_buf()) {
                Poll::Ready(Ok(0) | Err(_)) => acceptor.handle_eof(),
                Poll::Ready(Ok(_)) => acceptor.handle_read(self.runtime.now(), &*self.slot.0),
                Poll::Pending => return Some(Poll::Pending),
            }
        };
        self.on_outcome(outcome)
    }

    fn on_outcome(&mut self, outcome: Accepting) -> Option<Poll<()>> {
        match outcome {
            Accepting::Pending => None,
            Accepting::Hello(hello) => match self.hand_over(&hello) {
                Ok(()) => Some(Poll::Ready(())),
                Err(reason) => {
                    let outcome = self.acceptor.as_mut()?.refuse(&reason);
                    self.on_outcome(outcome)
                }
            },
            Accepting::Finished(error) => {
                let node = &self.slot.0.node.name;
                let now = self.runtime.instant();
                if error == LinkError::ClosedByPeer {
                    tracing::debug!(%node, "a connection was closed before its Connect");
                } else if self.slot.0.is_news(&error, now) {
                    tracing::warn!(%node, %error, "an incoming connection failed");
                } else {
                    tracing::debug!(%node, %error, "an incoming connection failed, as before");
                }
                self.outcome = Some(now.after(LINGER));
                None
            }
        }
    }

    /// The peer that the Connect names takes the connection.
    fn hand_over(&mut self, hello: &Hello) -> Result<(), String> {
        let Some(shared) = self.slot.0.peer(&hello.host) else {
            return Err(format!("unknown incoming host: {}", hello.host));
        };
        let now = self.runtime.now();
        let came = self.acceptor.as_ref().map_or(now.instant, Acceptor::came);
        let (mut driver, mut former) = (None, None);
        let taken = shared.with(|state| {
            let link = state.peer.handle_hello(now, hello, came)?;
            let taken = self.acceptor.take().zip(self.transport.take());
            if let Some((acceptor, transport)) = taken
                && let Ok(mut connection) = acceptor.accept(now.instant, link)
            {
                // At once: a call may be made before the link's task takes the connection.
                connection.tell_limit(&mut state.peer);
                former = state.newcomer.replace(Box::new(Active::new(connection, transport)));
            }
            driver = state.rouse_driver();
            Ok(())
        });
        // Not under the lock: closing a transport is the runtime's code.
        drop(former);
        driver.into_iter().for_each(Waker::wake);
        taken
    }

    /// The refusal is on its way out: closes once it is written, or soon. `None`: another turn.
    fn linger(&mut self, until: Instant, cx: &mut Context<'_>) -> Option<Poll<()>> {
        if self.timer.poll_until(until, cx).is_ready() {
            return Some(Poll::Ready(()));
        }
        let (Some(acceptor), Some(transport)) = (&mut self.acceptor, &mut self.transport) else {
            return Some(Poll::Ready(()));
        };
        if !acceptor.write_buf().is_empty() || transport.poll_close(cx).is_pending() {
            return Some(Poll::Pending);
        }
        // What the peer still sends is read away, so that the refusal is not reset.
        match transport.poll_read(cx, acceptor.read_buf()) {
            Poll::Ready(Ok(0) | Err(_)) => Some(Poll::Ready(())),
            Poll::Ready(Ok(_)) => None,
            Poll::Pending => Some(Poll::Pending),
        }
    }
}

#[cfg(all(test, feature = "planted"))]
mod planted {
    use super::*;
    use crate::auth::StaticToken;
    use crate::planted::{Bug, plant};

    #[test]
    fn a_connection_that_is_gone_counts_no_more() {
        let scene = |bug| {
            plant(bug);
            let token = StaticToken::new("secret-token").expect("a token");
            let node = Node::new("http://a:1", [1; 16], Arc::new(token));
            let doorway = Arc::new(Doorway::new(Arc::new(node), 1));
            doorway.unauthenticated.fetch_add(1, Ordering::AcqRel);
            drop(Slot(doorway.clone()));
            plant(None);
            doorway.unauthenticated.load(Ordering::Acquire)
        };
        assert_eq!((scene(None), scene(Some(Bug::AcceptSlotLeaked))), (0, 1));
    }
}
