//! Items as a sink, on both ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;

use super::outlet::SendHalf;
use crate::error::{CallError, LimitKind};
use crate::mux::Refusal;

#[cfg(doc)]
use super::{Output, Sender};

/// A [`Sender`] or an [`Output`] as a [`Sink`], for `forward`, `send_all` and their like.
///
/// - `poll_ready` waits for a credit and for room in the send queue.
/// - `start_send` queues the item. If there is no room after all, for a clone of the output was
///   quicker or the item is large, it is kept until `poll_flush` or the next `poll_ready` has
///   queued it.
/// - `poll_flush` is done when the item is in the send queue.
/// - `poll_close` flushes and closes the half: nothing more can be sent on it. At the caller that
///   is EOF, like [`Sender::close`]. At the handler the end of the stream is what the handler
///   returns, and clones of the output go on.
///
/// Dropped without close, it is a dropped half: a [`Sender`] cancels the whole call, an [`Output`]
/// does nothing. An item that was kept is lost then.
///
/// An error ends the stream, but for an item that is too large or cannot be encoded.
///
/// ```
/// use futures::{SinkExt, StreamExt, stream};
/// use gridmux_core::error::CallError;
/// use gridmux_core::handle::{Input, Output, Sender};
///
/// async fn upload(sender: Sender<u32>) -> Result<(), CallError> {
///     let mut sink = sender.into_sink();
///     sink.send_all(&mut stream::iter(0..100).map(Ok)).await?;
///     sink.close().await
/// }
///
/// /// A handler that sends back what it is sent.
/// async fn echo(input: Input<u32>, output: Output<u32>) -> Result<(), CallError> {
///     let items = input.map(|item| item.map_err(|_| CallError::Cancelled));
///     items.forward(output.into_sink()).await
/// }
/// ```
///
/// # Cancel safety
/// `SinkExt::send` dropped before it is ready has queued nothing, as long as the sink is the only
/// one to send on the stream and the queue has room for the item.
#[derive(Debug)]
#[must_use = "a sender that is dropped cancels its call"]
pub struct ItemSink<S: SendHalf> {
    half: S,
    /// Taken, and not yet queued.
    kept: Option<S::Item>,
}

impl<S: SendHalf> Unpin for ItemSink<S> {}

impl<S: SendHalf> ItemSink<S> {
    pub(super) const fn new(half: S) -> Self {
        Self { half, kept: None }
    }

    /// The half. An item that is not flushed is lost.
    pub fn into_inner(self) -> S {
        self.half
    }

    pub(super) fn is_closed(&mut self) -> bool {
        self.half.outlet().is_closed()
    }

    pub(super) fn message_limit(&mut self) -> usize {
        self.half.outlet().message_limit()
    }

    fn poll_empty(&mut self, cx: &Context<'_>) -> Poll<Result<(), CallError>> {
        let Some(item) = &self.kept else { return Poll::Ready(Ok(())) };
        let sent = ready!(self.half.outlet().poll_send(item, cx));
        self.kept = None;
        Poll::Ready(sent)
    }
}

impl<S: SendHalf> Sink<S::Item> for ItemSink<S> {
    type Error = CallError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let this = self.get_mut();
        ready!(this.poll_empty(cx))?;
        this.half.outlet().poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: S::Item) -> Result<(), CallError> {
        let this = self.get_mut();
        if this.kept.is_some() {
            // Nobody has asked `poll_ready`; the item must not overtake the one that is kept.
            return Err(CallError::Limit(LimitKind::Credits));
        }
        match this.half.outlet().try_queue(&item, None) {
            Err(Refusal::Failed(error)) => return Err(error),
            Err(Refusal::NoCredit | Refusal::QueueFull) => this.kept = Some(item),
            Ok(()) => {}
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.get_mut().poll_empty(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let this = self.get_mut();
        ready!(this.poll_empty(cx))?;
        this.half.outlet().close();
        Poll::Ready(Ok(()))
    }
}
