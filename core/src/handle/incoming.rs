//! A call of the peer, from its handler's side.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use super::byte_reader::ByteReader;
use super::byte_writer::ByteWriter;
use super::call::decode;
use super::outlet::{Outlet, SendHalf};
use super::peer::PeerHandle;
use super::shared::Shared;
use super::sink::ItemSink;
use super::turns::Turns;
use super::wakers::{List, Waiting};
use crate::error::{CallError, CancelReason, ConfigError};
use crate::mux::{IncomingKey, Received};
use crate::payload::{Body, Payload};
use crate::time::Instant;
use crate::wire::SubrouteId;

/// What a handler knows about its call, and how it learns that it is cancelled. Cheap to clone.
///
/// ```
/// # use gridmux_core::{builder::Builder, driver::runtime::Runtime};
/// use std::time::Duration;
///
/// use gridmux_core::payload::NoPayload;
/// use gridmux_core::route::Unary;
///
/// const REPORT: Unary<NoPayload, String> = Unary::new(1, "report");
///
/// # fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
/// builder.serve(REPORT, |_, context| async move {
///     if context.time_left().is_some_and(|left| left < Duration::from_millis(10)) {
///         return Err("too late to begin");
///     }
///     Ok(format!("for {}", context.caller()))
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: IncomingKey,
    pub(crate) subroute: Option<SubrouteId>,
    pub(crate) deadline: Option<Instant>,
}

impl Context {
    /// The name of the node that called.
    pub fn caller(&self) -> &str {
        &self.shared.name
    }

    /// The peer of this name, to call it or to look at its link. It does not keep the node alive, as a
    /// [`Grid`](super::Grid) in a handler would; its calls fail once the node shuts down.
    ///
    /// ```
    /// # use gridmux_core::{builder::Builder, driver::runtime::Runtime};
    /// use gridmux_core::route::Unary;
    ///
    /// const READ: Unary<String, String> = Unary::new(1, "read");
    /// const READ_ANYWHERE: Unary<String, String> = Unary::new(2, "read-anywhere");
    ///
    /// # fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    /// builder.serve(READ_ANYWHERE, |key, context| async move {
    ///     for peer in context.peers() {
    ///         if let Ok(value) = peer.call(READ, &key).await {
    ///             return Ok(value);
    ///         }
    ///     }
    ///     Err("no node has it")
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Grid::peer`](super::Grid::peer); [`ConfigError::NodeEnded`] in what outlives the node.
    pub fn peer(&self, name: &str) -> Result<PeerHandle, ConfigError> {
        let doorway = self.shared.doorway.upgrade().ok_or(ConfigError::NodeEnded)?;
        match doorway.peer(name) {
            Some(shared) => Ok(PeerHandle::new(shared)),
            None => Err(doorway.node().no_peer(name)),
        }
    }

    /// All peers of this node, by name, as [`Self::peer`] gives each; none in what outlives the node.
    pub fn peers(&self) -> Vec<PeerHandle> {
        let doorway = self.shared.doorway.upgrade();
        let peers = doorway.map_or_else(Vec::new, |doorway| doorway.peers());
        peers.into_iter().map(PeerHandle::new).collect()
    }

    /// The subroute that was called, if the route has one.
    pub const fn subroute(&self) -> Option<SubrouteId> {
        self.subroute
    }

    /// How long the caller will wait yet, by this node's clock; `None` for ever.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.since(self.shared.clock.instant()))
    }

    /// Why the call was cancelled, if it was. [`CancelReason::HandlerEnded`] once the handler has
    /// returned, for what it has left running. [`Self::cancelled`] waits for it.
    pub fn is_cancelled(&self) -> Option<CancelReason> {
        self.shared.look(|state| state.cancelled(self.key))
    }

    /// Fires when the call is cancelled: by the caller, its deadline, the loss of the link, or
    /// the end of this node. Unless the route runs to its end, the handler is then polled once
    /// more and dropped at its next await. For what a handler has left running, it fires when the
    /// handler has returned.
    ///
    /// A handler that has something to tidy up does it when it is dropped, or declares its route
    /// [`run_to_end`](crate::route::Unary::run_to_end). This is for work on tasks of its own:
    ///
    /// ```
    /// use gridmux_core::handle::Context;
    ///
    /// async fn beside_the_handler(context: Context) {
    ///     let reason = context.cancelled().await;
    ///     println!("the call of {} is over: {reason}", context.caller());
    /// }
    /// ```
    pub fn cancelled(&self) -> Cancelled {
        let list = List::Cancelled(self.key);
        Cancelled { waiting: Waiting::new(self.shared.clone(), list), key: self.key }
    }
}

/// A future of a call's cancellation.
///
/// # Cancel safety
/// It can be dropped and made anew at will.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Cancelled {
    waiting: Waiting,
    key: IncomingKey,
}

impl Future for Cancelled {
    type Output = CancelReason;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<CancelReason> {
        let this = self.get_mut();
        let reason = this.waiting.look(cx.waker(), |state| {
            let reason = state.cancelled(this.key);
            (reason, reason.is_none())
        });
        reason.map_or(Poll::Pending, Poll::Ready)
    }
}

/// The input of a stream that is served: items, then the caller's EOF as `None`, or the reason of
/// a cancel as one `Err`; then `None` for ever.
///
/// A credit goes back to the caller when an item is taken, unless the caller's EOF has come. Dropping
/// it discards what still comes, with credits returned, so that the caller's `send` never hangs. It is
/// a [`Stream`], too.
///
/// ```
/// use gridmux_core::handle::{Input, InputError};
///
/// async fn longest(mut input: Input<String>) -> Result<usize, InputError> {
///     let mut longest = 0;
///     while let Some(line) = input.try_next().await? {
///         longest = longest.max(line.len());
///     }
///     Ok(longest)
/// }
/// ```
#[derive(Debug)]
pub struct Input<T> {
    shared: Arc<Shared>,
    key: IncomingKey,
    ended: bool,
    turns: Turns,
    item: PhantomData<fn() -> T>,
}

impl<T> Unpin for Input<T> {}

impl<T: Body> Input<T> {
    pub(crate) fn new(shared: Arc<Shared>, key: IncomingKey) -> Self {
        Self { shared, key, ended: false, turns: Turns::default(), item: PhantomData }
    }

    /// The next item, or `None` at the caller's EOF.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has lost nothing.
    ///
    /// # Errors
    /// [`InputError`], once.
    pub async fn try_next(&mut self) -> Result<Option<T>, InputError> {
        self.next().await.transpose()
    }

    /// The next item, the end by error ([`InputError`]), or `None` at and after the end.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has lost nothing.
    pub async fn next(&mut self) -> Option<Result<T, InputError>> {
        std::future::poll_fn(|cx| self.poll_item(cx)).await
    }

    /// This input as a reader of the bytes in its items; the caller's EOF is its EOF.
    pub fn into_async_read(self) -> ByteReader<Self>
    where
        T: Into<Bytes>,
    {
        ByteReader::new(self)
    }

    fn poll_item(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<T, InputError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        ready!(self.turns.poll_next(cx));
        let key = self.key;
        let received = self.shared.with(|state| {
            let received = state.peer.take_input(key);
            if received == Received::Pending {
                state.wait_input(key, cx.waker());
            }
            received
        });
        Poll::Ready(match received {
            Received::Pending => {
                self.turns.end();
                return Poll::Pending;
            }
            Received::Item(bytes) => {
                Some(decode(Payload::from(bytes), &self.shared.node).map_err(|error| {
                    self.ended = true;
                    // Nobody takes the rest: the caller's `send` must not wait for that.
                    self.shared.with(|state| state.peer.drop_input(key));
                    InputError::Decode(error.to_string())
                }))
            }
            Received::End => {
                self.ended = true;
                None
            }
            Received::Failed(reason) => {
                self.ended = true;
                Some(Err(InputError::Cancelled(reason)))
            }
        })
    }
}

impl<T: Body> Stream for Input<T> {
    type Item = Result<T, InputError>;

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<T, InputError>>> {
        self.get_mut().poll_item(cx)
    }
}

impl<T> Drop for Input<T> {
    fn drop(&mut self) {
        self.shared.with(|state| state.peer.drop_input(self.key));
    }
}

/// Why a handler's input ended other than by the caller's EOF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The call was cancelled.
    #[error("{0}")]
    Cancelled(CancelReason),
    /// The item cannot be decoded as the route's type.
    #[error("cannot decode: {0}")]
    Decode(String),
}

/// The output of a stream that is served. Clones send on the same stream, each in its own order.
/// The stream's end, the handler's return value, comes after all that was sent; then nothing can
/// be sent any more. Dropping it does not end the stream.
///
/// ```
/// use gridmux_core::error::CallError;
/// use gridmux_core::handle::Output;
///
/// async fn squares(to: u64, output: &mut Output<u64>) -> Result<(), CallError> {
///     for number in 1..=to {
///         output.send(number * number).await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Output<T> {
    outlet: Outlet,
    item: PhantomData<fn(T)>,
}

impl<T> Unpin for Output<T> {}

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        Self { outlet: self.outlet.sibling(), item: PhantomData }
    }
}

impl<T> Output<T> {
    pub(crate) const fn new(shared: Arc<Shared>, key: IncomingKey) -> Self {
        Self { outlet: Outlet::served(shared, key), item: PhantomData }
    }
}

impl<T: Body> Output<T> {
    /// Sends an item, as soon as the caller has taken enough of those before and there is room
    /// in the send queue.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has queued nothing.
    ///
    /// # Errors
    /// [`CallError::Cancelled`] once the call is over; an item that is too large or cannot be
    /// encoded leaves the stream as it was.
    pub async fn send(&mut self, item: T) -> Result<(), CallError> {
        self.outlet.send(item).await
    }

    /// Sends an item now or not at all.
    ///
    /// # Errors
    /// [`CallError::Limit`] with [`LimitKind::Credits`](crate::error::LimitKind::Credits) or
    /// [`LimitKind::QueuedBytes`](crate::error::LimitKind::QueuedBytes) if it would have to wait;
    /// otherwise as [`Self::send`].
    pub fn try_send(&mut self, item: &T) -> Result<(), CallError> {
        self.outlet.try_send(item)
    }

    /// This output as a [`Sink`](futures_sink::Sink). Closing it closes this output, not the
    /// stream.
    pub fn into_sink(self) -> ItemSink<Self> {
        ItemSink::new(self)
    }

    /// This output as a writer of bytes. Closing it closes this output, not the stream.
    pub fn into_async_write(self) -> ByteWriter<Self>
    where
        T: From<Bytes>,
    {
        ByteWriter::new(self)
    }
}

impl<T: Body> SendHalf for Output<T> {
    type Item = T;

    fn outlet(&mut self) -> &mut Outlet {
        &mut self.outlet
    }
}
