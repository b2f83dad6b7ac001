//! Bytes out of a stream of items.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::TryStream;
use futures_io::{AsyncBufRead, AsyncRead};

#[cfg(doc)]
use super::{Input, Receiver};

/// A [`Receiver`] or an [`Input`] of bytes as an [`AsyncRead`] and an [`AsyncBufRead`]. Its items
/// are anything that becomes [`Bytes`]: [`Payload`](crate::payload::Payload), which holds what was
/// received, or [`MsgBytes`](crate::payload::MsgBytes).
///
/// It takes one item at a time, when all bytes of the one before are read; that gives the sender a
/// credit. Bytes are copied once, into the buffer of whoever reads, and not at all by
/// [`AsyncBufRead`]. Empty items are passed over.
///
/// EOF is the orderly end of the stream. An end by error is an error after all bytes that came
/// before it, and again at every later read, so that nobody takes it for EOF. Dropping it before
/// the end is dropping the half.
///
/// ```
/// use futures::io::{self, AsyncBufReadExt};
/// use gridmux_core::handle::Receiver;
/// use gridmux_core::payload::Payload;
///
/// async fn first_line(log: Receiver<Payload>) -> io::Result<String> {
///     let mut line = String::new();
///     log.into_async_read().read_line(&mut line).await?;
///     Ok(line)
/// }
/// ```
///
/// # Errors
/// An [`io::Error`] that holds how the stream has ended (`get_ref` shows it, `downcast` gives it
/// back): a [`CallError`](crate::error::CallError) at the caller, an
/// [`InputError`](super::InputError) at the handler.
///
/// # Cancel safety
/// A read that is dropped before it is ready has lost nothing.
#[must_use = "a half that is dropped before its end ends the stream"]
pub struct ByteReader<S: TryStream> {
    stream: S,
    /// What is left of the last item.
    item: Bytes,
    end: Option<Result<(), S::Error>>,
}

impl<S: TryStream + Unpin> Unpin for ByteReader<S> {}

impl<S: TryStream> fmt::Debug for ByteReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteReader")
            .field("buffered", &self.item.len())
            .field("ended", &self.end.is_some())
            .finish_non_exhaustive()
    }
}

impl<S: TryStream> ByteReader<S> {
    /// Reads the items of `stream`.
    pub const fn new(stream: S) -> Self {
        Self { stream, item: Bytes::new(), end: None }
    }

    /// What was received and not read yet, as far as it is here: the rest of the last item.
    pub fn buffer(&self) -> &[u8] {
        &self.item
    }

    /// The half. What is in [`Self::buffer`] is lost.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S> AsyncBufRead for ByteReader<S>
where
    S: TryStream<Ok: Into<Bytes>, Error: Clone + Into<io::Error>> + Unpin,
{
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.item.is_empty() {
            match &this.end {
                None => {}
                Some(Ok(())) => break,
                Some(Err(error)) => return Poll::Ready(Err(error.clone().into())),
            }
            match ready!(Pin::new(&mut this.stream).try_poll_next(cx)) {
                Some(Ok(item)) => this.item = item.into(),
                Some(Err(error)) => this.end = Some(Err(error)),
                None => this.end = Some(Ok(())),
            }
        }
        Poll::Ready(Ok(&this.item))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let item = &mut self.get_mut().item;
        if amount < item.len() {
            item.advance(amount);
        } else {
            // Not an empty rest of it, which would hold its memory.
            *item = Bytes::new();
        }
    }
}

impl<S> AsyncRead for ByteReader<S>
where
    S: TryStream<Ok: Into<Bytes>, Error: Clone + Into<io::Error>> + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let bytes = ready!(self.as_mut().poll_fill_buf(cx))?;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        self.consume(len);
        Poll::Ready(Ok(len))
    }
}
