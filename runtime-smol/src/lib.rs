//! gridmux on smol, and so on async-std, whose tasks run on the same reactor.
//!
//! Tasks run on smol's global executor, which has as many threads as `SMOL_THREADS` says, one
//! unless set. Everything is re-exported from [`gridmux_core`]: see [`Grid`], [`Builder`],
//! [`handle::PeerHandle`], and [`route`] for what can be called.
//!
//! ```
//! use std::time::Duration;
//!
//! use gridmux_smol::Grid;
//! use gridmux_smol::auth::SharedSecret;
//! use gridmux_smol::route::Unary;
//!
//! // Declared once, used at both ends.
//! const GREET: Unary<String, String> = Unary::new(1, "greet");
//!
//! async fn node(name: &str, names: &[String]) -> Result<Grid, Box<dyn std::error::Error>> {
//!     let grid = Grid::builder(name)
//!         .peers(names)
//!         .auth(SharedSecret::new("at least 16 bytes of secret")?)
//!         .serve(GREET, |name, _context| async move { Ok::<_, String>(format!("hello {name}")) })
//!         .bind(name.trim_start_matches("http://"))
//!         .await?;
//!     Ok(grid)
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let port = || Ok::<_, std::io::Error>(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?);
//! # let names = [format!("http://{}", port()?), format!("http://{}", port()?)];
//! smol::block_on(async {
//!     // `names` holds the names of all nodes, like "http://10.0.0.1:9000".
//!     let (one, two) = (node(&names[0], &names).await?, node(&names[1], &names).await?);
//!     one.connected(Duration::from_secs(10)).await?;
//!
//!     let answer = one.peer(&names[1])?.call(GREET, &"you".to_owned()).await?;
//!     assert_eq!(answer, "hello you");
//!
//!     one.shutdown(Duration::from_secs(1)).await;
//!     two.shutdown(Duration::from_secs(1)).await;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Tests of your own cluster
//!
//! With the feature `test-util`, `test_util::TestGrid` runs the nodes of a test in its
//! process, in memory or on sockets; one call kills, restarts, cuts off or partitions them. A lock
//! that both other nodes must grant, and its test:
//!
//! ```
//! use std::sync::Mutex;
//!
//! use gridmux_smol::route::Unary;
//! use gridmux_smol::test_util::TestGrid;
//! use gridmux_smol::{Builder, Grid, Smol};
//!
//! /// Asks for the lock in a node's name; the answer is whether that node has it now.
//! const ACQUIRE: Unary<String, bool> = Unary::new(1, "acquire");
//!
//! fn serve(node: Builder) -> Builder {
//!     let holder = Mutex::new(None);
//!     node.serve_inline(ACQUIRE, move |name: String, _| {
//!         let mut holder = holder.lock().map_err(|_| "poisoned")?;
//!         Ok::<_, &str>(*holder.get_or_insert_with(|| name.clone()) == name)
//!     })
//! }
//!
//! async fn acquire(node: &Grid) -> bool {
//!     let name = node.name().to_owned();
//!     for peer in node.peers() {
//!         if peer.call(ACQUIRE, &name).await != Ok(true) {
//!             return false;
//!         }
//!     }
//!     true
//! }
//!
//! smol::block_on(async {
//!     let mut grid = TestGrid::in_memory(&Smol::default(), 3, |_, node| serve(node));
//!     grid.connected().await;
//!     grid.partition(&[&[2]]);
//!     grid.disconnected(0, 2).await;
//!     assert!(!acquire(grid.node(0)).await, "node 2 cannot be asked");
//!
//!     grid.heal_all();
//!     grid.connected().await;
//!     assert!(acquire(grid.node(0)).await);
//!     assert!(!acquire(grid.node(2)).await, "node 1 has granted it to node 0");
//!
//!     // What the closure makes is lost with a node, as memory is: this lock needs a disk.
//!     grid.restart(1).await;
//!     grid.connected().await;
//!     assert!(grid.peer(2, 1).call(ACQUIRE, &grid.names()[2]).await == Ok(true));
//! });
//! ```
#![forbid(unsafe_code)]

mod clock;
mod tcp;

use std::io;

use gridmux_core::driver::runtime::{BoxFuture, Clock, Connector, Listener, Runtime, Transport};

pub use gridmux_core::*;

pub use self::tcp::TcpTransport;

/// A node that runs on smol; see [`gridmux_core::handle::Grid`].
pub type Grid = handle::Grid<Smol>;

/// Settings of a [`Grid`]; see [`gridmux_core::builder::Builder`].
pub type Builder = builder::Builder<Smol>;

/// smol's global executor and the reactor of async-io.
#[derive(Clone, Debug)]
pub struct Smol {
    clock: clock::SmolClock,
}

impl Default for Smol {
    fn default() -> Self {
        Self { clock: clock::SmolClock::new() }
    }
}

impl Clock for Smol {
    fn instant(&self) -> time::Instant {
        self.clock.instant()
    }

    fn now(&self) -> time::Now {
        self.clock.now()
    }

    fn timer(&self) -> Box<dyn driver::runtime::Timer> {
        Box::new(clock::Alarm::new(self.clock.clone()))
    }
}

impl Runtime for Smol {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        smol::spawn(future).detach();
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(tcp::TcpListener::bind(address)?))
    }

    fn connector(&self) -> Box<dyn Connector> {
        Box::new(TcpConnector)
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(bytes)
    }
}

/// Plain TCP to the host and port of a node's name.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let target = node::dial_target(name);
        Box::pin(async move {
            let target = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
            let stream = smol::net::TcpStream::connect(target).await?;
            Ok(Box::new(TcpTransport::new(stream)?) as Box<dyn Transport>)
        })
    }
}
