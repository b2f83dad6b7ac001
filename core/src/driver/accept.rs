//! Incoming connections, until each has proved who it is.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::active::Active;
use super::processes::Processes;
use super::runtime::{Listener, Runtime, Timer, Transport};
use super::tasks::Tasks;
use crate::error::LinkError;
use crate::handle::Shared;
use crate::link::{
    Accepting, Acceptor, Denial, Door, DoorLog, Hello, LINGER, Lobby, Origin, log_accept_error,
    log_crowd, log_failure, same_process, unknown_name,
};
use crate::node::Node;
use crate::rng::{KeyedRng, Seed};
use crate::time::Instant;

/// How long the accept loop rests after an error such as running out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Turns of one connection before other tasks get theirs.
const BUDGET: usize = 16;

/// Connections that are accepted before other tasks get their turn: those that were accepted before
/// them, and the links.
const ACCEPTS: usize = 16;

/// What connections that nobody owns yet know of the node: its peers by name, its gate, its limit.
#[derive(Debug)]
pub(crate) struct Doorway {
    node: Arc<Node>,
    processes: Arc<Processes>,
    peers: RwLock<BTreeMap<Arc<str>, Arc<Shared>>>,
    /// Peers that were removed: their handlers may still run.
    removed: Mutex<Vec<Weak<Shared>>>,
    started: AtomicBool,
    strangers: Mutex<Strangers>,
    seeds: Mutex<KeyedRng>,
    log: Mutex<DoorLog>,
    /// What runs for the node, the loops that accept and the connections on their way in among it.
    pub(crate) tasks: Arc<Tasks>,
}

/// Connections on their way in.
#[derive(Debug)]
struct Strangers {
    lobby: Lobby<u64>,
    /// The tasks of those that are in.
    tasks: BTreeMap<u64, Waker>,
    last_number: u64,
}

impl Doorway {
    pub(crate) fn new(node: Arc<Node>, seed: impl Into<Seed>) -> Self {
        let lobby = Lobby::new(&node.limits);
        let processes = Processes::new(node.instance, &node.name);
        Self {
            node,
            processes,
            peers: RwLock::default(),
            removed: Mutex::default(),
            started: AtomicBool::new(false),
            strangers: Mutex::new(Strangers { lobby, tasks: BTreeMap::new(), last_number: 0 }),
            seeds: Mutex::new(KeyedRng::new(seed)),
            log: Mutex::new(DoorLog::new()),
            tasks: Arc::default(),
        }
    }

    /// The processes that the links are with.
    pub(crate) fn processes(&self) -> &Arc<Processes> {
        &self.processes
    }

    pub(crate) fn start(&self) {
        self.started.store(true, Ordering::Release);
    }

    pub(crate) fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Ends the accept loops, and the connections that nobody owns yet.
    pub(crate) fn close(&self) {
        self.tasks.close();
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
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
        let mut peers = self.peers.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let removed = peers.remove(name)?;
        let mut all = locked(&self.removed);
        all.retain(|former| former.strong_count() > 0);
        all.push(Arc::downgrade(&removed));
        Some(removed)
    }

    /// All peers, and those removed ones of which something is left.
    pub(crate) fn peers_and_removed(&self) -> Vec<Arc<Shared>> {
        let mut all = self.peers();
        all.extend(locked(&self.removed).iter().filter_map(Weak::upgrade));
        all
    }

    fn log_accept_error(&self, error: &io::Error, now: Instant) {
        let told = locked(&self.log).tell_accept_error(now);
        told.into_iter().for_each(|told| log_accept_error(&self.node.name, error, told));
    }

    /// A connection has come to nothing.
    fn log_failure(&self, remote: Option<SocketAddr>, error: &LinkError, now: Instant) {
        let told = locked(&self.log).tell_failure(remote, error, now);
        told.into_iter().for_each(|told| log_failure(&self.node.name, remote, error, told));
    }

    fn log_crowd(&self, origin: Origin, now: Instant) {
        let told = locked(&self.log).tell_crowd(now);
        told.into_iter().for_each(|told| log_crowd(&self.node.name, origin, told));
    }

    pub(crate) fn acceptor(&self, now: Instant) -> Acceptor {
        Acceptor::new(self.node.clone(), now, locked(&self.seeds).next_seed())
    }

    pub(crate) fn upgraded(&self, now: Instant, leftover: &[u8]) -> Acceptor {
        let seed = locked(&self.seeds).next_seed();
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

/// Accepts until it is dropped.
pub(crate) async fn accept_loop<R: Runtime>(
    runtime: R,
    doorway: Arc<Doorway>,
    mut listener: Box<dyn Listener>,
) {
    let mut timer = runtime.timer();
    let mut accepted = 0;
    loop {
        match std::future::poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok(transport) => {
                let acceptor = doorway.acceptor(runtime.instant());
                admit(&runtime, doorway.clone(), acceptor, transport);
            }
            // One that was gone before it was accepted: the next one has not waited for it.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                let now = runtime.instant();
                doorway.log_accept_error(&error, now);
                let at = now.after(ACCEPT_PAUSE);
                std::future::poll_fn(|cx| timer.poll_until(at, cx)).await;
            }
        }
        accepted += 1;
        if accepted % ACCEPTS == 0 {
            pass().await;
        }
    }
}

/// Whether an error of accepting says nothing about the connections behind.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// Lets other tasks have their turn.
async fn pass() {
    let mut passed = false;
    std::future::poll_fn(|cx| match std::mem::replace(&mut passed, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// Takes one connection through upgrade and Connect on a task of its own. If there are too many of its
/// kind, another one is closed for it.
pub(crate) fn admit<R: Runtime>(
    runtime: &R,
    doorway: Arc<Doorway>,
    mut acceptor: Acceptor,
    transport: Box<dyn Transport>,
) {
    let remote = transport.remote_addr();
    acceptor.set_remote(remote);
    let Some(slot) = Slot::take(doorway, Origin::of(remote), acceptor.came()) else { return };
    let timer = runtime.timer();
    let tasks = slot.doorway.tasks.clone();
    let task = Admission {
        runtime: runtime.clone(),
        slot,
        remote,
        acceptor: Some(acceptor),
        transport: Some(transport),
        timer,
        fresh: true,
        outcome: None,
    };
    tasks.spawn_until_closed(runtime, task);
}

/// One of the connections that may be unauthenticated at a time.
#[derive(Debug)]
struct Slot {
    doorway: Arc<Doorway>,
    number: u64,
    trusted: bool,
}

impl Slot {
    fn take(doorway: Arc<Doorway>, origin: Origin, now: Instant) -> Option<Self> {
        let mut strangers = locked(&doorway.strangers);
        if planted!(AcceptSlotLeaked, strangers.lobby.has_no_place()) {
            return None;
        }
        strangers.last_number += 1;
        let number = strangers.last_number;
        let former = strangers.lobby.enter(number, origin);
        let task = former.and_then(|(former, _)| strangers.tasks.remove(&former));
        drop(strangers);
        task.into_iter().for_each(Waker::wake);
        if let Some((_, origin)) = former {
            doorway.log_crowd(origin, now);
        }
        Some(Self { doorway, number, trusted: false })
    }

    /// Whether the connection has not had to leave for another; its task is woken when it has to.
    fn is_in(&self, waker: &Waker) -> bool {
        let mut strangers = locked(&self.doorway.strangers);
        if !strangers.lobby.contains(self.number) {
            return false;
        }
        let task = strangers.tasks.entry(self.number).or_insert_with(|| waker.clone());
        let former = (!task.will_wake(waker)).then(|| std::mem::replace(task, waker.clone()));
        drop(strangers);
        // Not under the lock: a waker may own its task.
        drop(former);
        true
    }

    /// The connection has shown a good token.
    fn trust(&mut self) {
        if !std::mem::replace(&mut self.trusted, true) {
            locked(&self.doorway.strangers).lobby.trust(self.number);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut strangers = locked(&self.doorway.strangers);
        strangers.lobby.leave(self.number);
        #[cfg(feature = "planted")]
        if planted!(AcceptSlotLeaked) {
            strangers.lobby.leak();
        }
        let task = strangers.tasks.remove(&self.number);
        drop(strangers);
        drop(task);
    }
}

/// One connection on its way in.
struct Admission<R> {
    runtime: R,
    slot: Slot,
    remote: Option<SocketAddr>,
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
        if !this.slot.is_in(cx.waker()) {
            return Poll::Ready(());
        }
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
            acceptor.handle_read(self.runtime.now(), &*self.slot.doorway)
        } else {
            match transport.poll_read(cx, acceptor.read_buf()) {
                Poll::Ready(Ok(0) | Err(_)) => acceptor.handle_eof(),
                Poll::Ready(Ok(_)) => acceptor.handle_read(self.runtime.now(), &*self.slot.doorway),
                Poll::Pending => return Some(Poll::Pending),
            }
        };
        self.on_outcome(outcome)
    }

    fn on_outcome(&mut self, outcome: Accepting) -> Option<Poll<()>> {
        match outcome {
            Accepting::Pending => {
                if self.acceptor.as_ref().is_some_and(Acceptor::has_shown_token) {
                    self.slot.trust();
                }
                None
            }
            Accepting::Hello(hello) => match self.hand_over(&hello) {
                Ok(()) => Some(Poll::Ready(())),
                Err(denial) => {
                    let outcome = self.acceptor.as_mut()?.refuse(denial);
                    self.on_outcome(outcome)
                }
            },
            Accepting::Finished(error) => {
                let now = self.runtime.instant();
                self.slot.doorway.log_failure(self.remote, &error, now);
                self.outcome = Some(now.after(LINGER));
                None
            }
        }
    }

    /// The peer that the Connect names takes the connection.
    fn hand_over(&mut self, hello: &Hello) -> Result<(), Denial> {
        let Some(shared) = self.slot.doorway.peer(&hello.host) else {
            return Err(unknown_name(&hello.host));
        };
        let now = self.runtime.now();
        let came = self.acceptor.as_ref().map_or(now.instant, Acceptor::came);
        let claimed = self.slot.doorway.processes.claim(now.instant, hello.id, &shared.name);
        let process = claimed.map_err(|other| same_process(&hello.host, &other))?;
        let (mut driver, mut former) = (None, None);
        let taken = shared.with(|state| {
            let link = state.peer.handle_hello(now, hello, came)?;
            let taken = self.acceptor.take().zip(self.transport.take());
            if let Some((acceptor, transport)) = taken
                && let Ok(mut connection) = acceptor.accept(now.instant, link)
            {
                // At once: a call may be made before the link's task takes the connection.
                connection.tell_limit(&mut state.peer);
                let mut active = Box::new(Active::new(connection, transport));
                active.process = Some(process);
                former = state.newcomer.replace(active);
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
            let mut node = Node::new("http://a:1", [1; 16], Arc::new(token));
            node.limits.unauthenticated = 1;
            let doorway = Arc::new(Doorway::new(Arc::new(node), 1));
            let take = || Slot::take(doorway.clone(), Origin::default(), Instant::ZERO);
            drop(take());
            let again = take().is_some();
            plant(None);
            again
        };
        assert_eq!((scene(None), scene(Some(Bug::AcceptSlotLeaked))), (true, false));
    }
}
