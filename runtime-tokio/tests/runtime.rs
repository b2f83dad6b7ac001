//! What is tokio's own: where a node may be built, and what happens when its runtime ends.

use std::convert::Infallible;
use std::time::Duration;

use gridmux_tokio::builder::BuildError;
use gridmux_tokio::error::CallError;
use gridmux_tokio::payload::{NoPayload, Payload};
use gridmux_tokio::route::Unary;
use gridmux_tokio::testing::TestGrid;
use gridmux_tokio::{Grid, Tokio, auth};
use tokio::runtime::{Builder, Runtime};

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
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
    assert!(matches!(bound, Err(BuildError::Listen(_))), "{bound:?}");
    let nowhere = Grid::builder("http://127.0.0.1:1").auth(auth()).bind("no address").await;
    assert!(matches!(nowhere, Err(BuildError::Listen(_))), "{nowhere:?}");
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
