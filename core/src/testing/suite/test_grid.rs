//! The nodes for users' tests: what killing, cutting and holding does to them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::Context;
use std::time::Duration;

use futures::FutureExt;
use futures::future::pending;

use super::super::{TestGrid, eventually};
use super::Flag;
use crate::builder::{BuildError, Builder};
use crate::driver::runtime::{Clock, Connector, Listener, Runtime, Timer};
use crate::error::CallError;
use crate::link::LinkState;
use crate::payload::NoPayload;
use crate::route::Unary;
use crate::time::{Instant, Now};
use crate::timings::Timings;

/// Answers how many lives the nodes had when this one began.
const LIFE: Unary<NoPayload, u32> = Unary::new(1, "life");
const HANG: Unary<NoPayload, NoPayload> = Unary::new(2, "hang");

const DOWN: CallError = CallError::Disconnected { may_have_run: false };
const LOST: CallError = CallError::Disconnected { may_have_run: true };

fn serve<R: Runtime>() -> impl Fn(usize, Builder<R>) -> Builder<R> + Send + Sync + 'static {
    let lives = AtomicU32::new(0);
    move |_, builder| {
        let life = lives.fetch_add(1, Ordering::Relaxed) + 1;
        builder
            .serve(LIFE, move |_, _| async move { Ok::<_, Infallible>(life) })
            .serve(HANG, |_, _| pending::<Result<NoPayload, Infallible>>())
    }
}

async fn connected<R: Runtime>(rt: &R, nodes: usize) -> TestGrid<R> {
    let grid = TestGrid::new(rt, nodes, serve());
    grid.connected().await;
    grid
}

async fn ask<R: Runtime>(grid: &TestGrid<R>, of: usize, to: usize) -> Result<u32, CallError> {
    grid.peer(of, to).call(LIFE, &NoPayload).await
}

pub async fn a_killed_node_is_lost_for_the_others_and_its_own_handles_fail<R: Runtime>(rt: R) {
    for killed in [0, 1] {
        let mut grid = connected(&rt, 3).await;
        let other = 1 - killed;
        let (to, from) = (grid.peer(other, killed), grid.peer(killed, other));
        let (mut call, mut back) = (to.call(HANG, &NoPayload), from.call(HANG, &NoPayload));
        assert!((&mut call).now_or_never().is_none() && (&mut back).now_or_never().is_none());
        eventually(&rt, "it is served", || from.stats().incoming_requests == 1).await;
        // Whoever else holds the node does not keep it.
        let node = grid.node(killed).clone();
        grid.kill(killed);
        assert!(!grid.is_alive(killed));
        let own = back.now_or_never().expect("at once");
        assert!(own.is_err(), "{own:?}");
        assert_eq!(from.call(LIFE, &NoPayload).await, Err(CallError::ShuttingDown));
        assert_eq!(call.await, Err(LOST), "nobody said goodbye");
        grid.disconnected(2, killed).await;
        assert_eq!(ask(&grid, 2, killed).await, Err(DOWN));
        assert_eq!(ask(&grid, 2, other).await, Ok(other as u32 + 1));
        let late = node.add_peer("http://127.0.0.1:1").expect("a good name");
        assert_eq!(late.call(LIFE, &NoPayload).await, Err(CallError::ShuttingDown));
        eventually(&rt, "its links end", || from.state() == LinkState::Shutdown).await;
    }
}

pub async fn a_handler_of_a_killed_node_is_dropped<R: Runtime>(rt: R) {
    let flag = Flag::default();
    let (gone, flag) = (flag.watch(), Arc::new(std::sync::Mutex::new(Some(flag))));
    let mut grid = TestGrid::new(&rt, 2, move |_, builder| {
        let flag = flag.clone();
        builder.serve(HANG, move |_, _| {
            let flag = flag.lock().expect("no panic").take();
            async move {
                let _flag = flag;
                pending::<Result<NoPayload, Infallible>>().await
            }
        })
    });
    grid.connected().await;
    let (peer, callee) = (grid.peer(0, 1), grid.peer(1, 0));
    let mut call = peer.call(HANG, &NoPayload);
    assert!((&mut call).now_or_never().is_none());
    eventually(&rt, "it is served", || callee.stats().incoming_requests == 1).await;
    assert!(!gone());
    grid.kill(1);
    eventually(&rt, "the handler is dropped", gone).await;
}

pub async fn a_restarted_node_is_a_new_one_for_all<R: Runtime>(rt: R) {
    let mut grid = connected(&rt, 3).await;
    for (restarted, life) in [(1, 4), (0, 5), (2, 6), (1, 7)] {
        // No wait for the others to see the end of the former one.
        grid.restart(restarted).await;
        grid.connected().await;
        for of in (0..3).filter(|of| *of != restarted) {
            assert_eq!(ask(&grid, of, restarted).await, Ok(life));
            assert!(ask(&grid, restarted, of).await.is_ok());
        }
    }
}

pub async fn a_partition_isolates_its_groups_exactly_and_heals<R: Runtime>(rt: R) {
    let grid = connected(&rt, 5).await;
    // The nodes that are not named are a group, too.
    grid.partition(&[&[0, 3], &[2]]);
    let group = [0, 1, 2, 0, 1];
    let pairs = || (0..5).flat_map(|of| (0..5).map(move |to| (of, to))).filter(|(a, b)| a != b);
    for (of, to) in pairs().filter(|(of, to)| group[*of] != group[*to]) {
        grid.disconnected(of, to).await;
    }
    // Longer than several attempts to connect take.
    grid.connected().await;
    for _ in 0..20 {
        for (of, to) in pairs() {
            match group[of] == group[to] {
                true => assert_eq!(ask(&grid, of, to).await, Ok(to as u32 + 1)),
                false => assert_eq!(ask(&grid, of, to).await, Err(DOWN)),
            }
        }
    }
    assert_eq!(grid.peer(0, 3).stats().reconnects + grid.peer(3, 0).stats().reconnects, 0);
    grid.heal_all();
    grid.connected().await;
    for (of, to) in pairs() {
        assert_eq!(ask(&grid, of, to).await, Ok(to as u32 + 1));
    }
}

pub async fn a_cut_concerns_one_pair_and_outlives_a_restart<R: Runtime>(rt: R) {
    let mut grid = connected(&rt, 3).await;
    grid.cut(2, 1);
    grid.disconnected(1, 2).await;
    grid.disconnected(2, 1).await;
    grid.restart(2).await;
    grid.connected().await;
    assert_eq!(ask(&grid, 0, 2).await, Ok(4));
    for (of, to) in [(1, 2), (2, 1)] {
        assert_eq!(ask(&grid, of, to).await, Err(DOWN));
    }
    assert_eq!(grid.peer(0, 1).stats().reconnects + grid.peer(1, 0).stats().reconnects, 0);
    grid.heal(1, 2);
    grid.connected().await;
    assert_eq!(ask(&grid, 1, 2).await, Ok(4));
}

pub async fn a_broken_link_is_followed_by_the_next<R: Runtime>(rt: R) {
    let grid = connected(&rt, 2).await;
    let peer = grid.peer(0, 1);
    for reconnects in 1..=5 {
        let mut call = peer.call(HANG, &NoPayload);
        assert!((&mut call).now_or_never().is_none());
        grid.break_link(0, 1);
        grid.connected().await;
        assert!(matches!(call.await, Err(CallError::Disconnected { .. })));
        assert_eq!(ask(&grid, 0, 1).await, Ok(2));
        assert_eq!(ask(&grid, 1, 0).await, Ok(1));
        assert_eq!(peer.stats().reconnects, reconnects);
    }
}

pub async fn a_hold_that_is_released_in_time_has_lost_nothing<R: Runtime>(rt: R) {
    let grid = connected(&rt, 3).await;
    for (of, to) in [(0, 1), (1, 0)] {
        grid.hold(0, 1);
        let (peer, answering) = (grid.peer(of, to), grid.peer(to, of));
        let mut call = peer.call(LIFE, &NoPayload);
        assert!((&mut call).now_or_never().is_none());
        let before = answering.stats();
        for _ in 0..20 {
            assert_eq!(ask(&grid, 0, 2).await, Ok(3));
        }
        assert!((&mut call).now_or_never().is_none(), "it is silent");
        assert_eq!(answering.stats().messages_in, before.messages_in);
        grid.release(0, 1);
        assert_eq!(call.await, Ok(to as u32 + 1));
        assert_eq!(peer.stats().reconnects + answering.stats().reconnects, 0);
    }
}

pub async fn a_held_link_dies_of_silence_at_both_ends<R: Runtime>(rt: R) {
    let serve = serve();
    let grid = TestGrid::new(&rt, 2, move |index, builder| {
        let timings = Timings {
            ping_interval: Duration::from_millis(50),
            silence: Duration::from_millis(500),
            dial: Duration::from_millis(200),
            ..TestGrid::<R>::timings()
        };
        serve(index, builder).timings(timings)
    });
    grid.connected().await;
    grid.hold(0, 1);
    grid.disconnected(0, 1).await;
    grid.disconnected(1, 0).await;
    assert_eq!(ask(&grid, 0, 1).await, Err(DOWN));
    assert_eq!(ask(&grid, 1, 0).await, Err(DOWN));
    grid.heal_all();
    grid.connected().await;
    assert_eq!(ask(&grid, 0, 1).await, Ok(2));
    assert_eq!(ask(&grid, 1, 0).await, Ok(1));
}

pub async fn a_death_behind_a_hold_is_seen_at_the_release<R: Runtime>(rt: R) {
    for killed in [0, 1] {
        let mut grid = connected(&rt, 3).await;
        let (other, dead) = (1 - killed, grid.peer(killed, 1 - killed));
        grid.hold(0, 1);
        grid.kill(killed);
        grid.disconnected(2, killed).await;
        eventually(&rt, "it is dead", || dead.state() == LinkState::Shutdown).await;
        for _ in 0..20 {
            assert_eq!(ask(&grid, other, 2).await, Ok(3));
        }
        assert_eq!(grid.peer(other, killed).state(), LinkState::Connected);
        grid.release(0, 1);
        grid.disconnected(other, killed).await;
    }
}

pub async fn a_node_that_is_shut_down_says_so_and_can_be_restarted<R: Runtime>(rt: R) {
    let mut grid = connected(&rt, 2).await;
    let peer = grid.peer(0, 1);
    grid.shutdown(1, Duration::from_secs(20)).await;
    grid.disconnected(0, 1).await;
    assert_eq!(peer.call(LIFE, &NoPayload).await, Err(DOWN));
    grid.restart(1).await;
    grid.connected().await;
    assert_eq!(peer.call(LIFE, &NoPayload).await, Ok(3));
}

pub async fn a_twin_goes_on_when_the_first_is_killed<R: Runtime>(rt: R) {
    let mut grid = connected(&rt, 2).await;
    let twin = grid.twin(0);
    let peer = twin.peer(&grid.names()[1]).expect("they know each other");
    peer.connected(Duration::from_secs(20)).await.expect("it takes over");
    grid.kill(0);
    let call = peer.call(LIFE, &NoPayload).wait_for_link(Duration::from_secs(20));
    assert_eq!(call.await, Ok(2));
    assert_eq!(ask(&grid, 1, 0).await, Ok(3), "the twin");
    grid.cut(0, 1);
    grid.disconnected(1, 0).await;
    assert_eq!(peer.stats().links_up, 0, "it shares the node's cuts");
}

pub async fn nodes_may_have_names_of_their_own<R: Runtime>(rt: R) {
    let builder = TestGrid::builder(&rt, 3).configure(serve());
    let builder = builder.names(|index| format!("https://node-{index}.example"));
    let mut grid = builder.start().expect("good names");
    assert_eq!(grid.names()[2], "https://node-2.example");
    grid.connected().await;
    grid.restart(2).await;
    grid.connected().await;
    for (of, to, life) in [(0, 1, 2), (1, 0, 1), (2, 0, 1), (0, 2, 4)] {
        assert_eq!(ask(&grid, of, to).await, Ok(life));
    }
}

pub async fn what_cannot_work_is_an_error_of_the_start<R: Runtime>(rt: R) {
    let named = TestGrid::builder(&rt, 2).names(|_| "no URL".into()).start();
    assert!(matches!(named, Err(BuildError::Config(_))), "{named:?}");
    let retry_max = Duration::ZERO;
    let timed = TestGrid::builder(&rt, 2).in_memory().configure(move |_, builder| {
        builder.timings(Timings { retry_max, ..TestGrid::<R>::timings() })
    });
    let timed = timed.start();
    assert!(matches!(timed, Err(BuildError::Config(_))), "{timed:?}");
}

pub async fn a_dropped_grid_leaves_no_task_behind<R: Runtime>(rt: R) {
    let counting = Counting { runtime: rt.clone(), tasks: Arc::default() };
    let tasks = counting.tasks.clone();
    let grids = [TestGrid::new, TestGrid::in_memory].map(|new| new(&counting, 4, serve()));
    let mut held = Vec::new();
    for grid in &grids {
        grid.connected().await;
        for (of, to) in [(0, 1), (1, 2), (3, 0)] {
            let (peer, callee) = (grid.peer(of, to), grid.peer(to, of));
            let mut call = Box::pin(peer.call(HANG, &NoPayload));
            assert!((&mut call).now_or_never().is_none());
            eventually(&rt, "it is served", || callee.stats().incoming_requests == 1).await;
            held.push((call, grid.node(to).clone()));
        }
        grid.hold(0, 1);
        grid.cut(1, 2);
        grid.partition(&[&[3]]);
    }
    assert!(tasks.load(Ordering::Acquire) >= 2 * (4 * 3 + 4));
    drop(grids);
    eventually(&rt, "all tasks end", || tasks.load(Ordering::Acquire) == 0).await;
    for (call, _node) in held {
        assert!(call.await.is_err());
    }
}

pub async fn the_tasks_of_peers_without_a_link_end_with_them<R: Runtime>(rt: R) {
    let counting = Counting { runtime: rt.clone(), tasks: Arc::default() };
    let tasks = counting.tasks.clone();
    let grid = TestGrid::in_memory(&counting, 2, serve());
    grid.connected().await;
    // A loop that accepts and a peer's task for each node. That the link is up does not mean that
    // the task which let its connection in has ended.
    let before = 2 * (1 + 1);
    eventually(&rt, "the link is up", || tasks.load(Ordering::Acquire) == before).await;
    // One that dials, or is dialled, by each of several names: none is there.
    let strangers = (0..6).map(|n| format!("http://stranger-{n}:9000"));
    let strangers: Vec<_> = strangers.collect();
    for name in &strangers {
        grid.node(0).add_peer(name).expect("a new name");
    }
    assert_eq!(tasks.load(Ordering::Acquire), before + strangers.len());
    for name in &strangers {
        grid.node(0).remove_peer(name).expect("it was added");
    }
    eventually(&rt, "their tasks end", || tasks.load(Ordering::Acquire) == before).await;
}

/// Counts the tasks that live.
#[derive(Clone)]
struct Counting<R> {
    runtime: R,
    tasks: Arc<AtomicUsize>,
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl<R: Runtime> Clock for Counting<R> {
    fn instant(&self) -> Instant {
        self.runtime.instant()
    }

    fn now(&self) -> Now {
        self.runtime.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.runtime.timer()
    }
}

impl<R: Runtime> Runtime for Counting<R> {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        self.tasks.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(self.tasks.clone());
        self.runtime.spawn(async move {
            let _counted = counted;
            future.await;
        });
    }

    fn yield_now(&self, cx: &mut Context<'_>) -> bool {
        self.runtime.yield_now(cx)
    }

    fn is_slow_to_wake(&self) -> bool {
        self.runtime.is_slow_to_wake()
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        self.runtime.bind(address)
    }

    fn connector(&self) -> Box<dyn Connector> {
        self.runtime.connector()
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        self.runtime.random()
    }

    fn for_node(&self, index: usize) -> Self {
        Self { runtime: self.runtime.for_node(index), tasks: self.tasks.clone() }
    }
}
