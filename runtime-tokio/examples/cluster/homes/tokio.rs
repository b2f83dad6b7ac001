//! A tokio runtime for each node.

use std::io;

use gridmux_tokio::Tokio;
use tokio::runtime::{Builder, Runtime};

use super::{Home, REAP};
use crate::cluster::Failure;

pub(super) struct TokioHome(Option<Runtime>);

impl TokioHome {
    pub(super) fn new() -> io::Result<Self> {
        // The worker of the node, its load included; the other nodes have theirs.
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("node").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }
}

impl Home for TokioHome {
    type Runtime = Tokio;

    fn runtime(&self) -> Tokio {
        let _entered = self.0.as_ref().map(Runtime::enter);
        Tokio::default()
    }

    async fn end(mut self) -> Result<(), Failure> {
        if let Some(runtime) = self.0.take() {
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(REAP)).await?;
        }
        Ok(())
    }
}

impl Drop for TokioHome {
    fn drop(&mut self) {
        // A runtime must not wait for its threads where others run.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
