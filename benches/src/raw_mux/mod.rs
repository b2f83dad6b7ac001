//! The upper limit: calls and streams multiplexed over one raw TCP connection, written by hand
//! for speed and for nothing else.
//!
//! A frame is a length, a call id, a kind and a payload. There is no handshake, no checksum, no
//! WebSocket, no deadline, no routing and no flow control: outgoing messages queue without limit
//! where the other side reads slowly, which a closed loop of callers never provokes. Whatever a
//! real protocol costs more than this is the price of what it does more.
//!
//! - Callers append to one outgoing buffer under a mutex; one writer task takes all of it at
//!   once. It yields once before it writes while the last batch held more than one message, so
//!   that every task that is ready appends to the same batch: without, 64 callers on one worker get
//!   half as far. What waits for answers has a mutex of its own, which two busy cores contend
//!   for less than for a shared one.
//! - A call that is alone on the connection is written by its caller, which saves its latency a
//!   task switch.
//! - A reader decodes all that one read brought, hands it over under one lock, and wakes the
//!   waiting calls after releasing it.
//! - Large payloads are copied neither into the outgoing buffer nor out of the incoming one.
//!
//! ```
//! use bytes::Bytes;
//! use gridmux_benches::raw_mux::{Handlers, RawClient, RawServer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let server = RawServer::bind(Handlers::Tasks).await?;
//! let client = RawClient::connect(server.addr()).await?;
//! assert_eq!(client.call(Bytes::from_static(b"hello")).await?, "hello");
//! # Ok(())
//! # }
//! ```

mod client;
mod frame;
mod link;
mod read;
mod server;
#[cfg(test)]
mod tests;
mod waiters;

pub use client::{Call, RawClient, RawStream};
pub use frame::MAX_PAYLOAD;
pub use server::{Handlers, RawServer};
