//! What is tokio's own: where a node may be built, and what happens when its runtime ends.

use std::convert::Infallible;
use std::time::Duration;

use gridmux_tokio::builder::BuildError;
use gridmux_tokio::error::CallError;
use gridmux_tokio::payload::{NoPayload, Payload};
use gridmux_tokio::route::Unary;
use gridmux_tokio::testing::{TestGrid, eventually};
use gridmux_tokio::{Grid, Tokio, auth};
use tokio::runtime::{Builder, Runtime};

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const SLOW: Unary<Payload, Payload> = Unary::new(3, "slow");
const HANG: Unary<NoPayload, NoPayload> = Unary::new(2, "hang");

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

fn auth() -> auth::StaticToken {
    auth::StaticToken::new("token").expect("a good one")
}

fn two() -> TestGrid<Tokio> {
    TestGrid::new(&Tokio::default(), 2, |_, builder| {
        builder
            .serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
            .serve(HANG, |_, _| std::future::pending::<Result<NoPayload, Infallible>>())
    })
}

#[test]
fn outside_of_a_runtime_a_node_cannot_be_built() {
    let built = Grid::builder("http://127.0.0.1:1").auth(auth()).build();
    assert!(matches!(built, Err(BuildError::Runtime(_))), "{built:?}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_build_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has one").to_string();
    let bound = Grid::builder(format!("http://{address}")).auth(auth()).bind(&address).await;
    let text = bound.map_err(|error| error.to_string()).expect_err("it is taken");
    assert!(text.contains(&address), "{text}");
    let nowhere = Grid::builder("http://127.0.0.1:1").auth(auth()).bind("no address").await;
    assert!(matches!(nowhere, Err(BuildError::Listen { .. })), "{nowhere:?}");
}

#[tokio::test]
async fn a_single_threaded_runtime_will_do() {
    let grid = two();
    grid.connected().await;
    let request = Payload::from(vec![7; 1 << 20]);
    assert_eq!(grid.peer(0, 1).call(ECHO, &request).await, Ok(request));
}

#[test]
fn calls_may_be_made_from_another_runtime() {
    let (home, abroad) = (runtime(), runtime());
    let grid = home.block_on(async { two() });
    abroad.block_on(async {
        grid.connected().await;
        let peer = grid.peer(0, 1);
        assert_eq!(peer.call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
        let late = peer.call(HANG, &NoPayload).timeout(Duration::from_millis(300)).await;
        assert_eq!(late, Err(CallError::DeadlineExceeded { may_have_run: true }));
    });
}

#[test]
fn a_call_that_waits_is_told_when_its_runtime_ends() {
    let (home, abroad) = (runtime(), runtime());
    let grid = home.block_on(async { two() });
    abroad.block_on(async {
        grid.connected().await;
        let peer = grid.peer(0, 1);
        let waiting = peer.clone();
        let call = tokio::spawn(async move { waiting.call(HANG, &NoPayload).await });
        while grid.peer(1, 0).stats().incoming_requests == 0 {
            tokio::task::yield_now().await;
        }
        home.shutdown_background();
        let ended = tokio::time::timeout(Duration::from_secs(20), call).await;
        let ended = ended.expect("in time").expect("no panic");
        assert!(ended.is_err(), "{ended:?}");
        assert_eq!(peer.call(ECHO, &Payload::EMPTY).await, Err(CallError::ShuttingDown));
    });
}

#[tokio::test]
async fn a_dropped_shutdown_stops_listening() {
    let port = || std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let addresses = [port(), port()].map(|address| address.expect("a free port").to_string());
    let names = addresses.clone().map(|address| format!("http://{address}"));
    let node = async |index: usize| {
        let builder = Grid::builder(&names[index]).peers(&names).auth(auth());
        let hang = |_, _| std::future::pending::<Result<NoPayload, Infallible>>();
        builder.serve(HANG, hang).bind(&addresses[index]).await.expect("a node")
    };
    let (one, two) = (node(0).await, node(1).await);
    one.connected(Duration::from_secs(10)).await.expect("a link");
    let call = one.peer(&names[1]).expect("a peer").call(HANG, &NoPayload);
    let shutdown = async {
        // Once the call is on its way, so that the shutdown has something to wait for.
        tokio::time::sleep(Duration::from_millis(50)).await;
        tokio::time::timeout(Duration::from_millis(50), one.shutdown(Duration::from_secs(30))).await
    };
    tokio::select! {
        ended = call => panic!("{ended:?}"),
        ended = shutdown => assert!(ended.is_err(), "the call holds it up"),
    }
    for _ in 0..100 {
        if std::net::TcpListener::bind(&addresses[0]).is_ok() {
            return two.shutdown(Duration::ZERO).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} is still taken", addresses[0]);
}

/// Calls at the same time, each with a handler that has to wait.
async fn calls(grid: &TestGrid<Tokio>, count: usize) {
    let (peer, request) = (grid.peer(0, 1), Payload::from(vec![7; 100]));
    let calls: Vec<_> = (0..count).map(|_| peer.call(SLOW, &request).into_future()).collect();
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.as_ref(), Ok(&request));
    }
}

#[tokio::test]
async fn the_tasks_of_handlers_are_used_again_and_end_with_the_traffic() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let outside = tasks();
    let grid = TestGrid::in_memory(&Tokio::default(), 2, |_, builder| {
        builder.serve(SLOW, |request, _| async move {
            // Until all nine have begun.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, Infallible>(request)
        })
    });
    grid.connected().await;
    let before = tasks();
    for _ in 0..3 {
        calls(&grid, 9).await;
        assert_eq!(tasks(), before + 9, "nine handlers at a time");
    }
    eventually(&Tokio::default(), "the link is idle", || tasks() == before).await;
    calls(&grid, 9).await;
    drop(grid);
    eventually(&Tokio::default(), "nothing is left of a grid", || tasks() == outside).await;
}
