//! A string of bytes.

use std::fmt;

use bytes::Bytes;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes, or nil (the default), as a value: a MessagePack `bin`, with a header in front.
///
/// Reading copies the bytes; where that counts, and the peer does not insist on the header, use
/// [`Payload`](super::Payload).
///
/// ```
/// use gridmux_core::payload::{Body, MsgBytes};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(MsgBytes::from(vec![7, 8]).to_payload()?.as_slice(), [0xc4, 2, 7, 8]);
/// assert_eq!(MsgBytes(None).to_payload()?.as_slice(), [0xc0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MsgBytes(pub Option<Bytes>);

impl MsgBytes {
    /// The bytes; none if nil.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl From<Bytes> for MsgBytes {
    fn from(bytes: Bytes) -> Self {
        Self(Some(bytes))
    }
}

/// The bytes; none if nil.
impl From<MsgBytes> for Bytes {
    fn from(bytes: MsgBytes) -> Self {
        bytes.0.unwrap_or_default()
    }
}

impl From<Vec<u8>> for MsgBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Some(bytes.into()))
    }
}

impl Serialize for MsgBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(bytes) => serializer.serialize_bytes(bytes),
            None => serializer.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for MsgBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(MsgBytesVisitor)
    }
}

struct MsgBytesVisitor;

impl Visitor<'_> for MsgBytesVisitor {
    type Value = MsgBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes or nil")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<MsgBytes, E> {
        Ok(Bytes::copy_from_slice(bytes).into())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<MsgBytes, E> {
        Ok(bytes.into())
    }

    fn visit_unit<E: Error>(self) -> Result<MsgBytes, E> {
        Ok(MsgBytes(None))
    }

    fn visit_none<E: Error>(self) -> Result<MsgBytes, E> {
        Ok(MsgBytes(None))
    }
}
