//! gridmux on tokio: node-to-node RPC and streams over one multiplexed WebSocket connection per
//! pair of nodes, on the wire of MinIO's grid.
//!
//! A node is configured with its own name and those of its peers. It listens, dials the peers that
//! it is the one to dial, reconnects, and serves routes; any node calls any other. Everything is
//! re-exported from [`gridmux_core`]: see [`Grid`], [`Builder`], [`handle::PeerHandle`], and
//! [`route`] for what can be called.
//!
//! ```
//! use std::time::Duration;
//!
//! use gridmux_tokio::Grid;
//! use gridmux_tokio::auth::SharedSecret;
//! use gridmux_tokio::route::{ServerStream, Unary};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Greeting {
//!     name: String,
//! }
//!
//! // Declared once, used at both ends.
//! const GREET: Unary<Greeting, String> = Unary::new(1, "greet");
//! const COUNT: ServerStream<u32, u32> = ServerStream::new(2, "count").out_capacity(16);
//!
//! async fn node(name: &str, names: &[String]) -> Result<Grid, Box<dyn std::error::Error>> {
//!     let address = name.strip_prefix("http://").ok_or("a name is a URL")?;
//!     let grid = Grid::builder(name)
//!         .peers(names)
//!         .auth(SharedSecret::new("at least 16 bytes of secret")?)
//!         .serve(GREET, |hello, context| async move {
//!             Ok::<_, String>(format!("{} greets {}", context.caller(), hello.name))
//!         })
//!         .serve_stream(COUNT, |to, mut out, _context| async move {
//!             for n in 1..=to {
//!                 out.send(n).await?;
//!             }
//!             Ok::<_, gridmux_tokio::error::CallError>(())
//!         })
//!         .bind(address)
//!         .await?;
//!     Ok(grid)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let port = || Ok::<_, std::io::Error>(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?);
//! # let names = [format!("http://{}", port()?), format!("http://{}", port()?)];
//! // `names` holds the names of all nodes, like "http://10.0.0.1:9000".
//! let (one, two) = (node(&names[0], &names).await?, node(&names[1], &names).await?);
//! one.connected(Duration::from_secs(10)).await?;
//!
//! let peer = one.peer(&names[1])?;
//! let hello = Greeting { name: "you".into() };
//! let answer = peer.call(GREET, &hello).timeout(Duration::from_secs(2)).await?;
//! assert_eq!(answer, format!("{} greets you", names[0]));
//!
//! let mut numbers = peer.open(COUNT, &100).await?;
//! let mut sum = 0;
//! while let Some(n) = numbers.try_next().await? {
//!     sum += n;
//! }
//! assert_eq!(sum, 5050);
//!
//! one.shutdown(Duration::from_secs(1)).await;
//! two.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Streams with input:
//!
//! ```
//! use std::time::Duration;
//!
//! use gridmux_tokio::handle::InputError;
//! use gridmux_tokio::payload::NoPayload;
//! use gridmux_tokio::route::{ClientStream, TwoWay};
//! # use gridmux_tokio::{Grid, auth::SharedSecret};
//!
//! const SUM: ClientStream<NoPayload, u32, u64> = ClientStream::new(3, "sum");
//! const SQUARE: TwoWay<NoPayload, u32, u32> = TwoWay::new(4, "square");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let port = || Ok::<_, std::io::Error>(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?);
//! # let names = [format!("http://{}", port()?), format!("http://{}", port()?)];
//! # let builder = |name: &str| -> Result<_, Box<dyn std::error::Error>> {
//! #     Ok(Grid::builder(name).peers(&names).auth(SharedSecret::new("at least 16 bytes of secret")?))
//! # };
//! # let address = |name: &str| name.trim_start_matches("http://").to_owned();
//! # let one = builder(&names[0])?.bind(&address(&names[0])).await?;
//! let two = builder(&names[1])?
//!     .serve_input(SUM, |_, mut input, _context| async move {
//!         let mut sum = 0;
//!         while let Some(number) = input.try_next().await? {
//!             sum += u64::from(number);
//!         }
//!         Ok::<_, InputError>(sum)
//!     })
//!     .serve_two_way(SQUARE, |_, mut input, mut output, _context| async move {
//!         while let Some(number) = input.try_next().await.map_err(|error| error.to_string())? {
//!             output.send(number * number).await.map_err(|error| error.to_string())?;
//!         }
//!         Ok::<_, String>(())
//!     })
//!     .bind(&address(&names[1]))
//!     .await?;
//!
//! let peer = one.peer(&names[1])?;
//! peer.connected(Duration::from_secs(10)).await?;
//! let mut sum = peer.open(SUM, &NoPayload).await?;
//! for number in 1..=100 {
//!     sum.send(number).await?;
//! }
//! assert_eq!(sum.finish().await?, 5050);
//!
//! let (mut sender, mut squares) = peer.open(SQUARE, &NoPayload).await?;
//! sender.send(12).await?;
//! assert_eq!(squares.try_next().await?, Some(144));
//! sender.close();
//! assert_eq!(squares.try_next().await?, None);
//! # one.shutdown(Duration::from_secs(1)).await;
//! # two.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Executors
//!
//! A node runs on the tokio runtime that is current where [`Grid::builder`] is called, or where
//! its [`Tokio`] was made; the runtime needs timers and I/O, and one thread will do. Handles can be
//! used anywhere. When the runtime ends, so does the node, without grace: whoever waits for a call
//! is told.
//!
//! To drop a tokio runtime waits until each of its tasks has returned from its current poll, and until
//! everything that runs on its blocking threads is done. A node has nothing on these: the names of peers
//! are looked up on threads of its own, at most 8 ([`MAX_LOOKUPS`](driver::resolver::MAX_LOOKUPS)), which
//! nothing waits for. One whose name server does not answer ends when the system gives up, after the node
//! and its runtime if need be.
//!
//! # Tests of your own cluster
//!
//! With the feature `test-util`, `test_util::TestGrid` runs the nodes of a test in its
//! process, in memory or on sockets; one call kills, restarts, cuts off or partitions them. A counter
//! that a majority keeps, and its test:
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use std::time::Duration;
//!
//! use gridmux_tokio::route::Unary;
//! use gridmux_tokio::test_util::TestGrid;
//! use gridmux_tokio::{Builder, Grid, Tokio};
//!
//! /// Keeps the larger value, and answers it.
//! const MERGE: Unary<u64, u64> = Unary::new(1, "merge");
//!
//! #[derive(Clone, Default)]
//! struct Counter(Arc<AtomicU64>);
//!
//! impl Counter {
//!     fn merge(&self, value: u64) -> u64 {
//!         self.0.fetch_max(value, Ordering::AcqRel).max(value)
//!     }
//!
//!     fn serve(&self, node: Builder) -> Builder {
//!         let counter = self.clone();
//!         node.serve_inline(MERGE, move |value, _| Ok::<_, String>(counter.merge(value)))
//!     }
//!
//!     /// Merges `value` everywhere; the largest answer, if a majority has answered.
//!     async fn agree(&self, node: &Grid, value: u64) -> Option<u64> {
//!         let (mut answers, mut largest) = (1, self.merge(value));
//!         for peer in node.peers() {
//!             let call = peer.call(MERGE, &value).timeout(Duration::from_secs(5));
//!             if let Ok(answer) = call.await {
//!                 answers += 1;
//!                 largest = largest.max(answer);
//!             }
//!         }
//!         (2 * answers > node.peers().len() + 1).then_some(largest)
//!     }
//!
//!     async fn increment(&self, node: &Grid) -> Option<u64> {
//!         let current = self.agree(node, 0).await?;
//!         self.agree(node, current + 1).await
//!     }
//! }
//!
//! # #[allow(clippy::needless_doctest_main)]
//! #[tokio::main(flavor = "current_thread")] // in a test: #[tokio::test]
//! async fn main() {
//!     // What the closure captures outlives a killed node, as a disk does.
//!     let counters: [Counter; 3] = Default::default();
//!     let disks = counters.clone();
//!     let mut grid =
//!         TestGrid::in_memory(&Tokio::default(), 3, move |index, node| disks[index].serve(node));
//!     grid.connected().await;
//!     assert_eq!(counters[0].increment(grid.node(0)).await, Some(1));
//!
//!     grid.partition(&[&[0, 1], &[2]]);
//!     assert_eq!(counters[2].increment(grid.node(2)).await, None, "a minority must not count");
//!     assert_eq!(counters[1].increment(grid.node(1)).await, Some(2));
//!
//!     grid.heal_all();
//!     grid.connected().await;
//!     assert_eq!(counters[2].increment(grid.node(2)).await, Some(3));
//!
//!     grid.kill(0);
//!     assert_eq!(counters[1].increment(grid.node(1)).await, Some(4));
//!     grid.restart(0).await;
//!     grid.connected().await;
//!     assert_eq!(counters[0].increment(grid.node(0)).await, Some(5));
//! }
//! ```
#![forbid(unsafe_code)]

mod byte_io;
mod tcp;
mod timer;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use gridmux_core::driver::clock::SystemClock;
use gridmux_core::driver::runtime::{Clock, Connector, Listener, Runtime, Timer};
use gridmux_core::driver::workers::{Post, Workers};
use tokio::runtime::Handle;

pub use gridmux_core::*;

pub use self::byte_io::{IntoTokioRead, IntoTokioWrite, TokioReader, TokioWriter};
pub use self::tcp::{TcpConnector, TcpTransport};
use self::timer::TokioTimer;

/// A node that runs on tokio; see [`gridmux_core::handle::Grid`].
pub type Grid = handle::Grid<Tokio>;

/// A node, without keeping it alive; see [`gridmux_core::handle::WeakGrid`].
pub type WeakGrid = handle::WeakGrid<Tokio>;

/// Settings of a [`Grid`]; see [`gridmux_core::builder::Builder`].
pub type Builder = builder::Builder<Tokio>;

/// The tokio runtime that was current when this was made.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Option<Handle>,
    clock: SystemClock<TokioTimer>,
    workers: Arc<Workers>,
}

impl Default for Tokio {
    fn default() -> Self {
        Self {
            handle: Handle::try_current().ok(),
            clock: SystemClock::default(),
            workers: Arc::default(),
        }
    }
}

impl Clock for Tokio {
    fn instant(&self) -> time::Instant {
        self.clock.instant()
    }

    fn now(&self) -> time::Now {
        self.clock.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        let _entered = self.handle.as_ref().map(Handle::enter);
        Box::new(self.clock.alarm(TokioTimer::new()))
    }
}

impl Runtime for Tokio {
    fn check(&self) -> io::Result<()> {
        match self.handle {
            Some(_) => Ok(()),
            None => Err(io::Error::other("not within a tokio runtime")),
        }
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        if let Some(handle) = &self.handle {
            handle.spawn(future);
        }
    }

    fn spawn_short<F: Future<Output = ()> + Send + 'static>(&self, post: &Post<F>, future: F) {
        if let Some(worker) = self.workers.take(post, future) {
            self.spawn(worker);
        }
    }

    fn yield_now(&self, cx: &mut Context<'_>) -> bool {
        // Pending, and the runtime wakes the task once it has looked for events.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
        true
    }

    fn rest(&self) {
        self.workers.rest();
    }

    fn poll_rested(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.workers.poll_rested(cx)
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        self.check()?;
        let _entered = self.handle.as_ref().map(Handle::enter);
        Ok(Box::new(tcp::TcpListener::bind(address)?))
    }

    fn connector(&self) -> Box<dyn Connector> {
        Box::new(TcpConnector::default())
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(bytes)
    }
}
