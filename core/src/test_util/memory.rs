//! A network in memory: addresses of its own, without ports and sockets of the system.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::pipe::{PipeTransport, duplex};
use crate::driver::runtime::{BoxFuture, Connector, Listener, Transport};
use crate::handle::{lock, set};
use crate::node::dial_target;

/// Connections that wait to be accepted at most; more are refused.
const BACKLOG: usize = 1024;

/// The first of the ports that a network chooses; none is chosen twice.
const FIRST_PORT: u16 = 10_001;

/// How many networks there were in this process: each chooses addresses on a host of its own, so
/// that the logs of tests that run at once can be told apart.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// Who listens where. Clones are the same network.
#[derive(Clone, Debug)]
pub(crate) struct MemoryNetwork {
    board: Arc<Mutex<Board>>,
}

#[derive(Debug)]
struct Board {
    listeners: BTreeMap<SocketAddr, Backlog>,
    host: Ipv4Addr,
    next_port: u16,
}

/// What a listener has not accepted yet.
#[derive(Debug, Default)]
struct Backlog {
    connections: VecDeque<PipeTransport>,
    waker: Option<Waker>,
}

impl Default for MemoryNetwork {
    fn default() -> Self {
        // 127.0.0.1 and so on through the loopback addresses, which are 2 to the 24.
        let before = NETWORKS.fetch_add(1, Ordering::Relaxed) % 0x00ff_ffff;
        let host = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + before);
        let board = Board { listeners: BTreeMap::new(), host, next_port: FIRST_PORT };
        Self { board: Arc::new(Mutex::new(board)) }
    }
}

impl MemoryNetwork {
    /// Listens on `address`, an IP address and a port. For port 0 the network chooses both
    /// host and port.
    pub(crate) fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let parsed = address.parse();
        let mut address: SocketAddr = parsed.map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut board = lock(&self.board);
        if address.port() == 0 {
            address = (board.host, board.next_port).into();
            let next = board.next_port.checked_add(1);
            board.next_port = next.ok_or(io::ErrorKind::AddrNotAvailable)?;
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
