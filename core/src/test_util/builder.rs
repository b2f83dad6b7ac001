//! Settings of a grid of test nodes.

use std::sync::Arc;

use super::grid::{Configure, TestGrid};
use super::memory::MemoryNetwork;
use super::network::Network;
use crate::builder::{BuildError, Builder};
use crate::driver::runtime::Runtime;

type Names = dyn Fn(usize) -> String;

/// Settings of a [`TestGrid`].
///
/// ```
/// use gridmux_core::builder::BuildError;
/// use gridmux_core::driver::runtime::Runtime;
/// use gridmux_core::limits::Limits;
/// use gridmux_core::test_util::TestGrid;
///
/// fn small_queues<R: Runtime>(runtime: &R) -> Result<TestGrid<R>, BuildError> {
///     TestGrid::builder(runtime, 3)
///         .in_memory()
///         .names(|index| format!("http://node-{index}:9000"))
///         .configure(|_, node| node.limits(Limits { queued_bytes: 4096, ..Limits::default() }))
///         .start()
/// }
/// ```
#[must_use = "nothing runs until it is started"]
pub struct TestGridBuilder<R: Runtime> {
    pub(super) runtime: R,
    pub(super) nodes: usize,
    pub(super) network: Network,
    pub(super) names: Option<Box<Names>>,
    pub(super) configure: Arc<Configure<R>>,
}

impl<R: Runtime> std::fmt::Debug for TestGridBuilder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestGridBuilder")
            .field("nodes", &self.nodes)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> TestGridBuilder<R> {
    pub(super) fn new(runtime: &R, nodes: usize) -> Self {
        Self {
            runtime: runtime.clone(),
            nodes,
            network: Network::Sockets,
            names: None,
            configure: Arc::new(|_, builder| builder),
        }
    }

    /// Joins the nodes by pipes in memory, each direction of a connection 64 KiB long: no ports,
    /// no sockets. Real time and the runtime's own tasks and timers, as ever.
    pub fn in_memory(mut self) -> Self {
        self.network = Network::Memory(MemoryNetwork::default());
        self
    }

    /// Joins the nodes by the runtime's own sockets, on ports of the loopback address that the
    /// system chose; this is so unless [`Self::in_memory`] is set.
    pub fn on_sockets(mut self) -> Self {
        self.network = Network::Sockets;
        self
    }

    /// The nodes' names, which must differ and be base URLs; they are resolved within the grid.
    ///
    /// Unless set, a name is the address where the node listens, and of two nodes the first one
    /// dials the second; with names of one's own, who dials follows from the names.
    pub fn names(mut self, names: impl Fn(usize) -> String + 'static) -> Self {
        self.names = Some(Box::new(names));
        self
    }

    /// Adds to the settings of each node, by number: what it serves, limits, timings.
    ///
    /// It is called at the start, and again whenever the node is restarted: what is made in there
    /// is lost with the node, as memory is; what it captures stays, as a disk does. Peers, secret
    /// and quick retries ([`TestGrid::timings`]) are set before, the connector and the start gate
    /// after it.
    pub fn configure(
        mut self,
        configure: impl Fn(usize, Builder<R>) -> Builder<R> + Send + Sync + 'static,
    ) -> Self {
        self.configure = Arc::new(configure);
        self
    }

    /// Starts the nodes, which are listening then; [`TestGrid::connected`] waits for their links.
    ///
    /// # Errors
    /// A setting or a name cannot work, or the system has no port to give.
    pub fn start(self) -> Result<TestGrid<R>, BuildError> {
        TestGrid::start(self)
    }
}
