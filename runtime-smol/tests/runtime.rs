//! What is smol's own: where a node may be built, and what happens when its executor ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use gridmux_smol::builder::BuildError;
use gridmux_smol::error::CallError;
use gridmux_smol::payload::{NoPayload, Payload};
use gridmux_smol::route::Unary;
use gridmux_smol::testing::{TestGrid, eventually, sleep, within};
use gridmux_smol::{Grid, Smol, auth};
use smol::Executor;

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const HANG: Unary<NoPayload, NoPayload> = Unary::new(2, "hang");

fn auth() -> auth::StaticToken {
    auth::StaticToken::new("token").expect("a good one")
}

fn two(runtime: &Smol) -> TestGrid<Smol> {
    TestGrid::new(runtime, 2, |_, builder| {
        builder
            .serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
            .serve(HANG, |_, _| std::future::pending::<Result<NoPayload, Infallible>>())
    })
}

/// Spawns on an executor that others hold: its own tasks must not.
fn runtime_on(executor: &Arc<Executor<'static>>) -> Smol {
    let executor = Arc::downgrade(executor);
    Smol::spawning_with(move |task| {
        if let Some(executor) = executor.upgrade() {
            executor.spawn(task).detach();
        }
    })
}

#[test]
fn a_node_can_be_built_and_used_outside_of_any_executor() {
    let grid = two(&Smol::default());
    smol::future::block_on(async {
        grid.connected().await;
        let echoed = grid.peer(0, 1).call(ECHO, &Payload::EMPTY).await;
        assert_eq!(echoed, Ok(Payload::EMPTY));
    });
}

#[test]
fn an_address_that_is_taken_is_a_build_error() {
    smol::block_on(async {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("it has one").to_string();
        let bound = Grid::builder(format!("http://{address}")).auth(auth()).bind(&address).await;
        let text = bound.map_err(|error| error.to_string()).expect_err("it is taken");
        assert!(text.contains(&address), "{text}");
        let nowhere = Grid::builder("http://127.0.0.1:1").auth(auth()).bind("no address").await;
        assert!(matches!(nowhere, Err(BuildError::Listen { .. })), "{nowhere:?}");
    });
}

#[test]
fn a_single_threaded_executor_will_do() {
    let executor = Arc::new(Executor::new());
    smol::block_on(executor.run(async {
        let grid = two(&runtime_on(&executor));
        grid.connected().await;
        let request = Payload::from(vec![7; 1 << 20]);
        assert_eq!(grid.peer(0, 1).call(ECHO, &request).await, Ok(request));
    }));
}

#[test]
fn calls_may_be_made_from_another_executor() {
    let grid = two(&Smol::default());
    let abroad = Executor::new();
    smol::block_on(abroad.run(async {
        grid.connected().await;
        let peer = grid.peer(0, 1);
        assert_eq!(peer.call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
        let late = peer.call(HANG, &NoPayload).timeout(Duration::from_millis(300)).await;
        assert_eq!(late, Err(CallError::DeadlineExceeded { may_have_run: true }));
    }));
}

#[test]
fn a_call_that_waits_is_told_when_its_executor_ends() {
    let (home, abroad) = (Arc::new(Executor::new()), Smol::default());
    let grid = two(&runtime_on(&home));
    let (leave, left) = smol::channel::bounded::<()>(1);
    let thread = {
        let home = home.clone();
        thread::spawn(move || smol::block_on(home.run(left.recv())))
    };
    smol::block_on(async {
        grid.connected().await;
        let peer = grid.peer(0, 1);
        let waiting = peer.clone();
        let call = smol::spawn(async move { waiting.call(HANG, &NoPayload).await });
        eventually(&abroad, "the handler runs", || grid.peer(1, 0).stats().incoming_requests == 1)
            .await;
        drop(leave);
        thread.join().expect("no panic").expect_err("it was sent nothing");
        drop(home);
        let ended = within(&abroad, Duration::from_secs(20), "the call ends", call).await;
        assert!(ended.is_err(), "{ended:?}");
        assert_eq!(peer.call(ECHO, &Payload::EMPTY).await, Err(CallError::ShuttingDown));
    });
}

#[test]
fn a_dropped_shutdown_stops_listening() {
    let runtime = Smol::default();
    let port = || std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let addresses = [port(), port()].map(|address| address.expect("a free port").to_string());
    let names = addresses.clone().map(|address| format!("http://{address}"));
    let node = async |index: usize| {
        let builder = Grid::builder(&names[index]).peers(&names).auth(auth());
        let hang = |_, _| std::future::pending::<Result<NoPayload, Infallible>>();
        builder.serve(HANG, hang).bind(&addresses[index]).await.expect("a node")
    };
    smol::block_on(async {
        let (one, two) = (node(0).await, node(1).await);
        one.connected(Duration::from_secs(10)).await.expect("a link");
        let (caller, to) = (one.peer(&names[1]).expect("a peer"), two.peer(&names[0]));
        let call = smol::spawn(async move { caller.call(HANG, &NoPayload).await });
        // The shutdown has something to wait for.
        let to = to.expect("a peer");
        eventually(&runtime, "the call runs", || to.stats().incoming_requests == 1).await;
        let shutdown = async {
            one.shutdown(Duration::from_secs(30)).await;
            panic!("the call holds it up");
        };
        smol::future::or(shutdown, sleep(&runtime, Duration::from_millis(50))).await;
        let free = || std::net::TcpListener::bind(&addresses[0]).is_ok();
        eventually(&runtime, "the port is free", free).await;
        two.shutdown(Duration::ZERO).await;
        assert!(call.await.is_err());
    });
}

/// One thread has the links' tasks, a timer and the sockets: they all go on while the tasks stay awake.
#[test]
fn tasks_that_stay_awake_let_others_run() {
    let executor = Arc::new(Executor::new());
    let runtime = runtime_on(&executor);
    smol::block_on(executor.run(async {
        let grid = TestGrid::new(&runtime, 2, |_, builder| {
            builder
                .busy_poll(Duration::from_millis(10))
                .serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
        });
        grid.connected().await;
        let peer = grid.peer(0, 1);
        for byte in 0..50 {
            let request = Payload::from(vec![byte; 100]);
            assert_eq!(peer.call(ECHO, &request).await, Ok(request));
            smol::Timer::after(Duration::from_micros(100)).await;
        }
    }));
}
