//! A stream, from the caller's side.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use super::byte_reader::ByteReader;
use super::byte_writer::ByteWriter;
use super::call::{Start, decode, with_data};
use super::outlet::{Outlet, SendHalf};
use super::shared::Shared;
use super::sink::ItemSink;
use super::turns::Turns;
#[cfg(doc)]
use crate::error::LimitKind;
use crate::error::{CallError, Violation};
use crate::mux::{OutgoingKey, Received, Target};
use crate::payload::{Body, Payload};

/// The call that both halves hold; when the last lets go, it is released.
#[derive(Debug)]
struct Held {
    shared: Arc<Shared>,
    key: OutgoingKey,
    /// The route's name.
    route: &'static str,
}

impl Held {
    fn cancel(&self) {
        let now = self.shared.clock.now();
        self.shared.with(|state| state.peer.cancel(now, self.key));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        self.shared.with(|state| {
            state.forget(self.key);
            state.peer.release(now, self.key);
        });
    }
}

/// Opening a stream: a future of its halves. Its first poll sends the opening message; nothing is
/// waited for but the link and room in the queue, if that is asked for.
///
/// # Cancel safety
/// Dropped before it is ready, it has sent nothing.
///
/// # Errors
/// [`CallError`]; that the handler is unknown or refused shows on the stream itself.
#[must_use = "a stream is not opened unless it is awaited"]
pub struct Opening<'a, Req, Halves> {
    shared: Arc<Shared>,
    target: Target,
    route: &'static str,
    capacities: (u32, u32),
    request: &'a Req,
    start: Start,
    halves: PhantomData<fn() -> Halves>,
}

impl<Req, Halves> std::fmt::Debug for Opening<'_, Req, Halves> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("target", &self.target).finish_non_exhaustive()
    }
}

impl<'a, Req, Halves> Opening<'a, Req, Halves> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        target: Target,
        route: &'static str,
        capacities: (u32, u32),
        request: &'a Req,
    ) -> Self {
        Self {
            shared,
            target,
            route,
            capacities,
            request,
            start: Start::new(),
            halves: PhantomData,
        }
    }

    /// Sets the deadline of the whole stream, from the first poll on; without one it may live
    /// for ever. At least 1 ms.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.start.timeout(timeout);
        self
    }

    /// Waits so long for the link if there is none, instead of failing at once.
    pub fn wait_for_link(mut self, timeout: Duration) -> Self {
        self.start.wait_for_link(timeout);
        self
    }

    /// Fails with [`LimitKind::QueuedBytes`] instead of waiting for room in the send queue.
    pub fn no_wait(mut self) -> Self {
        self.start.no_wait();
        self
    }
}

impl<Req, Halves> Drop for Opening<'_, Req, Halves> {
    fn drop(&mut self) {
        self.start.leave(&self.shared);
    }
}

/// What opening a stream of some shape gives.
pub trait FromOpened {
    #[doc(hidden)]
    fn from_opened(opened: Opened) -> Self;
}

/// An opened stream, before it is given its shape.
#[derive(Debug)]
#[doc(hidden)]
pub struct Opened(Arc<Held>);

impl<Req: Body, Halves: FromOpened> Future for Opening<'_, Req, Halves> {
    type Output = Result<Halves, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (shared, target, capacities) = (&this.shared, this.target, this.capacities);
        let start = &mut this.start;
        let poll = with_data(this.request, |data| {
            start.poll(shared, cx, None, |state, now, timeout| {
                state.peer.open(now, target, capacities, data.clone(), timeout)
            })
        });
        let key = ready!(poll?)?;
        let held = Held { shared: this.shared.clone(), key, route: this.route };
        Poll::Ready(Ok(Halves::from_opened(Opened(Arc::new(held)))))
    }
}

/// The receiving half of a stream: its items, then exactly one end, then `None` for ever.
///
/// Items received before an end come before it, whatever the end, but for the call's own
/// deadline and cancel. A credit goes back to the handler when an item is taken.
///
/// Dropping it cancels the whole call, unless the call has ended. It is a [`Stream`], too.
///
/// ```
/// use gridmux_core::error::CallError;
/// use gridmux_core::handle::Receiver;
///
/// async fn collect(mut items: Receiver<u32>) -> Result<Vec<u32>, CallError> {
///     let mut all = Vec::new();
///     while let Some(item) = items.try_next().await? {
///         all.push(item);
///     }
///     Ok(all)
/// }
/// ```
#[derive(Debug)]
pub struct Receiver<T> {
    held: Arc<Held>,
    ended: bool,
    turns: Turns,
    item: PhantomData<fn() -> T>,
}

impl<T> Unpin for Receiver<T> {}

impl<T: Body> Receiver<T> {
    /// The next item, or `None` at the orderly end.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has lost nothing.
    ///
    /// # Errors
    /// The end by error, once; then `Ok(None)` for ever.
    pub async fn try_next(&mut self) -> Result<Option<T>, CallError> {
        self.next().await.transpose()
    }

    /// The next item, the end by error, or `None` at and after the end.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has lost nothing.
    pub async fn next(&mut self) -> Option<Result<T, CallError>> {
        std::future::poll_fn(|cx| self.poll_item(cx)).await
    }

    /// This half as a reader of the bytes in its items; its end is EOF.
    pub fn into_async_read(self) -> ByteReader<Self>
    where
        T: Into<Bytes>,
    {
        ByteReader::new(self)
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, CallError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        ready!(self.turns.poll_next(cx));
        let key = self.held.key;
        let received = self.held.shared.with(|state| {
            let received = state.peer.receive(key);
            if received == Received::Pending {
                state.wait_read(key, cx.waker());
            }
            received
        });
        Poll::Ready(match received {
            Received::Pending => {
                self.turns.end();
                return Poll::Pending;
            }
            Received::Item(bytes) => match decode(Payload::from(bytes), &self.held.shared.node) {
                Ok(item) => Some(Ok(item)),
                Err(error) => {
                    self.ended = true;
                    self.held.cancel();
                    let text = format!("an item of {:?}: {error}", self.held.route);
                    Some(Err(CallError::Decode(text)))
                }
            },
            Received::End => {
                self.ended = true;
                None
            }
            Received::Failed(mut error) => {
                self.ended = true;
                if let CallError::PeerViolation(Violation::OverCapacity { route, .. }) = &mut error
                {
                    *route = Some(self.held.route);
                }
                Some(Err(error))
            }
        })
    }
}

impl<T: Body> Stream for Receiver<T> {
    type Item = Result<T, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(cx)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if !self.ended {
            self.held.cancel();
        }
    }
}

/// The sending half of a stream.
///
/// Dropping it without [`Sender::close`] cancels the whole call, unless the call has ended.
///
/// ```
/// use gridmux_core::error::{CallError, LimitKind};
/// use gridmux_core::handle::Sender;
///
/// async fn upload(mut sender: Sender<String>) -> Result<(), CallError> {
///     sender.send("as soon as there is a credit for it".into()).await?;
///     match sender.try_send(&"now or not at all".into()) {
///         Err(CallError::Limit(LimitKind::Credits | LimitKind::QueuedBytes)) => {}
///         result => result?,
///     }
///     sender.close();
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Sender<T> {
    // Before the call: its waiters leave while it is still held.
    outlet: Outlet,
    held: Arc<Held>,
    item: PhantomData<fn(T)>,
}

impl<T> Unpin for Sender<T> {}

impl<T: Body> Sender<T> {
    /// Sends an item, as soon as the handler has taken enough of those before and there is room
    /// in the send queue.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has queued nothing.
    ///
    /// # Errors
    /// The stream has ended, or the item is too large or cannot be encoded; the latter two
    /// leave the stream as it was.
    pub async fn send(&mut self, item: T) -> Result<(), CallError> {
        self.outlet.send(item).await
    }

    /// Sends an item now or not at all.
    ///
    /// # Errors
    /// [`CallError::Limit`] with [`LimitKind::Credits`] or [`LimitKind::QueuedBytes`] if it would
    /// have to wait; otherwise as [`Self::send`].
    pub fn try_send(&mut self, item: &T) -> Result<(), CallError> {
        self.outlet.try_send(item)
    }

    /// Ends the sending half: EOF behind all that was sent. The receiving half goes on.
    pub fn close(mut self) {
        self.outlet.close();
    }

    /// This half as a [`Sink`](futures_sink::Sink), whose close is EOF.
    pub fn into_sink(self) -> ItemSink<Self> {
        ItemSink::new(self)
    }

    /// This half as a writer of bytes, whose close is EOF.
    pub fn into_async_write(self) -> ByteWriter<Self>
    where
        T: From<Bytes>,
    {
        ByteWriter::new(self)
    }
}

impl<T: Body> SendHalf for Sender<T> {
    type Item = T;

    fn outlet(&mut self) -> &mut Outlet {
        &mut self.outlet
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if !self.outlet.is_closed() {
            self.held.cancel();
        }
    }
}

/// The caller's end of a stream with input and one result. Dropping it before it is finished
/// cancels the call.
///
/// ```
/// use gridmux_core::error::CallError;
/// use gridmux_core::handle::ClientCall;
///
/// async fn sum(mut call: ClientCall<u32, u64>) -> Result<u64, CallError> {
///     for number in 1..=10 {
///         if call.send(number).await.is_err() {
///             break; // The handler has ended early: the result, or why there is none, is there.
///         }
///     }
///     call.finish().await
/// }
/// ```
#[derive(Debug)]
pub struct ClientCall<In, Res> {
    sender: Sender<In>,
    receiver: Receiver<Res>,
}

impl<In: Body, Res: Body> ClientCall<In, Res> {
    /// Sends an item; see [`Sender::send`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has queued nothing.
    ///
    /// # Errors
    /// As [`Sender::send`]. If the handler has ended early, [`Self::finish`] says how.
    pub async fn send(&mut self, item: In) -> Result<(), CallError> {
        self.sender.send(item).await
    }

    /// Sends an item now or not at all; see [`Sender::try_send`].
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    pub fn try_send(&mut self, item: &In) -> Result<(), CallError> {
        self.sender.try_send(item)
    }

    /// Ends the input and waits for the result.
    ///
    /// # Cancel safety
    /// Dropping it cancels the call.
    ///
    /// # Errors
    /// How the call failed; [`CallError::Ended`] if the handler ended without a result.
    pub async fn finish(self) -> Result<Res, CallError> {
        let Self { sender, mut receiver } = self;
        sender.close();
        let result = receiver.try_next().await?.ok_or(CallError::Ended)?;
        while receiver.try_next().await?.is_some() {}
        Ok(result)
    }

    /// The two halves.
    pub fn split(self) -> (Sender<In>, Receiver<Res>) {
        (self.sender, self.receiver)
    }
}

impl<T> FromOpened for Receiver<T> {
    fn from_opened(opened: Opened) -> Self {
        if planted!(CloseOfInputlessStream) {
            let Held { shared, key, .. } = &*opened.0;
            shared.with(|state| state.peer.close_input(*key));
        }
        Self { held: opened.0, ended: false, turns: Turns::default(), item: PhantomData }
    }
}

impl<In, Out> FromOpened for (Sender<In>, Receiver<Out>) {
    fn from_opened(opened: Opened) -> Self {
        let held = opened.0.clone();
        let outlet = Outlet::opened(held.shared.clone(), held.key);
        let sender = Sender { outlet, held, item: PhantomData };
        (sender, Receiver::from_opened(opened))
    }
}

impl<In, Res> FromOpened for ClientCall<In, Res> {
    fn from_opened(opened: Opened) -> Self {
        let (sender, receiver) = FromOpened::from_opened(opened);
        Self { sender, receiver }
    }
}
