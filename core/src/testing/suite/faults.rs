//! A bug of ours in one link's machine: that link is dropped, the node goes on.

use std::convert::Infallible;

use futures::FutureExt;
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::pending;

use super::super::{Logs, TestGrid, eventually};
use crate::driver::runtime::Runtime;
use crate::error::{CallError, CancelReason};
use crate::handle::{Context, Fault};
use crate::payload::{NoPayload, Payload};
use crate::route::{ServerStream, Unary};

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const HANG: Unary<NoPayload, NoPayload> = Unary::new(2, "hang");
const ITEMS: ServerStream<NoPayload, u32> = ServerStream::new(3, "items");

/// Three nodes; the machine of node `at` for node 0 or 1 panics, and calls are open on it.
async fn survives<R: Runtime>(rt: &R, fault: Fault, at: usize) {
    let logs = Logs::listen();
    let (told, mut reasons) = mpsc::unbounded();
    let grid = TestGrid::new(rt, 3, move |_, builder| {
        let told = told.clone();
        builder
            .serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
            .serve(HANG, move |_, ctx: Context| {
                let told = told.clone();
                async move {
                    let _ = told.unbounded_send(ctx.cancelled().await);
                    pending::<Result<NoPayload, Infallible>>().await
                }
            })
            .serve_stream(ITEMS, |_, _, _| pending::<Result<(), Infallible>>())
    });
    grid.connected().await;
    let (peer, callee, other) = (grid.peer(0, 1), grid.peer(1, 0), grid.peer(0, 2));
    let mut bystander = other.call(HANG, &NoPayload);
    assert!((&mut bystander).now_or_never().is_none());
    let mut call = peer.call(HANG, &NoPayload);
    assert!((&mut call).now_or_never().is_none());
    let mut items = peer.open(ITEMS, &NoPayload).await.expect("opened");
    eventually(rt, "both are served", || {
        let stats = callee.stats();
        stats.incoming_requests == 1 && stats.incoming_streams == 1
    })
    .await;
    let struck = if at == 0 { &peer } else { &callee };
    struck.inject(fault);
    if fault == Fault::Using {
        let outcome = struck.call(ECHO, &Payload::NIL).await;
        assert_eq!(outcome, Err(CallError::Disconnected { may_have_run: true }));
    }
    let lost = CallError::Disconnected { may_have_run: true };
    assert_eq!(call.await, Err(lost.clone()));
    assert_eq!(items.next().await, Some(Err(lost)));
    assert_eq!(items.next().await, None);
    assert_eq!(reasons.next().await, Some(CancelReason::Disconnected));
    drop(items);

    grid.connected().await;
    for (of, to) in [(0, 1), (1, 0), (0, 2), (1, 2)] {
        for n in 0..10 {
            let request = Payload::from(vec![n]);
            assert_eq!(grid.peer(of, to).call(ECHO, &request).await, Ok(request));
        }
    }
    assert!((&mut bystander).now_or_never().is_none(), "the other link is the same");
    assert_eq!(other.stats().reconnects, 0);
    let name = &grid.names()[at];
    assert_eq!(logs.problems(name, "the link's machine panicked").len(), 1);
}

pub async fn a_panic_in_the_link_s_task_costs_that_link_only<R: Runtime>(rt: R) {
    survives(&rt, Fault::Driving, 0).await;
    survives(&rt, Fault::Driving, 1).await;
}

pub async fn a_panic_on_a_user_s_thread_costs_that_link_only<R: Runtime>(rt: R) {
    survives(&rt, Fault::Using, 0).await;
    survives(&rt, Fault::Using, 1).await;
}

pub async fn a_handler_of_the_lost_machine_answers_nobody_else<R: Runtime>(rt: R) {
    let (leave, mut left) = mpsc::unbounded::<futures::channel::oneshot::Sender<()>>();
    const STUBBORN: Unary<Payload, Payload> = Unary::new(4, "stubborn").run_to_end();
    let grid = TestGrid::new(&rt, 2, move |_, builder| {
        let leave = leave.clone();
        builder.serve(STUBBORN, move |request, _| {
            let (go, goes) = futures::channel::oneshot::channel();
            let _ = leave.unbounded_send(go);
            async move {
                let _ = goes.await;
                Ok::<_, Infallible>(request)
            }
        })
    });
    grid.connected().await;
    let (peer, callee) = (grid.peer(0, 1), grid.peer(1, 0));
    let (first, second) = (Payload::from(vec![1]), Payload::from(vec![2]));
    let mut call = peer.call(STUBBORN, &first);
    assert!((&mut call).now_or_never().is_none());
    let old = left.next().await.expect("it runs");
    callee.inject(Fault::Driving);
    assert_eq!(call.await, Err(CallError::Disconnected { may_have_run: true }));
    grid.connected().await;
    let mut call = peer.call(STUBBORN, &second);
    assert!((&mut call).now_or_never().is_none());
    let new = left.next().await.expect("it runs");
    old.send(()).expect("it waits");
    eventually(&rt, "nothing", || callee.stats().incoming_requests == 1).await;
    new.send(()).expect("it waits");
    assert_eq!(call.await, Ok(second));
}
