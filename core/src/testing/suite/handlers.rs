//! Handlers: what they know, how they are cancelled, and what a panic in one does.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures::future::pending;
use futures::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};

use super::super::{Logs, Raw, TestGrid, eventually, spawn};
use super::{Flag, pair, server};
use crate::builder::Builder;
use crate::driver::runtime::Runtime;
use crate::error::{CallError, CancelReason};
use crate::handle::{Context, Input, InputError, Output, PeerHandle, WeakGrid};
use crate::limits::Limits;
use crate::link::{LinkState, dials};
use crate::payload::{NoPayload, Payload};
use crate::route::{ServerStream, TwoWay, Unary};
use crate::wire::{
    Flags, Header, MERGE_HEADER_LEN, MessageRef, Op, for_each_message, write_merge_header,
    write_part_header,
};

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const WAIT: Unary<NoPayload, NoPayload> = Unary::new(2, "wait");
const CHAT: TwoWay<NoPayload, u32, u32> = TwoWay::new(3, "chat");
const STUBBORN: Unary<NoPayload, NoPayload> = Unary::new(4, "stubborn").run_to_end();
const PANIC: Unary<String, NoPayload> = Unary::new(5, "panic");
const PANIC_INLINE: Unary<String, NoPayload> = Unary::new(6, "panic-inline");
const PANIC_STREAM: ServerStream<String, u32> = ServerStream::new(7, "panic-stream");

fn echo<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    builder.serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
}

pub async fn the_context_tells_caller_and_time_left<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve(
            Unary::<NoPayload, (String, u64)>::new(9, "who"),
            |_, ctx: Context| async move {
                let left = ctx.time_left().expect("a call has a deadline").as_millis() as u64;
                assert_eq!((ctx.is_cancelled(), ctx.subroute()), (None, None));
                Ok::<_, Infallible>((ctx.caller().to_owned(), left))
            },
        )
    })
    .await;
    let who: Unary<NoPayload, (String, u64)> = Unary::new(9, "who");
    let (caller, left) = server(&grid).call(who, &NoPayload).await.expect("answered");
    assert_eq!(caller, grid.names()[0]);
    assert!((50_000..=60_000).contains(&left), "{left} ms of the default of 60 s");
    let call = server(&grid).call(who, &NoPayload).timeout(Duration::from_secs(5));
    let (_, left) = call.await.expect("answered");
    assert!((1..=5_000).contains(&left), "{left} ms of 5 s");
}

pub async fn an_inline_handler_answers_without_a_task<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_inline(ECHO, |request: Payload, ctx: &Context| match request.len() {
            0 => Err(format!("nothing from {}", ctx.caller())),
            _ => Ok(request),
        })
    })
    .await;
    let request = Payload::from(vec![7; 100_000]);
    assert_eq!(server(&grid).call(ECHO, &request).await, Ok(request));
    let error = CallError::Remote(format!("nothing from {}", grid.names()[0]));
    assert_eq!(server(&grid).call(ECHO, &Payload::NIL).await, Err(error));
}

pub async fn answers_leave_while_an_inline_handler_has_calls_to_come<R: Runtime>(rt: R) {
    const WRITTEN: Unary<Payload, Payload> = Unary::new(9, "written");
    let caller = Arc::new(OnceLock::<PeerHandle>::new());
    let seen = caller.clone();
    let grid = pair(&rt, move |builder| {
        let caller = seen.clone();
        builder.serve_inline(WRITTEN, move |_, _: &Context| {
            let written = caller.get().map_or(0, |caller| caller.stats().bytes_out);
            Ok::<_, Infallible>(Payload::from(written.to_be_bytes().to_vec()))
        })
    })
    .await;
    let (node, name) = (grid.node(1), &grid.names()[1]);
    let stranger = (1..).map(|n| format!("http://stranger:{n}")).find(|it| dials(it, name));
    let stranger = stranger.expect("half of them do");
    let peer = node.add_peer(&stranger).expect("a new name");
    caller.set(peer).expect("once");
    let mut raw = Raw::join(&rt, name, &stranger, 9).await;
    let requests = |ids: Range<u64>| {
        let mut frame = vec![0; MERGE_HEADER_LEN];
        write_merge_header(&mut frame, ids.clone().count() as u8);
        for mux in ids {
            let header = Header { mux, handler: 9, flags: Flags::EOF, ..Header::new(Op::Request) };
            let mut request = Vec::new();
            MessageRef { header, subroute: None, payload: b"" }.encode(&mut request);
            write_part_header(request.len(), &mut frame);
            frame.extend_from_slice(&request);
        }
        frame
    };
    let mut written = Vec::new();
    for ids in [1..2, 2..53] {
        let count = ids.clone().count();
        raw.send(&requests(ids)).await.expect("written");
        written.clear();
        while written.len() < count {
            let frame = raw.receive().await.expect("answers");
            let answers = for_each_message(&frame, 1 << 20, |answer| {
                written.push(u64::from_be_bytes(answer.payload.try_into().expect("a number")));
            });
            answers.expect("they are well-formed");
        }
    }
    assert!(written.is_sorted(), "{written:?}");
    assert!(written[50] > written[0] + 16 * 8, "{written:?}");
}

/// What a handler saw of its end.
#[derive(Debug, PartialEq)]
struct Seen {
    cancelled: CancelReason,
    input: Option<Result<u32, InputError>>,
    output: Result<(), CallError>,
}

/// What the handler tells: first how to see whether it is gone, then what it saw.
type Tale = Result<Seen, Box<dyn Fn() -> bool + Send>>;

fn chat<R: Runtime>(builder: Builder<R>, told: &UnboundedSender<Tale>) -> Builder<R> {
    let told = told.clone();
    builder.serve_two_way(
        CHAT,
        move |_, mut input: Input<u32>, mut out: Output<u32>, ctx: Context| {
            let told = told.clone();
            let flag = Flag::default();
            let _ = told.unbounded_send(Err(Box::new(flag.watch())));
            async move {
                let _flag = flag;
                let cancelled = ctx.cancelled().await;
                let input = input.next().now_or_never().flatten();
                let output = out.try_send(&1);
                let _ = told.unbounded_send(Ok(Seen { cancelled, input, output }));
                pending::<Result<(), Infallible>>().await
            }
        },
    )
}

async fn watched<R: Runtime>(rt: &R) -> (TestGrid<R>, UnboundedReceiver<Tale>) {
    let (told, seen) = mpsc::unbounded();
    (pair(rt, move |builder| chat(builder, &told)).await, seen)
}

/// The handler is told, its input and output are over, and it is dropped at its next await.
async fn is_cancelled<R: Runtime>(
    rt: &R,
    seen: &mut UnboundedReceiver<Tale>,
    reason: CancelReason,
    gone: impl FnMut() -> bool,
) {
    let Some(Ok(seen)) = seen.next().await else { panic!("the handler is told") };
    assert_eq!(seen.cancelled, reason);
    assert_eq!(seen.input, Some(Err(InputError::Cancelled(reason))));
    assert_eq!(seen.output, Err(CallError::Cancelled));
    eventually(rt, "the handler is dropped at its next await", gone).await;
}

pub async fn a_caller_s_cancel_reaches_the_handler<R: Runtime>(rt: R) {
    let (grid, mut seen) = watched(&rt).await;
    let halves = server(&grid).open(CHAT, &NoPayload).await.expect("opened");
    let Some(Err(gone)) = seen.next().await else { panic!("it runs") };
    drop(halves);
    is_cancelled(&rt, &mut seen, CancelReason::Caller, gone).await;
}

pub async fn a_deadline_cancels_the_handler<R: Runtime>(rt: R) {
    let (grid, mut seen) = watched(&rt).await;
    // Long enough for the handler to run before, on a busy machine too.
    let opening = server(&grid).open(CHAT, &NoPayload).timeout(Duration::from_secs(1));
    let halves = opening.await.expect("opened");
    let Some(Err(gone)) = seen.next().await else { panic!("it runs") };
    let Some(Ok(seen)) = seen.next().await else { panic!("the handler is told") };
    let reasons = [CancelReason::Deadline, CancelReason::Caller];
    assert!(reasons.contains(&seen.cancelled), "{seen:?}");
    eventually(&rt, "the handler is dropped", gone).await;
    drop(halves);
}

pub async fn a_lost_link_cancels_the_handler<R: Runtime>(rt: R) {
    let (grid, mut seen) = watched(&rt).await;
    let _halves = server(&grid).open(CHAT, &NoPayload).await.expect("opened");
    let Some(Err(gone)) = seen.next().await else { panic!("it runs") };
    grid.cut(0, 1);
    is_cancelled(&rt, &mut seen, CancelReason::Disconnected, gone).await;
}

pub async fn the_end_of_the_grace_cancels_the_handler<R: Runtime>(rt: R) {
    let (mut grid, mut seen) = watched(&rt).await;
    let _halves = server(&grid).open(CHAT, &NoPayload).await.expect("opened");
    let Some(Err(gone)) = seen.next().await else { panic!("it runs") };
    grid.take(1).shutdown(Duration::from_millis(1)).await;
    is_cancelled(&rt, &mut seen, CancelReason::ShuttingDown, gone).await;
}

pub async fn a_run_to_end_handler_runs_on_and_counts_against_the_limit<R: Runtime>(rt: R) {
    let (go, goes) = futures::channel::oneshot::channel::<()>();
    let goes = goes.shared();
    let (told, mut ends) = mpsc::unbounded();
    let grid = pair(&rt, move |builder| {
        let (goes, told) = (goes.clone(), told.clone());
        let limits = Limits { incoming_muxes: 1, ..Limits::default() };
        echo(builder).limits(limits).serve(STUBBORN, move |_, ctx: Context| {
            let (goes, told) = (goes.clone(), told.clone());
            async move {
                let _ = told.unbounded_send(ctx.cancelled().await);
                let _ = goes.await;
                let _ = told.unbounded_send(ctx.is_cancelled().expect("still"));
                Ok::<_, Infallible>(NoPayload)
            }
        })
    })
    .await;
    let peer = server(&grid);
    let call = peer.call(STUBBORN, &NoPayload).timeout(Duration::from_secs(1));
    assert_eq!(call.await, Err(CallError::DeadlineExceeded { may_have_run: true }));
    ends.next().await.expect("it was told");
    let full = peer.call(ECHO, &Payload::NIL).await.expect_err("refused");
    assert_eq!(full, CallError::Refused("too many calls".into()));
    go.send(()).expect("it waits");
    ends.next().await.expect("it ran to its end");
    // Until the handler's task has said that it is done.
    while peer.call(ECHO, &Payload::NIL).await.is_err() {}
}

fn panicking<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    echo(builder)
        .serve(PANIC, |text: String, _| async move {
            assert!(text.is_empty(), "{text}");
            Ok::<_, Infallible>(NoPayload)
        })
        .serve_inline(PANIC_INLINE, |text: String, _: &Context| {
            assert!(text.is_empty(), "{text}");
            Ok::<_, Infallible>(NoPayload)
        })
        .serve_stream(PANIC_STREAM, |text: String, mut out: Output<u32>, _| async move {
            out.send(1).await?;
            assert!(text.is_empty(), "{text}");
            Ok::<_, CallError>(())
        })
}

pub async fn a_panic_in_a_handler_is_an_error_and_harms_nothing_else<R: Runtime>(rt: R) {
    let grid = pair(&rt, panicking).await;
    let peer = server(&grid);
    let links = grid.peer(1, 0).stats().reconnects;
    for route in [PANIC, PANIC_INLINE] {
        let error = peer.call(route, &"out of cheese".into()).await.expect_err("refused");
        let text = "the handler panicked: out of cheese";
        assert_eq!(error, CallError::Remote(text.into()));
    }
    let mut items = peer.open(PANIC_STREAM, &"no cheese".into()).await.expect("opened");
    assert_eq!(items.next().await, Some(Ok(1)));
    let text = "the handler panicked: no cheese";
    assert_eq!(items.next().await, Some(Err(CallError::Remote(text.into()))));
    let request = Payload::from(vec![1]);
    assert_eq!(peer.call(ECHO, &request).await, Ok(request));
    assert_eq!(grid.peer(1, 0).stats().reconnects, links, "the link is the same");
}

pub async fn a_panic_before_the_first_await_is_caught_too<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        echo(builder).serve(WAIT, |_, ctx: Context| {
            assert!(ctx.caller().is_empty(), "at once");
            pending::<Result<NoPayload, Infallible>>()
        })
    })
    .await;
    let error = server(&grid).call(WAIT, &NoPayload).await.expect_err("refused");
    assert_eq!(error, CallError::Remote("the handler panicked: at once".into()));
    assert_eq!(server(&grid).call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
}

/// A type whose reading and writing panic.
#[derive(Debug)]
struct Trap;

impl Serialize for Trap {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("a trap")
    }
}

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("a trap")
    }
}

pub async fn a_panic_in_the_encoding_is_an_error_and_harms_nothing_else<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        echo(builder)
            .serve(Unary::<Trap, NoPayload>::new(9, "read"), |_, _| async {
                Ok::<_, Infallible>(NoPayload)
            })
            .serve_inline(Unary::<Trap, NoPayload>::new(10, "read"), |_, _: &Context| {
                Ok::<_, Infallible>(NoPayload)
            })
            .serve(Unary::<Payload, Trap>::new(11, "write"), |_, _| async {
                Ok::<_, Infallible>(Trap)
            })
            .serve_inline(Unary::<Payload, Trap>::new(12, "write"), |_, _: &Context| {
                Ok::<_, Infallible>(Trap)
            })
    })
    .await;
    let peer = server(&grid);
    for id in 9..=12 {
        let route: Unary<Payload, NoPayload> = Unary::new(id, "trap");
        let error = peer.call(route, &Payload::from(vec![1])).await.expect_err("refused");
        assert!(matches!(error, CallError::Remote(_)), "{id}: {error:?}");
    }
    assert_eq!(peer.call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
    assert_eq!(peer.stats().reconnects, 0);
}

pub async fn panics_of_one_handler_are_logged_once_cut_and_on_one_line<R: Runtime>(rt: R) {
    let logs = Logs::listen();
    let grid = pair(&rt, |builder| {
        builder
            .serve(PANIC, |text: String, _| async move {
                panic!("{text}");
                #[allow(unreachable_code)]
                Ok::<_, Infallible>(NoPayload)
            })
            .serve_inline(PANIC_INLINE, |text: String, _: &Context| {
                panic!("{text}");
                #[allow(unreachable_code)]
                Ok::<_, Infallible>(NoPayload)
            })
    })
    .await;
    let (peer, node) = (server(&grid), &grid.names()[1]);
    for n in 0..10 {
        let text = format!("number {n}\nERROR forged\u{1b}[31m{}", "x".repeat(1000));
        for route in [PANIC, PANIC_INLINE] {
            peer.call(route, &text).await.expect_err("it panics");
        }
    }
    let lines = logs.problems(node, "a handler panicked");
    for route in ["route=\"panic\"", "route=\"panic-inline\""] {
        let of_route = lines.iter().filter(|line| line.text.contains(route));
        assert_eq!(of_route.count(), 1, "{route}: {lines:?}");
    }
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        assert!(line.text.contains(&format!("peer={}", grid.names()[0])), "{line:?}");
        assert!(line.text.len() < 600 && !line.text.contains(char::is_control), "{line:?}");
    }
}

pub async fn an_inline_handler_that_is_slow_is_logged_once<R: Runtime>(rt: R) {
    let logs = Logs::listen();
    let clock = rt.clone();
    let grid = pair(&rt, move |builder| {
        let clock = clock.clone();
        builder.serve_inline(ECHO, move |request: Payload, _: &Context| {
            let begun = clock.instant();
            while clock.instant().since(begun) < Duration::from_millis(2) {
                std::hint::spin_loop();
            }
            Ok::<_, Infallible>(request)
        })
    })
    .await;
    for _ in 0..5 {
        server(&grid).call(ECHO, &Payload::EMPTY).await.expect("it answers");
    }
    let lines = logs.problems(&grid.names()[1], "slow");
    assert_eq!(lines.len(), 1, "{lines:?}");
}

pub async fn what_a_handler_left_running_is_told_that_it_has_returned<R: Runtime>(rt: R) {
    let (leave, mut left) = mpsc::unbounded();
    let grid = pair(&rt, move |builder| {
        let leave = leave.clone();
        builder
            .serve(ECHO, move |request, ctx: Context| {
                let _ = leave.unbounded_send(ctx);
                async move { Ok::<_, Infallible>(request) }
            })
            .serve(WAIT, |_, ctx: Context| async move {
                ctx.cancelled().await;
                Ok::<_, Infallible>(NoPayload)
            })
    })
    .await;
    let peer = server(&grid);
    assert_eq!(peer.call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
    let old: Context = left.next().await.expect("left");
    assert_eq!(old.cancelled().await, CancelReason::HandlerEnded);
    // Another call takes the place of the first; what is left of that one is none of its business.
    let waiting = peer.clone();
    let call =
        spawn(
            &rt,
            async move { waiting.call(WAIT, &NoPayload).timeout(Duration::from_secs(60)).await },
        );
    let callee = grid.peer(1, 0);
    eventually(&rt, "it is served", || callee.stats().incoming_requests == 1).await;
    assert_eq!(old.is_cancelled(), Some(CancelReason::HandlerEnded));
    assert_eq!(old.cancelled().await, CancelReason::HandlerEnded);
    grid.cut(0, 1);
    assert_eq!(call.await, Err(CallError::Disconnected { may_have_run: true }));
    eventually(&rt, "the handler was told", || callee.stats().incoming_requests == 0).await;
}

pub async fn a_handler_reaches_the_peers_without_keeping_its_node_alive<R: Runtime>(rt: R) {
    const RELAY: Unary<String, Payload> = Unary::new(8, "relay");
    let own = Arc::new(OnceLock::<WeakGrid<R>>::new());
    let inside = own.clone();
    let mut grid = TestGrid::new(&rt, 2, move |index, builder| {
        let (builder, inside) = (echo(builder), inside.clone());
        match index {
            0 => builder,
            _ => builder.serve(RELAY, move |name: String, context| {
                let own = inside.get().and_then(WeakGrid::upgrade).map(|grid| grid.name().len());
                async move {
                    assert!(own.is_some_and(|len| len > 0), "it runs");
                    assert_eq!(context.peers().len(), 1);
                    let peer = context.peer(&name).map_err(|error| error.to_string())?;
                    let request = Payload::from(vec![7]);
                    peer.call(ECHO, &request).await.map_err(|error| error.to_string())
                }
            }),
        }
    });
    grid.connected().await;
    let (node, names) = (grid.take(1), grid.names().to_vec());
    assert!(own.set(node.downgrade()).is_ok());
    let to = grid.peer(0, 1);
    assert_eq!(to.call(RELAY, &names[0]).await, Ok(Payload::from(vec![7])));
    for (name, reason) in [(&names[1], "own name"), (&"http://nobody:1".to_owned(), "no peer")] {
        let refused = to.call(RELAY, name).await;
        let said = matches!(&refused, Err(CallError::Remote(text)) if text.contains(reason));
        assert!(said, "{refused:?}");
    }
    let from = node.peer(&names[0]).expect("it knows it");
    drop(node);
    assert!(own.get().and_then(WeakGrid::upgrade).is_none(), "nothing holds it");
    eventually(&rt, "it ends", || from.state() == LinkState::Shutdown).await;
    grid.restart(1).await;
    grid.connected().await;
}
