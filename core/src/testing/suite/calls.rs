//! Single requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{join_all, pending};
use futures::{FutureExt, StreamExt};

use super::super::{TestGrid, eventually, spawn};
use super::{pair, server};
use crate::builder::Builder;
use crate::driver::runtime::Runtime;
use crate::error::{CallError, CancelReason};
use crate::handle::Context;
use crate::link::LinkState;
use crate::payload::{NoPayload, Payload};
use crate::route::Unary;

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const FAIL: Unary<NoPayload, NoPayload> = Unary::new(2, "fail");
const HANG: Unary<NoPayload, NoPayload> = Unary::new(3, "hang");
const ECHO_INLINE: Unary<Payload, Payload> = Unary::new(4, "echo-inline");
const UNKNOWN: Unary<NoPayload, NoPayload> = Unary::new(99, "unknown");

fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    builder
        .serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
        .serve_inline(ECHO_INLINE, |request, _| Ok::<_, Infallible>(request))
        .serve(FAIL, |_, _| async { Err("no such volume: é") })
        .serve(HANG, |_, _| pending::<Result<NoPayload, Infallible>>())
}

fn text(text: &str) -> Payload {
    Payload::from(text.as_bytes().to_vec())
}

pub async fn a_call_is_answered_by_its_handler<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let reply = server(&grid).call(ECHO, &text("hello")).await;
    assert_eq!(reply, Ok(text("hello")));
}

pub async fn building_a_call_sends_nothing_and_its_first_poll_does<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let peer = server(&grid);
    let before = peer.stats().messages_out;
    let request = text("hello");
    let mut call = Box::pin(peer.call(ECHO, &request));
    assert_eq!(peer.stats().messages_out, before);
    assert!(call.as_mut().now_or_never().is_none());
    assert_eq!(peer.stats().messages_out, before + 1);
    assert_eq!(call.await, Ok(text("hello")));
    drop(peer.call(ECHO, &request));
    assert_eq!(peer.stats().messages_out, before + 1, "dropped unpolled, it never was");
}

pub async fn a_call_ends_once_and_then_says_so<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let request = text("hello");
    let mut call = server(&grid).call(ECHO, &request);
    assert_eq!((&mut call).await, Ok(text("hello")));
    assert_eq!((&mut call).await, Err(CallError::Cancelled));
}

pub async fn a_call_to_an_unconnected_peer_fails_at_once_and_has_not_run<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    grid.cut(0, 1);
    let peer = server(&grid);
    let mut states = peer.watch();
    while states.changed().await == Some(LinkState::Connected) {}
    let outcome = peer.call(FAIL, &NoPayload).now_or_never().expect("at once");
    assert_eq!(outcome, Err(CallError::Disconnected { may_have_run: false }));
}

pub async fn wait_for_link_waits_until_the_link_is_up<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    grid.cut(0, 1);
    let peer = server(&grid);
    eventually(&rt, "the link is down", || peer.state() != LinkState::Connected).await;
    let request = text("later");
    let mut call = Box::pin(peer.call(ECHO, &request).wait_for_link(Duration::from_secs(20)));
    assert!(call.as_mut().now_or_never().is_none());
    grid.heal(0, 1);
    assert_eq!(call.await, Ok(text("later")));
}

pub async fn wait_for_link_gives_up_in_time<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    grid.cut(0, 1);
    let peer = server(&grid);
    eventually(&rt, "the link is down", || peer.state() != LinkState::Connected).await;
    let waited = peer.call(FAIL, &NoPayload).wait_for_link(Duration::from_millis(20)).await;
    assert_eq!(waited, Err(CallError::Disconnected { may_have_run: false }));
    let late = peer.call(FAIL, &NoPayload).wait_for_link(Duration::from_secs(60));
    let late = late.timeout(Duration::from_millis(20)).await;
    assert_eq!(late, Err(CallError::DeadlineExceeded { may_have_run: false }));
}

pub async fn connected_waits_and_names_those_that_are_missing<R: Runtime>(rt: R) {
    let mut grid = TestGrid::new(&rt, 3, |_, builder| builder);
    grid.node(0).connected(Duration::from_secs(20)).await.expect("all are there");
    grid.kill(2);
    let peer = grid.peer(0, 2);
    eventually(&rt, "the link is down", || peer.state() != LinkState::Connected).await;
    let missing = grid.node(0).connected(Duration::from_millis(20)).await;
    let missing = missing.expect_err("one is gone");
    assert!(missing.names().eq([&*grid.names()[2]]), "{missing:?}");
    assert_eq!(missing.peers[0].1, peer.last_error());
    let why = peer.last_error().expect("it was connected").to_string();
    assert_eq!(missing.to_string(), format!("not connected to {} ({why})", grid.names()[2]));
    let alone = peer.connected(Duration::from_millis(20)).await;
    assert_eq!(alone, Err(CallError::Disconnected { may_have_run: false }));
    let waiting = grid.node(0).clone();
    let waiting = spawn(&rt, async move { waiting.connected(Duration::from_secs(20)).await });
    grid.restart(2).await;
    assert_eq!(waiting.await, Ok(()));
}

pub async fn a_deadline_ends_a_call_that_is_not_answered<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let call = server(&grid).call(HANG, &NoPayload).timeout(Duration::from_millis(500));
    assert_eq!(call.await, Err(CallError::DeadlineExceeded { may_have_run: true }));
}

pub async fn a_deadline_under_a_millisecond_is_refused<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let call = server(&grid).call(HANG, &NoPayload).timeout(Duration::from_micros(999));
    assert_eq!(call.await, Err(CallError::DeadlineTooShort));
}

pub async fn a_handler_s_error_is_remote_with_its_text<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let error = server(&grid).call(FAIL, &NoPayload).await.expect_err("refused");
    assert_eq!(error, CallError::Remote("no such volume: é".into()));
    assert!(error.may_have_run());
}

pub async fn an_unknown_handler_is_refused_and_has_not_run<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let error = server(&grid).call(UNKNOWN, &NoPayload).await.expect_err("refused");
    assert!(matches!(error, CallError::Refused(_)) && !error.may_have_run(), "{error:?}");
    let subrouted = server(&grid).call(ECHO.at("nowhere"), &text("")).await.expect_err("refused");
    assert!(matches!(subrouted, CallError::Refused(_)), "{subrouted:?}");
    let other = server(&grid).call(ECHO, &text("still here")).await;
    assert_eq!(other, Ok(text("still here")));
}

pub async fn a_dropped_call_cancels_its_handler<R: Runtime>(rt: R) {
    let (told, mut reasons) = mpsc::unbounded();
    let grid = pair(&rt, move |builder| {
        let told = told.clone();
        builder.serve(HANG, move |_, ctx: Context| {
            let told = told.clone();
            async move {
                let _ = told.unbounded_send(None);
                let _ = told.unbounded_send(Some(ctx.cancelled().await));
                pending::<Result<NoPayload, Infallible>>().await
            }
        })
    })
    .await;
    let peer = server(&grid);
    let mut call = Box::pin(peer.call(HANG, &NoPayload));
    assert!(call.as_mut().now_or_never().is_none());
    assert_eq!(reasons.next().await, Some(None));
    drop(call);
    assert_eq!(reasons.next().await, Some(Some(CancelReason::Caller)));
    assert_eq!(peer.stats().outgoing_requests, 0);
}

pub async fn a_thousand_calls_at_once_each_get_their_own_answer<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let peer = server(&grid);
    let requests: Vec<Payload> = (0..1000).map(|n| text(&format!("call {n}"))).collect();
    // Those of the link's task and those of handlers' tasks in runs of several lengths.
    let route = |n: usize| if n / 100 % 2 == n % 3 % 2 { ECHO } else { ECHO_INLINE };
    let calls = requests.iter().enumerate().map(|(n, request)| peer.call(route(n), request));
    let replies = join_all(calls).await;
    for (request, reply) in requests.into_iter().zip(replies) {
        assert_eq!(reply, Ok(request));
    }
}

pub async fn calls_go_both_ways_at_once<R: Runtime>(rt: R) {
    let grid = TestGrid::new(&rt, 2, |_, builder| serve(builder));
    grid.connected().await;
    let each_way = [(0, 1), (1, 0)].map(|(of, index)| {
        let peer = grid.peer(of, index);
        spawn(&rt, async move {
            for n in 0..100 {
                let request = text(&format!("{of} to {index}: {n}"));
                assert_eq!(peer.call(ECHO, &request).await, Ok(request));
            }
        })
    });
    join_all(each_way).await;
}

pub async fn a_call_whose_link_is_lost_fails_once_and_may_have_run<R: Runtime>(rt: R) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = runs.clone();
    let grid = pair(&rt, move |builder| {
        let runs = counter.clone();
        builder.serve(HANG, move |_, _| {
            runs.fetch_add(1, Ordering::AcqRel);
            pending::<Result<NoPayload, Infallible>>()
        })
    })
    .await;
    let peer = server(&grid);
    let mut call = peer.call(HANG, &NoPayload);
    assert!((&mut call).now_or_never().is_none());
    eventually(&rt, "the handler runs", || runs.load(Ordering::Acquire) == 1).await;
    grid.cut(0, 1);
    assert_eq!((&mut call).await, Err(CallError::Disconnected { may_have_run: true }));
    grid.heal(0, 1);
    grid.connected().await;
    assert_eq!(runs.load(Ordering::Acquire), 1, "nothing is sent again");
}
