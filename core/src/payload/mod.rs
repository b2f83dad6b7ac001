//! What travels inside a message: raw bytes, and the typed values they stand for (PROTOCOL.md,
//! section 6).
//!
//! On the wire a payload is nil or bytes, and an empty one is not a nil one. [`Payload`] keeps
//! that difference. [`Body`] turns a value into a payload and back:
//!
//! | type | on the wire |
//! | --- | --- |
//! | any `Serialize + DeserializeOwned` | one MessagePack value; a struct is a map keyed by field name |
//! | [`Mss`] | map str → str, or nil |
//! | [`MsgBytes`] | bin, or nil |
//! | [`UrlValues`] | map str → array of str, or nil |
//! | [`Json`] | bin that holds JSON text, or nil |
//! | [`Array`] | array, or nil |
//! | [`NoPayload`] | zero bytes |
//! | [`Payload`] | whatever it holds |
//!
//! "Nil" in this table is the MessagePack value nil, one byte `c0`: such a payload is neither
//! empty nor a nil payload.
//!
//! ```
//! use gridmux_core::payload::{Body, DecodeBodyError};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct DiskInfo {
//!     path: String,
//!     free: u64,
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let info = DiskInfo { path: "/data/1".into(), free: 7 };
//! let payload = info.to_payload()?;
//! assert_eq!(payload.as_slice(), b"\x82\xa4path\xa7/data/1\xa4free\x07");
//! assert_eq!(DiskInfo::decode(payload)?, info);
//! assert_eq!(DiskInfo::decode(vec![0x82].into()), Err(DecodeBodyError::Truncated));
//! # Ok(())
//! # }
//! ```

mod array;
mod body;
mod bytes;
mod depth;
mod error;
mod json;
mod mss;
mod no_payload;
mod raw;
mod url_values;

pub use array::Array;
pub use body::{Body, MAX_DEPTH, Presence};
pub use bytes::MsgBytes;
pub use error::{DecodeBodyError, EncodeError};
pub use json::Json;
pub use mss::Mss;
pub use no_payload::NoPayload;
pub use raw::Payload;
pub use url_values::UrlValues;
