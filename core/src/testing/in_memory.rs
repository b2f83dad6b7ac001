//! Any runtime on a network in memory.

use std::future::Future;
use std::io;
use std::task::{Context, Poll};

use crate::driver::runtime::{Clock, Connector, Listener, Runtime, Timer};
use crate::driver::workers::Post;
use crate::test_util::MemoryNetwork;
use crate::time::{Instant, Now};

/// A runtime whose sockets are pipes in memory. Each one has a network of its own, which its clones
/// share.
#[derive(Clone, Debug)]
pub struct InMemory<R> {
    runtime: R,
    network: MemoryNetwork,
}

impl<R: Runtime> InMemory<R> {
    /// `runtime`, without its sockets.
    pub fn new(runtime: R) -> Self {
        Self { runtime, network: MemoryNetwork::default() }
    }
}

impl<R: Runtime> Clock for InMemory<R> {
    fn instant(&self) -> Instant {
        self.runtime.instant()
    }

    fn now(&self) -> Now {
        self.runtime.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.runtime.timer()
    }
}

impl<R: Runtime> Runtime for InMemory<R> {
    fn check(&self) -> io::Result<()> {
        self.runtime.check()
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        self.runtime.spawn(future);
    }

    fn spawn_short<F: Future<Output = ()> + Send + 'static>(&self, post: &Post<F>, future: F) {
        self.runtime.spawn_short(post, future);
    }

    fn rest(&self) {
        self.runtime.rest();
    }

    fn poll_rested(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.runtime.poll_rested(cx)
    }

    fn yield_now(&self, cx: &mut Context<'_>) -> bool {
        self.runtime.yield_now(cx)
    }

    fn is_slow_to_wake(&self) -> bool {
        self.runtime.is_slow_to_wake()
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        self.network.bind(address)
    }

    fn connector(&self) -> Box<dyn Connector> {
        self.network.connector()
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        self.runtime.random()
    }

    fn for_node(&self, index: usize) -> Self {
        Self { runtime: self.runtime.for_node(index), network: self.network.clone() }
    }
}
