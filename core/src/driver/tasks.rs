//! The tasks of a node, apart from its handlers: who shuts it down waits until they are gone.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::runtime::Runtime;

/// Counts the tasks of a node, and ends those that only the node's end would end.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    live: usize,
    last: u64,
    /// Tasks that end when the node is closed, by number.
    closing: BTreeMap<u64, Waker>,
    /// Those who wait until no task is left.
    waiting: Vec<Waker>,
}

impl Tasks {
    /// Runs a task that ends by itself once its peer is shut down.
    pub(crate) fn spawn<R, F>(self: &Arc<Self>, runtime: &R, future: F)
    where
        R: Runtime,
        F: Future<Output = ()> + Send + 'static,
    {
        let counted = Counted::new(self.clone());
        runtime.spawn(async move {
            // Dropped after the future and all that it holds.
            let _counted = counted;
            future.await;
        });
    }

    /// Runs a task that is ended by [`Self::close`].
    pub(crate) fn spawn_until_closed<R, F>(self: &Arc<Self>, runtime: &R, future: F)
    where
        R: Runtime,
        F: Future<Output = ()> + Send + 'static,
    {
        runtime.spawn(UntilClosed::new(self.clone(), future));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends the loops that accept, and the connections on their way in; those that come later end at once.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let closing = std::mem::take(&mut self.lock().closing);
        closing.into_values().for_each(Waker::wake);
    }

    /// Ready when no task is left.
    pub(crate) fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.live == 0 {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task that lives.
struct Counted {
    tasks: Arc<Tasks>,
}

impl Counted {
    fn new(tasks: Arc<Tasks>) -> Self {
        tasks.lock().live += 1;
        Self { tasks }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.tasks.lock();
        state.live -= 1;
        let woken = if state.live == 0 { std::mem::take(&mut state.waiting) } else { Vec::new() };
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Runs until it is done or the node is closed.
struct UntilClosed<F> {
    future: Pin<Box<F>>,
    number: u64,
    /// Registered, to be woken by the close.
    waker: Option<Waker>,
    /// Last, so that it is dropped after the future and all that it holds.
    counted: Counted,
}

impl<F> UntilClosed<F> {
    fn new(tasks: Arc<Tasks>, future: F) -> Self {
        let counted = Counted::new(tasks);
        let mut state = counted.tasks.lock();
        state.last += 1;
        let number = state.last;
        drop(state);
        Self { future: Box::pin(future), number, waker: None, counted }
    }
}

impl<F: Future<Output = ()>> Future for UntilClosed<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let tasks = &this.counted.tasks;
        if this.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            let former = tasks.lock().closing.insert(this.number, cx.waker().clone());
            this.waker = Some(cx.waker().clone());
            // Not under the lock: a waker may own its task.
            drop(former);
        }
        // After the waker is registered: a close that is not seen here finds it.
        if tasks.is_closed() {
            return Poll::Ready(());
        }
        this.future.as_mut().poll(cx)
    }
}

impl<F> Drop for UntilClosed<F> {
    fn drop(&mut self) {
        let former = self.counted.tasks.lock().closing.remove(&self.number);
        drop(former);
    }
}
