//! Where nodes of this process run: a home is one node's own piece of a runtime. To kill the node
//! is to end its home, so that its tasks vanish where they are and its sockets close without a
//! goodbye.

mod async_std;
mod smol;
mod tokio;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use gridmux_tokio::driver::runtime::{BoxFuture, Runtime};

use self::async_std::AsyncStdHome;
pub(crate) use self::async_std::on_async_std;
use self::smol::SmolHome;
use self::tokio::TokioHome;
use crate::cluster::Failure;
use crate::load::Witness;
use crate::node::{Node, Plan, View};

/// How long the threads or tasks of a killed node may take to notice.
const REAP: Duration = Duration::from_secs(2);

/// What the nodes of a cluster run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtimes {
    Tokio,
    Smol,
    AsyncStd,
    /// The nodes take the three in turn.
    Mixed,
}

impl Runtimes {
    pub(crate) const fn of_node(self, node: usize) -> Kind {
        match (self, node % 3) {
            (Self::Tokio, _) | (Self::Mixed, 0) => Kind::Tokio,
            (Self::Smol, _) | (Self::Mixed, 1) => Kind::Smol,
            (Self::AsyncStd, _) | (Self::Mixed, _) => Kind::AsyncStd,
        }
    }
}

/// What one node runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tokio,
    Smol,
    AsyncStd,
}

impl Kind {
    /// As the command line has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Smol => "smol",
            Self::AsyncStd => "async-std",
        }
    }
}

/// One node's own piece of a runtime.
trait Home: Send + Sized + 'static {
    type Runtime: Runtime;

    fn runtime(&self) -> Self::Runtime;

    /// Stops every task where it is and waits until all of them are dropped, their sockets with
    /// them.
    fn end(self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A node that is at home somewhere.
pub(crate) trait Resident: Send {
    fn view(&self) -> View;

    /// [`Node::quiesce`], on its own runtime.
    fn quiesce(&self) -> BoxFuture<'static, Result<(), Failure>>;

    /// [`Node::shutdown`], on its own runtime.
    fn shutdown(&self) -> BoxFuture<'static, Result<(), Failure>>;

    /// Ends the home under the node, and takes a last look at it.
    fn end(self: Box<Self>) -> BoxFuture<'static, Result<View, Failure>>;
}

/// Starts a node in a home of its own.
pub(crate) async fn start(plan: Plan, witness: Witness) -> Result<Box<dyn Resident>, Failure> {
    match plan.runtime {
        Kind::Tokio => settle(TokioHome::new()?, plan, witness).await,
        Kind::Smol => settle(SmolHome::new()?, plan, witness).await,
        Kind::AsyncStd => settle(AsyncStdHome::new(), plan, witness).await,
    }
}

async fn settle<H: Home>(
    home: H,
    plan: Plan,
    witness: Witness,
) -> Result<Box<dyn Resident>, Failure> {
    let runtime = home.runtime();
    let starting = Node::start(runtime.clone(), plan, witness);
    let node = spawn(&runtime, starting).await??;
    Ok(Box::new(Settled { home, runtime, node: Arc::new(node) }))
}

struct Settled<H: Home> {
    home: H,
    runtime: H::Runtime,
    node: Arc<Node<H::Runtime>>,
}

impl<H: Home> Resident for Settled<H> {
    fn view(&self) -> View {
        self.node.view()
    }

    fn quiesce(&self) -> BoxFuture<'static, Result<(), Failure>> {
        let node = self.node.clone();
        spawn(&self.runtime, async move { node.quiesce().await })
    }

    fn shutdown(&self) -> BoxFuture<'static, Result<(), Failure>> {
        let node = self.node.clone();
        spawn(&self.runtime, async move { node.shutdown().await })
    }

    fn end(self: Box<Self>) -> BoxFuture<'static, Result<View, Failure>> {
        Box::pin(async move {
            self.home.end().await?;
            // The node itself is dropped after that only: earlier, its grid would say goodbye.
            Ok(self.node.view())
        })
    }
}

/// Runs `future` as a task, from now on, whose output may be waited for anywhere.
fn spawn<R: Runtime, T: Send + 'static>(
    runtime: &R,
    future: impl Future<Output = T> + Send + 'static,
) -> BoxFuture<'static, Result<T, Failure>> {
    let (done, output) = ::tokio::sync::oneshot::channel();
    runtime.spawn(async move {
        let _ = done.send(future.await);
    });
    Box::pin(async { output.await.map_err(|_| "a task of a node has panicked".into()) })
}
