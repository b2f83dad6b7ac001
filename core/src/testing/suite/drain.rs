//! The graceful end of a node, and the ungraceful one.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::pending;
use futures::{FutureExt, StreamExt};

use super::super::{Raw, TestGrid, eventually, spawn};
use super::Flag;
use crate::auth::SharedSecret;
use crate::builder::Builder;
use crate::driver::runtime::Runtime;
use crate::error::CallError;
use crate::handle::{Input, Output, WeakGrid};
use crate::link::LinkState;
use crate::payload::NoPayload;
use crate::route::{TwoWay, Unary};
use crate::test_util::SECRET;
use crate::timings::Timings;

const GATED: Unary<NoPayload, NoPayload> = Unary::new(1, "gated");
const HANG: Unary<NoPayload, NoPayload> = Unary::new(2, "hang");
const ECHO: TwoWay<NoPayload, u32, u32> = TwoWay::new(3, "echo");

const GRACE: Duration = Duration::from_secs(20);

/// Two nodes that serve each other; a gated call is answered once the sender says so.
async fn gated<R: Runtime>(rt: &R) -> (TestGrid<R>, mpsc::UnboundedSender<()>) {
    let (go, goes) = mpsc::unbounded::<()>();
    let goes = Arc::new(futures::lock::Mutex::new(goes));
    let grid = TestGrid::new(rt, 2, move |_, builder| {
        let goes = goes.clone();
        builder
            .serve(GATED, move |_, _| {
                let goes = goes.clone();
                async move {
                    goes.lock().await.next().await;
                    Ok::<_, Infallible>(NoPayload)
                }
            })
            .serve(HANG, |_, _| pending::<Result<NoPayload, Infallible>>())
            .serve_two_way(ECHO, |_, mut input: Input<u32>, mut out: Output<u32>, _| async move {
                while let Some(Ok(n)) = input.next().await {
                    out.send(n).await?;
                }
                Ok::<_, CallError>(())
            })
    });
    grid.connected().await;
    (grid, go)
}

/// The node `leaving` shuts down: what runs goes on to its end, both ways, and nothing new begins.
async fn lets_calls_finish<R: Runtime>(rt: &R, leaving: usize) {
    let staying = 1 - leaving;
    let (mut grid, go) = gated(rt).await;
    let (to, from) = (grid.peer(staying, leaving), grid.peer(leaving, staying));
    let (mut call, mut back) = (to.call(GATED, &NoPayload), from.call(GATED, &NoPayload));
    assert!((&mut call).now_or_never().is_none() && (&mut back).now_or_never().is_none());
    let (mut tx, mut rx) = to.open(ECHO, &NoPayload).await.expect("opened");
    tx.send(1).await.expect("sent");
    assert_eq!(rx.next().await, Some(Ok(1)));
    eventually(rt, "it is served", || to.stats().incoming_requests == 1).await;
    eventually(rt, "it is served", || from.stats().incoming_requests == 1).await;

    let node = grid.take(leaving);
    let leaver = node.clone();
    let ending = spawn(rt, async move { leaver.shutdown(GRACE).await });
    eventually(rt, "the other one is told", || {
        let refused = to.call(HANG, &NoPayload).now_or_never();
        refused == Some(Err(CallError::PeerShuttingDown))
    })
    .await;
    let refused = from.call(HANG, &NoPayload).now_or_never();
    assert_eq!(refused, Some(Err(CallError::ShuttingDown)));
    tx.send(2).await.expect("it goes on");
    assert_eq!(rx.next().await, Some(Ok(2)));
    tx.close();
    assert_eq!(rx.next().await, None);
    go.unbounded_send(()).expect("they wait");
    go.unbounded_send(()).expect("they wait");
    assert_eq!(call.await, Ok(NoPayload));
    assert_eq!(back.await, Ok(NoPayload));
    ending.await;
    assert_eq!(from.state(), LinkState::Shutdown);
    eventually(rt, "the link is closed", || to.state() != LinkState::Connected).await;
}

pub async fn an_acceptor_that_shuts_down_lets_calls_finish_both_ways<R: Runtime>(rt: R) {
    lets_calls_finish(&rt, 1).await;
}

pub async fn a_dialler_that_shuts_down_lets_calls_finish_both_ways<R: Runtime>(rt: R) {
    lets_calls_finish(&rt, 0).await;
}

pub async fn a_grace_too_short_cancels_what_runs<R: Runtime>(rt: R) {
    let (mut grid, _go) = gated(&rt).await;
    let (to, from) = (grid.peer(0, 1), grid.peer(1, 0));
    let (mut call, mut back) = (to.call(HANG, &NoPayload), from.call(HANG, &NoPayload));
    assert!((&mut call).now_or_never().is_none() && (&mut back).now_or_never().is_none());
    eventually(&rt, "it is served", || to.stats().incoming_requests == 1).await;
    eventually(&rt, "it is served", || from.stats().incoming_requests == 1).await;
    grid.take(1).shutdown(Duration::from_millis(20)).await;
    let lost = call.await.expect_err("refused");
    assert!(matches!(lost, CallError::Disconnected { may_have_run: true }), "{lost:?}");
    assert_eq!(back.await, Err(CallError::Cancelled));
}

pub async fn a_second_shutdown_can_only_shorten_the_grace<R: Runtime>(rt: R) {
    let (mut grid, _go) = gated(&rt).await;
    let (to, from) = (grid.peer(0, 1), grid.peer(1, 0));
    let mut call = to.call(HANG, &NoPayload);
    assert!((&mut call).now_or_never().is_none());
    eventually(&rt, "it is served", || from.stats().incoming_requests == 1).await;
    let node = grid.take(1);
    let mut first = Box::pin(node.shutdown(Duration::from_secs(3600)));
    assert!((&mut first).now_or_never().is_none());
    node.shutdown(Duration::from_millis(1)).await;
    first.await;
    assert!(call.await.is_err());
}

pub async fn both_nodes_may_shut_down_at_once<R: Runtime>(rt: R) {
    let (mut grid, go) = gated(&rt).await;
    let (to, from) = (grid.peer(0, 1), grid.peer(1, 0));
    let (mut call, mut back) = (to.call(GATED, &NoPayload), from.call(GATED, &NoPayload));
    assert!((&mut call).now_or_never().is_none() && (&mut back).now_or_never().is_none());
    eventually(&rt, "it is served", || to.stats().incoming_requests == 1).await;
    eventually(&rt, "it is served", || from.stats().incoming_requests == 1).await;
    let ending = [grid.take(0), grid.take(1)]
        .map(|node| spawn(&rt, async move { node.shutdown(GRACE).await }));
    for _ in 0..2 {
        go.unbounded_send(()).expect("they wait");
    }
    assert_eq!((call.await, back.await), (Ok(NoPayload), Ok(NoPayload)));
    futures::future::join_all(ending).await;
    assert_eq!((to.state(), from.state()), (LinkState::Shutdown, LinkState::Shutdown));
}

pub async fn a_node_that_shuts_down_refuses_connections_and_then_frees_its_port<R: Runtime>(rt: R) {
    let (mut grid, go) = gated(&rt).await;
    let to = grid.peer(0, 1);
    let mut call = to.call(GATED, &NoPayload);
    assert!((&mut call).now_or_never().is_none());
    let names = grid.names().to_vec();
    let from = grid.peer(1, 0);
    eventually(&rt, "it is served", || from.stats().incoming_requests == 1).await;
    let node = grid.take(1);
    let ending = node.clone();
    let ending = spawn(&rt, async move { ending.shutdown(GRACE).await });
    eventually(&rt, "it leaves", || {
        to.call(HANG, &NoPayload).now_or_never() == Some(Err(CallError::PeerShuttingDown))
    })
    .await;
    let mut raw = Raw::connect(&rt, &names[1]).await;
    let wall = rt.now().wall;
    let token = Raw::token(&names[0], wall);
    raw.upgrade(&names[1], &token, wall.to_unix_nanos()).await.expect("upgraded");
    let refused = raw.greet(&Raw::hello(&names[0], [9; 16], token, wall)).await;
    assert_eq!(refused, Err("shutting down".into()));
    go.unbounded_send(()).expect("it waits");
    assert_eq!(call.await, Ok(NoPayload));
    ending.await;
    grid.restart(1).await;
    grid.connected().await;
}

pub async fn dropping_the_last_handle_of_a_grid_closes_its_links<R: Runtime>(rt: R) {
    let (mut grid, _go) = gated(&rt).await;
    let (to, from) = (grid.peer(0, 1), grid.peer(1, 0));
    let (mut call, mut back) = (to.call(HANG, &NoPayload), from.call(HANG, &NoPayload));
    assert!((&mut call).now_or_never().is_none() && (&mut back).now_or_never().is_none());
    eventually(&rt, "it is served", || to.stats().incoming_requests == 1).await;
    eventually(&rt, "it is served", || from.stats().incoming_requests == 1).await;
    let node = grid.take(1);
    let clone = node.clone();
    drop(node);
    assert!((&mut back).now_or_never().is_none(), "a clone keeps it");
    drop(clone);
    assert_eq!(back.await, Err(CallError::Cancelled));
    assert!(matches!(call.await, Err(CallError::Disconnected { .. })));
    assert_eq!(from.call(HANG, &NoPayload).await, Err(CallError::ShuttingDown));
    grid.restart(1).await;
    grid.connected().await;
}

pub async fn a_node_without_a_link_shuts_down_at_once<R: Runtime>(rt: R) {
    let (mut grid, _go) = gated(&rt).await;
    grid.kill(1);
    let peer = grid.peer(0, 1);
    eventually(&rt, "the link is lost", || peer.state() != LinkState::Connected).await;
    grid.node(0).shutdown(Duration::from_secs(3600)).await;
    assert_eq!(peer.state(), LinkState::Shutdown);
    let late = grid.node(0).add_peer("http://127.0.0.1:1").expect("a good name");
    assert_eq!(late.call(HANG, &NoPayload).await, Err(CallError::ShuttingDown));
}

pub async fn the_port_is_free_when_the_shutdown_is_over<R: Runtime>(rt: R) {
    let mut address = "127.0.0.1:0".to_owned();
    for _ in 0..50 {
        let builder = Builder::new(rt.clone(), "http://one:1".into()).peers(["http://two:1"]);
        let secret = SharedSecret::new(SECRET).expect("long enough");
        let node = builder.auth(secret).bind(&address).await.expect("its port is free");
        address = node.local_addr().expect("it listens").to_string();
        node.shutdown(Duration::ZERO).await;
        drop(rt.bind(&address).expect("the port is free at once, though the node is held"));
        assert!(node.listen(&address).is_err(), "a node that is over listens no more");
        drop(rt.bind(&address).expect("and it has not for a moment"));
    }
}

pub async fn a_connection_that_nobody_owns_yet_ends_with_the_node<R: Runtime>(rt: R) {
    let mut grid = TestGrid::new(&rt, 2, |_, builder| {
        let acceptor_handshake = Duration::from_secs(3600);
        builder.timings(Timings { acceptor_handshake, ..TestGrid::<R>::timings() })
    });
    grid.connected().await;
    let mut silent = Raw::connect(&rt, &grid.names()[1]).await;
    let mut raw = Raw::connect(&rt, &grid.names()[1]).await;
    let wall = rt.now().wall;
    let token = Raw::token(&grid.names()[0], wall);
    raw.upgrade(&grid.names()[1], &token, wall.to_unix_nanos()).await.expect("upgraded");
    grid.take(1).shutdown(Duration::ZERO).await;
    assert!(raw.read_to_end().await.is_empty() && silent.read_to_end().await.is_empty());
}

pub async fn handlers_have_ended_when_the_shutdown_is_over<R: Runtime>(rt: R) {
    let (told, mut begun) = mpsc::unbounded();
    let mut grid = TestGrid::new(&rt, 2, move |_, builder| {
        let told = told.clone();
        builder.serve(HANG, move |_, _| {
            let flag = Flag::default();
            told.unbounded_send(flag.watch()).expect("the test waits");
            async move {
                let _flag = flag;
                pending::<Result<NoPayload, Infallible>>().await
            }
        })
    });
    grid.connected().await;
    let peers = [grid.peer(0, 1), grid.peer(1, 0)];
    let mut calls = peers.each_ref().map(|peer| Box::pin(peer.call(HANG, &NoPayload)));
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    let gone = [begun.next().await.expect("it begins"), begun.next().await.expect("so does this")];
    // The link of one handler is removed before, so that its peer is none of the node's any more.
    let node = grid.take(1);
    node.remove_peer(&grid.names()[0]).expect("it is one");
    node.shutdown(Duration::ZERO).await;
    grid.take(0).shutdown(Duration::ZERO).await;
    assert!(gone.iter().all(|gone| gone()), "both were dropped");
}

pub async fn a_handler_may_shut_its_own_node_down<R: Runtime>(rt: R) {
    const STUBBORN: Unary<NoPayload, NoPayload> = Unary::new(5, "stubborn").run_to_end();
    for route in [HANG, STUBBORN] {
        let own = Arc::new(OnceLock::<WeakGrid<R>>::new());
        let (told, mut over) = mpsc::unbounded();
        let inside = own.clone();
        let mut grid = TestGrid::new(&rt, 2, move |index, builder| {
            let (inside, told) = (inside.clone(), told.clone());
            match index {
                0 => builder,
                _ => builder.serve(route, move |_, _| {
                    let node = inside.get().and_then(WeakGrid::upgrade).expect("it runs");
                    let told = told.clone();
                    async move {
                        node.shutdown(Duration::from_millis(20)).await;
                        told.unbounded_send(()).expect("the test waits");
                        Ok::<_, Infallible>(NoPayload)
                    }
                }),
            }
        });
        let node = grid.take(1);
        assert!(own.set(node.downgrade()).is_ok());
        let (to, from) = (grid.peer(0, 1), node.peer(&grid.names()[0]).expect("it knows it"));
        to.connected(GRACE).await.expect("a link");
        let outcome = to.call(route, &NoPayload).await;
        assert!(outcome.is_err_and(|error| error.may_have_run()), "its own call is cut short");
        eventually(&rt, "it is shut down", || from.state() == LinkState::Shutdown).await;
        node.shutdown(Duration::ZERO).await;
        if route.info().run_to_end {
            assert_eq!(over.next().await, Some(()), "its shutdown ends, though it runs");
        }
    }
}
