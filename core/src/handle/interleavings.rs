//! The handles and the driver under shuttle's scheduler: every lock is a point where another thread
//! may go on, and the order is drawn anew each time. Time stands still, or moves when it is looked at,
//! and no timer fires, so that a wake-up that is lost is never made good by one: the test then ends in a
//! deadlock, and fails.
//!
//! `RUSTC_WORKSPACE_WRAPPER=.ci/rustc-shuttle cargo test -p gridmux-core --lib interleavings`

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use futures::future::pending;
use futures::{FutureExt, StreamExt};
use shuttle::future::{block_on, spawn};
use shuttle::scheduler::RandomScheduler;
use shuttle::sync::{Mutex, MutexGuard};
use shuttle::{Config, MaxSteps, Runner};

use super::{Context, Fault, Grid, Input, Output, PeerHandle};
use crate::auth::SharedSecret;
use crate::driver::runtime::{BoxFuture, Clock, Connector, Listener, Runtime, Timer, Transport};
use crate::error::CallError;
use crate::limits::Limits;
use crate::payload::{NoPayload, Payload};
use crate::route::{TwoWay, Unary};
use crate::time::{Instant, Now};
use crate::wire::Timestamp;

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const INLINE: Unary<Payload, Payload> = Unary::new(2, "inline");
const HANG: Unary<NoPayload, NoPayload> = Unary::new(3, "hang");
const DOUBLE: TwoWay<NoPayload, u32, u32> = TwoWay::new(4, "double").in_capacity(1).out_capacity(1);
const DEAF: TwoWay<NoPayload, u32, u32> = TwoWay::new(5, "deaf").in_capacity(1);

// ---- a runtime whose clock stands nearly still, and whose network is memory ----

const START: Instant = Instant::from_millis(1000);

#[derive(Clone)]
struct Still {
    nodes: Nodes,
    /// So much later it is each time that somebody looks at the clock.
    step: Duration,
    looks: Arc<AtomicU32>,
}

type Nodes = Arc<Mutex<Net>>;

/// Who can be dialled, and all that was dialled.
#[derive(Default)]
struct Net {
    nodes: BTreeMap<String, Grid<Still>>,
    pipes: Vec<Arc<Pipe>>,
}

impl Clock for Still {
    fn instant(&self) -> Instant {
        START.after(self.step * self.looks.fetch_add(1, Ordering::Relaxed))
    }

    fn now(&self) -> Now {
        let wall = Timestamp { seconds: 1_700_000_000, nanos: 0 };
        Now { instant: self.instant(), wall }
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(Never)
    }
}

struct Never;

impl Timer for Never {
    fn poll_until(&mut self, at: Instant, _: &mut TaskContext<'_>) -> Poll<()> {
        // What is due is due at once; nothing else is before a second has passed.
        if at < START.after(Duration::from_millis(500)) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Runtime for Still {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        drop(spawn(future));
    }

    fn yield_now(&self, cx: &mut TaskContext<'_>) -> bool {
        cx.waker().wake_by_ref();
        true
    }

    fn bind(&self, _: &str) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connector(&self) -> Box<dyn Connector> {
        Box::new(PipeConnector(self.nodes.clone()))
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        Ok([7; 16])
    }
}

struct PipeConnector(Nodes);

impl Connector for PipeConnector {
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let net = self.0.clone();
        let node = locked(&net).nodes.get(name).cloned();
        Box::pin(async move {
            let node = node.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (near, far) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
            locked(&net).pipes.extend([near.clone(), far.clone()]);
            node.accept(Box::new(Ends { read: near.clone(), write: far.clone() }));
            Ok(Box::new(Ends { read: far, write: near }) as Box<dyn Transport>)
        })
    }
}

#[derive(Default)]
struct Pipe(Mutex<PipeState>);

#[derive(Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    closed: bool,
    reader: Option<Waker>,
}

impl Pipe {
    fn with<T>(&self, act: impl FnOnce(&mut PipeState) -> T) -> T {
        let mut state = locked(&self.0);
        let result = act(&mut state);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        result
    }
}

struct Ends {
    read: Arc<Pipe>,
    write: Arc<Pipe>,
}

impl Transport for Ends {
    fn poll_read(
        &mut self,
        cx: &mut TaskContext<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let mut state = locked(&self.read.0);
        if state.bytes.is_empty() && !state.closed {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = state.bytes.len().min(buf.capacity() - buf.len());
        buf.extend(state.bytes.drain(..len));
        Poll::Ready(Ok(len))
    }

    fn try_read(&mut self, buf: &mut BytesMut) -> Option<Poll<io::Result<usize>>> {
        let read = self.poll_read(&mut TaskContext::from_waker(Waker::noop()), buf);
        // Whoever only looks is not woken, nor by what it gave before.
        locked(&self.read.0).reader = None;
        Some(read)
    }

    fn poll_write(&mut self, _: &mut TaskContext<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write.with(|state| {
            if state.closed {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            state.bytes.extend(buf);
            Poll::Ready(Ok(buf.len()))
        })
    }

    fn poll_close(&mut self, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.write.with(|state| state.closed = true);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        for pipe in [&self.read, &self.write] {
            pipe.with(|state| state.closed = true);
        }
    }
}

/// Whatever another task's panic has come through: shuttle's tasks share one thread, which
/// counts as panicking for all of them.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// ---- two nodes ----

struct Two {
    nodes: Nodes,
    /// Held by each handler that hangs.
    hanging: Arc<()>,
    dialler: Grid<Still>,
    acceptor: Grid<Still>,
    to: PeerHandle,
    from: PeerHandle,
}

impl Two {
    async fn connected(limits: Limits) -> Self {
        Self::staying_awake(limits, Duration::ZERO, Duration::ZERO).await
    }

    /// Where the clock stands, and `busy_poll` is not zero, the links' tasks never sleep once a wait was
    /// over. Where it moves by `step`, they do after so many looks at it.
    async fn staying_awake(limits: Limits, busy_poll: Duration, step: Duration) -> Self {
        let nodes = Nodes::default();
        let hanging = Arc::new(());
        let mut names = ["http://a:1", "http://b:1"];
        if !crate::link::dials(names[0], names[1]) {
            names.reverse();
        }
        // The acceptor is there before anyone dials.
        let [dialler, acceptor] = names.map(|own| {
            let runtime = Still { nodes: nodes.clone(), step, looks: Arc::default() };
            Grid::builder_on(runtime, own)
                .peers(names)
                .auth(SharedSecret::new("a secret of the tests").expect("long enough"))
                .limits(limits.clone())
                .busy_poll(busy_poll)
                .serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
                .serve_inline(INLINE, |request, _: &Context| Ok::<_, Infallible>(request))
                .serve(HANG, {
                    let hanging = hanging.clone();
                    move |_, _| {
                        let hanging = hanging.clone();
                        async move {
                            let _hanging = hanging;
                            pending::<Result<NoPayload, Infallible>>().await
                        }
                    }
                })
                .serve_two_way(DOUBLE, |_, input, out, _| double(input, out))
                .serve_two_way(DEAF, |_, input: Input<u32>, out: Output<u32>, _| async move {
                    let _held = (input, out);
                    pending::<Result<(), Infallible>>().await
                })
                .start_gate()
                .build()
                .expect("good settings")
        });
        locked(&nodes).nodes.insert(names[1].to_owned(), acceptor.clone());
        acceptor.start();
        dialler.start();
        let to = dialler.peer(names[1]).expect("known");
        let from = acceptor.peer(names[0]).expect("known");
        to.connected(Duration::from_secs(1)).await.expect("connected");
        from.connected(Duration::from_secs(1)).await.expect("connected");
        Self { nodes, hanging, dialler, acceptor, to, from }
    }

    /// Both end in all order, and nothing is left.
    async fn end(self) {
        let nodes = std::mem::take(&mut locked(&self.nodes).nodes);
        drop(nodes);
        self.dialler.shutdown(Duration::ZERO).await;
        self.acceptor.shutdown(Duration::ZERO).await;
        // Beside this one, each node's own handler holds it.
        while Arc::strong_count(&self.hanging) > 3 {
            shuttle::future::yield_now().await;
        }
        for peer in [self.to, self.from] {
            let stats = peer.stats();
            let open = (stats.outgoing_requests, stats.outgoing_streams);
            assert_eq!((open, stats.queued_bytes, stats.received_bytes), ((0, 0), 0, 0));
        }
    }
}

async fn double(mut input: Input<u32>, mut out: Output<u32>) -> Result<(), CallError> {
    while let Some(Ok(n)) = input.next().await {
        out.send(2 * n).await?;
    }
    Ok(())
}

/// Runs the test in this many orders.
fn explore<F: Future<Output = ()> + Send + 'static>(
    orders: usize,
    test: impl Fn() -> F + Send + Sync + 'static,
) {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = MaxSteps::FailAfter(100_000);
    Runner::new(RandomScheduler::new(orders), config).run(move || block_on(test()));
}

// ---- the tests ----

/// Requests from both sides at the same time, to handlers of both kinds.
fn calls_both_ways(busy_poll: Duration, step: Duration) {
    explore(200, move || async move {
        let two = Two::staying_awake(Limits::default(), busy_poll, step).await;
        let callers =
            [(&two.to, ECHO), (&two.from, INLINE), (&two.to, INLINE)].map(|(peer, route)| {
                let peer = peer.clone();
                spawn(async move {
                    for n in 0..2 {
                        let request = Payload::from(vec![n; 10]);
                        assert_eq!(peer.call(route, &request).await, Ok(request));
                    }
                })
            });
        for caller in callers {
            caller.await.expect("it has not panicked");
        }
        two.end().await;
    });
}

#[test]
fn no_wake_up_is_lost_between_poll_and_park() {
    calls_both_ways(Duration::ZERO, Duration::ZERO);
}

#[test]
fn no_wake_up_is_lost_while_a_task_stays_awake() {
    calls_both_ways(Duration::from_micros(1), Duration::ZERO);
}

#[test]
fn no_wake_up_is_lost_between_a_tasks_last_look_and_its_sleep() {
    for busy_poll in [5, 20] {
        calls_both_ways(Duration::from_micros(busy_poll), Duration::from_micros(1));
    }
}

#[test]
fn a_call_may_be_dropped_while_it_is_completed() {
    explore(200, || async {
        let two = Two::connected(Limits::default()).await;
        let droppers = [ECHO, INLINE].map(|route| {
            let peer = two.to.clone();
            spawn(async move {
                let mut call = Box::pin(async move {
                    let request = Payload::from(vec![1]);
                    let _ = peer.call(route, &request).await;
                });
                let _ = (&mut call).now_or_never();
                shuttle::thread::yield_now();
                drop(call);
            })
        });
        let request = Payload::from(vec![2]);
        assert_eq!(two.to.call(ECHO, &request).await, Ok(request.clone()));
        for dropper in droppers {
            dropper.await.expect("it has not panicked");
        }
        assert_eq!(two.to.call(INLINE, &request).await, Ok(request));
        two.end().await;
    });
}

#[test]
fn two_halves_work_on_two_threads() {
    explore(200, || async {
        let two = Two::connected(Limits::default()).await;
        let (mut tx, mut rx) = two.to.open(DOUBLE, &NoPayload).await.expect("opened");
        let sending = spawn(async move {
            for n in 0..3 {
                tx.send(n).await.expect("sent");
            }
            tx.close();
        });
        for n in 0..3 {
            assert_eq!(rx.next().await, Some(Ok(2 * n)));
        }
        assert_eq!(rx.next().await, None);
        sending.await.expect("it has not panicked");
        two.end().await;
    });
}

#[test]
fn everyone_who_waits_is_told_that_the_link_is_lost() {
    explore(200, || {
        everyone_is_told(|two| {
            let pipes = std::mem::take(&mut locked(&two.nodes).pipes);
            pipes.iter().for_each(|pipe| pipe.with(|state| state.closed = true));
        })
    });
}

#[test]
fn everyone_who_waits_is_told_that_the_machine_has_panicked() {
    explore(100, || everyone_is_told(|two| _ = two.to.inject(Fault::Using)));
    explore(100, || everyone_is_told(|two| _ = two.from.inject(Fault::Driving)));
}

/// A call, a reader, a writer and a watcher wait, while the link goes: by `how`, and by the end of
/// the other node.
async fn everyone_is_told(how: impl FnOnce(&Two)) {
    let two = Two::connected(Limits::default()).await;
    let peer = two.to.clone();
    let call = spawn(async move { peer.call(HANG, &NoPayload).await });
    let peer = two.to.clone();
    let stream = spawn(async move {
        let opened = peer.open(DEAF, &NoPayload).await;
        let Ok((mut tx, mut rx)) = opened else { return };
        let reader = spawn(async move { while let Some(Ok(_)) = rx.next().await {} });
        while tx.send(1).await.is_ok() {}
        reader.await.expect("it has not panicked");
    });
    let mut states = two.to.watch();
    let watcher = spawn(async move { while states.next().await.is_some() {} });
    how(&two);
    two.acceptor.shutdown(Duration::ZERO).await;
    two.dialler.shutdown(Duration::ZERO).await;
    let outcome = call.await.expect("it has not panicked");
    assert!(outcome.is_err(), "{outcome:?}");
    stream.await.expect("it has not panicked");
    watcher.await.expect("it has not panicked");
    two.end().await;
}

#[test]
fn a_handler_is_told_of_its_cancel_whenever_it_comes() {
    explore(200, || async {
        let two = Two::connected(Limits::default()).await;
        let peer = two.to.clone();
        let call = spawn(async move {
            let mut call = peer.call(HANG, &NoPayload);
            let _ = (&mut call).now_or_never();
        });
        call.await.expect("it has not panicked");
        two.end().await;
    });
}

#[test]
fn senders_that_wait_for_room_all_get_it() {
    explore(100, || async {
        let two = Two::connected(Limits { queued_bytes: 100, ..Limits::default() }).await;
        let callers = [1, 2, 3].map(|n| {
            let peer = two.to.clone();
            spawn(async move {
                let request = Payload::from(vec![n; 200]);
                assert_eq!(peer.call(ECHO, &request).await, Ok(request));
            })
        });
        for caller in callers {
            caller.await.expect("it has not panicked");
        }
        two.end().await;
    });
}
