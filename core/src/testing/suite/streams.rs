//! Streams: items, credits and shapes.

use futures::channel::mpsc;
use futures::future::join_all;
use futures::{FutureExt, SinkExt, StreamExt, TryStreamExt};

use super::super::{eventually, spawn};
use super::{pair, server};
use crate::builder::Builder;
use crate::driver::runtime::Runtime;
use crate::error::{CallError, LimitKind};
use crate::handle::{Input, Output, Receiver, Sender};
use crate::payload::{NoPayload, Payload};
use crate::route::{ClientStream, ServerStream, TwoWay};

const COUNT: ServerStream<u32, u32> = ServerStream::new(1, "count").out_capacity(2);
const SUM: ClientStream<NoPayload, u32, u32> = ClientStream::new(2, "sum").in_capacity(2);
const DOUBLE: TwoWay<NoPayload, u32, u32> = TwoWay::new(3, "double").in_capacity(2);
const SLOW: ClientStream<NoPayload, u32, Vec<u32>> = ClientStream::new(4, "slow").in_capacity(1);
const RAW: TwoWay<Payload, Payload, Payload> = TwoWay::new(5, "raw");

async fn count(to: u32, mut out: Output<u32>) -> Result<(), CallError> {
    for n in 0..to {
        out.send(n).await?;
    }
    Ok(())
}

async fn sum(mut input: Input<u32>) -> Result<u32, crate::handle::InputError> {
    let mut sum = 0;
    while let Some(n) = input.try_next().await? {
        sum += n;
    }
    Ok(sum)
}

async fn double(mut input: Input<u32>, mut out: Output<u32>) -> Result<(), String> {
    while let Some(n) = input.try_next().await.map_err(|error| error.to_string())? {
        out.send(2 * n).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    builder
        .serve_stream(COUNT, |to, out, _| count(to, out))
        .serve_input(SUM, |_, input, _| sum(input))
        .serve_two_way(DOUBLE, |_, input, out, _| double(input, out))
}

pub async fn items_come_in_order_then_one_end_then_none_for_ever<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let mut items = server(&grid).open(COUNT, &100).await.expect("opened");
    for n in 0..100 {
        assert_eq!(items.next().await, Some(Ok(n)));
    }
    for _ in 0..3 {
        assert_eq!(items.next().await, None);
    }
}

pub async fn a_stream_without_items_just_ends<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let mut items = server(&grid).open(COUNT, &0).await.expect("opened");
    assert_eq!(items.try_next().await, Ok(None));
    let call = server(&grid).open(SUM, &NoPayload).await.expect("opened");
    assert_eq!(call.finish().await, Ok(0));
}

pub async fn opening_sends_nothing_until_it_is_polled<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let peer = server(&grid);
    let before = peer.stats().messages_out;
    drop(peer.open(COUNT, &3));
    assert_eq!(peer.stats().messages_out, before);
    let mut items = peer.open(COUNT, &3).now_or_never().expect("at once").expect("opened");
    assert!(peer.stats().messages_out > before);
    assert_eq!(items.next().await, Some(Ok(0)));
}

pub async fn the_input_of_a_client_stream_makes_one_result<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let mut call = server(&grid).open(SUM, &NoPayload).await.expect("opened");
    for n in 1..=100 {
        call.send(n).await.expect("sent");
    }
    assert_eq!(call.finish().await, Ok(5050));
}

pub async fn both_directions_go_on_at_once<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let (mut tx, mut rx) = server(&grid).open(DOUBLE, &NoPayload).await.expect("opened");
    for n in 0..50 {
        tx.send(n).await.expect("sent");
        assert_eq!(rx.next().await, Some(Ok(2 * n)));
    }
    tx.close();
    assert_eq!(rx.next().await, None);
}

pub async fn two_halves_work_on_two_tasks<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let (mut tx, rx) = server(&grid).open(DOUBLE, &NoPayload).await.expect("opened");
    let sending = spawn(&rt, async move {
        for n in 0..500 {
            tx.send(n).await.expect("sent");
        }
        tx.close();
    });
    let received: Vec<u32> = rx.try_collect().await.expect("an orderly end");
    assert_eq!(received, (0..500).map(|n| 2 * n).collect::<Vec<_>>());
    sending.await;
}

pub async fn many_streams_share_one_link<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let peer = server(&grid);
    let streams = (0..100_u32).map(|to| {
        let peer = peer.clone();
        async move {
            let items = peer.open(COUNT, &to).await.expect("opened");
            assert_eq!(items.try_fold(0, |sum, _| async move { Ok(sum + 1) }).await, Ok(to));
        }
    });
    join_all(streams).await;
    eventually(&rt, "all are over", || peer.stats().outgoing_streams == 0).await;
}

pub async fn halves_are_a_stream_and_a_sink<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let (tx, rx): (Sender<u32>, Receiver<u32>) =
        server(&grid).open(DOUBLE, &NoPayload).await.expect("opened");
    let mut items = futures::stream::iter((0..20).map(Ok));
    let mut sink = tx.into_sink();
    let (sent, received) = futures::join!(
        async {
            sink.send_all(&mut items).await?;
            sink.close().await
        },
        rx.try_collect::<Vec<u32>>()
    );
    assert_eq!(sent, Ok(()));
    assert_eq!(received, Ok((0..20).map(|n| 2 * n).collect()));
}

pub async fn a_credit_goes_back_when_the_caller_takes_an_item<R: Runtime>(rt: R) {
    let (sent, mut sends) = mpsc::unbounded();
    let grid = pair(&rt, move |builder| {
        let sent = sent.clone();
        builder.serve_stream(COUNT, move |to, mut out: Output<u32>, _| {
            let sent = sent.clone();
            async move {
                for n in 0..to {
                    while out.try_send(&n) == Err(CallError::Limit(LimitKind::Credits)) {
                        let _ = sent.unbounded_send(Err(n));
                        out.send(n).await?;
                        let _ = sent.unbounded_send(Ok(n));
                        return Ok(());
                    }
                }
                Ok::<_, CallError>(())
            }
        })
    })
    .await;
    let mut items = server(&grid).open(COUNT, &9).await.expect("opened");
    assert_eq!(sends.next().await, Some(Err(2)), "two fit, the third waits");
    assert!(sends.next().now_or_never().is_none());
    assert_eq!(items.next().await, Some(Ok(0)));
    assert_eq!(sends.next().await, Some(Ok(2)));
}

pub async fn a_credit_goes_back_when_the_handler_takes_an_item<R: Runtime>(rt: R) {
    let (go, takes) = mpsc::unbounded::<()>();
    let takes = std::sync::Arc::new(futures::lock::Mutex::new(takes));
    let grid = pair(&rt, move |builder| {
        let takes = takes.clone();
        builder.serve_input(SLOW, move |_, input: Input<u32>, _| {
            let takes = takes.clone();
            async move {
                let mut takes = takes.lock().await;
                let taken = input.zip(&mut *takes).map(|(item, ())| item);
                taken.try_collect::<Vec<u32>>().await
            }
        })
    })
    .await;
    let mut call = server(&grid).open(SLOW, &NoPayload).await.expect("opened");
    call.send(1).await.expect("it fits");
    // `zip` takes the first item at once and then waits for leave to go on; the second stays.
    call.send(2).await.expect("it fits");
    let full = CallError::Limit(LimitKind::Credits);
    assert_eq!(call.try_send(&3), Err(full));
    go.unbounded_send(()).expect("the handler waits");
    call.send(3).await.expect("there is a credit again");
    for _ in 0..2 {
        go.unbounded_send(()).expect("the handler waits");
    }
    assert_eq!(call.finish().await, Ok(vec![1, 2, 3]));
}

pub async fn a_send_dropped_before_it_is_ready_has_queued_nothing<R: Runtime>(rt: R) {
    let (go, takes) = mpsc::unbounded::<()>();
    let takes = std::sync::Arc::new(futures::lock::Mutex::new(takes));
    let grid = pair(&rt, move |builder| {
        let takes = takes.clone();
        builder.serve_input(SLOW, move |_, input: Input<u32>, _| {
            let takes = takes.clone();
            async move {
                takes.lock().await.next().await;
                input.try_collect::<Vec<u32>>().await
            }
        })
    })
    .await;
    let mut call = server(&grid).open(SLOW, &NoPayload).await.expect("opened");
    call.send(1).await.expect("it fits");
    assert!(call.send(2).now_or_never().is_none(), "it waits, and is dropped");
    go.unbounded_send(()).expect("the handler waits");
    call.send(3).await.expect("sent");
    assert_eq!(call.finish().await, Ok(vec![1, 3]));
}

pub async fn a_next_dropped_before_it_is_ready_has_lost_nothing<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let (mut tx, mut rx) = server(&grid).open(DOUBLE, &NoPayload).await.expect("opened");
    for n in 0..20 {
        assert!(rx.next().now_or_never().is_none());
        tx.send(n).await.expect("sent");
        assert_eq!(rx.next().await, Some(Ok(2 * n)));
    }
}

pub async fn two_clones_of_an_output_wait_for_credits_side_by_side<R: Runtime>(rt: R) {
    let runtime = rt.clone();
    let grid = pair(&rt, move |builder| {
        let runtime = runtime.clone();
        builder.serve_stream(COUNT, move |to, out: Output<u32>, _| {
            let tasks = [out.clone(), out].map(|out| spawn(&runtime, count(to, out)));
            async move {
                for ended in join_all(tasks).await {
                    ended?;
                }
                Ok::<_, CallError>(())
            }
        })
    })
    .await;
    let items = server(&grid).open(COUNT, &50).await.expect("opened");
    let mut items: Vec<u32> = items.try_collect().await.expect("an orderly end");
    items.sort_unstable();
    assert_eq!(items, (0..100).map(|n| n / 2).collect::<Vec<_>>());
}

pub async fn items_of_raw_bytes_may_be_empty_and_large<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_two_way(
            RAW,
            |_, mut input: Input<Payload>, mut out: Output<Payload>, _| async move {
                while let Some(Ok(item)) = input.next().await {
                    out.send(item).await?;
                }
                Ok::<_, CallError>(())
            },
        )
    })
    .await;
    let (mut tx, mut rx) = server(&grid).open(RAW, &Payload::NIL).await.expect("opened");
    for item in [Payload::EMPTY, Payload::from(vec![7; 1 << 20]), Payload::from(vec![1])] {
        tx.send(item.clone()).await.expect("sent");
        assert_eq!(rx.next().await, Some(Ok(item)));
    }
    tx.send(Payload::NIL).await.expect("sent");
    assert_eq!(rx.next().await, Some(Ok(Payload::EMPTY)), "there are no nil items");
}

pub async fn an_item_too_large_leaves_the_stream_as_it_was<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_two_way(RAW, |_, input: Input<Payload>, out: Output<Payload>, _| async move {
            drop(out);
            input.try_for_each(|_| async { Ok(()) }).await
        })
    })
    .await;
    let (mut tx, mut rx) = server(&grid).open(RAW, &Payload::NIL).await.expect("opened");
    let error = tx.send(Payload::from(vec![0; 17 << 20])).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { .. }), "{error:?}");
    tx.send(Payload::from(vec![1])).await.expect("the stream goes on");
    tx.close();
    assert_eq!(rx.next().await, None);
}
