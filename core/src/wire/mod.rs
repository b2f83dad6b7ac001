//! Bytes and values: the encoding of the grid's messages (PROTOCOL.md sections 2 and 3).
//!
//! One protocol message is a MessagePack array of seven elements with optional trailers
//! ([`MessageRef`]); several may travel in one ([`for_each_message`]). The payload of a call is
//! the application's; the payloads that the protocol itself reads are the maps [`Connect`],
//! [`ConnectResponse`], [`MuxConnectError`], [`Ping`] and [`Pong`].
//!
//! Nothing here has state. Decoding borrows from what it reads, checks every length against the
//! bytes that are there before it uses it, allocates nothing but the strings of a map, and does
//! not recurse. Whatever the bytes are, the answer is a value or a [`DecodeError`], never a panic.

mod body;
mod error;
mod flags;
mod merge;
mod message;
mod op;
mod reader;
mod subroute;
mod timestamp;

pub use body::{Connect, ConnectResponse, MuxConnectError, Ping, Pong};
pub use error::DecodeError;
pub use flags::Flags;
pub use merge::{
    MAX_PARTS, MAX_PARTS_READ, MERGE_HEADER_LEN, for_each_message, part_header_len,
    write_merge_header, write_part_header,
};
pub(crate) use message::{Crc, Prefix, Prepared};
pub use message::{Decoded, Header, Message, MessageRef, encode_prefix, encode_trailers};
pub use op::Op;
pub use subroute::SubrouteId;
pub use timestamp::Timestamp;
