//! What callers and handlers of scripted applications share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gridmux_core::driver::runtime::Clock as _;
use gridmux_core::payload::Payload;

use super::content::{self, CallMark, Kind};
use super::forms::Content;
use crate::fingerprint::fingerprint;
use crate::history::{CallId, Entry, History, Sight};
use crate::keyed::Keyed;
use crate::script::Call;
use crate::world::SimRuntime;

/// The calls of a run, what was seen of them, and which are to be dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) keyed: Keyed,
    pub(crate) history: History,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    calls: Vec<Arc<Call>>,
    marks: BTreeMap<CallMark, CallId>,
    state: Vec<CallState>,
}

#[derive(Debug, Default)]
struct CallState {
    cancelled: bool,
    /// The caller is at it.
    running: bool,
    servings: u32,
    waker: Option<Waker>,
    /// Whether it has failed, once it is over.
    failed: Option<bool>,
    /// Of those that wait for its end.
    waiting: Vec<Waker>,
}

impl Stage {
    pub(crate) fn new(keyed: Keyed) -> Arc<Self> {
        Arc::new(Self { keyed, history: History::default(), book: Mutex::default() })
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that may be made; its number.
    pub(crate) fn add(&self, call: Call) -> CallId {
        let mut book = self.book();
        let id = book.calls.len();
        book.marks.insert(CallMark::of(&call.name), id);
        book.calls.push(Arc::new(call));
        book.state.push(CallState::default());
        id
    }

    /// The call that has this mark.
    pub(crate) fn find(&self, mark: CallMark) -> Option<CallId> {
        self.book().marks.get(&mark).copied()
    }

    pub(crate) fn call(&self, id: CallId) -> Option<Arc<Call>> {
        self.book().calls.get(id).cloned()
    }

    pub(crate) fn calls(&self) -> Vec<Arc<Call>> {
        self.book().calls.clone()
    }

    /// A handler begins to serve a call; the how-manieth that does.
    fn serve(&self, id: CallId) -> u32 {
        let mut book = self.book();
        let Some(state) = book.state.get_mut(id) else { return 0 };
        state.servings += 1;
        state.servings - 1
    }

    /// The application drops a call.
    pub(crate) fn cancel(&self, id: CallId) {
        let waker = self.book().state.get_mut(id).and_then(|state| {
            state.cancelled = true;
            state.waker.take()
        });
        waker.into_iter().for_each(Waker::wake);
    }

    /// Calls that their callers are still at.
    pub(crate) fn running(&self) -> Vec<CallId> {
        let book = self.book();
        let running = book.state.iter().enumerate().filter(|(_, state)| state.running);
        running.map(|(id, _)| id).collect()
    }

    pub(crate) fn set_running(&self, id: CallId, running: bool) {
        if let Some(state) = self.book().state.get_mut(id) {
            state.running = running;
        }
    }

    pub(crate) fn is_cancelled(&self, id: CallId) -> bool {
        self.book().state.get(id).is_some_and(|state| state.cancelled)
    }

    /// The caller has seen the end of a call, or has dropped it.
    fn is_over(&self, id: CallId, failed: bool) {
        let waiting = self.book().state.get_mut(id).map(|state| {
            state.failed.get_or_insert(failed);
            std::mem::take(&mut state.waiting)
        });
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    /// Ready once the call of this name is over: whether it has failed.
    pub(crate) fn poll_failed(&self, name: &str, cx: &Context<'_>) -> Poll<bool> {
        let mut book = self.book();
        let id = book.calls.iter().position(|call| call.name == name);
        let Some(state) = id.and_then(|id| book.state.get_mut(id)) else {
            return Poll::Ready(false);
        };
        if let Some(failed) = state.failed {
            return Poll::Ready(failed);
        }
        state.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// Ready once the call is to be dropped.
    pub(crate) fn poll_cancelled(&self, id: CallId, cx: &Context<'_>) -> Poll<()> {
        let mut book = self.book();
        let Some(state) = book.state.get_mut(id) else { return Poll::Pending };
        if state.cancelled {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Somebody who sees things about one call, on one node.
#[derive(Clone)]
pub(crate) struct Witness {
    pub(crate) stage: Arc<Stage>,
    pub(crate) runtime: SimRuntime,
    pub(crate) id: CallId,
    mark: CallMark,
    serving: u32,
}

impl Witness {
    pub(crate) fn of_caller(stage: &Arc<Stage>, runtime: &SimRuntime, id: CallId) -> Self {
        Self::new(stage, runtime, id, 0)
    }

    pub(crate) fn of_handler(stage: &Arc<Stage>, runtime: &SimRuntime, id: CallId) -> Self {
        let serving = stage.serve(id);
        Self::new(stage, runtime, id, serving)
    }

    fn new(stage: &Arc<Stage>, runtime: &SimRuntime, id: CallId, serving: u32) -> Self {
        let mark = stage.call(id).map_or(CallMark(0), |call| CallMark::of(&call.name));
        Self { stage: stage.clone(), runtime: runtime.clone(), id, mark, serving }
    }

    pub(crate) fn sees(&self, sight: Sight) {
        match &sight {
            Sight::Ended(result) => self.stage.is_over(self.id, result.is_err()),
            Sight::Dropped => self.stage.is_over(self.id, false),
            _ => {}
        }
        let clock = self.runtime.instant().as_nanos();
        let (at, node, life) = self.runtime.whereabouts();
        let (call, serving) = (self.id, self.serving);
        self.runtime.digest(&[clock, self.mark.0, u64::from(serving), fingerprint(&sight)]);
        self.stage.history.push(Entry { at, node, life, clock, call, serving, sight });
    }

    /// What is sent or expected.
    pub(crate) fn content<T: Content>(&self, kind: Kind, size: Option<u32>) -> T {
        content::content(self.stage.keyed, self.mark, kind, size)
    }

    /// The same as it travels.
    pub(crate) fn payload(&self, kind: Kind, size: Option<u32>) -> Payload {
        let form = self.stage.call(self.id).map(|call| call.form).unwrap_or_default();
        content::payload(form, self.stage.keyed, self.mark, kind, size)
    }

    /// Rests for so many nanoseconds of the node's own clock.
    pub(crate) async fn rest(&self, nanos: u64) {
        if nanos > 0 {
            gridmux_core::driver::time::sleep(&self.runtime, Duration::from_nanos(nanos)).await;
        }
    }
}
