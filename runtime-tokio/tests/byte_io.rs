//! Streams of bytes through tokio's readers and writers.

use gridmux_tokio::error::CallError;
use gridmux_tokio::handle::{Input, Output};
use gridmux_tokio::payload::{NoPayload, Payload};
use gridmux_tokio::route::{ClientStream, TwoWay};
use gridmux_tokio::testing::TestGrid;
use gridmux_tokio::{IntoTokioRead, IntoTokioWrite, Tokio, TokioWriter};
use tokio::fs::File;
use tokio::io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, ErrorKind};

const ECHO: TwoWay<NoPayload, Payload, Payload> = TwoWay::new(1, "echo").in_capacity(2);
const LENGTHS: ClientStream<NoPayload, Payload, Vec<usize>> = ClientStream::new(2, "lengths");

async fn echo(input: Input<Payload>, out: Output<Payload>) -> io::Result<()> {
    let mut writer = out.into_tokio_write();
    io::copy_buf(&mut input.into_tokio_read(), &mut writer).await?;
    writer.shutdown().await
}

async fn lengths(
    mut input: Input<Payload>,
) -> Result<Vec<usize>, gridmux_tokio::handle::InputError> {
    let mut lengths = Vec::new();
    while let Some(item) = input.try_next().await? {
        lengths.push(item.len());
    }
    Ok(lengths)
}

async fn two() -> TestGrid<Tokio> {
    let grid = TestGrid::new(&Tokio::default(), 2, |_, builder| {
        builder
            .serve_two_way(ECHO, |_, input, out, _| echo(input, out))
            .serve_input(LENGTHS, |_, input, _| lengths(input))
    });
    grid.connected().await;
    grid
}

#[tokio::test]
async fn a_file_is_copied_to_another_node_and_back() {
    let path = |name: &str| std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (from, to) = (path("byte_io-from"), path("byte_io-to"));
    let mut random = fastrand::Rng::with_seed(7);
    let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(5 << 20).collect();
    std::fs::write(&from, &content).expect("a file");

    let grid = two().await;
    let (tx, rx) = grid.peer(0, 1).open(ECHO, &NoPayload).await.expect("opened");
    let up = async {
        let mut writer = tx.into_tokio_write();
        let copied = io::copy(&mut File::open(&from).await?, &mut writer).await?;
        writer.shutdown().await?;
        io::Result::Ok(copied)
    };
    let down = async {
        let mut file = File::create(&to).await?;
        let copied = io::copy(&mut rx.into_tokio_read(), &mut file).await?;
        file.flush().await?;
        io::Result::Ok(copied)
    };
    assert_eq!(tokio::try_join!(up, down).expect("copied"), (5 << 20, 5 << 20));
    assert!(std::fs::read(&to).expect("a file") == content, "byte for byte");
}

#[tokio::test]
async fn a_conversation_needs_a_flush_after_each_line() {
    let grid = two().await;
    let (tx, rx) = grid.peer(0, 1).open(ECHO, &NoPayload).await.expect("opened");
    let (mut writer, mut lines) = (tx.into_tokio_write(), rx.into_tokio_read().lines());
    for line in ["one", "", "three"] {
        writer.write_all(format!("{line}\n").as_bytes()).await.expect("written");
        writer.flush().await.expect("sent");
        assert_eq!(lines.next_line().await.expect("answered").as_deref(), Some(line));
    }
    writer.shutdown().await.expect("closed");
    assert_eq!(lines.next_line().await.expect("EOF"), None);
}

#[tokio::test]
async fn the_size_of_the_items_can_be_chosen() {
    let grid = two().await;
    let call = grid.peer(0, 1).open(LENGTHS, &NoPayload).await.expect("opened");
    let (tx, mut lengths) = call.split();
    let mut writer = TokioWriter::from(tx.into_async_write().with_item_size(1000));
    writer.write_all(&[7; 2500]).await.expect("written");
    writer.into_inner().into_inner().close();
    let whole = lengths.try_next().await;
    assert_eq!(whole, Ok(Some(vec![1000, 1000])), "what is not flushed is lost");
}

#[tokio::test]
async fn a_writer_dropped_without_shutdown_is_an_error_and_no_eof() {
    let grid = two().await;
    let (tx, rx) = grid.peer(0, 1).open(ECHO, &NoPayload).await.expect("opened");
    let mut writer = tx.into_tokio_write();
    writer.write_all(b"half of it").await.expect("written");
    drop(writer);
    let mut reader = rx.into_tokio_read();
    assert_eq!(reader.read(&mut []).await.expect("nothing"), 0);
    let error = reader.read_to_end(&mut Vec::new()).await.expect_err("it is no EOF");
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert_eq!(error.downcast::<CallError>().expect("it is inside"), CallError::Cancelled);
}
