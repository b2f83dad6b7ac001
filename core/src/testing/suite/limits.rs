//! Limits, and the figures that show how near they are.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{join_all, pending, select};

use super::super::{Logs, Raw, TestGrid, eventually, spawn};
use super::{pair, server};
use crate::builder::Builder;
use crate::driver::runtime::Runtime;
use crate::driver::time::sleep;
use crate::error::{CallError, LimitKind, PeerLimit, Violation};
use crate::handle::Output;
use crate::limits::Limits;
use crate::link::dials;
use crate::payload::{Body, NoPayload, Payload};
use crate::route::{ClientStream, ServerStream, TwoWay, Unary};
use crate::timings::Timings;

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const HANG: Unary<Payload, NoPayload> = Unary::new(2, "hang");
const FAIL: Unary<u32, NoPayload> = Unary::new(4, "fail");
const MAKE: Unary<u32, Payload> = Unary::new(10, "make");
const TALK: TwoWay<Payload, Payload, Payload> = TwoWay::new(9, "talk");
const FLOOD: ServerStream<NoPayload, Payload> = ServerStream::new(3, "flood").out_capacity(100);

fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    builder
        .serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
        .serve(HANG, |_, _| pending::<Result<NoPayload, Infallible>>())
        .serve(MAKE, |length, _| async move {
            Ok::<_, Infallible>(Payload::from(vec![7; length as usize]))
        })
        .serve_two_way(TALK, |_, _, _: Output<Payload>, _| {
            std::future::ready(Ok::<_, Infallible>(()))
        })
        .serve(FAIL, |length, _| async move { Err("x".repeat(length as usize)) })
        .serve_stream(FLOOD, |_, mut out: Output<Payload>, _| async move {
            loop {
                out.send(Payload::from(vec![7; 1000])).await?;
            }
            #[allow(unreachable_code)]
            Ok::<_, CallError>(())
        })
}

async fn limited<R: Runtime>(rt: &R, limits: Limits) -> TestGrid<R> {
    let grid = TestGrid::new(rt, 2, move |_, builder| serve(builder).limits(limits.clone()));
    grid.connected().await;
    grid
}

pub async fn one_call_too_many_fails_here<R: Runtime>(rt: R) {
    let grid = limited(&rt, Limits { outgoing_muxes: 2, ..Limits::default() }).await;
    let peer = server(&grid);
    let mut held = [(); 2].map(|()| Box::pin(peer.call(HANG, &Payload::NIL)));
    assert!(held.iter_mut().all(|call| call.now_or_never().is_none()));
    let refused = CallError::Limit(LimitKind::OutgoingMuxes);
    assert!(!refused.may_have_run());
    assert_eq!(peer.call(ECHO, &Payload::NIL).await, Err(refused));
    drop(held);
    assert_eq!(peer.call(ECHO, &Payload::NIL).await, Ok(Payload::NIL));
}

pub async fn one_call_too_many_is_refused_there<R: Runtime>(rt: R) {
    let grid = limited(&rt, Limits { incoming_muxes: 2, ..Limits::default() }).await;
    let peer = server(&grid);
    let mut held = [(); 2].map(|()| Box::pin(peer.call(HANG, &Payload::NIL)));
    assert!(held.iter_mut().all(|call| call.now_or_never().is_none()));
    let refused = peer.call(ECHO, &Payload::NIL).await;
    assert_eq!(refused, Err(CallError::Refused("too many calls".into())));
    drop(held);
    // Until the cancelled handlers' tasks are gone.
    while peer.call(ECHO, &Payload::NIL).await.is_err() {}
}

/// A full queue: many large calls at once. The queue is only looked at by those that come after.
pub async fn a_full_send_queue_makes_calls_wait_or_fail_as_they_wish<R: Runtime>(rt: R) {
    let grid = limited(&rt, Limits { queued_bytes: 100_000, ..Limits::default() }).await;
    let peer = server(&grid);
    let large = Payload::from(vec![7; 60_000]);
    let mut calls: Vec<_> = (0..50).map(|_| Box::pin(peer.call(ECHO, &large))).collect();
    // Polled in one go: nothing is written before the second one finds the queue full.
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
        if peer.stats().queued_bytes > 50_000 {
            let refused = peer.call(ECHO, &large).no_wait().now_or_never();
            let full = Err(CallError::Limit(LimitKind::QueuedBytes));
            assert!(refused.is_none() || refused == Some(full));
        }
    }
    for reply in join_all(calls).await {
        assert_eq!(reply, Ok(large.clone()));
    }
}

pub async fn received_items_that_nobody_takes_end_their_stream_only<R: Runtime>(rt: R) {
    let grid = limited(&rt, Limits { received_bytes: 10_000, ..Limits::default() }).await;
    let peer = server(&grid);
    let mut items = peer.open(FLOOD, &NoPayload).await.expect("opened");
    eventually(&rt, "the limit is reached", || peer.stats().outgoing_streams == 0).await;
    let mut taken = 0;
    let end = loop {
        match items.next().await {
            Some(Ok(_)) => taken += 1,
            end => break end,
        }
    };
    assert_eq!(end, Some(Err(CallError::Limit(LimitKind::ReceivedBytes))));
    assert_eq!(taken, 9, "what was received before the end comes before it");
    assert_eq!(peer.stats().received_bytes, 0);
    assert_eq!(peer.call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
    assert_eq!(peer.stats().reconnects, 0);
}

pub async fn long_outcomes_count_as_received_until_they_are_taken<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let peer = server(&grid);
    for (length, waits) in [(4096, 0), (4097, 4097)] {
        let text = Payload::from(vec![b'x'; length]);
        let mut answered = Box::pin(peer.call(ECHO, &text));
        let words = length as u32;
        let mut failed = Box::pin(peer.call(FAIL, &words));
        assert!(answered.as_mut().now_or_never().is_none());
        assert!(failed.as_mut().now_or_never().is_none());
        eventually(&rt, "both are here", || peer.stats().outgoing_requests == 0).await;
        let held = peer.stats().received_bytes;
        assert!(held == 0 && waits == 0 || held > 2 * waits && waits > 0, "{held} bytes");
        assert_eq!(answered.await, Ok(text.clone()));
        assert_eq!(failed.await, Err(CallError::Remote("x".repeat(length))));
        assert_eq!(peer.stats().received_bytes, 0);
    }
}

pub async fn dropped_waiters_leave_nothing_behind<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    grid.cut(0, 1);
    let peer = grid.peer(1, 0);
    eventually(&rt, "down", || peer.state() != crate::link::LinkState::Connected).await;
    let before = peer.waiting_for_state();
    for _ in 0..100 {
        let minute = Duration::from_secs(60);
        // Each on a task of its own, as a server's requests would be.
        let mut call = Box::pin(peer.call(ECHO, &Payload::NIL).wait_for_link(minute));
        let mut connected = Box::pin(peer.connected(minute));
        let mut states = peer.watch();
        assert!((&mut call).now_or_never().is_none());
        assert!((&mut connected).now_or_never().is_none());
        states.changed().now_or_never();
        states.changed().now_or_never();
    }
    assert_eq!(peer.waiting_for_state(), before);
}

fn is_refused<T>(outcome: &Result<T, CallError>, by: PeerLimit) -> bool {
    match outcome {
        Err(error @ CallError::PeerLimit { limit, .. }) => *limit == by && !error.may_have_run(),
        _ => false,
    }
}

pub async fn what_running_handlers_hold_is_limited<R: Runtime>(rt: R) {
    let grid = limited(&rt, Limits { handler_bytes: 10_000, ..Limits::default() }).await;
    let (peer, callee) = (server(&grid), grid.peer(1, 0));
    let request = Payload::from(vec![7; 4900]);
    let mut held = [(); 2].map(|()| Box::pin(peer.call(HANG, &request)));
    assert!(held.iter_mut().all(|call| call.now_or_never().is_none()));
    let refused = peer.call(ECHO, &request).await;
    assert!(is_refused(&refused, PeerLimit::HandlerBytes), "{refused:?}");
    assert_eq!(callee.stats().handler_bytes, 2 * (4900 + 32));
    drop(held);
    eventually(&rt, "their tasks are gone", || callee.stats().handler_bytes == 0).await;
    assert_eq!(peer.call(ECHO, &request).await, Ok(request));
    eventually(&rt, "nothing is held", || callee.stats().handler_bytes == 0).await;
}

pub async fn values_that_multiply_when_they_are_decoded_are_refused<R: Runtime>(rt: R) {
    type Lists = Vec<Vec<u8>>;
    const COUNT: Unary<Lists, u64> = Unary::new(5, "count");
    const COUNT_INLINE: Unary<Lists, u64> = Unary::new(6, "count-inline");
    const LISTS: Unary<NoPayload, Payload> = Unary::new(7, "lists");
    const ITEMS: ServerStream<Lists, Lists> = ServerStream::new(8, "items");
    let calls = Arc::new(AtomicUsize::new(0));
    // 100,000 empty lists are 100,000 bytes, and 2.4 million in memory.
    let lists = |len: usize| -> Lists { vec![Vec::new(); len] };
    let grid = {
        let calls = calls.clone();
        TestGrid::new(&rt, 2, move |_, builder| {
            let count = calls.clone();
            let len = move |lists: Lists| {
                count.fetch_add(1, Ordering::AcqRel);
                Ok::<_, Infallible>(lists.len() as u64)
            };
            let inline = len.clone();
            builder
                .limits(Limits { decoded_bytes: 1 << 20, ..Limits::default() })
                .serve(COUNT, move |lists, _| std::future::ready(len(lists)))
                .serve_inline(COUNT_INLINE, move |lists, _| inline(lists))
                .serve(LISTS, move |_, _| async move { lists(100_000).to_payload() })
                .serve_stream(ITEMS, move |request: Lists, mut out: Output<Lists>, _| async move {
                    out.send(lists(request.len() * 10)).await
                })
        })
    };
    grid.connected().await;
    let (peer, callee) = (server(&grid), grid.peer(1, 0));
    for route in [COUNT, COUNT_INLINE] {
        let refused = peer.call(route, &lists(100_000)).await;
        assert!(is_refused(&refused, PeerLimit::DecodedBytes), "{refused:?}");
        let Err(CallError::PeerLimit { text, .. }) = refused else { panic!("{refused:?}") };
        assert!(text.contains(route.name()) && text.contains("1048576"), "{text}");
        assert_eq!(peer.call(route, &lists(40_000)).await, Ok(40_000), "within the limit");
    }
    assert_eq!(calls.load(Ordering::Acquire), 2, "no handler ran for what was refused");

    let route: Unary<NoPayload, Lists> = Unary::new(7, "lists");
    let error = peer.call(route, &NoPayload).await.expect_err("too large for us");
    assert!(matches!(&error, CallError::Decode(text) if text.contains("lists")), "{error:?}");
    assert!(error.may_have_run());
    assert_eq!(peer.call(LISTS, &NoPayload).await.map(|raw| raw.len()), Ok(100_005));

    let mut items = peer.open(ITEMS, &lists(100_000)).await.expect("opened");
    let refused = items.try_next().await;
    assert!(is_refused(&refused, PeerLimit::DecodedBytes), "{refused:?}");
    let mut items = peer.open(ITEMS, &lists(10_000)).await.expect("opened");
    let error = items.try_next().await.expect_err("too large an item");
    assert!(matches!(&error, CallError::Decode(text) if text.contains("items")), "{error:?}");
    eventually(&rt, "nothing is held", || callee.stats().handler_bytes == 0).await;
}

pub async fn what_a_request_is_decoded_to_counts_while_its_handler_runs<R: Runtime>(rt: R) {
    type Lists = Vec<Vec<u8>>;
    const KEEP: Unary<Lists, NoPayload> = Unary::new(5, "keep");
    let grid = TestGrid::new(&rt, 2, |_, builder: Builder<R>| {
        builder
            .limits(Limits { handler_bytes: 1 << 20, ..Limits::default() })
            .serve(KEEP, |_, _| pending::<Result<NoPayload, Infallible>>())
    });
    grid.connected().await;
    let (peer, callee) = (server(&grid), grid.peer(1, 0));
    let lists: Lists = vec![Vec::new(); 20_000];
    let mut held = [(); 2].map(|()| Box::pin(peer.call(KEEP, &lists)));
    assert!(held.iter_mut().all(|call| call.now_or_never().is_none()));
    let decoded = 2 * 20_000 * 24;
    let counted = || callee.stats().handler_bytes;
    eventually(&rt, "both are decoded", || counted() >= decoded).await;
    assert!((decoded..1 << 20).contains(&counted()), "{}", counted());
    let refused = peer.call(KEEP, &lists).await;
    assert!(is_refused(&refused, PeerLimit::HandlerBytes), "{refused:?}");
    drop(held);
    eventually(&rt, "their tasks are gone", || counted() == 0).await;
}

pub async fn links_that_hold_much_together_are_limited_and_others_go_on<R: Runtime>(rt: R) {
    let limits = Limits { node_bytes: 100_000, ..Limits::default() };
    let grid = TestGrid::new(&rt, 3, move |_, builder| serve(builder).limits(limits.clone()));
    grid.connected().await;
    let (first, second) = (grid.peer(0, 2), grid.peer(1, 2));
    let request = Payload::from(vec![7; 40_000]);
    let mut held = [(); 2].map(|()| Box::pin(first.call(HANG, &request)));
    assert!(held.iter_mut().all(|call| call.now_or_never().is_none()));
    let callee = grid.peer(2, 0);
    eventually(&rt, "both are served", || callee.stats().handler_bytes > 80_000).await;
    let refused = second.call(ECHO, &request).await;
    assert!(is_refused(&refused, PeerLimit::NodeBytes), "{refused:?}");
    let (_sender, mut receiver) = second.open(TALK, &request).await.expect("opened");
    let refused = receiver.try_next().await;
    assert!(is_refused(&refused, PeerLimit::NodeBytes), "{refused:?}");
    // What is small is not refused for what others hold, and the links stay.
    let small = Payload::from(vec![7; 4000]);
    assert_eq!(second.call(ECHO, &small).await, Ok(small));
    // A response that would pass it is dropped, when its handler has run.
    let refused = second.call(MAKE, &40_000).await;
    let Err(error @ CallError::PeerLimit { limit: PeerLimit::NodeBytes, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(error.may_have_run());
    drop(held);
    eventually(&rt, "their tasks are gone", || callee.stats().handler_bytes == 0).await;
    assert_eq!(second.call(ECHO, &request).await, Ok(request));
    assert_eq!(grid.node(2).stats().reconnects, 0);
}

pub async fn many_large_responses_at_once_all_arrive<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let peer = server(&grid);
    let calls = (0..64).map(|_| peer.call(MAKE, &(1 << 20)));
    for made in join_all(calls).await {
        assert_eq!(made.map(|made| made.len()), Ok(1 << 20));
    }
}

pub async fn ends_that_declare_other_capacities_are_told_which_route<R: Runtime>(rt: R) {
    let hoard: ClientStream<NoPayload, u32, NoPayload> = ClientStream::new(11, "hoard");
    let grid = pair(&rt, move |builder| {
        serve(builder).serve_input(hoard.in_capacity(1), |_, input, _| async move {
            let _held = input;
            pending::<Result<NoPayload, Infallible>>().await
        })
    })
    .await;
    let peer = server(&grid);
    let mut items = peer.open(FLOOD.out_capacity(2), &NoPayload).await.expect("opened");
    eventually(&rt, "more has come than may", || peer.stats().outgoing_streams == 0).await;
    let error = loop {
        match items.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("it ends by an error"),
        }
    };
    let violation = Violation::OverCapacity { route: Some("flood"), capacity: 2 };
    assert_eq!(error, CallError::PeerViolation(violation));
    assert!(error.to_string().contains("\"flood\"") && error.may_have_run(), "{error}");

    let mut call = peer.open(hoard.in_capacity(5), &NoPayload).await.expect("opened");
    for number in 0..5 {
        // The end may have come already.
        let _ = call.send(number).await;
    }
    let error = call.finish().await.expect_err("more than the handler may have");
    let CallError::Remote(text) = error else { panic!("{error:?}") };
    assert!(text.contains("capacity of 1") && text.contains("\"hoard\""), "{text}");
    assert_eq!(peer.stats().reconnects, 0);
}

pub async fn the_figures_of_all_links_add_up<R: Runtime>(rt: R) {
    let grid = TestGrid::new(&rt, 3, |_, builder| serve(builder));
    grid.connected().await;
    for to in [1, 2] {
        let request = Payload::from(vec![1; 1000]);
        grid.peer(0, to).call(ECHO, &request).await.expect("answered");
    }
    let held = grid.peer(0, 1);
    let mut call = held.call(HANG, &Payload::NIL);
    assert!((&mut call).now_or_never().is_none());
    let callee = grid.node(1).clone();
    eventually(&rt, "it is served", || callee.stats().incoming_requests == 1).await;
    let (one, two, all) = (held.stats(), grid.peer(0, 2).stats(), grid.node(0).stats());
    assert_eq!(all.links_up, 2);
    assert_eq!(all.outgoing_requests, 1);
    assert_eq!(all.messages_out, one.messages_out + two.messages_out);
    assert_eq!(all.bytes_in, one.bytes_in + two.bytes_in);
    for stats in [one, two] {
        assert!(stats.bytes_in > 1000 && stats.bytes_out > 1000, "{stats:?}");
        assert_eq!((stats.links_up, stats.reconnects, stats.queued_bytes), (1, 0, 0));
    }
}

pub async fn the_link_is_pinged_and_its_round_trip_is_known<R: Runtime>(rt: R) {
    let grid = TestGrid::new(&rt, 2, |_, builder: Builder<R>| {
        let ping_interval = Duration::from_millis(20);
        serve(builder).timings(Timings { ping_interval, ..TestGrid::<R>::timings() })
    });
    grid.connected().await;
    for (of, to) in [(0, 1), (1, 0)] {
        let peer = grid.peer(of, to);
        eventually(&rt, "a pong", || peer.stats().round_trip.is_some()).await;
        assert!(peer.stats().last_pong.is_some());
    }
}

pub async fn of_strangers_over_the_limit_the_oldest_is_closed_and_it_is_logged_once<R: Runtime>(
    rt: R,
) {
    let logs = Logs::listen();
    let grid = limited(&rt, Limits { unauthenticated: 2, ..Limits::default() }).await;
    let name = grid.names()[1].clone();
    let mut held = VecDeque::new();
    for _ in 0..2 {
        held.push_back(Raw::connect(&rt, &name).await);
    }
    // Two that say nothing are in; whoever comes now takes the place of the older one, and that only.
    for _ in 0..5 {
        held.push_back(Raw::connect(&rt, &name).await);
        let oldest = held.pop_front().expect("two");
        assert!({ oldest }.read_to_end().await.is_empty());
        for raw in &mut held {
            assert!(raw.read_to_end().now_or_never().is_none(), "the newer ones stay");
        }
    }
    let lines = logs.problems(&name, "");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].text.contains("too many unauthenticated"), "{lines:?}");
    let peer = server(&grid);
    assert_eq!(peer.call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
    // And a newcomer is heard.
    let mut raw = Raw::connect(&rt, &name).await;
    let refused = raw.upgrade(&name, "no token", rt.now().wall.to_unix_nanos()).await;
    assert!(refused.expect_err("refused").contains("403"));
}

/// Connects again and again, more often than there is room for, until it is dropped.
async fn knock_for_ever<R: Runtime>(rt: R, name: String, says: &'static [u8]) {
    let mut held = VecDeque::new();
    loop {
        let Ok(connected) = rt.connector().connect(&name).await else { return };
        let mut raw = Raw::new(connected);
        let _ = raw.write(says).await;
        held.push_back(raw);
        if held.len() > 64 {
            held.pop_front();
        }
        sleep(&rt, Duration::from_micros(300)).await;
    }
}

pub async fn peers_join_though_strangers_come_all_the_time<R: Runtime>(rt: R) {
    // As much shorter as the room is smaller than usual: a slot is taken over every few milliseconds.
    let limits = Limits { unauthenticated: 64, ..Limits::default() };
    for says in [&b""[..], b"G", b"GET /minio/grid/v1 HTTP/1.1\r\nHost: x\r\n"] {
        let grid = limited(&rt, limits.clone()).await;
        let name = grid.names()[1].clone();
        let stranger = (1..).map(|n| format!("http://stranger:{n}"));
        let stranger = stranger.into_iter().find(|stranger| dials(stranger, &name));
        let stranger = stranger.expect("half of them do");
        grid.node(1).add_peer(&stranger).expect("a new name");
        let (stop, stopped) = oneshot::channel::<()>();
        let knocking = knock_for_ever(rt.clone(), name.clone(), says);
        let knocking = spawn(&rt, select(Box::pin(knocking), stopped).map(drop));
        let (mut joined, tries) = (0, 40_u8);
        for n in 0..tries {
            let wall = rt.now().wall;
            let token = || Raw::token(&stranger, &name, wall);
            let mut raw = Raw::connect(&rt, &name).await;
            let upgraded = raw.upgrade(&name, &token(), wall.to_unix_nanos()).await;
            let hello = Raw::hello(&stranger, [n + 1; 16], token(), wall);
            let greeted = match upgraded {
                Ok(()) => raw.greet(&hello).await,
                Err(error) => Err(error),
            };
            joined += u32::from(greeted.is_ok());
        }
        assert!(joined >= 38, "{joined} of {tries} have joined past {says:?}");
        drop(stop);
        knocking.await;
    }
}
