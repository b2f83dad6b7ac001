//! Streams: how they end.

use std::convert::Infallible;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::pending;
use futures::{FutureExt, StreamExt};

use super::super::{eventually, spawn};
use super::{Flag, pair, server};
use crate::driver::runtime::Runtime;
use crate::error::{CallError, CancelReason};
use crate::handle::{Context, Input, InputError, Output};
use crate::link::LinkState;
use crate::payload::NoPayload;
use crate::route::{ClientStream, ServerStream, TwoWay};
use crate::testing::TestGrid;

const COUNT: ServerStream<u32, u32> = ServerStream::new(1, "count");
const ONE: ServerStream<u32, u32> = ServerStream::new(1, "one").out_capacity(1);
const SUM: ClientStream<NoPayload, u32, u32> = ClientStream::new(2, "sum").in_capacity(1);
const CHAT: TwoWay<NoPayload, u32, u32> = TwoWay::new(3, "chat");

pub async fn an_error_comes_after_all_items_and_once<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_stream(COUNT, |to, mut out: Output<u32>, _| async move {
            for n in 0..to {
                out.send(n).await.map_err(|error| error.to_string())?;
            }
            Err::<(), _>("the disk is gone".to_owned())
        })
    })
    .await;
    let mut items = server(&grid).open(COUNT, &20).await.expect("opened");
    for n in 0..20 {
        assert_eq!(items.try_next().await, Ok(Some(n)));
    }
    assert_eq!(items.try_next().await, Err(CallError::Remote("the disk is gone".into())));
    assert_eq!(items.try_next().await, Ok(None));
    assert_eq!(items.try_next().await, Ok(None));
}

pub async fn a_lost_link_comes_after_the_items_received_before<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_stream(COUNT, |to, mut out: Output<u32>, _| async move {
            for n in 0..to {
                out.send(n).await.expect("sent");
            }
            pending::<Result<(), Infallible>>().await
        })
    })
    .await;
    let peer = server(&grid);
    let mut items = peer.open(COUNT, &5).await.expect("opened");
    // The ack and the items.
    let before = peer.stats().messages_in;
    eventually(&rt, "all is received", || peer.stats().received_bytes >= 5 * 33).await;
    assert!(peer.stats().messages_in >= before);
    grid.cut(0, 1);
    eventually(&rt, "the link is lost", || peer.state() != LinkState::Connected).await;
    for n in 0..5 {
        assert_eq!(items.try_next().await, Ok(Some(n)));
    }
    let lost = CallError::Disconnected { may_have_run: true };
    assert_eq!(items.try_next().await, Err(lost));
    assert_eq!(items.try_next().await, Ok(None));
}

/// A node whose chat handler tells how its input ended and what it was cancelled for.
async fn watched<R: Runtime>(
    rt: &R,
) -> (TestGrid<R>, mpsc::UnboundedReceiver<(Option<InputError>, Option<CancelReason>)>) {
    let (told, ends) = mpsc::unbounded();
    let grid = pair(rt, move |builder| {
        let told = told.clone();
        builder.serve_two_way(
            CHAT,
            move |_, mut input: Input<u32>, mut out: Output<u32>, ctx: Context| {
                let told = told.clone();
                async move {
                    out.send(0).await.expect("the caller is there");
                    let end = loop {
                        match input.next().await {
                            Some(Ok(_)) => {}
                            Some(Err(error)) => break Some(error),
                            None => break None,
                        }
                    };
                    assert!(input.next().await.is_none(), "one end, then none");
                    let _ = told.unbounded_send((end, ctx.is_cancelled()));
                    Ok::<_, Infallible>(())
                }
            },
        )
    })
    .await;
    (grid, ends)
}

pub async fn close_is_the_end_of_the_input<R: Runtime>(rt: R) {
    let (grid, mut ends) = watched(&rt).await;
    let (tx, mut rx) = server(&grid).open(CHAT, &NoPayload).await.expect("opened");
    tx.close();
    assert_eq!(ends.next().await, Some((None, None)));
    assert_eq!(rx.next().await, Some(Ok(0)), "the other half goes on");
    assert_eq!(rx.next().await, None);
}

pub async fn a_sender_dropped_without_close_cancels_the_call<R: Runtime>(rt: R) {
    let (grid, mut ends) = watched(&rt).await;
    let (tx, mut rx) = server(&grid).open(CHAT, &NoPayload).await.expect("opened");
    assert_eq!(rx.next().await, Some(Ok(0)));
    drop(tx);
    let reason = CancelReason::Caller;
    assert_eq!(ends.next().await, Some((Some(InputError::Cancelled(reason)), Some(reason))));
    assert_eq!(rx.next().await, Some(Err(CallError::Cancelled)));
    assert_eq!(rx.next().await, None);
}

pub async fn a_dropped_receiver_cancels_the_call<R: Runtime>(rt: R) {
    let (grid, mut ends) = watched(&rt).await;
    let (mut tx, mut rx) = server(&grid).open(CHAT, &NoPayload).await.expect("opened");
    assert_eq!(rx.next().await, Some(Ok(0)));
    drop(rx);
    let reason = CancelReason::Caller;
    assert_eq!(ends.next().await, Some((Some(InputError::Cancelled(reason)), Some(reason))));
    assert_eq!(tx.send(1).await, Err(CallError::Cancelled));
}

pub async fn halves_dropped_after_the_end_cancel_nothing<R: Runtime>(rt: R) {
    let (grid, mut ends) = watched(&rt).await;
    let peer = server(&grid);
    let (tx, mut rx) = peer.open(CHAT, &NoPayload).await.expect("opened");
    tx.close();
    while rx.next().await.is_some() {}
    drop(rx);
    assert_eq!(ends.next().await, Some((None, None)));
    assert_eq!(peer.stats().outgoing_streams, 0);
}

pub async fn input_that_the_handler_dropped_is_discarded_and_send_never_hangs<R: Runtime>(rt: R) {
    let (done, mut waits) = mpsc::channel::<()>(0);
    let done = std::sync::Arc::new(futures::lock::Mutex::new(Some(done)));
    let grid = pair(&rt, move |builder| {
        let done = done.clone();
        builder.serve_input(SUM, move |_, input: Input<u32>, _| {
            let done = done.clone();
            async move {
                drop(input);
                let mut done = done.lock().await.take().expect("one call");
                futures::SinkExt::send(&mut done, ()).await.expect("the test waits");
                Ok::<_, Infallible>(7)
            }
        })
    })
    .await;
    let mut call = server(&grid).open(SUM, &NoPayload).await.expect("opened");
    for n in 0..100 {
        call.send(n).await.expect("it is taken, by nobody");
    }
    waits.next().await;
    assert_eq!(call.finish().await, Ok(7));
}

pub async fn a_handler_that_ends_early_ends_the_call_though_input_comes<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_input(SUM, |_, mut input: Input<u32>, _| async move {
            input.next().await;
            Err::<u32, _>("the volume is full")
        })
    })
    .await;
    let mut call = server(&grid).open(SUM, &NoPayload).await.expect("opened");
    let failed = loop {
        if let Err(error) = call.send(1).await {
            break error;
        }
    };
    let full = CallError::Remote("the volume is full".into());
    assert_eq!(failed, full);
    assert_eq!(call.finish().await, Err(full));
}

pub async fn a_finished_handler_whose_end_waits_for_a_credit_holds_no_task<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_stream(ONE, |_, mut out: Output<u32>, _| async move { out.send(1).await })
    })
    .await;
    let mut items = server(&grid).open(ONE, &0).await.expect("opened");
    let callee = grid.peer(1, 0);
    eventually(&rt, "the stream is served", || callee.stats().incoming_streams == 1).await;
    eventually(&rt, "the item is here", || server(&grid).stats().received_bytes > 0).await;
    assert_eq!(callee.stats().incoming_streams, 1, "the end waits");
    assert_eq!(items.next().await, Some(Ok(1)));
    assert_eq!(items.next().await, None);
    eventually(&rt, "it is over", || callee.stats().incoming_streams == 0).await;
}

pub async fn cancel_and_deadline_end_a_finished_handler_too<R: Runtime>(rt: R) {
    let (told, mut gone) = mpsc::unbounded();
    let grid = pair(&rt, move |builder| {
        let told = told.clone();
        builder.serve_stream(ONE, move |_, mut out: Output<u32>, _| {
            let flag = Flag::default();
            let _ = told.unbounded_send(flag.watch());
            async move {
                let _flag = flag;
                out.send(1).await
            }
        })
    })
    .await;
    let (peer, callee) = (server(&grid), grid.peer(1, 0));
    for deadline in [None, Some(Duration::from_secs(1))] {
        let opening = peer.open(ONE, &0);
        let opening = match deadline {
            Some(deadline) => opening.timeout(deadline),
            None => opening,
        };
        let mut items = opening.await.expect("opened");
        let is_gone = gone.next().await.expect("it runs");
        eventually(&rt, "the handler has returned", is_gone).await;
        if deadline.is_some() {
            // The item was not taken: the caller's own deadline retracts it.
            let late = CallError::DeadlineExceeded { may_have_run: true };
            eventually(&rt, "the deadline", || peer.stats().outgoing_streams == 0).await;
            assert_eq!(items.next().await, Some(Err(late)));
        }
        drop(items);
        eventually(&rt, "it is over", || callee.stats().incoming_streams == 0).await;
    }
}

pub async fn a_stream_s_deadline_ends_it_on_both_sides<R: Runtime>(rt: R) {
    let (told, mut reasons) = mpsc::unbounded();
    let grid = pair(&rt, move |builder| {
        let told = told.clone();
        builder.serve_stream(COUNT, move |_, _, ctx: Context| {
            let told = told.clone();
            async move {
                let _ = told.unbounded_send(ctx.cancelled().await);
                Ok::<_, Infallible>(())
            }
        })
    })
    .await;
    let opening = server(&grid).open(COUNT, &0).timeout(Duration::from_secs(1));
    let mut items = opening.await.expect("opened");
    let late = CallError::DeadlineExceeded { may_have_run: true };
    assert_eq!(items.next().await, Some(Err(late)));
    assert_eq!(items.next().await, None);
    let reason = reasons.next().await;
    // Whose clock came first is not known.
    assert!(matches!(reason, Some(CancelReason::Deadline | CancelReason::Caller)), "{reason:?}");
}

pub async fn an_unknown_stream_shows_on_the_stream_itself<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| builder).await;
    let (mut tx, mut rx) = server(&grid).open(CHAT, &NoPayload).await.expect("opened");
    let Some(Err(error)) = rx.next().await else { panic!("it is refused") };
    assert!(matches!(&error, CallError::Refused(_)) && !error.may_have_run(), "{error:?}");
    assert_eq!(rx.next().await, None);
    assert_eq!(tx.send(1).await, Err(error));
}

pub async fn a_send_that_waits_is_told_of_the_end<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_input(SUM, |_, input: Input<u32>, ctx: Context| async move {
            ctx.cancelled().await;
            drop(input);
            Ok::<_, Infallible>(0)
        })
    })
    .await;
    let mut call = server(&grid).open(SUM, &NoPayload).await.expect("opened");
    call.send(1).await.expect("it fits");
    let waiting = spawn(&rt, async move { call.send(2).await });
    let mut waiting = std::pin::pin!(waiting);
    assert!((&mut waiting).now_or_never().is_none());
    grid.cut(0, 1);
    assert_eq!(waiting.await, Err(CallError::Disconnected { may_have_run: true }));
}

pub async fn an_output_left_running_is_told_that_the_handler_has_returned<R: Runtime>(rt: R) {
    let (told, mut ends) = mpsc::unbounded();
    let runtime = rt.clone();
    let grid = pair(&rt, move |builder| {
        let (told, runtime) = (told.clone(), runtime.clone());
        builder.serve_stream(ONE, move |_, mut out: Output<u32>, _| {
            let (told, runtime) = (told.clone(), runtime.clone());
            async move {
                out.send(1).await?;
                let mut left = out.clone();
                let (waits, waiting) = futures::channel::oneshot::channel();
                runtime.spawn(async move {
                    let mut send = Box::pin(left.send(2));
                    assert!((&mut send).now_or_never().is_none());
                    let _ = waits.send(());
                    let _ = told.unbounded_send(send.await);
                });
                let _ = waiting.await;
                Ok::<_, CallError>(())
            }
        })
    })
    .await;
    let mut items = server(&grid).open(ONE, &0).await.expect("opened");
    let ended = ends.next().await.expect("told");
    assert!(matches!(ended, Err(CallError::Ended | CallError::Cancelled)), "{ended:?}");
    assert_eq!(items.next().await, Some(Ok(1)));
    assert_eq!(items.next().await, None);
}
