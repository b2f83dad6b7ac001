//! One mux of a Go node: what both of its sides have in common.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use gridmux_core::error::CallError;
use gridmux_core::time::Instant;

/// A mux that is live.
#[derive(Debug)]
pub(super) struct Mux {
    pub(super) id: u64,
    state: Mutex<State>,
}

/// Where a mux is.
#[derive(Debug)]
pub(super) struct State {
    /// The number of what is sent next.
    pub(super) sends: u32,
    /// The number of what must come next.
    pub(super) expects: u32,
    /// Items that may still be sent.
    pub(super) credits: u32,
    /// At a callee: items that it holds.
    pub(super) capacity: u32,
    /// At a caller: the stream is open.
    pub(super) acked: bool,
    /// Items that came, and were not taken.
    pub(super) queue: VecDeque<Bytes>,
    /// What has left the queue, and was not taken.
    pub(super) hand: Option<Bytes>,
    /// The other side sends no more items.
    pub(super) closed: bool,
    pub(super) end: Option<End>,
    /// When the other side was heard last.
    pub(super) heard: Instant,
    wakers: Vec<Waker>,
}

/// How a mux has ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// In order; the result of a single request.
    Done(Bytes),
    /// With this error; at a callee it was cancelled.
    Failed(CallError),
}

impl Mux {
    pub(super) fn new(id: u64, seq: u32, now: Instant) -> Self {
        let state = State {
            sends: seq,
            expects: seq,
            credits: 0,
            capacity: 0,
            acked: false,
            queue: VecDeque::new(),
            hand: None,
            closed: false,
            end: None,
            heard: now,
            wakers: Vec::new(),
        };
        Self { id, state: Mutex::new(state) }
    }

    /// Looks at it or changes it, and tells who waits.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// Waits until `look` has found something.
    pub(super) async fn when<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match look(&mut state) {
                Some(found) => Poll::Ready(found),
                None => {
                    if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                        state.wakers.push(cx.waker().clone());
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The first end counts.
    pub(super) fn end(&self, end: End) {
        self.with(|state| {
            state.end.get_or_insert(end);
        });
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).end.is_some()
    }
}

impl State {
    /// Whether a counted message has the number that is due, which it then uses up.
    pub(super) fn counts(&mut self, seq: u32) -> bool {
        let is_due = seq == self.expects;
        if is_due {
            self.expects = self.expects.wrapping_add(1);
        }
        is_due
    }

    pub(super) fn next_seq(&mut self) -> u32 {
        self.sends = self.sends.wrapping_add(1);
        self.sends.wrapping_sub(1)
    }
}
