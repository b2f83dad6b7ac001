//! Streams: the sending half of either end as a sink.

use std::pin::Pin;

use futures::channel::oneshot;
use futures::{FutureExt, Sink, SinkExt, StreamExt, TryStreamExt, stream};

use super::{pair, server};
use crate::driver::runtime::Runtime;
use crate::error::{CallError, LimitKind};
use crate::handle::{Input, Output};
use crate::payload::{NoPayload, Payload};
use crate::route::{ServerStream, TwoWay};

const DOUBLE: TwoWay<NoPayload, u32, u32> = TwoWay::new(1, "double").in_capacity(2).out_capacity(2);
const COUNT: ServerStream<u32, u32> = ServerStream::new(2, "count").out_capacity(1);
const RAW: TwoWay<NoPayload, Payload, Payload> = TwoWay::new(3, "raw");

fn cancelled<E>(_: E) -> CallError {
    CallError::Cancelled
}

pub async fn a_stream_is_forwarded_into_the_sink_of_either_end<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_two_way(DOUBLE, |_, input: Input<u32>, out: Output<u32>, _| {
            input.map_ok(|n| 2 * n).map_err(cancelled).forward(out.into_sink())
        })
    })
    .await;
    let (tx, rx) = server(&grid).open(DOUBLE, &NoPayload).await.expect("opened");
    let sending = stream::iter(0..500).map(Ok).forward(tx.into_sink());
    let (sent, received) = futures::join!(sending, rx.try_collect::<Vec<u32>>());
    assert_eq!(sent, Ok(()));
    assert_eq!(received, Ok((0..500).map(|n| 2 * n).collect()));
}

pub async fn send_all_sends_on_either_end<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_two_way(DOUBLE, |_, input: Input<u32>, out: Output<u32>, _| async move {
            let mut sink = out.into_sink();
            sink.send_all(&mut input.map_err(cancelled)).await
        })
    })
    .await;
    let (tx, rx) = server(&grid).open(DOUBLE, &NoPayload).await.expect("opened");
    let mut sink = tx.into_sink();
    let sending = async {
        sink.send_all(&mut stream::iter(0..50).map(Ok)).await?;
        sink.send_all(&mut stream::iter(50..100).map(Ok)).await?;
        sink.close().await?;
        sink.close().await
    };
    let (sent, received) = futures::join!(sending, rx.try_collect::<Vec<u32>>());
    assert_eq!(sent, Ok(()));
    assert_eq!(received, Ok((0..100).collect()));
    assert_eq!(sink.send(1).await, Err(CallError::SendClosed));
}

pub async fn an_error_in_what_is_forwarded_cancels_the_call<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_two_way(DOUBLE, |_, input: Input<u32>, out: Output<u32>, _| {
            input.map_err(cancelled).forward(out.into_sink())
        })
    })
    .await;
    let (tx, mut rx) = server(&grid).open(DOUBLE, &NoPayload).await.expect("opened");
    let broken = stream::iter([Ok(1), Err(CallError::Encode("of the source".into()))]);
    let forwarded = broken.forward(tx.into_sink()).await;
    assert_eq!(forwarded, Err(CallError::Encode("of the source".into())));
    let end = loop {
        match rx.next().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert_eq!(end, Some(Err(CallError::Cancelled)));
}

pub async fn a_sink_s_send_dropped_before_it_is_ready_has_queued_nothing<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_stream(COUNT, |_, out: Output<u32>, _| async move {
            let mut sink = out.into_sink();
            sink.send(1).await?;
            assert!(sink.send(2).now_or_never().is_none(), "it waits, and is dropped");
            sink.send(3).await
        })
    })
    .await;
    let items = server(&grid).open(COUNT, &0).await.expect("opened");
    assert_eq!(items.try_collect::<Vec<_>>().await, Ok(vec![1, 3]));
}

pub async fn an_item_whose_credit_a_clone_has_taken_is_kept<R: Runtime>(rt: R) {
    let (kept, waits) = oneshot::channel();
    let kept = std::sync::Arc::new(std::sync::Mutex::new(Some(kept)));
    let grid = pair(&rt, move |builder| {
        let kept = kept.clone();
        builder.serve_stream(COUNT, move |_, out: Output<u32>, _| {
            let kept = kept.clone();
            async move {
                let (mut one, mut other) = (out.clone().into_sink(), out.into_sink());
                for sink in [&mut one, &mut other] {
                    std::future::poll_fn(|cx| Pin::new(&mut *sink).poll_ready(cx)).await?;
                }
                Pin::new(&mut one).start_send(1)?;
                Pin::new(&mut other).start_send(2)?;
                assert!(other.flush().now_or_never().is_none(), "there was one credit");
                let hasty = Pin::new(&mut other).start_send(3);
                assert_eq!(hasty, Err(CallError::Limit(LimitKind::Credits)));
                let kept = kept.lock().unwrap().take().expect("one call");
                kept.send(()).expect("the test waits");
                other.close().await?;
                one.send(4).await
            }
        })
    })
    .await;
    let items = server(&grid).open(COUNT, &0).await.expect("opened");
    waits.await.expect("the handler keeps an item");
    assert_eq!(items.try_collect::<Vec<_>>().await, Ok(vec![1, 2, 4]));
}

pub async fn closing_an_output_s_sink_ends_the_output_and_not_the_stream<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_stream(COUNT, |_, out: Output<u32>, _| async move {
            let mut clone = out.clone();
            let mut sink = out.into_sink();
            sink.send(1).await?;
            sink.close().await?;
            assert_eq!(sink.send(2).await, Err(CallError::SendClosed));
            assert_eq!(sink.into_inner().send(2).await, Err(CallError::SendClosed));
            clone.send(3).await
        })
    })
    .await;
    let items = server(&grid).open(COUNT, &0).await.expect("opened");
    assert_eq!(items.try_collect::<Vec<_>>().await, Ok(vec![1, 3]));
}

pub async fn a_sink_dropped_without_close_cancels_the_call<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_two_way(DOUBLE, |_, input: Input<u32>, out: Output<u32>, _| {
            input.map_err(cancelled).forward(out.into_sink())
        })
    })
    .await;
    let (tx, mut rx) = server(&grid).open(DOUBLE, &NoPayload).await.expect("opened");
    let mut sink = tx.into_sink();
    sink.send(1).await.expect("sent");
    assert_eq!(rx.next().await, Some(Ok(1)));
    drop(sink);
    assert_eq!(rx.next().await, Some(Err(CallError::Cancelled)));
}

pub async fn an_item_too_large_for_the_sink_leaves_the_stream_as_it_was<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_two_way(RAW, |_, input: Input<Payload>, out: Output<Payload>, _| {
            input.map_err(cancelled).forward(out.into_sink())
        })
    })
    .await;
    let (tx, rx) = server(&grid).open(RAW, &NoPayload).await.expect("opened");
    let mut sink = tx.into_sink();
    let error = sink.send(Payload::from(vec![0; 17 << 20])).await.expect_err("refused");
    assert!(matches!(error, CallError::TooLarge { .. }), "{error:?}");
    sink.send(Payload::from(vec![1])).await.expect("the stream goes on");
    sink.close().await.expect("closed");
    assert_eq!(rx.try_collect::<Vec<_>>().await, Ok(vec![Payload::from(vec![1])]));
}
