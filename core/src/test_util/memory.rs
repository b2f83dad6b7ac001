//! A network in memory: addresses of its own, without ports and sockets of the system.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::pipe::{PipeTransport, duplex};
use crate::driver::runtime::{BoxFuture, Connector, Listener, Transport};
use crate::handle::{lock, set};
use crate::node::dial_target;

/// Connections that wait to be accepted at most; more are refused.
const BACKLOG: usize = 1024;

/// The first of the ports that the network chooses; no address has two.
const FIRST_PORT: u16 = 10_001;

/// Who listens where. Clones are the same network.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryNetwork {
    board: Arc<Mutex<Board>>,
}

#[derive(Debug, Default)]
struct Board {
    listeners: BTreeMap<SocketAddr, Backlog>,
    chosen: u16,
}

/// What a listener has not accepted yet.
#[derive(Debug, Default)]
struct Backlog {
    connections: VecDeque<PipeTransport>,
    waker: Option<Waker>,
}

impl MemoryNetwork {
    /// Listens on `address`, an IP address and a port; the network chooses for port 0.
    pub(crate) fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let parsed = address.parse();
        let mut address: SocketAddr = parsed.map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut board = lock(&self.board);
        if address.port() == 0 {
            address = (Ipv4Addr::LOCALHOST, FIRST_PORT + board.chosen).into();
            board.chosen += 1;
        }
        match board.listeners.entry(address) {
            Entry::Occupied(_) => Err(io::ErrorKind::AddrInUse.into()),
            Entry::Vacant(vacant) => {
                vacant.insert(Backlog::default());
                Ok(Box::new(MemoryListener { network: self.clone(), address }))
            }
        }
    }

    /// Connects to who listens on the address in a node's name.
    pub(crate) fn connector(&self) -> Box<dyn Connector> {
        Box::new(MemoryConnector { network: self.clone() })
    }

    fn connect(&self, name: &str) -> io::Result<PipeTransport> {
        let address = dial_target(name).and_then(|target| target.parse().ok());
        let address: SocketAddr = address.ok_or(io::ErrorKind::InvalidInput)?;
        let mut board = lock(&self.board);
        let backlog = board.listeners.get_mut(&address);
        let backlog = backlog.filter(|backlog| backlog.connections.len() < BACKLOG);
        let backlog = backlog.ok_or(io::ErrorKind::ConnectionRefused)?;
        let (ours, theirs) = duplex();
        backlog.connections.push_back(theirs);
        let waker = backlog.waker.take();
        drop(board);
        waker.into_iter().for_each(Waker::wake);
        Ok(ours)
    }
}

struct MemoryListener {
    network: MemoryNetwork,
    address: SocketAddr,
}

impl Listener for MemoryListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Transport>>> {
        let mut board = lock(&self.network.board);
        let backlog = board.listeners.get_mut(&self.address).expect("there until it is dropped");
        match backlog.connections.pop_front() {
            Some(connection) => Poll::Ready(Ok(Box::new(connection))),
            None => {
                let former = set(&mut backlog.waker, cx.waker());
                drop((board, former));
                Poll::Pending
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        // Not under the lock: dropping a connection wakes its other end.
        let backlog = lock(&self.network.board).listeners.remove(&self.address);
        drop(backlog);
    }
}

struct MemoryConnector {
    network: MemoryNetwork,
}

impl Connector for MemoryConnector {
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let connected = self.network.connect(name);
        Box::pin(async { Ok(Box::new(connected?) as Box<dyn Transport>) })
    }
}
