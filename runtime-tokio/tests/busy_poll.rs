//! Which links' tasks stay awake, and for how long: on a clock that stands until a test moves it.

use std::convert::Infallible;
use std::future::{Future, IntoFuture, pending};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use gridmux_tokio::Tokio;
use gridmux_tokio::driver::runtime::{Clock, Connector, Listener, Runtime, Timer};
use gridmux_tokio::payload::Payload;
use gridmux_tokio::route::Unary;
use gridmux_tokio::testing::TestGrid;
use gridmux_tokio::time::{Instant, Now};
use gridmux_tokio::wire::Timestamp;

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");

/// Tokio with a clock that stands, which counts how often a link's task has yielded.
#[derive(Clone)]
struct Standing {
    tokio: Tokio,
    nanos: Arc<AtomicU64>,
    yields: Arc<AtomicUsize>,
    slow_to_wake: bool,
}

struct Never;

impl Timer for Never {
    fn poll_until(&mut self, _: Instant, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Clock for Standing {
    fn instant(&self) -> Instant {
        Instant::from_nanos(self.nanos.load(Ordering::Acquire))
    }

    fn now(&self) -> Now {
        let wall = Timestamp { seconds: 1_700_000_000, nanos: 0 };
        Now { instant: self.instant(), wall }
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(Never)
    }
}

impl Runtime for Standing {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        self.tokio.spawn(future);
    }

    fn yield_now(&self, cx: &mut Context<'_>) -> bool {
        self.yields.fetch_add(1, Ordering::AcqRel);
        self.tokio.yield_now(cx)
    }

    fn is_slow_to_wake(&self) -> bool {
        self.slow_to_wake
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        self.tokio.bind(address)
    }

    fn connector(&self) -> Box<dyn Connector> {
        self.tokio.connector()
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        self.tokio.random()
    }
}

/// Two nodes, their clock, and how to make so many calls at the same time.
struct Two {
    grid: TestGrid<Standing>,
    runtime: Standing,
}

impl Two {
    async fn new(busy_poll: Option<Duration>) -> Self {
        Self::on(false, busy_poll).await
    }

    async fn on(slow_to_wake: bool, busy_poll: Option<Duration>) -> Self {
        let runtime = Standing {
            tokio: Tokio::default(),
            nanos: Arc::new(AtomicU64::new(1_000_000_000)),
            yields: Arc::new(AtomicUsize::new(0)),
            slow_to_wake,
        };
        let grid = TestGrid::in_memory(&runtime, 2, move |_, builder| {
            let builder = builder.serve(ECHO, |request, _| async { Ok::<_, Infallible>(request) });
            match busy_poll {
                Some(short) => builder.busy_poll(short),
                None => builder,
            }
        });
        grid.connected().await;
        Self { grid, runtime }
    }

    async fn calls(&self, rounds: usize, at_once: usize) {
        let (peer, request) = (self.grid.peer(0, 1), Payload::from(vec![7; 100]));
        for _ in 0..rounds {
            let calls: Vec<_> =
                (0..at_once).map(|_| peer.call(ECHO, &request).into_future()).collect();
            for answer in futures::future::join_all(calls).await {
                assert_eq!(answer.as_ref(), Ok(&request));
            }
        }
    }

    /// How often the links' tasks yield while others have so many turns.
    async fn yields(&self, turns: usize) -> usize {
        let before = self.runtime.yields.load(Ordering::Acquire);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        self.runtime.yields.load(Ordering::Acquire) - before
    }

    fn pass(&self, time: Duration) {
        self.runtime.nanos.fetch_add(time.as_nanos() as u64, Ordering::AcqRel);
    }
}

#[tokio::test]
async fn the_tasks_of_a_busy_link_stay_awake_until_the_wait_is_long() {
    let two = Two::new(None).await;
    two.calls(3, 16).await;
    assert!(two.yields(100).await >= 150, "both ends wait for more");
    two.pass(Duration::from_micros(49));
    assert!(two.yields(100).await >= 100);
    two.pass(Duration::from_micros(1));
    two.yields(2).await;
    assert_eq!(two.yields(100).await, 0, "they sleep");
    two.calls(3, 16).await;
    assert!(two.yields(100).await >= 100, "waits are short again");
}

#[tokio::test]
async fn the_tasks_of_single_messages_stay_awake_where_that_is_set_or_the_runtime_is_slow_to_wake()
{
    let cases = [
        (false, None, false),
        (false, Some(100), true),
        (false, Some(0), false),
        (true, None, true),
        (true, Some(0), false),
    ];
    for (slow_to_wake, busy_poll, awake) in cases {
        let two = Two::on(slow_to_wake, busy_poll.map(Duration::from_micros)).await;
        two.calls(10, 1).await;
        assert_eq!(two.yields(100).await >= 100, awake, "{slow_to_wake} {busy_poll:?}");
        two.pass(Duration::from_micros(100));
        two.yields(4).await;
        assert_eq!(two.yields(100).await, 0, "{slow_to_wake} {busy_poll:?}: they sleep");
        two.calls(2, 1).await;
    }
}

#[tokio::test]
async fn what_is_set_to_zero_never_stays_awake() {
    let two = Two::new(Some(Duration::ZERO)).await;
    two.calls(10, 16).await;
    assert_eq!(two.runtime.yields.load(Ordering::Acquire), 0);
}

/// A link's task that stays awake gives way: whoever shares its only thread goes on.
#[tokio::test]
async fn a_task_that_stays_awake_lets_others_run() {
    let two = Two::new(Some(Duration::from_millis(10))).await;
    two.calls(10, 1).await;
    let timer = tokio::time::timeout(Duration::from_millis(1), pending::<()>());
    assert!(timer.await.is_err(), "the runtime's timers fire");
    assert!(two.yields(1).await > 0, "and the task was awake all the time");
}
