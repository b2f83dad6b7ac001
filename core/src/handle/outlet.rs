//! The way of items onto a stream, one for both ends.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::call::with_data;
use super::shared::{Shared, State};
use super::wakers::{List, Place};
use crate::error::{CallError, LimitKind};
use crate::mux::{IncomingKey, OutgoingKey, Refusal};
use crate::outbox::Data;
use crate::payload::Body;

#[cfg(doc)]
use super::{Output, Sender};
#[cfg(doc)]
use crate::limits::Limits;

/// A half of a stream that items are sent on: the caller's [`Sender`], or a handler's [`Output`].
/// There are no others.
pub trait SendHalf: Unpin {
    /// What is sent.
    type Item: Body;

    #[doc(hidden)]
    fn outlet(&mut self) -> &mut Outlet;
}

/// Queues the items of one half, and waits for credits and for room in the send queue.
#[derive(Debug)]
#[doc(hidden)]
pub struct Outlet {
    shared: Arc<Shared>,
    credit: Credit,
    queue: Place,
    closed: bool,
}

/// The stream, and how one waits for its credits.
#[derive(Debug)]
enum Credit {
    /// A call of ours: its one sender waits in the call's slot.
    Opened(OutgoingKey),
    /// A call that is served here: outputs can be cloned, so each has a place in a list.
    Served(IncomingKey, Place),
}

impl Credit {
    fn wait(&mut self, state: &mut State, waker: &Waker) {
        match self {
            Self::Opened(key) => state.wait_write(*key, waker),
            Self::Served(_, place) => place.wait(state, waker),
        }
    }
}

impl Outlet {
    pub(super) const fn opened(shared: Arc<Shared>, key: OutgoingKey) -> Self {
        Self::new(shared, Credit::Opened(key))
    }

    pub(super) const fn served(shared: Arc<Shared>, key: IncomingKey) -> Self {
        Self::new(shared, Credit::Served(key, Place::new(List::Output(key))))
    }

    const fn new(shared: Arc<Shared>, credit: Credit) -> Self {
        Self { shared, credit, queue: Place::new(List::Queue), closed: false }
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// [`Limits::message`] of this node, or of the peer if that is less and it has told.
    pub(super) fn message_limit(&self) -> usize {
        self.shared.look(|state| state.peer.message_limit())
    }

    /// Sends an item, once that can be done. Dropped before it is ready, it has queued nothing.
    pub(super) async fn send<T: Body>(&mut self, item: T) -> Result<(), CallError> {
        poll_fn(move |cx| self.poll_send(&item, cx)).await
    }

    pub(super) fn poll_send<T: Body>(
        &mut self,
        item: &T,
        cx: &Context<'_>,
    ) -> Poll<Result<(), CallError>> {
        ready_unless_refused(self.try_queue(item, Some(cx.waker())))
    }

    /// Sends an item now or not at all.
    pub(super) fn try_send<T: Body>(&mut self, item: &T) -> Result<(), CallError> {
        self.try_queue(item, None).map_err(|refusal| match refusal {
            Refusal::Failed(error) => error,
            Refusal::NoCredit => CallError::Limit(LimitKind::Credits),
            Refusal::QueueFull => CallError::Limit(LimitKind::QueuedBytes),
        })
    }

    /// Waits until there is a credit, and room in the queue for a small item at least.
    pub(super) fn poll_ready(&mut self, cx: &Context<'_>) -> Poll<Result<(), CallError>> {
        ready_unless_refused(self.attempt(Some(cx.waker()), |state, credit| match credit {
            Credit::Opened(key) => state.peer.check_send(*key),
            Credit::Served(key, _) => state.peer.check_serve_item(*key),
        }))
    }

    /// Nothing more is sent through here. At the caller that is EOF.
    pub(super) fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true)
            && let Credit::Opened(key) = self.credit
        {
            self.shared.with(|state| state.peer.close_input(key));
        }
    }

    pub(super) fn try_queue<T: Body>(
        &mut self,
        item: &T,
        waker: Option<&Waker>,
    ) -> Result<(), Refusal> {
        let queue = |data: Data<'_>| {
            self.attempt(waker, |state, credit| match credit {
                Credit::Opened(key) => state.peer.send(*key, data),
                Credit::Served(key, _) => state.peer.serve_item(*key, data),
            })
        };
        with_data(item, queue).map_err(Refusal::Failed)?
    }

    /// Tries something; whoever has given a waker waits for what it was refused for.
    fn attempt(
        &mut self,
        waker: Option<&Waker>,
        act: impl FnOnce(&mut State, &Credit) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Self { shared, credit, queue, closed } = self;
        if *closed {
            return Err(Refusal::Failed(CallError::SendClosed));
        }
        shared.with(|state| {
            let result = act(state, credit);
            if let Some(waker) = waker {
                if result == Err(Refusal::QueueFull) {
                    queue.wait(state, waker);
                }
                // The end of the stream comes the same way.
                if matches!(result, Err(Refusal::QueueFull | Refusal::NoCredit)) {
                    credit.wait(state, waker);
                }
            }
            result
        })
    }

    /// Another way onto the same stream, which is open and waits for nothing.
    pub(super) fn sibling(&self) -> Self {
        let credit = match &self.credit {
            Credit::Opened(key) => Credit::Opened(*key),
            Credit::Served(key, _) => Credit::Served(*key, Place::new(List::Output(*key))),
        };
        Self::new(self.shared.clone(), credit)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        match &mut self.credit {
            Credit::Opened(_) => self.shared.leave([&mut self.queue]),
            Credit::Served(_, place) => self.shared.leave([place, &mut self.queue]),
        }
    }
}

fn ready_unless_refused(result: Result<(), Refusal>) -> Poll<Result<(), CallError>> {
    match result {
        Ok(()) => Poll::Ready(Ok(())),
        Err(Refusal::Failed(error)) => Poll::Ready(Err(error)),
        Err(Refusal::NoCredit | Refusal::QueueFull) => Poll::Pending,
    }
}
