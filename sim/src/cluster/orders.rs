//! What a process is told from outside: to do something, and to end.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::script::Operation;

/// For one process.
#[derive(Debug, Default)]
pub(super) struct Orders(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What it is told to do, and has not taken.
    operations: VecDeque<Operation>,
    /// It is to end, and may take so long.
    grace: Option<Duration>,
    wakers: Vec<Waker>,
}

impl Orders {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, operation: Operation) {
        self.change(|state| state.operations.push_back(operation));
    }

    /// The first request to end counts.
    pub(super) fn stop(&self, grace: Duration) {
        self.change(|state| {
            state.grace.get_or_insert(grace);
        });
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state().grace.is_some()
    }

    pub(super) fn poll_operation(&self, cx: &Context<'_>) -> Poll<Operation> {
        self.poll(cx, |state| state.operations.pop_front())
    }

    pub(super) fn poll_stopped(&self, cx: &Context<'_>) -> Poll<Duration> {
        self.poll(cx, |state| state.grace)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn poll<T>(&self, cx: &Context<'_>, take: impl FnOnce(&mut State) -> Option<T>) -> Poll<T> {
        let mut state = self.state();
        let Some(taken) = take(&mut state) else {
            state.wakers.retain(|waker| !waker.will_wake(cx.waker()));
            state.wakers.push(cx.waker().clone());
            return Poll::Pending;
        };
        Poll::Ready(taken)
    }
}
