//! A single request, from the caller's side.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::letter::Letter;
use super::shared::{LOST, Shared, State};
use super::wait::Alarm;
use super::wakers::{List, Place};
use crate::error::{CallError, LimitKind};
use crate::mux::{OutgoingKey, Refusal, Target};
use crate::node::Node;
use crate::outbox::{BATCH_LIMIT, Data};
use crate::payload::{Body, DecodeBodyError, Payload, Presence};
use crate::time::Instant;

thread_local! {
    /// Where typed payloads are encoded before the lock is taken.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Encodes a body outside of any lock and hands it on; nothing is allocated for a small one.
pub(crate) fn with_data<B: Body, T>(
    body: &B,
    act: impl FnOnce(Data<'_>) -> T,
) -> Result<T, CallError> {
    if let Some(payload) = body.as_payload() {
        return Ok(act(match payload.as_slice() {
            _ if payload.is_nil() => Data::Nil,
            large if large.len() > BATCH_LIMIT => payload.clone().into(),
            small => Data::Borrowed(small),
        }));
    }
    let mut buf = SCRATCH.take();
    buf.clear();
    let presence = body.encode(&mut buf).map_err(|e| CallError::Encode(e.to_string()))?;
    let result = match presence {
        Presence::Nil => act(Data::Nil),
        Presence::Bytes if buf.len() > BATCH_LIMIT => {
            act(Data::Owned(std::mem::take(&mut buf).into()))
        }
        Presence::Bytes => act(Data::Borrowed(&buf)),
    };
    SCRATCH.set(buf);
    Ok(result)
}

/// What the peer has sent, as what it is to be; at most of the size that this node's limits allow.
pub(super) fn decode<T: Body>(payload: Payload, node: &Node) -> Result<T, DecodeBodyError> {
    T::decode_within(payload, node.limits.decoded_bytes).map(|(value, _)| value)
}

/// How the start of a call may wait.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) timeout: Option<Duration>,
    /// When the call's own time is over, once it has been polled.
    deadline: Option<Alarm>,
    link_wait: Option<Duration>,
    link_alarm: Option<Alarm>,
    no_wait: bool,
    queue: Place,
    state: Place,
}

impl Start {
    pub(crate) const fn new() -> Self {
        Self {
            timeout: None,
            deadline: None,
            link_wait: None,
            link_alarm: None,
            no_wait: false,
            queue: Place::new(List::Queue),
            state: Place::new(List::State),
        }
    }

    pub(crate) const fn timeout(&mut self, timeout: Duration) {
        self.timeout = Some(timeout);
    }

    pub(crate) const fn wait_for_link(&mut self, timeout: Duration) {
        self.link_wait = Some(timeout);
    }

    pub(crate) const fn no_wait(&mut self) {
        self.no_wait = true;
    }

    /// Waits for nothing any more.
    pub(crate) fn leave(&mut self, shared: &Shared) {
        shared.leave([&mut self.queue, &mut self.state]);
    }

    /// Tries to start; waits for the link and for room in the queue as far as it may.
    pub(crate) fn poll(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        fallback: Option<Duration>,
        mut start: impl FnMut(&mut State, Instant, Option<Duration>) -> Result<OutgoingKey, Refusal>,
    ) -> Poll<Result<OutgoingKey, CallError>> {
        let both = shared.clock.now();
        let now = both.instant;
        let left = match &self.deadline {
            Some(alarm) if alarm.left(now) < Duration::from_millis(1) => {
                return Poll::Ready(Err(CallError::DeadlineExceeded { may_have_run: false }));
            }
            Some(alarm) => Some(alarm.left(now)),
            None => self.timeout,
        };
        let first = shared.with_write(both, |state| {
            let refusal = match start(state, now, left) {
                Ok(key) => {
                    state.wait_read(key, cx.waker());
                    return Ok(key);
                }
                Err(refusal) => refusal,
            };
            match &refusal {
                Refusal::QueueFull if !self.no_wait => self.queue.wait(state, cx.waker()),
                Refusal::Failed(CallError::Disconnected { .. }) if self.link_wait.is_some() => {
                    self.state.wait(state, cx.waker());
                }
                _ => {}
            }
            Err(refusal)
        });
        match first {
            Ok(key) => {
                self.leave(shared);
                Poll::Ready(Ok(key))
            }
            Err(Refusal::QueueFull | Refusal::NoCredit) if self.no_wait => {
                Poll::Ready(Err(CallError::Limit(LimitKind::QueuedBytes)))
            }
            Err(Refusal::QueueFull | Refusal::NoCredit) => self.poll_deadline(shared, cx, fallback),
            Err(Refusal::Failed(error @ CallError::Disconnected { .. })) => {
                self.poll_link(shared, cx, error, fallback)
            }
            Err(Refusal::Failed(error)) => Poll::Ready(Err(error)),
        }
    }

    fn poll_link(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        error: CallError,
        fallback: Option<Duration>,
    ) -> Poll<Result<OutgoingKey, CallError>> {
        let Some(wait) = self.link_wait else { return Poll::Ready(Err(error)) };
        let at = shared.clock.instant().after(wait);
        let alarm = self.link_alarm.get_or_insert_with(|| Alarm::new(at));
        if alarm.poll(&*shared.clock, cx).is_ready() {
            return Poll::Ready(Err(error));
        }
        self.poll_deadline(shared, cx, fallback)
    }

    fn poll_deadline(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        fallback: Option<Duration>,
    ) -> Poll<Result<OutgoingKey, CallError>> {
        let Some(timeout) = self.timeout.or(fallback) else { return Poll::Pending };
        let at = shared.clock.instant().after(timeout);
        let alarm = self.deadline.get_or_insert_with(|| Alarm::new(at));
        match alarm.poll(&*shared.clock, cx) {
            Poll::Ready(()) => {
                Poll::Ready(Err(CallError::DeadlineExceeded { may_have_run: false }))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[derive(Debug)]
enum Phase {
    Unsent,
    Waiting(OutgoingKey, Arc<Letter>),
    Done,
}

/// A single request: a future of its response.
///
/// Building it sends nothing; its first poll does. It ends exactly once, its handler runs at
/// most once, and it is never sent again. The deadline, 60 s unless set, counts from the first
/// poll.
///
/// # Cancel safety
/// Dropping it cancels the call at the other end; whether the handler had run is not known then.
///
/// # Errors
/// [`CallError`] tells what failed, and by [`CallError::may_have_run`] whether to try again is
/// safe (PROTOCOL.md sections 5.1 and 7.9).
#[must_use = "a call does nothing unless it is awaited"]
#[derive(Debug)]
pub struct Call<'a, Req, Res> {
    shared: Arc<Shared>,
    target: Target,
    route: &'static str,
    request: &'a Req,
    start: Start,
    phase: Phase,
    response: std::marker::PhantomData<fn() -> Res>,
}

impl<'a, Req: Body, Res: Body> Call<'a, Req, Res> {
    /// `route` is the name of the route, for errors.
    pub(crate) fn new(
        shared: Arc<Shared>,
        target: Target,
        route: &'static str,
        request: &'a Req,
    ) -> Self {
        Self {
            shared,
            target,
            route,
            request,
            start: Start::new(),
            phase: Phase::Unsent,
            response: std::marker::PhantomData,
        }
    }

    /// Sets the deadline, from the first poll on: at least 1 ms, on the wire at most 49 days.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.start.timeout(timeout);
        self
    }

    /// Waits so long for the link if there is none, instead of failing at once. The deadline
    /// runs meanwhile.
    pub fn wait_for_link(mut self, timeout: Duration) -> Self {
        self.start.wait_for_link(timeout);
        self
    }

    /// Fails with [`LimitKind::QueuedBytes`] instead of waiting for room in the send queue.
    pub fn no_wait(mut self) -> Self {
        self.start.no_wait();
        self
    }

    fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<Result<Phase, CallError>> {
        let mut letter = None;
        let (shared, target, start) = (&self.shared, self.target, &mut self.start);
        let fallback = shared.node.timings.default_deadline;
        let outcome = with_data(self.request, |data| {
            start.poll(shared, cx, Some(fallback), |state, now, timeout| {
                let key = state.peer.request(now, target, data.clone(), timeout)?;
                letter = Some(state.await_letter(key));
                Ok(key)
            })
        });
        match outcome {
            Ok(poll) => poll.map_ok(|key| letter.map_or(Phase::Done, |it| Phase::Waiting(key, it))),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// What has come, if it has; otherwise the task is woken when it does.
    fn poll_outcome(
        &self,
        key: OutgoingKey,
        letter: &Letter,
        cx: &Context<'_>,
    ) -> Option<Result<Payload, CallError>> {
        if let Some(outcome) = letter.take() {
            return Some(outcome);
        }
        self.shared.with(|state| {
            let outcome = state.peer.take_response(key);
            match outcome {
                Some(_) => state.forget_slot(key),
                None if !state.peer.holds(key) => return letter.take().or(Some(Err(LOST))),
                None => state.wait_read(key, cx.waker()),
            }
            outcome
        })
    }
}

impl<Req: Body, Res: Body> Future for Call<'_, Req, Res> {
    type Output = Result<Res, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let outcome = match this.phase {
            Phase::Done => return Poll::Ready(Err(CallError::Cancelled)),
            Phase::Waiting(key, ref letter) => this.poll_outcome(key, letter, cx),
            Phase::Unsent => match this.poll_start(cx) {
                Poll::Pending => None,
                Poll::Ready(Ok(sent)) => {
                    this.phase = sent;
                    None
                }
                Poll::Ready(Err(error)) => Some(Err(error)),
            },
        };
        let Some(outcome) = outcome else { return Poll::Pending };
        this.phase = Phase::Done;
        Poll::Ready(outcome.and_then(|payload| {
            decode(payload, &this.shared.node).map_err(|error| {
                CallError::Decode(format!("the response of {:?}: {error}", this.route))
            })
        }))
    }
}

impl<Req, Res> Drop for Call<'_, Req, Res> {
    fn drop(&mut self) {
        self.start.leave(&self.shared);
        if let Phase::Waiting(key, ref letter) = self.phase
            && !planted!(DroppedCallGoesOn)
        {
            let now = self.shared.clock.now();
            self.shared.with(|state| {
                state.forget(key);
                state.peer.release(now, key);
            });
            // It may have been delivered already, and whoever has the letter next keeps it.
            drop(letter.take());
        }
    }
}
