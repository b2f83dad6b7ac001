//! WebSocket (RFC 6455) as bytes and frames: no socket, no clock, no randomness of its own
//! (PROTOCOL.md section 1, DESIGN.md 1.4).
//!
//! A connection begins with an HTTP upgrade: [`ClientUpgrade`] on the dialler's side,
//! [`UpgradeRequest`] on the acceptor's. Both are given everything received so far and say how many
//! bytes were the head; what lies behind it is the first of the [`Channel`].
//!
//! The [`Channel`] turns received bytes into whole binary messages, and the caller's messages into
//! frames in place. It answers pings and closes by itself, through [`Channel::take_reply`]. Only
//! what the grid needs is here: no extensions, no subprotocols, and text messages are skipped.
//!
//! ```
//! use gridmux_core::websocket::{Channel, Incoming, MAX_HEADER_LEN, Role};
//!
//! let mut dialler = Channel::new(Role::Client, 1 << 20, 7);
//! let mut acceptor = Channel::new(Role::Server, 1 << 20, 7);
//!
//! // Write: the payload lies behind room for the header.
//! let mut frame = vec![0; MAX_HEADER_LEN];
//! frame.extend_from_slice(b"hello");
//! let start = dialler.seal(&mut frame, MAX_HEADER_LEN);
//!
//! // Read: append what the transport gave, then poll until there is nothing more.
//! acceptor.read_buf().extend_from_slice(&frame[start..]);
//! let received = acceptor.poll_message()?;
//! assert_eq!(received, Some(Incoming::Message("hello".into())));
//! assert_eq!(acceptor.poll_message()?, None);
//! # Ok::<(), gridmux_core::websocket::WebSocketError>(())
//! ```

mod assembly;
mod buffer;
mod channel;
mod error;
mod frame;
mod mask;
mod upgrade;

pub use channel::{Channel, DIRECT_READ_LEN, Incoming, Role};
pub use error::{Refusal, UpgradeError, WebSocketError};
pub use frame::MAX_HEADER_LEN;
pub(crate) use mask::PayloadMask;
pub use tungstenite::protocol::frame::coding::CloseCode;
pub use upgrade::{
    ClientUpgrade, MAX_HEAD_LEN, MAX_REASON_LEN, NODE_HEADER, Status, UpgradeRequest, refuse,
};
pub(crate) use upgrade::{max_message, tell_max_message};
