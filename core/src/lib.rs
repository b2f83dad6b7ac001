//! The grid protocol as pure state machines, and what every runtime of gridmux shares.
//!
//! Most users want `gridmux-tokio` or `gridmux-smol`, which re-export this crate and need nothing
//! else of it than [`builder::Builder`], [`handle`], [`route`], [`payload`] and [`auth`]. This page
//! is for those who drive the machines themselves.
//!
//! "PROTOCOL.md", where these pages cite it with a section, is the project's description of the
//! wire protocol, which is not part of this repository. The citations are for those who compare
//! implementations; what a user has to know stands on the page itself. Numbers beside fields and
//! sections without a name are of the same document.
//!
//! # The machines
//!
//! | module | what it is |
//! | --- | --- |
//! | [`wire`] | messages and bytes; no state |
//! | [`websocket`] | frames and bytes: upgrade, channel |
//! | [`link`] | who dials, the handshake, pings, retries; [`link::Acceptor`] takes a connection in |
//! | [`mux`] | one call or stream: sequence numbers, credits, deadlines |
//! | [`outbox`] | what leaves next |
//! | [`peer`] | one peer: its link, its muxes, its outbox |
//! | [`grid`] | a node: its peers by name |
//! | [`connection`] | joins the bytes of one connection to its peer |
//! | [`socket`] | one socket of a [`grid`], incoming or dialled: what a loop of one's own drives |
//!
//! None of them reads a clock, draws randomness, does I/O, knows a thread, a lock or a waker.
//! Time, wall clock and seeds are arguments; the same inputs give the same outputs, byte for byte.
//! [`handle`] and [`driver`] are the layer above: they have locks and wakers, and are written
//! once for all runtimes.
//!
//! # The contract
//!
//! - **In**: bytes through a [`socket::Socket`] (or, below it, a [`connection::Connection`], or
//!   frames through [`peer::Peer::handle_frame`]), what happened to a connection, the time, and what the
//!   application does. Every input names its link by a number that is never reused; one for
//!   another link than the current one is ignored and counted.
//! - **Out**: after each input drain `poll_call`, `poll_event` and `poll_command`, in this order,
//!   and fetch what is to be written while nothing is being written.
//! - **Time** does not go back. Wake up at `poll_timeout` and call `handle_timeout`; too early or
//!   too often changes nothing, and pending output makes `poll_timeout` the current moment.
//! - **Nothing panics** on what a peer sends or a caller asks for.
//!
//! # A complete loop
//!
//! Two nodes in one thread, joined by two pipes of bytes. With sockets in place of the pipes and a
//! wait until [`grid::GridState::poll_timeout`] and [`socket::Socket::poll_timeout`], it is a whole
//! runtime: the examples `mio_loop` (one thread, nonblocking sockets) and `blocking_threads` in
//! `core/examples` are two of those, in one file of less than 200 lines each.
//!
//! ```
//! use std::sync::Arc;
//!
//! use gridmux_core::auth::SharedSecret;
//! use gridmux_core::event::LinkCommand;
//! use gridmux_core::grid::GridState;
//! use gridmux_core::link::dials;
//! use gridmux_core::node::Node;
//! use gridmux_core::outbox::Data;
//! use gridmux_core::payload::Payload;
//! use gridmux_core::route::Unary;
//! use gridmux_core::socket::Socket;
//! use gridmux_core::time::{Instant, Now};
//! use gridmux_core::wire::Timestamp;
//!
//! const SHOUT: Unary<Payload, Payload> = Unary::new(1, "shout");
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut names = ["http://10.0.0.1:9000".to_string(), "http://10.0.0.2:9000".to_string()];
//! if !dials(&names[0], &names[1]) {
//!     names.reverse();
//! }
//! let now = Now {
//!     instant: Instant::from_millis(1),
//!     wall: Timestamp { seconds: 1_800_000_000, nanos: 0 },
//! };
//! let node = |own: &str, id: u8| -> Result<GridState, Box<dyn std::error::Error>> {
//!     let secret = SharedSecret::new("a secret of at least 16 bytes")?;
//!     let mut node = Node::new(own, [id; 16], Arc::new(secret));
//!     node.routes.insert(SHOUT.info())?;
//!     let mut grid = GridState::new(Arc::new(node), &names, id.into(), 0, now.instant)?;
//!     grid.start(now);
//!     Ok(grid)
//! };
//! let (mut caller, mut callee) = (node(&names[0], 1)?, node(&names[1], 2)?);
//!
//! // The side that is to dial says so; the other one takes what comes in.
//! let Some(LinkCommand::Dial { link }) = caller.peer_mut(&names[1]).unwrap().poll_command() else {
//!     panic!("the caller dials")
//! };
//! let mut dialled = Socket::dialled(&mut caller, now, &names[1], link);
//! let mut accepted = Socket::accepted(&mut callee, now.instant, None);
//! let mut call = None;
//!
//! let answer = loop {
//!     // The caller's application: it asks once there is a link.
//!     let peer = caller.peer_mut(&names[1]).unwrap();
//!     if peer.check_open().is_ok() && call.is_none() {
//!         let hello = Data::Borrowed(b"hello");
//!         call = peer.request(now.instant, SHOUT.info().target(), hello, None).ok();
//!     }
//!     if let Some(answer) = call.and_then(|call| peer.take_response(call)) {
//!         break answer?;
//!     }
//!
//!     // The callee's application.
//!     let peer = callee.peer_mut(&names[0]).unwrap();
//!     while let Some(call) = peer.poll_call() {
//!         let shouted = call.payload.to_ascii_uppercase();
//!         peer.respond(now, call.key, Ok(Data::Borrowed(&shouted)));
//!     }
//!
//!     // Bytes, there and back.
//!     dialled.drive(now, &mut caller);
//!     accepted.drive(now, &mut callee);
//!     for (from, to) in [(0, 1), (1, 0)] {
//!         let sockets = [&mut dialled, &mut accepted];
//!         let mut pipe = Vec::new();
//!         sockets[from].write_to(now.instant, &mut pipe);
//!         if !pipe.is_empty() {
//!             sockets[to].read_from(now.instant, &mut &pipe[..]);
//!         }
//!     }
//!     dialled.drive(now, &mut caller);
//!     accepted.drive(now, &mut callee);
//! };
//! assert_eq!(&answer[..], b"HELLO");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

#[macro_use]
mod site;

pub mod auth;
pub mod builder;
pub mod connection;
#[allow(clippy::disallowed_types, reason = "this layer has the locks and the wakers")]
pub mod driver;
pub mod error;
pub mod event;
pub mod grid;
#[allow(clippy::disallowed_types, reason = "this layer has the locks and the wakers")]
pub mod handle;
pub mod limits;
pub mod link;
mod log;
pub mod mux;
pub mod node;
pub mod outbox;
pub mod payload;
pub mod peer;
#[cfg(feature = "planted")]
pub mod planted;
mod rng;
pub mod route;
pub mod socket;
pub mod stats;
#[cfg(any(test, feature = "test-util"))]
#[allow(
    clippy::disallowed_types,
    reason = "nodes for tests, with the locks and wakers of their wires"
)]
pub mod test_util;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::disallowed_types, reason = "tests of the layer with locks and wakers")]
pub mod testing;
pub mod time;
mod timer;
pub mod timings;
pub mod websocket;
pub mod wire;
