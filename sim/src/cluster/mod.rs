//! Simulate your own cluster: the code of your nodes, unchanged, on simulated machines that a
//! seed attacks.
//!
//! The code is what runs in production: async functions, handlers, [grids] and [peers]. It has to
//! be generic over the [`Runtime`], or to be given what it takes from one: it waits with
//! [`driver::time`], it reads [`Clock::instant`], and it spawns with [`Runtime::spawn`]. Here it
//! gets a [`SimRuntime`], and runs on simulated time. What must be true of your cluster, you say: a
//! [check] at any time, a [judge] of the whole run. A seed that fails fails again, and its faults
//! can be read, edited, minimised and replayed.
//!
//! # A first simulation
//!
//! A counter with a replica on every node. Nodes count on all replicas, and ask again if they get
//! no answer. The bug: one that was asked again counts again.
//!
//! ```
//! use std::collections::BTreeSet;
//! use std::time::Duration;
//!
//! use gridmux_core::route::Unary;
//! use gridmux_sim::cluster::{NodeContext, NodeError, Simulation};
//!
//! const ADD: Unary<u64, u64> = Unary::new(1, "add");
//!
//! /// What a node keeps when it crashes.
//! #[derive(Clone, Default)]
//! struct Replica {
//!     count: usize,
//!     seen: BTreeSet<u64>,
//! }
//!
//! /// What nodes tell the simulation.
//! #[derive(Clone, Debug)]
//! enum Event {
//!     Wanted(u64),
//! }
//!
//! async fn node(context: NodeContext<Event>, careful: bool) -> Result<(), NodeError> {
//!     let replica = context.disk::<Replica>();
//!     let add = move |id| {
//!         replica.write(|replica| {
//!             if replica.seen.insert(id) || !careful {
//!                 replica.count += 1;
//!             }
//!             Ok::<_, String>(replica.count as u64)
//!         })
//!     };
//!     let serve = add.clone();
//!     let builder = context.builder().serve_inline(ADD, move |id, _| serve(id));
//!     let grid = builder.bind(context.address()).await?;
//!     for n in 0.. {
//!         let id = context.random("id", n);
//!         context.note(Event::Wanted(id));
//!         add(id)?;
//!         for peer in grid.peers() {
//!             while peer.call(ADD, &id).timeout(Duration::from_secs(1)).await.is_err() {
//!                 context.sleep(Duration::from_millis(100)).await;
//!                 if context.is_stopping() {
//!                     return Ok(());
//!                 }
//!             }
//!         }
//!         context.sleep(Duration::from_millis(20)).await;
//!         if context.is_stopping() {
//!             break;
//!         }
//!     }
//!     grid.shutdown(Duration::from_secs(1)).await;
//!     Ok(())
//! }
//!
//! fn simulation(careful: bool) -> Simulation<Event> {
//!     Simulation::new(3, move |context| node(context, careful))
//!         .chaos(Duration::from_secs(3)..=Duration::from_secs(6))
//!         .calm(Duration::from_secs(3))
//!         .check("nothing is counted twice", |view| {
//!             let wanted = view.events().count();
//!             for node in 0..view.nodes() {
//!                 let count = view.disk(node).map_or(0, |replica: &Replica| replica.count);
//!                 if count > wanted {
//!                     return Err(format!("n{node} has counted {count} of {wanted}"));
//!                 }
//!             }
//!             Ok(())
//!         })
//! }
//!
//! // The bug is found, by some seed among the first ones…
//! let buggy = simulation(false);
//! let found = (0..60).map(|seed| buggy.run(seed)).find(|report| !report.is_good());
//! let found = found.expect("sixty seeds are enough");
//!
//! // … and needs but few of its faults.
//! let least = buggy.minimise(found, 40);
//! assert_eq!(least.failures[0].check, "nothing is counted twice");
//! println!("{least}\n{}\n{}", least.script, least.history());
//!
//! // Its script is text, to be kept: with it, the run is the same again, event by event.
//! let again = buggy.replay(&least.script.to_string())?;
//! assert_eq!(again.digest, least.digest);
//!
//! // Without the bug, all is well: with these faults, and with those of other seeds.
//! let fixed = simulation(true);
//! assert!(fixed.replay(&least.script.to_string())?.is_good());
//! assert!(fixed.many(0..5).is_good());
//! # Ok::<(), gridmux_sim::cluster::ReplayError>(())
//! ```
//!
//! The example `locks` of this crate does the same to a whole service: the locks of the `cluster`
//! example.
//!
//! # What a run is
//!
//! | phase | what happens |
//! |---|---|
//! | [`Chaos`](Phase::Chaos) | nodes boot within half a second; faults come, until the time of the script's `heal` |
//! | [`Calm`](Phase::Calm) | no fault acts any more, processes that were down run again |
//! | [`Shutdown`](Phase::Shutdown) | all processes are asked to end; those that do not within 20 s are killed |
//! | [`Over`](Phase::Over) | the checks are asked once more, and then the judges |
//!
//! A check that fails ends the run, and so does an error of a node's main function, a panic of a
//! task, or one of the grid's own machines.
//!
//! Faults are those of [`FaultKind`](crate::swarm::FaultKind). A node that crashes loses its
//! memory and keeps its [`Disk`]. Clocks of nodes differ, and faults tamper with them: who relies
//! on leases leaves out [`Clock`] and [`Rate`], or sees why not to.
//!
//! What nodes do they do by themselves, or when a line of a script tells them to:
//! [`Simulation::operations`]. Such lines are replayed and minimised as faults are.
//!
//! # What makes a run the same again
//!
//! Everything random comes from [`NodeContext::random`], all times from the clock of the node, all
//! tasks run on its runtime. Code that asks the system for the time or for randomness, that
//! blocks, or that iterates over a `HashMap`, differs from run to run, and so does
//! `tokio::select!` without `biased`. Two runs of a seed with different [digests] tell of it, and
//! [`Simulation::run_twice`] says where they differ first.
//! Channels and locks of `futures` and of `tokio::sync` are fine.
//!
//! # The other way to test: real nodes
//!
//! Nodes, handles, handlers and tasks are those of production here. Time, the scheduling of tasks
//! and the network are simulated. `gridmux_core::test_util::TestGrid` (feature `test-util`; also
//! in `gridmux-tokio` and `gridmux-smol`) has the same nodes on a real runtime, in real time, with
//! faults that a test asks for one by one: for code that needs tokio or smol itself, and for a few
//! named scenarios. Its first page compares the two. The order of events there is another one each
//! time; here a seed repeats it.
//!
//! [grids]: gridmux_core::handle::Grid
//! [peers]: gridmux_core::handle::PeerHandle
//! [`Runtime`]: gridmux_core::driver::runtime::Runtime
//! [`Runtime::spawn`]: gridmux_core::driver::runtime::Runtime::spawn
//! [`Clock::instant`]: gridmux_core::driver::runtime::Clock::instant
//! [`driver::time`]: gridmux_core::driver::time
//! [`SimRuntime`]: crate::world::SimRuntime
//! [check]: Simulation::check
//! [judge]: Simulation::judge
//! [`Clock`]: crate::swarm::FaultKind::Clock
//! [`Rate`]: crate::swarm::FaultKind::Rate
//! [digests]: Report::digest

mod board;
mod context;
mod differs;
mod engine;
mod minimise;
mod orders;
mod places;
mod report;
mod simulation;
mod view;

pub use self::board::Note;
pub use self::context::{Disk, NodeContext, NodeError};
pub use self::differs::Differs;
pub use self::report::{Batch, Failure, Incident, Report};
pub use self::simulation::{ReplayError, Simulation};
pub use self::view::{Life, Phase, View};
