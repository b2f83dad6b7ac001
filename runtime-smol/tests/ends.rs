//! What a node leaves behind when it is shut down: nothing. One test only, since it counts the process's
//! descriptors.
#![cfg(target_os = "linux")]

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use gridmux_smol::payload::{NoPayload, Payload};
use gridmux_smol::route::Unary;
use gridmux_smol::testing::eventually;
use gridmux_smol::{Grid, Smol, auth};
use smol::Executor;

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const HANG: Unary<NoPayload, NoPayload> = Unary::new(2, "hang");

const PATIENCE: Duration = Duration::from_secs(10);

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("a list").count()
}

fn free_port() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    free.expect("a free port")
}

async fn node(runtime: &Smol, own: SocketAddr, peers: &[SocketAddr]) -> Grid {
    let name = |at: &SocketAddr| format!("http://{at}");
    Grid::builder_on(runtime.clone(), name(&own))
        .peers(peers.iter().map(name))
        .auth(auth::SharedSecret::new("at least 16 bytes of secret").expect("it is"))
        .serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
        .serve(HANG, |_, _| std::future::pending::<Result<NoPayload, Infallible>>())
        .bind(&own.to_string())
        .await
        .expect("a node")
}

/// Two nodes with all that nodes can have open: links, calls, strangers, dial attempts that hang or
/// fail, a former peer. Then their ends.
async fn life_and_death(runtime: &Smol, drop_it: bool, tasks: &Executor<'static>) {
    let (one, two) = (free_port(), free_port());
    // Connections to it stay in its backlog, unanswered.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut peers = vec![one, two, silent.local_addr().expect("it has one")];
    peers.extend((0..4).map(|_| free_port()));
    let nodes = [node(runtime, one, &peers).await, node(runtime, two, &peers).await];
    let [to, back] = [(0, two), (1, one)].map(|(of, other)| {
        nodes[of].peer(&format!("http://{other}")).expect("they know each other")
    });
    to.connected(PATIENCE).await.expect("a link");
    back.connected(PATIENCE).await.expect("a link");
    let request = Payload::from(vec![7; 1000]);
    for _ in 0..10 {
        assert_eq!(to.call(ECHO, &request).await.as_ref(), Ok(&request));
        assert_eq!(back.call(ECHO, &request).await.as_ref(), Ok(&request));
    }
    let hanging = to.call(HANG, &NoPayload).timeout(Duration::from_millis(50)).await;
    assert!(hanging.is_err(), "its handler is cancelled, and its task waits for the next");
    nodes[0].remove_peer(&format!("http://{}", peers[3])).expect("it is one");
    let strangers = [one, two].map(|at| TcpStream::connect(at).expect("it listens"));

    if drop_it {
        drop(nodes);
        eventually(runtime, "all tasks end", || tasks.is_empty()).await;
    } else {
        for node in &nodes {
            node.shutdown(Duration::ZERO).await;
        }
        assert!(tasks.is_empty(), "at once");
    }
    for at in [one, two] {
        drop(TcpListener::bind(at).expect("its port is free"));
    }
    // The handles are still held.
    drop((to, back, strangers, silent));
}

#[test]
fn nothing_is_left_of_a_node_that_has_ended() {
    let executor = Arc::new(Executor::new());
    let weak = Arc::downgrade(&executor);
    let runtime = Smol::spawning_with(move |task| {
        if let Some(executor) = weak.upgrade() {
            executor.spawn(task).detach();
        }
    });
    // On one thread nothing runs between the end of the shutdown and the count.
    smol::block_on(executor.run(async {
        // What the reactor itself opens, it keeps.
        life_and_death(&runtime, true, &executor).await;
        let before = descriptors();
        for drop_it in [false, true, false] {
            life_and_death(&runtime, drop_it, &executor).await;
            assert_eq!(descriptors(), before);
        }
    }));
}
