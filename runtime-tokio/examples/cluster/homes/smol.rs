//! An executor of smol, on a thread of its own, for each node; the reactor is the process's.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use gridmux_smol::Smol;
use smol::Executor;
use smol::channel::Sender;

use super::Home;
use crate::cluster::Failure;

pub(super) struct SmolHome {
    executor: Arc<Executor<'static>>,
    thread: JoinHandle<()>,
    /// Dropped, it has the thread leave the executor.
    stays: Sender<()>,
}

impl SmolHome {
    pub(super) fn new() -> io::Result<Self> {
        let executor = Arc::new(Executor::new());
        let (stays, leaves) = smol::channel::bounded::<()>(1);
        let runs = executor.clone();
        let thread = thread::Builder::new().name("node".into()).spawn(move || {
            // It is never sent anything.
            let _ = smol::block_on(runs.run(leaves.recv()));
        })?;
        Ok(Self { executor, thread, stays })
    }
}

impl Home for SmolHome {
    type Runtime = Smol;

    fn runtime(&self) -> Smol {
        // The executor's tasks hold the runtime, which must not hold them in turn.
        let executor = Arc::downgrade(&self.executor);
        Smol::spawning_with(move |task| {
            if let Some(executor) = executor.upgrade() {
                executor.spawn(task).detach();
            }
        })
    }

    async fn end(self) -> Result<(), Failure> {
        let Self { executor, thread, stays } = self;
        drop(stays);
        let joined = tokio::task::spawn_blocking(move || {
            let joined = thread.join();
            // With it go its tasks.
            drop(executor);
            joined
        });
        joined.await?.map_err(|_| "a task of a node has panicked".into())
    }
}
