//! Tasks of async-std's one executor, which for each node are known, so that they can be ended.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures::future::{AbortHandle, Abortable};
use gridmux_smol::Smol;
use gridmux_tokio::driver::runtime::BoxFuture;
use tokio::sync::Notify;

use super::{Home, REAP};
use crate::cluster::Failure;

/// A runtime on async-std's executor: what a user of async-std has.
pub(crate) fn on_async_std() -> Smol {
    Smol::spawning_with(|task| drop(async_std::task::spawn(task)))
}

pub(super) struct AsyncStdHome(Arc<Tasks>);

/// The tasks of one node.
#[derive(Default)]
struct Tasks {
    /// From now on none of them is polled, even if it is woken by the end of another one.
    ended: AtomicBool,
    running: Mutex<Running>,
    /// Told when the last one is gone.
    empty: Notify,
}

#[derive(Default)]
struct Running {
    spawned: u64,
    tasks: BTreeMap<u64, AbortHandle>,
}

impl AsyncStdHome {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }
}

impl Home for AsyncStdHome {
    type Runtime = Smol;

    fn runtime(&self) -> Smol {
        let tasks = self.0.clone();
        Smol::spawning_with(move |task| tasks.spawn(task))
    }

    async fn end(self) -> Result<(), Failure> {
        let tasks = &self.0;
        tasks.ended.store(true, Ordering::Release);
        let handles: Vec<_> = tasks.running().tasks.values().cloned().collect();
        handles.iter().for_each(AbortHandle::abort);
        let gone = async {
            while !tasks.running().tasks.is_empty() {
                tasks.empty.notified().await;
            }
        };
        let ended = tokio::time::timeout(REAP, gone).await;
        ended.map_err(|_| "the tasks of a node do not end".into())
    }
}

impl Tasks {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(self: &Arc<Self>, mut task: BoxFuture<'static, ()>) {
        let (handle, registration) = AbortHandle::new_pair();
        let mut running = self.running();
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        running.spawned += 1;
        let entry = Entry { tasks: self.clone(), number: running.spawned };
        running.tasks.insert(entry.number, handle);
        drop(running);
        let tasks = self.clone();
        let mortal = poll_fn(move |cx| match tasks.ended.load(Ordering::Acquire) {
            true => Poll::Pending,
            false => task.as_mut().poll(cx),
        });
        drop(async_std::task::spawn(async move {
            // Dropped after the task.
            let _entry = entry;
            let _ = Abortable::new(mortal, registration).await;
        }));
    }
}

/// A task, while there is one.
struct Entry {
    tasks: Arc<Tasks>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut running = self.tasks.running();
        running.tasks.remove(&self.number);
        if running.tasks.is_empty() {
            self.tasks.empty.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use gridmux_tokio::driver::runtime::Runtime;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_end_of_a_home_drops_its_tasks_and_runs_no_other() {
        let home = AsyncStdHome::new();
        let (runtime, tasks) = (home.runtime(), home.0.clone());
        let (alive, mut gone) = mpsc::channel::<()>(1);
        for _ in 0..100 {
            let alive = alive.clone();
            runtime.spawn(async move {
                pending::<()>().await;
                drop(alive);
            });
        }
        drop(alive);
        assert_eq!(tasks.running().tasks.len(), 100);
        home.end().await.expect("in time");
        assert!(tasks.running().tasks.is_empty());
        assert_eq!(gone.try_recv(), Err(mpsc::error::TryRecvError::Disconnected), "all dropped");
        runtime.spawn(async { unreachable!("the home has ended") });
        assert!(tasks.running().tasks.is_empty());
    }

    #[tokio::test]
    async fn a_task_that_is_done_leaves_nothing_behind() {
        let home = AsyncStdHome::new();
        let (done, is_done) = tokio::sync::oneshot::channel();
        home.runtime().spawn(async { done.send(()).expect("somebody waits") });
        is_done.await.expect("it has run");
        while !home.0.running().tasks.is_empty() {
            home.0.empty.notified().await;
        }
    }
}
