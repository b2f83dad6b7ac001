//! Streams of bytes as tokio's readers and writers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::TryStream;
use gridmux_core::handle::{ByteReader, ByteWriter, SendHalf};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

/// A half that sends bytes, as tokio has it.
///
/// ```
/// use gridmux_tokio::handle::{ClientCall, Input};
/// use gridmux_tokio::payload::Payload;
/// use gridmux_tokio::{IntoTokioRead, IntoTokioWrite};
/// use tokio::fs::File;
/// use tokio::io::{self, AsyncWriteExt};
///
/// async fn upload(call: ClientCall<Payload, u64>, path: &str) -> io::Result<u64> {
///     let (sender, mut result) = call.split();
///     let mut writer = sender.into_tokio_write();
///     io::copy(&mut File::open(path).await?, &mut writer).await?;
///     writer.shutdown().await?;
///     result.try_next().await?.ok_or(io::ErrorKind::UnexpectedEof.into())
/// }
///
/// /// A handler that keeps what it is sent.
/// async fn store(input: Input<Payload>, path: &str) -> io::Result<u64> {
///     let mut file = File::create(path).await?;
///     let len = io::copy(&mut input.into_tokio_read(), &mut file).await?;
///     file.sync_all().await?;
///     Ok(len)
/// }
/// ```
pub trait IntoTokioWrite: SendHalf<Item: From<Bytes>> + Sized {
    /// A writer of bytes onto this half, with items of the default size; for others there is
    /// [`TokioWriter::from`].
    fn into_tokio_write(self) -> TokioWriter<Self> {
        ByteWriter::new(self).into()
    }
}

impl<S: SendHalf<Item: From<Bytes>>> IntoTokioWrite for S {}

/// A half that receives bytes, as tokio has it.
pub trait IntoTokioRead:
    TryStream<Ok: Into<Bytes>, Error: Clone + Into<io::Error>> + Sized
{
    /// A reader of the bytes in the items of this half.
    fn into_tokio_read(self) -> TokioReader<Self> {
        ByteReader::new(self).into()
    }
}

impl<S: TryStream<Ok: Into<Bytes>, Error: Clone + Into<io::Error>>> IntoTokioRead for S {}

/// A [`ByteWriter`] as tokio's [`AsyncWrite`]; shutting it down is closing it.
#[derive(Debug)]
#[must_use = "a sender that is dropped cancels its call"]
pub struct TokioWriter<S: SendHalf>(ByteWriter<S>);

impl<S: SendHalf> TokioWriter<S> {
    /// The writer that this is a form of. Nothing is lost.
    pub fn into_inner(self) -> ByteWriter<S> {
        self.0
    }
}

impl<S: SendHalf> From<ByteWriter<S>> for TokioWriter<S> {
    fn from(writer: ByteWriter<S>) -> Self {
        Self(writer)
    }
}

impl<S: SendHalf<Item: From<Bytes>>> AsyncWrite for TokioWriter<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        futures_io::AsyncWrite::poll_write(Pin::new(&mut self.0), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures_io::AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures_io::AsyncWrite::poll_close(Pin::new(&mut self.0), cx)
    }
}

/// A [`ByteReader`] as tokio's [`AsyncRead`] and [`AsyncBufRead`].
#[derive(Debug)]
#[must_use = "a half that is dropped before its end ends the stream"]
pub struct TokioReader<S: TryStream>(ByteReader<S>);

impl<S: TryStream> TokioReader<S> {
    /// The reader that this is a form of. Nothing is lost.
    pub fn into_inner(self) -> ByteReader<S> {
        self.0
    }
}

impl<S: TryStream> From<ByteReader<S>> for TokioReader<S> {
    fn from(reader: ByteReader<S>) -> Self {
        Self(reader)
    }
}

impl<S> AsyncBufRead for TokioReader<S>
where
    S: TryStream<Ok: Into<Bytes>, Error: Clone + Into<io::Error>> + Unpin,
{
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        futures_io::AsyncBufRead::poll_fill_buf(Pin::new(&mut self.get_mut().0), cx)
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        futures_io::AsyncBufRead::consume(Pin::new(&mut self.0), amount);
    }
}

impl<S> AsyncRead for TokioReader<S>
where
    S: TryStream<Ok: Into<Bytes>, Error: Clone + Into<io::Error>> + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let bytes = ready!(self.as_mut().poll_fill_buf(cx))?;
        let len = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..len]);
        self.consume(len);
        Poll::Ready(Ok(()))
    }
}
