//! gridmux on smol, and so on async-std: node-to-node RPC and streams over one multiplexed
//! WebSocket connection per pair of nodes, on the wire of MinIO's grid.
//!
//! A node is configured with its own name and those of its peers. It listens, dials the peers that
//! it is the one to dial, reconnects, and serves routes; any node calls any other. Everything is
//! re-exported from [`gridmux_core`]: see [`Grid`], [`Builder`], [`handle::PeerHandle`], and
//! [`route`] for what can be called.
//!
//! ```
//! use std::time::Duration;
//!
//! use gridmux_smol::Grid;
//! use gridmux_smol::auth::SharedSecret;
//! use gridmux_smol::route::{ServerStream, Unary};
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
//!             Ok::<_, gridmux_smol::error::CallError>(())
//!         })
//!         .bind(address)
//!         .await?;
//!     Ok(grid)
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # smol::block_on(async {
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
//! # })
//! # }
//! ```
//!
//! Streams with input:
//!
//! ```
//! use std::time::Duration;
//!
//! use gridmux_smol::handle::InputError;
//! use gridmux_smol::payload::NoPayload;
//! use gridmux_smol::route::{ClientStream, TwoWay};
//! # use gridmux_smol::{Grid, auth::SharedSecret};
//!
//! const SUM: ClientStream<NoPayload, u32, u64> = ClientStream::new(3, "sum");
//! const SQUARE: TwoWay<NoPayload, u32, u32> = TwoWay::new(4, "square");
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # smol::block_on(async {
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
//! # })
//! # }
//! ```
//!
//! # Executors
//!
//! Timers and sockets are those of async-io, the reactor that smol and async-std share; it has a
//! thread of its own and needs no runtime to be within. Tasks, handlers among them, run on smol's
//! global executor, which has as many threads as the environment variable `SMOL_THREADS` says, one
//! unless set; or on the executor that [`Smol::spawning_with`] is given. Handles can be used
//! anywhere. When the executor ends, so does the node, without grace: whoever waits for a call is
//! told.
//!
//! The names of peers are looked up on threads of the node's own, at most 8
//! ([`MAX_LOOKUPS`](driver::resolver::MAX_LOOKUPS)), and not on those of the `blocking` crate, which other
//! blocking work needs. Nothing waits for them: one whose name server does not answer ends when the system
//! gives up, after the node if need be.
//!
//! On async-std:
//!
//! ```
//! use std::time::Duration;
//!
//! use gridmux_smol::auth::SharedSecret;
//! use gridmux_smol::route::Unary;
//! use gridmux_smol::{Grid, Smol};
//!
//! const GREET: Unary<String, String> = Unary::new(1, "greet");
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # async_std::task::block_on(async {
//! # let port = || Ok::<_, std::io::Error>(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?);
//! # let names = [format!("http://{}", port()?), format!("http://{}", port()?)];
//! let runtime = Smol::spawning_with(|task| drop(async_std::task::spawn(task)));
//! let node = |name: &str| -> Result<_, Box<dyn std::error::Error>> {
//!     Ok(Grid::builder_on(runtime.clone(), name)
//!         .peers(&names)
//!         .auth(SharedSecret::new("at least 16 bytes of secret")?))
//! };
//! # let address = |name: &str| name.trim_start_matches("http://").to_owned();
//! # let one = node(&names[0])?.bind(&address(&names[0])).await?;
//! let two = node(&names[1])?
//!     .serve(GREET, |name, _context| async move {
//!         // A task of async-std: whatever needs its executor works here.
//!         async_std::task::sleep(Duration::from_millis(1)).await;
//!         Ok::<_, String>(format!("hello {name}"))
//!     })
//!     .bind(&address(&names[1]))
//!     .await?;
//! one.connected(Duration::from_secs(10)).await?;
//! let greeting = one.peer(&names[1])?.call(GREET, &"you".to_owned()).await?;
//! assert_eq!(greeting, "hello you");
//! # one.shutdown(Duration::from_secs(1)).await;
//! # two.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # })
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

mod tcp;
mod timer;

use std::io;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use gridmux_core::driver::clock::SystemClock;
use gridmux_core::driver::runtime::{BoxFuture, Clock, Connector, Listener, Runtime, Timer};
use gridmux_core::driver::workers::{Post, Workers};

pub use gridmux_core::*;

pub use self::tcp::{TcpConnector, TcpTransport};
use self::timer::SmolTimer;

/// A node that runs on smol; see [`gridmux_core::handle::Grid`].
pub type Grid = handle::Grid<Smol>;

/// A node, without keeping it alive; see [`gridmux_core::handle::WeakGrid`].
pub type WeakGrid = handle::WeakGrid<Smol>;

/// Settings of a [`Grid`]; see [`gridmux_core::builder::Builder`].
pub type Builder = builder::Builder<Smol>;

/// The reactor of async-io, with smol's global executor or another one.
#[derive(Clone, Default)]
pub struct Smol {
    spawn: Option<Arc<Spawn>>,
    clock: SystemClock<SmolTimer>,
    workers: Arc<Workers>,
}

type Spawn = dyn Fn(BoxFuture<'static, ()>) + Send + Sync;

impl Smol {
    /// Runs tasks on an executor of one's own: `spawn` has it run each future to its end,
    /// concurrently, and may drop one before only if it drops all. It is called from any thread
    /// and must not block.
    ///
    /// Each task costs one allocation more than on smol's global executor, which is what
    /// [`Smol::default`] spawns on. The executor is taken to have several threads, for which to wake
    /// each other is slow ([`Runtime::is_slow_to_wake`]): on one that has not,
    /// [`busy_poll`](gridmux_core::builder::Builder::busy_poll) of zero makes single calls faster.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use gridmux_smol::Smol;
    ///
    /// let executor = Arc::new(smol::Executor::new());
    /// // The executor's tasks hold the runtime: held by it in turn, none of them would ever go.
    /// let weak = Arc::downgrade(&executor);
    /// let runtime = Smol::spawning_with(move |task| {
    ///     if let Some(executor) = weak.upgrade() {
    ///         executor.spawn(task).detach();
    ///     }
    /// });
    /// # let _ = runtime;
    /// ```
    pub fn spawning_with(spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        Self { spawn: Some(Arc::new(spawn)), ..Self::default() }
    }
}

/// The threads of smol's global executor.
fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        let threads = std::env::var("SMOL_THREADS").ok().and_then(|threads| threads.parse().ok());
        threads.unwrap_or(1).max(1)
    })
}

impl std::fmt::Debug for Smol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smol").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Clock for Smol {
    fn instant(&self) -> time::Instant {
        self.clock.instant()
    }

    fn now(&self) -> time::Now {
        self.clock.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(self.clock.alarm(SmolTimer::new()))
    }
}

impl Runtime for Smol {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        match &self.spawn {
            Some(spawn) => spawn(Box::pin(future)),
            None => smol::spawn(future).detach(),
        }
    }

    fn spawn_short<F: Future<Output = ()> + Send + 'static>(&self, post: &Post<F>, future: F) {
        if let Some(worker) = self.workers.take(post, future) {
            self.spawn(worker);
        }
    }

    fn yield_now(&self, cx: &mut Context<'_>) -> bool {
        cx.waker().wake_by_ref();
        true
    }

    fn is_slow_to_wake(&self) -> bool {
        // One thread finds what is readable and runs the tasks. Of several, one finds it, wakes another
        // one, and sleeps again.
        self.spawn.is_some() || threads() > 1
    }

    fn rest(&self) {
        self.workers.rest();
    }

    fn poll_rested(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.workers.poll_rested(cx)
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
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
