//! Which links' tasks stay awake, and for how long: on a clock that stands until a test moves it.

mod standing;

use std::convert::Infallible;
use std::future::{IntoFuture, pending};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use gridmux_tokio::error::CallError;
use gridmux_tokio::payload::Payload;
use gridmux_tokio::route::Unary;
use gridmux_tokio::testing::TestGrid;

use self::standing::Standing;

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const HOLD: Unary<Payload, Payload> = Unary::new(2, "hold");

/// Two nodes, their clock, and how to make so many calls at the same time.
struct Two {
    grid: TestGrid<Standing>,
    runtime: Standing,
}

impl Two {
    async fn new(busy_poll: Option<Duration>) -> Self {
        Self::on(Standing::default(), busy_poll).await
    }

    async fn on(runtime: Standing, busy_poll: Option<Duration>) -> Self {
        let grid = TestGrid::in_memory(&runtime, 2, move |_, builder| {
            let builder = builder
                .serve(ECHO, |request, _| async { Ok::<_, Infallible>(request) })
                .serve(HOLD, |_, _| pending::<Result<Payload, Infallible>>());
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
        self.runtime.pass(time);
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
        let runtime = Standing { slow_to_wake, ..Standing::default() };
        let two = Two::on(runtime, busy_poll.map(Duration::from_micros)).await;
        two.calls(10, 1).await;
        assert_eq!(two.yields(100).await >= 100, awake, "{slow_to_wake} {busy_poll:?}");
        two.pass(Duration::from_micros(100));
        two.yields(4).await;
        assert_eq!(two.yields(100).await, 0, "{slow_to_wake} {busy_poll:?}: they sleep");
        two.calls(2, 1).await;
    }
}

#[tokio::test]
async fn the_tasks_of_single_messages_stay_awake_where_other_calls_are_open_and_waits_always_short()
{
    let two = Two::new(None).await;
    two.calls(20, 1).await;
    assert_eq!(two.yields(100).await, 0, "one call at a time");
    let (peer, request) = (two.grid.peer(0, 1), Payload::from(vec![7; 100]));
    let mut held = pin!(peer.call(HOLD, &request).into_future());
    assert!(held.as_mut().now_or_never().is_none());
    for _ in 0..2 {
        two.pass(Duration::from_micros(50));
        two.calls(4, 1).await;
        assert_eq!(two.yields(100).await, 0, "the wait before these was long");
        two.calls(10, 1).await;
        assert!(two.yields(100).await >= 100);
        two.pass(Duration::from_micros(50));
        two.yields(2).await;
        assert_eq!(two.yields(100).await, 0, "they sleep");
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

#[tokio::test]
async fn the_links_of_a_runtime_that_cannot_yield_are_woken_for_what_comes() {
    let runtime = Standing { slow_to_wake: true, sleepy: true, ..Standing::default() };
    let two = Two::on(runtime, None).await;
    two.calls(10, 1).await;
    assert!(two.runtime.yields.load(Ordering::Acquire) > 0, "they have tried");
    assert_eq!(two.yields(100).await, 0, "and sleep");
    two.calls(10, 16).await;
}

/// Whatever a connection's bytes bring to light, the next connection serves the peer.
#[tokio::test]
async fn a_panic_while_a_task_looks_for_bytes_costs_its_link_only() {
    let runtime = Standing { slow_to_wake: true, ..Standing::default() };
    let grid = TestGrid::builder(&runtime, 2)
        .configure(|_, node| node.serve(ECHO, |it, _| async { Ok::<_, Infallible>(it) }))
        .start();
    let two = Two { grid: grid.expect("good settings"), runtime };
    two.grid.connected().await;
    two.calls(10, 1).await;
    assert!(two.yields(10).await > 0, "they look");
    two.runtime.faulty.store(true, Ordering::Release);
    while two.runtime.faulty.load(Ordering::Acquire) {
        tokio::task::yield_now().await;
    }
    let request = Payload::from(vec![7; 100]);
    let lost = two.grid.peer(0, 1).call(ECHO, &request).await;
    assert!(matches!(lost, Err(CallError::Disconnected { .. })), "{lost:?}");
    two.pass(Duration::from_secs(10));
    two.runtime.ring();
    two.grid.connected().await;
    two.calls(10, 1).await;
}
