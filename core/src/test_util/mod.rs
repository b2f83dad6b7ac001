//! Nodes for tests of what is built on gridmux: [`TestGrid`].
//!
//! With the cargo feature `test-util`, which `gridmux-tokio` and `gridmux-smol` have too. It is for
//! `[dev-dependencies]`; no production code needs it.
//!
//! A [`TestGrid`] runs real nodes in the test's own process and runtime. Each of these is one call:
//!
//! | | what the others see |
//! | --- | --- |
//! | [`kill`](TestGrid::kill), [`restart`](TestGrid::restart) | broken connections without a goodbye; later a new process of the same name |
//! | [`shutdown`](TestGrid::shutdown) | a node that leaves gracefully |
//! | [`twin`](TestGrid::twin) | two processes of one name |
//! | [`break_link`](TestGrid::break_link) | one broken connection, and then the next |
//! | [`cut`](TestGrid::cut), [`partition`](TestGrid::partition), [`heal_all`](TestGrid::heal_all) | broken connections, and refused ones until the heal |
//! | [`hold`](TestGrid::hold), [`release`](TestGrid::release) | silence: no bytes, no error |
//!
//! ```
//! use std::time::Duration;
//!
//! use gridmux_core::driver::runtime::Runtime;
//! use gridmux_core::error::CallError;
//! use gridmux_core::route::Unary;
//! use gridmux_core::test_util::TestGrid;
//!
//! const ADD: Unary<(u32, u32), u32> = Unary::new(1, "add");
//!
//! // `runtime` is `&Tokio::default()` or `&Smol::default()`.
//! async fn a_restarted_node_answers_again<R: Runtime>(runtime: &R) {
//!     let mut grid = TestGrid::in_memory(runtime, 3, |_index, node| {
//!         node.serve_inline(ADD, |(a, b), _| a.checked_add(b).ok_or("too large"))
//!     });
//!     grid.connected().await;
//!     let peer = grid.peer(0, 2);
//!     assert_eq!(peer.call(ADD, &(1, 2)).await, Ok(3));
//!
//!     grid.kill(2);
//!     grid.disconnected(0, 2).await;
//!     let refused = peer.call(ADD, &(1, 2)).await;
//!     assert_eq!(refused, Err(CallError::Disconnected { may_have_run: false }));
//!
//!     grid.restart(2).await;
//!     grid.connected().await;
//!     assert_eq!(peer.call(ADD, &(1, 2)).await, Ok(3));
//! }
//! ```
//!
//! The first page of `gridmux-tokio` has a whole test of a replicated counter, that of
//! `gridmux-smol` one of a lock.
//!
//! # What is real and what is not
//!
//! The nodes are those of production: the same machines, handles, tasks and timers. Their
//! connections are the runtime's sockets on loopback ports, or, [in
//! memory](TestGridBuilder::in_memory), two bounded pipes of bytes each: no ports to run out of, and
//! a slow reader still makes the writer wait. Only the connector is the grid's own. It finds a node
//! by its name, and breaks, refuses or holds the connections that it has made; nothing is lost,
//! reordered or changed within a connection, as TCP promises. There is no delay but the machine's.
//!
//! A connection that breaks is reset for the node that has dialled and ends for the other one. What
//! was on its way may still arrive there or be lost, as it may between machines.
//!
//! All nodes share one process: its memory, its clock, its panics. A killed node's tasks end as
//! soon as they are polled, not in the middle of an instruction; see [`TestGrid::kill`].
//!
//! Time is real, and so is concurrency: a test runs in another order each time, and must wait for
//! events ([`TestGrid::connected`], [`TestGrid::disconnected`], [`eventually`]), never for a while.
//! Durations that a test has to sit through are made short by
//! [`Builder::timings`](crate::builder::Builder::timings).
//!
//! # The other way to test: simulated nodes
//!
//! `gridmux_sim::cluster` runs the same code, generic over the
//! [`Runtime`](crate::driver::runtime::Runtime), on simulated machines. Both run the nodes of
//! production, with their handles, handlers and tasks; they differ in what is around the nodes:
//!
//! | | [`TestGrid`] | `gridmux_sim::cluster` |
//! | --- | --- | --- |
//! | runtime | tokio, smol or another real one | the simulator's own |
//! | time | real | simulated: an hour passes as fast as its events are computed |
//! | threads | those of the runtime | one: tasks take turns |
//! | connections | loopback sockets or pipes in memory | simulated, slow and damaged ones as well |
//! | faults | those that the test asks for, one call each | chosen by a seed, and minimised if a check fails |
//! | order of events | another one each time | the same for the same seed, if the code takes time, randomness and tasks from its node |
//! | crates a node may use | any | those that need no runtime, thread or clock of their own |
//!
//! A few named scenarios, in the test suite of an application as it is: [`TestGrid`]. A search for
//! the scenario that was not thought of: `gridmux_sim::cluster`.

mod builder;
mod grid;
mod memory;
mod network;
mod pipe;
mod wait;
mod wires;

pub use self::builder::TestGridBuilder;
pub use self::grid::{SECRET, TestGrid};
pub use self::wait::{eventually, sleep, within};

#[cfg(any(test, feature = "testing"))]
pub(crate) use self::memory::MemoryNetwork;
