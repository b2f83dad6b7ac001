//! Bytes onto a stream of items.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_io::AsyncWrite;
use futures_sink::Sink;

use super::outlet::SendHalf;
use super::sink::ItemSink;
use crate::error::CallError;

#[cfg(doc)]
use super::{Output, Sender};
#[cfg(doc)]
use crate::limits::Limits;

/// Bytes in an item unless [`ByteWriter::with_item_size`] says otherwise: 32 KiB.
///
/// A message over 16 KiB leaves alone: it is not copied into a batch, small messages of other calls
/// go before it, and large ones take turns. So a stream of bytes does not hold anyone up, and
/// 32 KiB, a quarter of a millisecond at 1 Gbit/s, is what others wait for at most. With the default
/// capacity of 8 items, 256 KiB are on their way at most; a route for bulk data over a long or
/// fast link has a larger capacity, rather than larger items.
pub const DEFAULT_ITEM_SIZE: usize = 32 * 1024;

/// No item is larger.
const MAX_ITEM_SIZE: usize = 1024 * 1024;

/// A [`Sender`] or an [`Output`] of bytes as an [`AsyncWrite`]. Its items are anything made from
/// [`Bytes`]: [`Payload`](crate::payload::Payload), which is sent as it is, or
/// [`MsgBytes`](crate::payload::MsgBytes).
///
/// Bytes are collected to items of [one size](Self::with_item_size), which are sent when they are
/// full. Writing waits when there is no credit for a full item: the other end has not read enough.
/// At most two items wait here. Where the items begin and end says nothing; a
/// [`ByteReader`](super::ByteReader) does not show it.
///
/// - Flushing sends the item that is not full, and is done when it is in the send queue. Flushed
///   with nothing written, and written to with nothing, it sends nothing.
/// - Closing flushes and closes the half. At the caller that is EOF. At the handler the end of the
///   stream is what the handler returns, after all that was flushed. What is written later fails
///   with [`io::ErrorKind::BrokenPipe`].
/// - Dropped without close, it is a dropped half: a [`Sender`] cancels the whole call, an [`Output`]
///   does nothing. What was not flushed is lost.
///
/// ```
/// use futures::io::{self, AsyncRead, AsyncWriteExt};
/// use gridmux_core::handle::{ClientCall, Input};
/// use gridmux_core::payload::Payload;
///
/// /// Sends all that `file` holds, and gives the result that the handler returns.
/// async fn upload(call: ClientCall<Payload, u64>, file: impl AsyncRead) -> io::Result<u64> {
///     let (sender, mut result) = call.split();
///     let mut writer = sender.into_async_write();
///     io::copy(file, &mut writer).await?;
///     writer.close().await?;
///     result.try_next().await?.ok_or(io::ErrorKind::UnexpectedEof.into())
/// }
///
/// /// What its handler does with it.
/// async fn count(input: Input<Payload>) -> io::Result<u64> {
///     io::copy(input.into_async_read(), &mut io::sink()).await
/// }
/// ```
///
/// # Errors
/// How the stream has ended, as an [`io::Error`] that holds the [`CallError`] (`get_ref` shows it,
/// `downcast` gives it back). Bytes that were accepted may be lost then, so every later operation
/// fails with it, and the half is never closed in order.
///
/// # Cancel safety
/// The `poll` functions accept bytes only when they are ready. A future that writes several times,
/// such as `write_all`, has written any part of its bytes when it is dropped.
#[must_use = "a sender that is dropped cancels its call"]
pub struct ByteWriter<S: SendHalf> {
    sink: ItemSink<S>,
    buf: BytesMut,
    item_size: usize,
    failed: Option<CallError>,
}

impl<S: SendHalf> Unpin for ByteWriter<S> {}

impl<S: SendHalf> fmt::Debug for ByteWriter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteWriter")
            .field("buffered", &self.buf.len())
            .field("item_size", &self.item_size)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl<S: SendHalf<Item: From<Bytes>>> ByteWriter<S> {
    /// Writes onto `half`.
    pub fn new(half: S) -> Self {
        let sink = ItemSink::new(half);
        Self { sink, buf: BytesMut::new(), item_size: 0, failed: None }
            .with_item_size(DEFAULT_ITEM_SIZE)
    }

    /// Sets how many bytes make an item; default [`DEFAULT_ITEM_SIZE`].
    ///
    /// At least 1, at most 1 MiB or half of [`Limits::message`] if that is less; another number
    /// is taken for the nearest of these. A buffer of this size is held from the first write on.
    pub fn with_item_size(mut self, bytes: usize) -> Self {
        let limit = self.sink.message_limit() / 2;
        self.item_size = bytes.clamp(1, MAX_ITEM_SIZE.min(limit));
        self
    }

    /// The half. Bytes that are not flushed are lost.
    pub fn into_inner(self) -> S {
        self.sink.into_inner()
    }

    /// Sends what was collected as one item.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let mut sink = Pin::new(&mut self.sink);
        ready!(sink.as_mut().poll_ready(cx))?;
        Poll::Ready(sink.start_send(self.buf.split().freeze().into()))
    }

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, CallError>> {
        if self.buf.len() >= self.item_size {
            ready!(self.poll_send(cx))?;
        }
        let room = self.item_size - self.buf.len();
        let accepted = &bytes[..bytes.len().min(room)];
        if !accepted.is_empty() {
            self.buf.reserve(room);
            self.buf.extend_from_slice(accepted);
        }
        if accepted.len() == room {
            // At once if that can be; otherwise the next write or flush waits for it.
            let _ = self.poll_send(cx)?;
        }
        Poll::Ready(Ok(accepted.len()))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        if !self.buf.is_empty() {
            ready!(self.poll_send(cx))?;
        }
        Pin::new(&mut self.sink).poll_flush(cx)
    }

    /// Does something unless there was an error before: bytes that were accepted may be lost, and
    /// those behind them must not follow.
    fn unless_failed<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Poll<Result<T, CallError>>,
    ) -> Poll<io::Result<T>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Err(error.clone().into()));
        }
        Poll::Ready(ready!(act(self)).map_err(|error| {
            self.failed = Some(error.clone());
            error.into()
        }))
    }
}

impl<S: SendHalf<Item: From<Bytes>>> AsyncWrite for ByteWriter<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.sink.is_closed() {
            return Poll::Ready(Err(CallError::SendClosed.into()));
        }
        this.unless_failed(|this| match bytes.is_empty() {
            true => Poll::Ready(Ok(0)),
            false => this.poll_accept(cx, bytes),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().unless_failed(|this| this.poll_drain(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().unless_failed(|this| {
            ready!(this.poll_drain(cx))?;
            Pin::new(&mut this.sink).poll_close(cx)
        })
    }
}
