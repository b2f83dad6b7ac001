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
//!
//! None of them reads a clock, draws randomness, does I/O, knows a thread, a lock or a waker.
//! Time, wall clock and seeds are arguments; the same inputs give the same outputs, byte for byte.
//! [`handle`] and [`driver`] are the layer above: they have locks and wakers, and are written
//! once for all runtimes.
//!
//! # The contract
//!
//! - **In**: bytes through [`connection::Connection`] (or frames through
//!   [`peer::Peer::handle_frame`]), what happened to a connection, the time, and what the
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
//! wait until [`grid::GridState::poll_timeout`], it is a whole runtime.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytes::BufMut;
//! use gridmux_core::auth::SharedSecret;
//! use gridmux_core::connection::Connection;
//! use gridmux_core::event::LinkCommand;
//! use gridmux_core::grid::GridState;
//! use gridmux_core::link::{Accepting, dials};
//! use gridmux_core::mux::Target;
//! use gridmux_core::node::Node;
//! use gridmux_core::outbox::Data;
//! use gridmux_core::route::{RouteInfo, RouteTable, Shape};
//! use gridmux_core::time::{Instant, Now};
//! use gridmux_core::wire::Timestamp;
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
//!     node.routes.insert(RouteInfo {
//!         handler: 1,
//!         subroute: None,
//!         name: "shout",
//!         shape: Shape::Single,
//!         run_to_end: false,
//!     })?;
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
//! let mut dialled = Connection::dialled(caller.node(), &names[1], link, 7, now)?;
//! let mut acceptor = Some(callee.accept(now.instant));
//! let mut accepted: Option<Connection> = None;
//! let mut call = None;
//!
//! let answer = loop {
//!     // The caller's side: bytes out, then what the machine gives.
//!     let peer = caller.peer_mut(&names[1]).unwrap();
//!     dialled.exchange(now, peer);
//!     if peer.check_open().is_ok() && call.is_none() {
//!         let shout = Target { handler: 1, subroute: None };
//!         call = peer.request(now.instant, shout, Data::Borrowed(b"hello"), None).ok();
//!     }
//!     if let Some(answer) = call.and_then(|call| peer.take_response(call)) {
//!         break answer?;
//!     }
//!     let bytes = dialled.write_buf().to_vec();
//!     dialled.handle_written(now.instant, bytes.len());
//!
//!     // The callee's side: first it is an acceptor, then a connection of the peer that it names.
//!     let back = if let Some(connection) = &mut accepted {
//!         connection.read_buf().put_slice(&bytes);
//!         connection.handle_read(now.instant, bytes.len());
//!         let peer = callee.peer_mut(&names[0]).unwrap();
//!         connection.exchange(now, peer);
//!         while let Some(call) = peer.poll_call() {
//!             let shouted = call.payload.to_ascii_uppercase();
//!             peer.respond(now, call.key, Ok(Data::Borrowed(&shouted)));
//!         }
//!         connection.exchange(now, peer);
//!         let back = connection.write_buf().to_vec();
//!         connection.handle_written(now.instant, back.len());
//!         back
//!     } else {
//!         let mut door = acceptor.take().unwrap();
//!         door.read_buf().put_slice(&bytes);
//!         let outcome = door.handle_read(now, &callee);
//!         let back = door.write_buf().to_vec();
//!         door.handle_written(back.len());
//!         match outcome {
//!             Accepting::Hello(hello) => {
//!                 let link = callee.handle_hello(now, &hello)?;
//!                 accepted = Some(door.accept(now.instant, link)?);
//!             }
//!             Accepting::Finished(error) => return Err(error.into()),
//!             Accepting::Pending => acceptor = Some(door),
//!         }
//!         back
//!     };
//!     dialled.read_buf().put_slice(&back);
//!     dialled.handle_read(now.instant, back.len());
//! };
//! assert_eq!(&answer[..], b"HELLO");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

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
pub mod mux;
pub mod node;
pub mod outbox;
pub mod payload;
pub mod peer;
mod rng;
pub mod route;
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
