//! Looks up host names for connectors, on threads of its own.
//!
//! The system's resolver blocks its caller, takes no deadline and cannot be stopped: for a name server that
//! does not answer it waits 5 to 30 s, while the dial attempt that asked is over after 2 s. So a lookup
//! outlives its attempt here, the next attempt of the same host waits for the same lookup, and a [`Resolver`]
//! runs only a few at a time. They do not run on the runtime's blocking threads: other blocking work would
//! wait for them, and so would the end of a tokio runtime.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Lookups at a time, and so threads, of one [`Resolver`].
pub const MAX_LOOKUPS: usize = 8;

/// Lookups at a time of hosts whose last lookup was slow: the other places stay free for hosts that may be
/// quick, so that dead names do not keep living ones from being found.
const MAX_SLOW_LOOKUPS: usize = 6;

/// A lookup that takes longer is slow. Name servers that answer do so within tens of milliseconds, and the
/// system's resolver asks again after 5 s.
const SLOW: Duration = Duration::from_secs(1);

/// The answer of a lookup whose dial attempts are all over is kept for the next one this long. Attempts
/// follow each other by 1 to 2 s.
const KEEP: Duration = Duration::from_secs(5);

/// Hosts that are remembered, whatever peers come and go.
const MAX_HOSTS: usize = 4096;

type Answer = Result<Arc<[IpAddr]>, (io::ErrorKind, Arc<str>)>;
type Ask = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Looks up hosts with the system's resolver. Clones share its limits; each node's connector has one.
///
/// One lookup per host runs at a time, and 8 in all ([`MAX_LOOKUPS`]); the others wait. Each runs on a
/// thread that ends when no host waits any more. Nothing waits for these threads, neither the node's
/// shutdown nor the end of a runtime; the system decides when a lookup that gets no answer ends.
/// There is no cache: who asks after a lookup has been answered starts the next one.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    ask: Box<Ask>,
    clock: fn() -> Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hosts: BTreeMap<Arc<str>, Host>,
    /// Hosts that wait for a thread: those that are known to be quick, those that were never asked for,
    /// and those that were slow.
    queues: [VecDeque<Arc<str>>; 3],
    running: usize,
    running_slow: usize,
    last_waiter: u64,
}

#[derive(Default)]
struct Host {
    pace: Pace,
    stage: Stage,
    /// By number, so that each can leave.
    waiters: BTreeMap<u64, Waiter>,
}

/// How long the last lookup of a host took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pace {
    Quick,
    #[default]
    Unknown,
    Slow,
}

#[derive(Default)]
enum Stage {
    #[default]
    Idle,
    Queued,
    Running,
    /// Answered when nobody waited any more.
    Kept(Answer, Instant),
}

enum Waiter {
    Waiting(Waker),
    Answered(Answer),
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(|host| Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// Asks `ask`, which may block, instead of the system.
    pub fn new(ask: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        #[allow(clippy::disallowed_methods, reason = "lookups run on threads without a clock")]
        let clock = Instant::now;
        Self::with_clock(ask, clock)
    }

    fn with_clock(
        ask: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
        clock: fn() -> Instant,
    ) -> Self {
        Self { shared: Arc::new(Shared { ask: Box::new(ask), clock, state: Mutex::default() }) }
    }

    /// The addresses of `host`, a DNS name or an IP address, the latter with brackets or without, in the
    /// order in which they should be tried. An IP address is never looked up.
    ///
    /// # Cancel safety
    /// Dropped, a lookup that waits for its turn is given up; one that runs goes on, and the next one
    /// for the same host gets its answer, unless that is 5 s old by then.
    ///
    /// # Errors
    /// The resolver's error; [`NotFound`](io::ErrorKind::NotFound) if it knows no address of the host.
    pub fn lookup(&self, host: &str, port: u16) -> Lookup {
        let bare = host.strip_prefix('[').and_then(|inside| inside.strip_suffix(']'));
        let stage = match bare.unwrap_or(host).parse() {
            Ok(address) => Asking::Literal(address),
            Err(_) => Asking::New(host.into()),
        };
        Lookup { shared: self.shared.clone(), port, stage }
    }
}

/// A lookup that is under way, or that another one of the same host is waited for.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Lookup {
    shared: Arc<Shared>,
    port: u16,
    stage: Asking,
}

enum Asking {
    Literal(IpAddr),
    New(Arc<str>),
    Waiting(Arc<str>, u64),
    Over,
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}

impl Future for Lookup {
    type Output = io::Result<Vec<SocketAddr>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let answer = match &this.stage {
            Asking::Literal(address) => Ok([*address].into()),
            Asking::New(host) => match this.shared.ask_for(host, cx.waker()) {
                Ok(answer) => answer,
                Err(number) => {
                    this.stage = Asking::Waiting(host.clone(), number);
                    return Poll::Pending;
                }
            },
            Asking::Waiting(host, number) => match this.shared.look(host, *number, cx.waker()) {
                Some(answer) => answer,
                None => return Poll::Pending,
            },
            Asking::Over => Err((io::ErrorKind::Other, "the lookup has ended".into())),
        };
        this.stage = Asking::Over;
        let port = this.port;
        Poll::Ready(match answer {
            Ok(addresses) => Ok(addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect()),
            Err((kind, text)) => Err(io::Error::new(kind, &*text)),
        })
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if let Asking::Waiting(host, number) = &self.stage {
            // Not under the lock: a waker may own its task.
            let waiter = self.shared.leave(host, *number);
            drop(waiter);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer that was kept, or the number under which to wait for the next one.
    fn ask_for(self: &Arc<Self>, host: &Arc<str>, waker: &Waker) -> Result<Answer, u64> {
        let mut state = self.lock();
        state.forget_some();
        state.last_waiter += 1;
        let number = state.last_waiter;
        let entry = state.hosts.entry(host.clone()).or_default();
        if let Stage::Kept(answer, at) = &entry.stage {
            let answer = answer.clone();
            let fresh = (self.clock)().saturating_duration_since(*at) < KEEP;
            entry.stage = Stage::Idle;
            if fresh {
                return Ok(answer);
            }
        }
        entry.waiters.insert(number, Waiter::Waiting(waker.clone()));
        if matches!(entry.stage, Stage::Idle) {
            entry.stage = Stage::Queued;
            let pace = entry.pace;
            state.queues[pace as usize].push_back(host.clone());
        }
        self.start_threads(state);
        Err(number)
    }

    /// The answer, if it has come; otherwise this waker is woken.
    fn look(&self, host: &str, number: u64, waker: &Waker) -> Option<Answer> {
        let mut state = self.lock();
        let gone = || Some(Err((io::ErrorKind::Other, "the lookup is forgotten".into())));
        let Some(entry) = state.hosts.get_mut(host) else { return gone() };
        match entry.waiters.get_mut(&number) {
            None => gone(),
            Some(Waiter::Waiting(current)) => {
                let former =
                    (!current.will_wake(waker)).then(|| std::mem::replace(current, waker.clone()));
                drop(state);
                drop(former);
                None
            }
            Some(Waiter::Answered(answer)) => {
                let answer = answer.clone();
                entry.waiters.remove(&number);
                Some(answer)
            }
        }
    }

    /// A host that waits for its turn and that nobody waits for is not looked up.
    fn leave(&self, host: &str, number: u64) -> Option<Waiter> {
        let mut state = self.lock();
        let entry = state.hosts.get_mut(host)?;
        let waiter = entry.waiters.remove(&number);
        if entry.waiters.is_empty() && matches!(entry.stage, Stage::Queued) {
            entry.stage = Stage::Idle;
            let queue = entry.pace as usize;
            state.queues[queue].retain(|queued| **queued != *host);
        }
        waiter
    }

    /// Starts threads for the hosts that wait, as far as the limits allow.
    fn start_threads<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) {
        while let Some(host) = state.next() {
            drop(state);
            let (shared, first) = (self.clone(), host.clone());
            let thread = thread::Builder::new().name("gridmux-resolver".into());
            if let Err(error) = thread.spawn(move || shared.work(first)) {
                // The system has no thread to give: these attempts fail, and the next ones try again.
                let answer = Err((error.kind(), error.to_string().into()));
                self.finish(&host, answer, Duration::ZERO);
            }
            state = self.lock();
        }
    }

    /// One lookup after another, until no host waits that may be looked up.
    fn work(self: Arc<Self>, mut host: Arc<str>) {
        loop {
            let begun = (self.clock)();
            let ask = std::panic::AssertUnwindSafe(|| (self.ask)(&host));
            let asked = std::panic::catch_unwind(ask);
            let answer = match asked {
                Ok(Ok(addresses)) if addresses.is_empty() => {
                    Err((io::ErrorKind::NotFound, "the host has no address".into()))
                }
                Ok(Ok(addresses)) => Ok(addresses.into()),
                Ok(Err(error)) => Err((error.kind(), error.to_string().into())),
                Err(_) => Err((io::ErrorKind::Other, "the lookup panicked".into())),
            };
            let took = (self.clock)().saturating_duration_since(begun);
            self.finish(&host, answer, took);
            let next = self.lock().next();
            let Some(next) = next else { return };
            host = next;
        }
    }

    /// A lookup has ended: those who wait get its answer; if there are none, the next one who asks does.
    fn finish(&self, host: &str, answer: Answer, took: Duration) {
        let now = (self.clock)();
        let mut state = self.lock();
        let mut woken = Vec::new();
        let mut was_slow = false;
        if let Some(entry) = state.hosts.get_mut(host) {
            was_slow = entry.pace == Pace::Slow;
            entry.pace = if took > SLOW { Pace::Slow } else { Pace::Quick };
            for waiter in entry.waiters.values_mut() {
                let answered = Waiter::Answered(answer.clone());
                if let Waiter::Waiting(waker) = std::mem::replace(waiter, answered) {
                    woken.push(waker);
                }
            }
            let kept = woken.is_empty();
            entry.stage = if kept { Stage::Kept(answer, now) } else { Stage::Idle };
        }
        state.running -= 1;
        state.running_slow -= usize::from(was_slow);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// The next host to be looked up, if the limits allow it.
    fn next(&mut self) -> Option<Arc<str>> {
        if self.running >= MAX_LOOKUPS {
            return None;
        }
        let [quick, unknown, slow] = &mut self.queues;
        let host = quick.pop_front().or_else(|| unknown.pop_front()).or_else(|| {
            let host = (self.running_slow < MAX_SLOW_LOOKUPS).then(|| slow.pop_front())?;
            self.running_slow += usize::from(host.is_some());
            host
        })?;
        self.running += 1;
        if let Some(entry) = self.hosts.get_mut(&host) {
            entry.stage = Stage::Running;
        }
        Some(host)
    }

    /// Peers come and go: the hosts of former ones are not remembered for ever.
    fn forget_some(&mut self) {
        if self.hosts.len() >= MAX_HOSTS {
            let busy = |host: &Host| {
                !host.waiters.is_empty() || matches!(host.stage, Stage::Queued | Stage::Running)
            };
            self.hosts.retain(|_, host| busy(host));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::task::Wake;
    use std::thread::Thread;

    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn block_on(mut lookup: Lookup) -> io::Result<Vec<SocketAddr>> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match Pin::new(&mut lookup).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => thread::park(),
            }
        }
    }

    fn is_pending(lookup: &mut Lookup) -> bool {
        Pin::new(lookup).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// A name server that the test speaks for.
    struct Server {
        resolver: Resolver,
        /// The hosts that are being looked up, each with the way to answer.
        asked: mpsc::Receiver<(String, mpsc::Sender<io::Result<Vec<IpAddr>>>)>,
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "an origin; the tests move their clocks themselves"
    )]
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

    impl Server {
        fn new(clock: fn() -> Instant) -> Self {
            let (ask, asked) = mpsc::channel();
            let look = move |host: &str| {
                let (answer, answered) = mpsc::channel();
                ask.send((host.to_owned(), answer)).expect("the test goes on");
                answered.recv().unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            };
            Self { resolver: Resolver::with_clock(look, clock), asked }
        }

        fn still() -> Self {
            Self::new(|| *ORIGIN)
        }

        fn lookup(&self, host: &str) -> Lookup {
            let mut lookup = self.resolver.lookup(host, 9000);
            assert!(is_pending(&mut lookup), "{host}");
            lookup
        }

        /// Waits for a question, and answers it by and by.
        fn next(&self) -> (String, mpsc::Sender<io::Result<Vec<IpAddr>>>) {
            self.asked.recv_timeout(Duration::from_secs(10)).expect("a host is looked up")
        }

        fn running(&self) -> usize {
            self.resolver.shared.lock().running
        }

        /// Waits until this many lookups run.
        fn settle(&self, running: usize) {
            while self.running() != running {
                thread::yield_now();
            }
        }
    }

    fn answer(to: &mpsc::Sender<io::Result<Vec<IpAddr>>>) {
        to.send(Ok(vec![ONE])).expect("it waits");
    }

    #[test]
    fn an_address_is_not_looked_up() {
        let server = Server::still();
        for (host, address) in [("127.0.0.1", "127.0.0.1:9000"), ("[::1]", "[::1]:9000")] {
            let found = block_on(server.resolver.lookup(host, 9000)).expect("an address");
            assert_eq!(found, [address.parse().expect("an address")]);
        }
        assert!(server.asked.try_recv().is_err());
    }

    #[test]
    fn attempts_of_one_host_share_its_lookup_which_outlives_them() {
        let server = Server::still();
        let (first, second) = (server.lookup("a"), server.lookup("a"));
        let (host, to) = server.next();
        assert_eq!(host, "a");
        drop(first);
        drop(second);
        let third = server.lookup("a");
        assert_eq!(server.running(), 1);
        answer(&to);
        assert_eq!(block_on(third).expect("found"), [SocketAddr::new(ONE, 9000)]);
        assert!(server.asked.try_recv().is_err(), "it was looked up once");
        let again = server.lookup("a");
        answer(&server.next().1);
        block_on(again).expect("an answer that was taken is not kept");
    }

    #[test]
    fn an_answer_that_came_too_late_is_there_for_the_next_attempt_only() {
        static SECONDS: AtomicU64 = AtomicU64::new(0);
        let server = Server::new(|| *ORIGIN + Duration::from_secs(SECONDS.load(Ordering::Acquire)));
        let late = || {
            drop(server.lookup("a"));
            answer(&server.next().1);
            server.settle(0);
        };
        late();
        SECONDS.fetch_add(4, Ordering::AcqRel);
        block_on(server.resolver.lookup("a", 9000)).expect("it is kept");
        late();
        SECONDS.fetch_add(5, Ordering::AcqRel);
        let old = server.lookup("a");
        answer(&server.next().1);
        block_on(old).expect("it was looked up again");
    }

    #[test]
    fn no_more_than_eight_lookups_run_and_those_given_up_are_never_begun() {
        let server = Server::still();
        let mut lookups: Vec<_> = (0..20).map(|n| server.lookup(&format!("n{n}"))).collect();
        let mut begun: Vec<_> = (0..MAX_LOOKUPS).map(|_| server.next()).collect();
        assert_eq!(server.running(), MAX_LOOKUPS);
        assert!(server.asked.try_recv().is_err());
        let last = lookups.pop().expect("twenty");
        // The dial attempts of all others are over.
        lookups.clear();
        answer(&begun.remove(3).1);
        let (host, to) = server.next();
        assert_eq!(host, "n19", "those between wait no more");
        answer(&to);
        block_on(last).expect("found");
        begun.iter().for_each(|(_, to)| answer(to));
        server.settle(0);
        assert!(server.asked.try_recv().is_err());
    }

    #[test]
    fn hosts_that_were_slow_leave_places_to_the_others() {
        static SECONDS: AtomicU64 = AtomicU64::new(0);
        let server = Server::new(|| *ORIGIN + Duration::from_secs(SECONDS.load(Ordering::Acquire)));
        let dead: Vec<_> = (0..12).map(|n| format!("dead{n}")).collect();
        // Each is found out to be slow.
        for host in &dead {
            let lookup = server.lookup(host);
            let (_, to) = server.next();
            SECONDS.fetch_add(10, Ordering::AcqRel);
            drop(to);
            assert_eq!(block_on(lookup).expect_err("no answer").kind(), io::ErrorKind::TimedOut);
            server.settle(0);
        }
        let waiting: Vec<_> = dead.iter().map(|host| server.lookup(host)).collect();
        let stuck: Vec<_> = (0..MAX_SLOW_LOOKUPS).map(|_| server.next()).collect();
        assert_eq!(server.running(), MAX_SLOW_LOOKUPS);
        let living = server.lookup("living");
        let (host, to) = server.next();
        assert_eq!(host, "living", "the others wait for their places");
        answer(&to);
        block_on(living).expect("found");
        drop(waiting);
        drop(stuck);
        server.settle(0);
    }

    #[test]
    fn what_a_lookup_fails_with_is_told_and_a_panic_harms_no_other_host() {
        let resolver = Resolver::new(|host| match host {
            "empty" => Ok(Vec::new()),
            "panic" => std::panic::resume_unwind(Box::new("a fault of the lookup")),
            "unknown" => Err(io::Error::other("no such host")),
            _ => Ok(vec![ONE]),
        });
        let failed = |host| block_on(resolver.lookup(host, 1)).expect_err("refused").to_string();
        assert_eq!(failed("unknown"), "no such host");
        assert_eq!(failed("empty"), "the host has no address");
        assert_eq!(failed("panic"), "the lookup panicked");
        block_on(resolver.lookup("other", 1)).expect("found");
        assert_eq!(resolver.shared.lock().running, 0);
    }

    #[test]
    fn the_system_s_resolver_finds_this_machine() {
        let found = block_on(Resolver::default().lookup("localhost", 9000)).expect("an address");
        assert!(found.iter().all(|at| at.ip().is_loopback() && at.port() == 9000), "{found:?}");
    }

    #[test]
    fn hosts_of_former_peers_are_not_remembered_for_ever() {
        let resolver = Resolver::new(|_| Ok(vec![ONE]));
        for n in 0..2 * MAX_HOSTS {
            let mut lookup = resolver.lookup(&format!("n{n}"), 1);
            let _ = is_pending(&mut lookup);
        }
        assert!(resolver.shared.lock().hosts.len() <= MAX_HOSTS);
    }
}
