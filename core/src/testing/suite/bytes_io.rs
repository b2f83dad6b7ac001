//! Streams of bytes: readers and writers on both ends.

use std::io::ErrorKind;

use futures::channel::mpsc;
use futures::io::{self, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Cursor};
use futures::{AsyncBufReadExt, FutureExt, StreamExt, TryStreamExt};

use super::super::eventually;
use super::{pair, server};
use crate::driver::runtime::Runtime;
use crate::error::{CallError, CancelReason};
use crate::handle::{ByteReader, Input, InputError, Output, Receiver};
use crate::limits::Limits;
use crate::link::LinkState;
use crate::payload::{MsgBytes, NoPayload, Payload};
use crate::rng::WeakRng;
use crate::route::{ClientStream, ServerStream, TwoWay};
use crate::testing::TestGrid;

const DOWN: ServerStream<NoPayload, Payload> = ServerStream::new(1, "down").out_capacity(2);
const UP: ClientStream<NoPayload, Payload, Payload> = ClientStream::new(2, "up").in_capacity(2);
const LENGTHS: ClientStream<NoPayload, Payload, Vec<usize>> = ClientStream::new(3, "lengths");
/// The request is the size of the items that come back.
const ECHO: TwoWay<usize, Payload, Payload> = TwoWay::new(4, "echo").in_capacity(2);
const WITH_HEADER: TwoWay<NoPayload, MsgBytes, MsgBytes> = TwoWay::new(5, "with-header");

/// Two nodes, of which the second sends back what bytes it is sent.
async fn echoing<R: Runtime>(rt: &R) -> TestGrid<R> {
    pair(rt, |builder| {
        builder.serve_two_way(ECHO, |size, input, out, _| async move {
            let mut writer = out.into_async_write().with_item_size(size);
            io::copy(input.into_async_read(), &mut writer).await.map(drop)
        })
    })
    .await
}

/// Two nodes, of which the second gives back all that it was sent, once it is told to go on.
async fn collecting<R: Runtime>(rt: &R) -> (TestGrid<R>, mpsc::UnboundedSender<()>) {
    let (go, goes) = mpsc::unbounded::<()>();
    let goes = std::sync::Arc::new(futures::lock::Mutex::new(goes));
    let grid = pair(rt, move |builder| {
        let goes = goes.clone();
        builder.serve_input(UP, move |_, input: Input<Payload>, _| {
            let goes = goes.clone();
            async move {
                goes.lock().await.next().await;
                let mut all = Vec::new();
                input.into_async_read().read_to_end(&mut all).await?;
                Ok::<_, io::Error>(Payload::from(all))
            }
        })
    })
    .await;
    (grid, go)
}

/// Two nodes, of which the second lets `write` send what it likes.
async fn sending<R: Runtime, F>(
    rt: &R,
    write: impl Fn(Output<Payload>) -> F + Clone + Send + Sync + 'static,
) -> (TestGrid<R>, Receiver<Payload>)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let grid = pair(rt, move |builder| {
        let write = write.clone();
        builder.serve_stream(DOWN, move |_, out, _| write(out))
    })
    .await;
    let items = server(&grid).open(DOWN, &NoPayload).await.expect("opened");
    (grid, items)
}

fn random_bytes(rng: &mut WeakRng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

fn call_error(error: io::Error) -> CallError {
    error.downcast().expect("it holds the call's error")
}

pub async fn five_mebibytes_are_copied_each_way_byte_for_byte<R: Runtime>(rt: R) {
    let grid = echoing(&rt).await;
    let (tx, rx) = server(&grid).open(ECHO, &100_000).await.expect("opened");
    let sent = random_bytes(&mut WeakRng::new(1), 5 << 20);
    let mut received = Cursor::new(Vec::new());
    let (up, down) = futures::join!(
        async {
            let mut writer = tx.into_async_write();
            let copied = io::copy(Cursor::new(&sent), &mut writer).await?;
            writer.close().await?;
            io::Result::Ok(copied)
        },
        io::copy(rx.into_async_read(), &mut received)
    );
    assert_eq!((up.expect("sent"), down.expect("received")), (5 << 20, 5 << 20));
    assert!(received.into_inner() == sent, "byte for byte");
}

pub async fn any_writes_and_flushes_give_the_same_bytes<R: Runtime>(rt: R) {
    let grid = echoing(&rt).await;
    for seed in 0..20 {
        let mut rng = WeakRng::new(seed);
        let [here, there] = [0; 2].map(|_| rng.range(1, [10, 1_000, 40_000][seed as usize % 3]));
        let (tx, rx) = server(&grid).open(ECHO, &(there as usize)).await.expect("opened");
        let len = rng.range(0, 200 * here.min(there)) as usize;
        let sent = random_bytes(&mut rng, len);
        let mut received = Vec::new();
        let (up, down) = futures::join!(
            async {
                let mut writer = tx.into_async_write().with_item_size(here as usize);
                let mut left = &sent[..];
                while !left.is_empty() {
                    let some = rng.range(0, 3 * here).min(left.len() as u64) as usize;
                    let written = writer.write(&left[..some]).await?;
                    left = &left[written..];
                    if rng.range(0, 3) == 0 {
                        writer.flush().await?;
                    }
                }
                writer.close().await
            },
            async { rx.into_async_read().read_to_end(&mut received).await }
        );
        assert_eq!((up.expect("sent"), down.expect("received")), ((), sent.len()), "seed {seed}");
        assert!(received == sent, "seed {seed}");
    }
}

/// Items of 10, 2, 10 and 1 bytes, from a writer whose items have 10.
async fn write_in_parts(mut writer: impl AsyncWrite + Unpin) -> io::Result<()> {
    for _ in 0..4 {
        writer.write_all(b"abc").await?;
    }
    writer.flush().await?;
    writer.flush().await?;
    writer.write_all(b"0123456789x").await?;
    writer.close().await
}

pub async fn small_writes_become_one_item_and_a_flush_sends_what_there_is<R: Runtime>(rt: R) {
    let (grid, items) =
        sending(&rt, |out| write_in_parts(out.into_async_write().with_item_size(10))).await;
    let items: Vec<Payload> = items.try_collect().await.expect("an orderly end");
    assert_eq!(items.iter().map(|item| item.len()).collect::<Vec<_>>(), [10, 2, 10, 1]);
    drop(grid);

    let grid = pair(&rt, |builder| {
        builder.serve_input(LENGTHS, |_, input: Input<Payload>, _| {
            input.map_ok(|item| item.len()).try_collect::<Vec<_>>()
        })
    })
    .await;
    let (tx, mut lengths) = server(&grid).open(LENGTHS, &NoPayload).await.expect("opened").split();
    write_in_parts(tx.into_async_write().with_item_size(10)).await.expect("written");
    assert_eq!(lengths.try_next().await, Ok(Some(vec![10, 2, 10, 1])));
}

/// Writes as long as that need not wait; says how many bytes were accepted.
fn write_what_fits(writer: &mut (impl AsyncWrite + Unpin)) -> usize {
    std::iter::from_fn(|| writer.write(&[7; 100]).now_or_never())
        .map(|written| written.expect("the stream is open"))
        .sum()
}

pub async fn a_caller_s_writer_waits_while_the_handler_reads_nothing<R: Runtime>(rt: R) {
    let (grid, go) = collecting(&rt).await;
    let (tx, mut result) = server(&grid).open(UP, &NoPayload).await.expect("opened").split();
    let mut writer = tx.into_async_write().with_item_size(100);
    // The flush waits for the first credits.
    writer.write_all(&[7; 100]).await.expect("written");
    writer.flush().await.expect("sent");
    assert_eq!(write_what_fits(&mut writer), 200, "one more is sent, and one waits here");
    let callee = grid.peer(1, 0);
    eventually(&rt, "both are there", || callee.stats().received_bytes >= 200).await;
    assert!(callee.stats().received_bytes < 300);
    go.unbounded_send(()).expect("the handler waits");
    writer.write_all(&[7; 100]).await.expect("the handler reads");
    writer.close().await.expect("closed");
    assert_eq!(result.try_next().await, Ok(Some(Payload::from(vec![7; 400]))));
}

pub async fn a_handler_s_writer_waits_while_the_caller_reads_nothing<R: Runtime>(rt: R) {
    let (told, mut tells) = mpsc::unbounded();
    let (grid, items) = sending(&rt, move |out| {
        let told = told.clone();
        async move {
            let mut writer = out.into_async_write().with_item_size(100);
            let _ = told.unbounded_send(write_what_fits(&mut writer));
            writer.write_all(&[7; 100]).await?;
            let _ = told.unbounded_send(100);
            writer.close().await
        }
    })
    .await;
    assert_eq!(tells.next().await, Some(300), "two are sent, and one waits there");
    eventually(&rt, "both are here", || server(&grid).stats().received_bytes >= 200).await;
    assert!(server(&grid).stats().received_bytes < 300);
    assert!(tells.next().now_or_never().is_none());
    let mut reader = items.into_async_read();
    let mut received = [0; 400];
    reader.read_exact(&mut received[..1]).await.expect("read");
    assert_eq!(tells.next().await, Some(100));
    reader.read_exact(&mut received[1..]).await.expect("read");
    assert_eq!((received, reader.read(&mut [0]).await.expect("EOF")), ([7; 400], 0));
}

pub async fn closing_a_caller_s_writer_is_eof_behind_all_bytes<R: Runtime>(rt: R) {
    let (grid, go) = collecting(&rt).await;
    go.unbounded_send(()).expect("the handler waits");
    let (tx, mut result) = server(&grid).open(UP, &NoPayload).await.expect("opened").split();
    let mut writer = tx.into_async_write();
    let sent = random_bytes(&mut WeakRng::new(2), 100_001);
    writer.write_all(&sent).await.expect("written");
    writer.close().await.expect("closed");
    writer.close().await.expect("it is closed already");
    let late = writer.write(b"more").await.expect_err("closed");
    assert_eq!((late.kind(), call_error(late)), (ErrorKind::BrokenPipe, CallError::SendClosed));
    drop(writer);
    assert_eq!(result.try_next().await, Ok(Some(Payload::from(sent))));
}

pub async fn closing_a_handler_s_writer_is_not_the_end_of_the_stream<R: Runtime>(rt: R) {
    let (_grid, items) = sending(&rt, |out| async move {
        let mut other = out.clone();
        let mut writer = out.into_async_write();
        writer.write_all(b"first").await?;
        writer.close().await?;
        assert_eq!(writer.write(b"").await.expect_err("closed").kind(), ErrorKind::BrokenPipe);
        other.send(Payload::from(&b", second"[..])).await.map_err(io::Error::from)
    })
    .await;
    let mut text = String::new();
    items.into_async_read().read_to_string(&mut text).await.expect("an orderly end");
    assert_eq!(text, "first, second");
}

/// Two nodes, of which the second tells how reading all of its input failed, and failed again.
async fn failing<R: Runtime>(
    rt: &R,
) -> (TestGrid<R>, mpsc::UnboundedReceiver<(Vec<u8>, [io::Error; 2])>) {
    let (told, tells) = mpsc::unbounded();
    let grid = pair(rt, move |builder| {
        let told = told.clone();
        builder.serve_two_way(ECHO, move |_, input: Input<Payload>, mut out: Output<Payload>, _| {
            let told = told.clone();
            async move {
                out.send(Payload::from(&b"hello"[..])).await?;
                let mut reader = input.into_async_read();
                let mut all = Vec::new();
                let first = reader.read_to_end(&mut all).await.expect_err("it is no EOF");
                let second = reader.read(&mut [0]).await.expect_err("it is no EOF");
                let _ = told.unbounded_send((all, [first, second]));
                Ok::<_, CallError>(())
            }
        })
    })
    .await;
    (grid, tells)
}

pub async fn a_writer_dropped_without_close_is_an_error_and_no_eof<R: Runtime>(rt: R) {
    let (grid, mut tells) = failing(&rt).await;
    let (tx, rx) = server(&grid).open(ECHO, &1).await.expect("opened");
    let mut reader = rx.into_async_read();
    reader.read_exact(&mut [0; 5]).await.expect("the handler runs");
    let mut writer = tx.into_async_write();
    writer.write_all(b"half of it").await.expect("written");
    writer.flush().await.expect("sent");
    drop(writer);
    let (_, errors) = tells.next().await.expect("told");
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        let inside: InputError = error.downcast().expect("it holds the input's error");
        assert_eq!(inside, InputError::Cancelled(CancelReason::Caller));
    }
    for _ in 0..2 {
        let error = reader.read(&mut [0]).await.expect_err("it is no EOF");
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert_eq!(call_error(error), CallError::Cancelled);
    }
}

pub async fn a_lost_link_fails_readers_and_writers_on_both_ends<R: Runtime>(rt: R) {
    let (grid, mut tells) = failing(&rt).await;
    let peer = server(&grid);
    let (tx, rx) = peer.open(ECHO, &1).await.expect("opened");
    let (mut reader, mut writer) = (rx.into_async_read(), tx.into_async_write());
    reader.read_exact(&mut [0; 5]).await.expect("the handler runs");
    grid.cut(0, 1);
    eventually(&rt, "the link is lost", || peer.state() != LinkState::Connected).await;
    let lost = CallError::Disconnected { may_have_run: true };
    writer.write_all(b"it waits here").await.expect("there is room");
    for error in [writer.flush().await, writer.write(b"").await.map(drop), writer.close().await] {
        let error = error.expect_err("the link is lost");
        assert_eq!((error.kind(), call_error(error)), (ErrorKind::ConnectionReset, lost.clone()));
    }
    let error = reader.read(&mut [0]).await.expect_err("it is no EOF");
    assert_eq!((error.kind(), call_error(error)), (ErrorKind::ConnectionReset, lost));
    let (received, errors) = tells.next().await.expect("told");
    assert_eq!(received, b"");
    assert_eq!(errors.map(|error| error.kind()), [ErrorKind::ConnectionReset; 2]);
}

pub async fn a_handler_s_error_comes_after_all_bytes<R: Runtime>(rt: R) {
    let sent = random_bytes(&mut WeakRng::new(3), 100_001);
    let written = sent.clone();
    let (_grid, items) = sending(&rt, move |out| {
        let bytes = written.clone();
        async move {
            let mut writer = out.into_async_write();
            writer.write_all(&bytes).await?;
            writer.close().await?;
            Err(io::Error::other("the disk is gone"))
        }
    })
    .await;
    let mut reader = items.into_async_read();
    let mut received = Vec::new();
    let error = reader.read_to_end(&mut received).await.expect_err("the handler failed");
    assert!(received == sent, "all bytes come first");
    assert_eq!(error.kind(), ErrorKind::Other);
    assert_eq!(call_error(error), CallError::Remote("the disk is gone".into()));
    assert!(reader.read(&mut [0]).await.is_err(), "it never becomes an EOF");
}

pub async fn a_handler_that_ends_early_fails_the_writer<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_input(UP, |_, mut input: Input<Payload>, _| async move {
            input.next().await;
            Err::<Payload, _>("the volume is full")
        })
    })
    .await;
    let (tx, _result) = server(&grid).open(UP, &NoPayload).await.expect("opened").split();
    let mut writer = tx.into_async_write();
    let error = io::copy(io::repeat(7), &mut writer).await.expect_err("the handler failed");
    assert_eq!(call_error(error), CallError::Remote("the volume is full".into()));
}

pub async fn writing_nothing_sends_nothing<R: Runtime>(rt: R) {
    let (grid, go) = collecting(&rt).await;
    let peer = server(&grid);
    let (tx, mut result) = peer.open(UP, &NoPayload).await.expect("opened").split();
    let before = peer.stats().messages_out;
    let mut writer = tx.into_async_write();
    assert_eq!(writer.write(b"").await.expect("nothing"), 0);
    writer.flush().await.expect("nothing");
    assert_eq!(peer.stats().messages_out, before);
    writer.close().await.expect("closed");
    go.unbounded_send(()).expect("the handler waits");
    assert_eq!(result.try_next().await, Ok(Some(Payload::EMPTY)));
}

pub async fn empty_items_are_no_eof<R: Runtime>(rt: R) {
    let (_grid, items) = sending(&rt, |mut out| async move {
        for item in [&b""[..], b"one", b"", b"", b" two", b""] {
            out.send(Payload::from(item)).await?;
        }
        Ok(())
    })
    .await;
    let mut reader = items.into_async_read();
    assert_eq!(reader.read(&mut []).await.expect("nothing"), 0);
    let mut text = String::new();
    reader.read_to_string(&mut text).await.expect("an orderly end");
    assert_eq!(text, "one two");
}

pub async fn lines_are_read_across_items<R: Runtime>(rt: R) {
    let (_grid, items) = sending(&rt, |out| async move {
        let mut writer = out.into_async_write().with_item_size(7);
        writer.write_all(b"first line\nsecond\n\nand the last, without an end").await?;
        writer.flush().await
    })
    .await;
    let lines: Vec<String> = items.into_async_read().lines().try_collect().await.expect("lines");
    assert_eq!(lines, ["first line", "second", "", "and the last, without an end"]);
}

pub async fn a_half_comes_back_out_of_its_reader_and_writer<R: Runtime>(rt: R) {
    let grid = echoing(&rt).await;
    let (tx, rx) = server(&grid).open(ECHO, &4).await.expect("opened");
    let (mut writer, mut reader) = (tx.into_async_write(), rx.into_async_read());
    writer.write_all(b"four and ").await.expect("written");
    writer.flush().await.expect("sent");
    reader.read_exact(&mut [0; 2]).await.expect("read");
    assert_eq!(reader.buffer(), b"ur");
    let (mut tx, rx) = (writer.into_inner(), reader.into_inner());
    tx.send(Payload::from(&b"more"[..])).await.expect("it is open");
    tx.close();
    let mut text = String::new();
    let read = BufReader::new(ByteReader::new(rx)).read_to_string(&mut text).await;
    assert_eq!((read.expect("read"), &text[..]), (9, " and more"));
}

pub async fn bytes_with_a_header_travel_as_well<R: Runtime>(rt: R) {
    let grid = pair(&rt, |builder| {
        builder.serve_two_way(
            WITH_HEADER,
            |_, input: Input<MsgBytes>, out: Output<MsgBytes>, _| async move {
                let mut writer = out.into_async_write();
                io::copy(input.into_async_read(), &mut writer).await.map(drop)
            },
        )
    })
    .await;
    let (tx, rx) = server(&grid).open(WITH_HEADER, &NoPayload).await.expect("opened");
    let mut writer = tx.into_async_write();
    let sent = random_bytes(&mut WeakRng::new(4), 100_001);
    writer.write_all(&sent).await.expect("written");
    writer.close().await.expect("closed");
    let mut received = Vec::new();
    rx.into_async_read().read_to_end(&mut received).await.expect("an orderly end");
    assert!(received == sent);
}

pub async fn items_are_no_larger_than_a_message_may_be<R: Runtime>(rt: R) {
    let grid = TestGrid::new(&rt, 2, |index, builder| {
        let builder = builder.limits(Limits { message: 1 << 10, ..Limits::default() });
        match index {
            0 => builder,
            _ => builder.serve_input(LENGTHS, |_, input: Input<Payload>, _| {
                input.map_ok(|item| item.len()).try_collect::<Vec<_>>()
            }),
        }
    });
    grid.connected().await;
    let (tx, mut lengths) = server(&grid).open(LENGTHS, &NoPayload).await.expect("opened").split();
    let mut writer = tx.into_async_write();
    writer.write_all(&[7; 1030]).await.expect("written");
    writer.close().await.expect("closed");
    assert_eq!(lengths.try_next().await, Ok(Some(vec![512, 512, 6])));
}
