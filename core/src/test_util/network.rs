//! What joins the nodes: the runtime's own network, or one in memory.

use std::io;

use super::memory::MemoryNetwork;
use crate::driver::runtime::{Connector, Listener, Runtime};

#[derive(Clone, Debug)]
pub(super) enum Network {
    Sockets,
    Memory(MemoryNetwork),
}

impl Network {
    pub(super) fn bind<R: Runtime>(
        &self,
        runtime: &R,
        address: &str,
    ) -> io::Result<Box<dyn Listener>> {
        match self {
            Self::Sockets => runtime.bind(address),
            Self::Memory(network) => network.bind(address),
        }
    }

    pub(super) fn connector<R: Runtime>(&self, runtime: &R) -> Box<dyn Connector> {
        match self {
            Self::Sockets => runtime.connector(),
            Self::Memory(network) => network.connector(),
        }
    }
}
