//! The graceful end of a node, and the ungraceful one.

use std::convert::Infallible;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::pending;
use futures::{FutureExt, StreamExt};

use super::super::{Raw, TestGrid, eventually, spawn};
use crate::driver::runtime::Runtime;
use crate::error::CallError;
use crate::handle::{Input, Output};
use crate::link::LinkState;
use crate::payload::NoPayload;
use crate::route::{TwoWay, Unary};

const GATED: Unary<NoPayload, NoPayload> = Unary::new(1, "gated");
const HANG: Unary<NoPayload, NoPayload> = Unary::new(2, "hang");
const ECHO: TwoWay<NoPayload, u32, u32> = TwoWay::new(3, "echo");

const GRACE: Duration = Duration::from_secs(20);

/// Two nodes that serve each other; a gated call is answered once the sender says so.
async fn gated<R: Runtime>(rt: &R) -> (TestGrid<R>, mpsc::UnboundedSender<()>) {
    let (go, goes) = mpsc::unbounded::<()>();
    let goes = std::sync::Arc::new(futures::lock::Mutex::new(goes));
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
