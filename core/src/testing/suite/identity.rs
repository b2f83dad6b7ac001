//! An address that has become another node's.

use std::convert::Infallible;
use std::time::Duration;

use super::super::{Logs, TestGrid, eventually};
use super::door::serve_http;
use crate::auth::StaticToken;
use crate::driver::runtime::Runtime;
use crate::error::CallError;
use crate::handle::PeerHandle;
use crate::link::{LinkState, dials};
use crate::payload::Payload;
use crate::route::Unary;

const WHO: Unary<Payload, usize> = Unary::new(1, "who");

/// How the nodes know each other.
#[derive(Clone, Copy)]
enum By {
    Secret,
    /// A token that says nothing of who shows it to whom.
    Token,
}

/// Two nodes that answer with their numbers, of which the first one dials.
fn nodes<R: Runtime>(rt: &R, by: By) -> TestGrid<R> {
    TestGrid::new(rt, 2, move |index, builder| {
        let builder = match by {
            By::Secret => builder,
            By::Token => builder.auth(StaticToken::new("the-token").expect("it fits a header")),
        };
        builder.serve(WHO, move |_, _| async move { Ok::<_, Infallible>(index) })
    })
}

/// An address at which the second node answers now, as the peer of that name at the first one.
fn moved<R: Runtime>(rt: &R, grid: &TestGrid<R>, silent: bool) -> PeerHandle {
    // A listener is its runtime's, and the second node may be on another one.
    let rt = rt.for_node(1);
    loop {
        let listener = rt.bind("127.0.0.1:0").expect("a free port");
        let name = format!("http://{}", listener.local_addr().expect("it has one"));
        if !dials(&grid.names()[0], &name) {
            continue;
        }
        let node = grid.node(1).clone();
        if silent {
            rt.spawn(async move {
                let _ = serve_http(listener, node, false).await;
            });
        } else {
            node.listen_on(listener).expect("it has an address");
        }
        return grid.node(0).add_peer(&name).expect("a new name");
    }
}

async fn is_refused<R: Runtime>(rt: &R, grid: &TestGrid<R>, moved: &PeerHandle, logs: &Logs) {
    let names = grid.names();
    let told = || !logs.problems(&names[0], moved.name()).is_empty();
    eventually(rt, "it is told", told).await;
    assert_ne!(moved.state(), LinkState::Connected);
    let refused = moved.call(WHO, &Payload::NIL).await;
    assert_eq!(refused, Err(CallError::Disconnected { may_have_run: false }));
    let lines = logs.problems(&names[0], moved.name());
    assert!(lines.iter().all(|line| line.text.contains(&names[1])), "both names: {lines:?}");
    assert_eq!(lines.len(), 1, "{lines:?}");
    // The node that is there is not disturbed.
    let there = grid.peer(0, 1);
    assert_eq!(there.call(WHO, &Payload::NIL).await, Ok(1));
    assert_eq!(there.stats().reconnects, 0);
}

pub async fn an_address_that_is_another_nodes_is_refused_by_its_token<R: Runtime>(rt: R) {
    let logs = Logs::listen();
    let grid = nodes(&rt, By::Secret);
    grid.connected().await;
    is_refused(&rt, &grid, &moved(&rt, &grid, false), &logs).await;
}

pub async fn an_address_that_is_another_nodes_is_refused_by_the_answer<R: Runtime>(rt: R) {
    let logs = Logs::listen();
    let grid = nodes(&rt, By::Token);
    grid.connected().await;
    is_refused(&rt, &grid, &moved(&rt, &grid, false), &logs).await;
}

/// Behind a server that does not say who answers, as that of a MinIO node, the process is the same one.
pub async fn one_process_is_not_the_peer_of_two_names<R: Runtime>(rt: R) {
    let logs = Logs::listen();
    let grid = nodes(&rt, By::Token);
    grid.connected().await;
    let moved = moved(&rt, &grid, true);
    let names = grid.names();
    let both = || {
        let lines = logs.problems(&names[0], "the process that answers for");
        lines.iter().any(|line| line.text.contains(moved.name()) && line.text.contains(&names[1]))
    };
    eventually(&rt, "both names are told", both).await;
    assert_ne!(moved.state(), LinkState::Connected);
    let refused = moved.call(WHO, &Payload::NIL).await;
    assert_eq!(refused, Err(CallError::Disconnected { may_have_run: false }));
    // The node that is there has taken the connection for a newer one of this node, and given up the
    // first one. That is made anew, and stays: the other attempts are rare.
    let there = grid.peer(0, 1);
    there.connected(Duration::from_secs(5)).await.expect("it is there");
    let mut answer = there.call(WHO, &Payload::NIL).await;
    if matches!(answer, Err(CallError::Disconnected { .. })) {
        // It was made on the first link, just before that was lost.
        there.connected(Duration::from_secs(5)).await.expect("it is there again");
        answer = there.call(WHO, &Payload::NIL).await;
    }
    assert_eq!(answer, Ok(1));
    assert!(there.stats().reconnects <= 1);
}
