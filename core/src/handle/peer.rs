//! A peer, as a user holds it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::call::Call;
use super::shared::Shared;
use super::stream::{ClientCall, Opening, Receiver, Sender};
use super::wait::Alarm;
use super::wakers::{List, Waiting};
use crate::error::{CallError, LinkError};
use crate::link::LinkState;
use crate::payload::Body;
use crate::route::{ClientStream, RouteInfo, ServerStream, Shape, TwoWay, Unary};
use crate::stats::Stats;
use crate::time::Instant;

/// Another node of the grid. Cheap to clone; usable from any task or thread.
#[derive(Clone, Debug)]
pub struct PeerHandle {
    shared: Arc<Shared>,
}

impl PeerHandle {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The peer's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Makes a single request. Nothing is sent until the returned [`Call`] is polled.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use gridmux_core::error::CallError;
    /// use gridmux_core::handle::PeerHandle;
    /// use gridmux_core::route::Unary;
    ///
    /// const HALF: Unary<u32, u32> = Unary::new(1, "half");
    ///
    /// async fn half(peer: &PeerHandle, number: u32) -> Result<u32, CallError> {
    ///     let call = || peer.call(HALF, &number).timeout(Duration::from_secs(2));
    ///     match call().await {
    ///         // No handler has seen it: it is safe to try again, now with some patience.
    ///         Err(CallError::Disconnected { may_have_run: false }) => {
    ///             call().wait_for_link(Duration::from_secs(1)).await
    ///         }
    ///         answer => answer,
    ///     }
    /// }
    /// ```
    pub fn call<'a, Req: Body, Res: Body>(
        &self,
        route: Unary<Req, Res>,
        request: &'a Req,
    ) -> Call<'a, Req, Res> {
        Call::new(self.shared.clone(), route.info().target(), route.name(), request)
    }

    /// Opens a stream of the shape that the route has: a [`Receiver`], a [`ClientCall`], or a
    /// pair of [`Sender`] and [`Receiver`]. Nothing is sent until the returned [`Opening`] is polled.
    ///
    /// ```
    /// use gridmux_core::error::CallError;
    /// use gridmux_core::handle::PeerHandle;
    /// use gridmux_core::payload::NoPayload;
    /// use gridmux_core::route::{ClientStream, ServerStream, TwoWay};
    ///
    /// const COUNT: ServerStream<u32, u32> = ServerStream::new(2, "count");
    /// const SUM: ClientStream<NoPayload, u32, u64> = ClientStream::new(3, "sum");
    /// const SQUARE: TwoWay<NoPayload, u32, u64> = TwoWay::new(4, "square");
    ///
    /// async fn all_shapes(peer: &PeerHandle) -> Result<(), CallError> {
    ///     let mut numbers = peer.open(COUNT, &10).await?;
    ///     let mut sum = peer.open(SUM, &NoPayload).await?;
    ///     while let Some(number) = numbers.try_next().await? {
    ///         sum.send(number).await?;
    ///     }
    ///     let total = sum.finish().await?;
    ///
    ///     let (mut sender, mut squares) = peer.open(SQUARE, &NoPayload).await?;
    ///     sender.send(3).await?;
    ///     sender.close();
    ///     while let Some(square) = squares.try_next().await? {
    ///         println!("{total} {square}");
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn open<'a, R: StreamRoute>(
        &self,
        route: R,
        request: &'a R::Request,
    ) -> Opening<'a, R::Request, R::Halves> {
        let info = route.route_info();
        let capacities = match info.shape {
            Shape::Stream { in_capacity, out_capacity } => (in_capacity, out_capacity),
            Shape::Single => (0, 1),
        };
        Opening::new(self.shared.clone(), info.target(), info.name, capacities, request)
    }

    /// The state of the link.
    pub fn state(&self) -> LinkState {
        self.shared.look(|state| state.peer.state())
    }

    /// Why the last link or attempt to connect ended, by this node's view; `None` while a link is up, and
    /// until one has ended. A node that is dialled by this peer sees no attempts that fail before it.
    pub fn last_error(&self) -> Option<LinkError> {
        self.shared.look(|state| state.peer.last_failure().cloned())
    }

    /// Every change of the link's state from now on, beginning with the current one; and with each the
    /// reason for which there is no link.
    ///
    /// ```
    /// use gridmux_core::handle::PeerHandle;
    ///
    /// async fn follow(peer: &PeerHandle) {
    ///     let mut states = peer.watch();
    ///     while let Some(state) = states.changed().await {
    ///         match states.last_error() {
    ///             Some(error) => println!("{}: {state}: {error}", peer.name()),
    ///             None => println!("{}: {state}", peer.name()),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn watch(&self) -> StateWatch {
        let waiting = Waiting::new(self.shared.clone(), List::State);
        StateWatch { waiting, last: None, error: None }
    }

    /// Waits until the link is up. A peer that is draining counts.
    ///
    /// # Cancel safety
    /// It can be dropped and asked anew at will.
    ///
    /// # Errors
    /// [`CallError::Disconnected`] if it is not within `timeout`; [`CallError::PeerRemoved`] or
    /// [`CallError::ShuttingDown`] if it never will be.
    pub async fn connected(&self, timeout: Duration) -> Result<(), CallError> {
        let mut wait = LinkWait::new(self, self.shared.clock.instant().after(timeout));
        std::future::poll_fn(|cx| wait.poll(cx)).await
    }

    /// How many wait for the link's state to change.
    #[cfg(any(test, feature = "testing"))]
    pub fn waiting_for_state(&self) -> usize {
        self.shared.look(|state| state.waiting_for_state())
    }

    /// Whether the task of the link has nothing left to do, and sleeps.
    #[cfg(any(test, feature = "testing"))]
    pub fn is_asleep(&self) -> bool {
        self.shared.look(|state| state.is_parked())
    }

    /// Looks at the machine itself, under its lock; it is not to be driven.
    #[cfg(any(test, feature = "testing"))]
    pub fn inspect<T>(&self, look: impl FnOnce(&mut crate::peer::Peer) -> T) -> T {
        self.shared.look(|state| look(&mut state.peer))
    }

    /// Has the machine panic once, to see that nothing but its link is harmed; with `None`, not any
    /// more if it has not yet. Gives the fault that this takes the place of.
    #[cfg(any(test, feature = "testing"))]
    pub fn inject(&self, fault: impl Into<Option<super::Fault>>) -> Option<super::Fault> {
        let (former, driver) = self.shared.look(|state| {
            let former = std::mem::replace(&mut state.fault, fault.into());
            (former, state.rouse_driver())
        });
        driver.into_iter().for_each(std::task::Waker::wake);
        former
    }

    /// Counters and gauges of this link.
    pub fn stats(&self) -> Stats {
        let now = self.shared.clock.instant();
        self.shared.look(|state| state.peer.stats(now))
    }
}

/// Waits for a link to be up.
#[derive(Debug)]
pub(crate) struct LinkWait {
    waiting: Waiting,
    alarm: Alarm,
}

impl LinkWait {
    /// Until `at` at the latest.
    pub(crate) fn new(peer: &PeerHandle, at: Instant) -> Self {
        let waiting = Waiting::new(peer.shared.clone(), List::State);
        Self { waiting, alarm: Alarm::new(at) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.waiting.shared().name
    }

    pub(crate) fn last_error(&self) -> Option<LinkError> {
        self.waiting.shared().look(|state| state.peer.last_failure().cloned())
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let open = self.waiting.look(cx.waker(), |state| {
            let open = state.peer.check_open();
            let wait = matches!(open, Err(CallError::Disconnected { .. }));
            (open, wait)
        });
        match open {
            Ok(()) | Err(CallError::PeerShuttingDown) => Poll::Ready(Ok(())),
            Err(error @ CallError::Disconnected { .. }) => {
                let clock = &*self.waiting.shared().clock;
                self.alarm.poll(clock, cx).map(|()| Err(error))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// A route of a stream, of any shape.
pub trait StreamRoute: Copy {
    /// What opens it.
    type Request: Body;
    /// What the caller holds.
    type Halves: super::stream::FromOpened;

    /// The route without its types.
    fn route_info(&self) -> RouteInfo;
}

impl<Req: Body, Item: Body> StreamRoute for ServerStream<Req, Item> {
    type Request = Req;
    type Halves = Receiver<Item>;

    fn route_info(&self) -> RouteInfo {
        self.info()
    }
}

impl<Req: Body, Item: Body, Res: Body> StreamRoute for ClientStream<Req, Item, Res> {
    type Request = Req;
    type Halves = ClientCall<Item, Res>;

    fn route_info(&self) -> RouteInfo {
        self.info()
    }
}

impl<Req: Body, In: Body, Out: Body> StreamRoute for TwoWay<Req, In, Out> {
    type Request = Req;
    type Halves = (Sender<In>, Receiver<Out>);

    fn route_info(&self) -> RouteInfo {
        self.info()
    }
}

/// The states of a link, as they change. A state that lasted no longer than the watcher took to
/// look is skipped. Ends after [`LinkState::Shutdown`].
#[derive(Debug)]
pub struct StateWatch {
    waiting: Waiting,
    last: Option<(u64, LinkState)>,
    error: Option<LinkError>,
}

impl StateWatch {
    /// The next state, or `None` after the last.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has lost nothing.
    pub async fn changed(&mut self) -> Option<LinkState> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// What [`PeerHandle::last_error`] was when the link had the state that was given last.
    pub const fn last_error(&self) -> Option<&LinkError> {
        self.error.as_ref()
    }
}

impl Stream for StateWatch {
    type Item = LinkState;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LinkState>> {
        if matches!(self.last, Some((_, LinkState::Shutdown))) {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let error = &mut this.error;
        let (now, seen) = this.waiting.look(cx.waker(), |state| {
            let now = (state.changes, state.peer.state());
            let seen = this.last.is_some_and(|(changes, last)| changes == now.0 || last == now.1);
            if !seen {
                *error = state.peer.last_failure().cloned();
            }
            ((now, seen), seen)
        });
        this.last = Some(now);
        if seen { Poll::Pending } else { Poll::Ready(Some(now.1)) }
    }
}
