//! Values as payloads.

use rmp_serde::decode;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::depth::{Bounded, Bounds};
use super::{DecodeBodyError, EncodeError, Payload};

/// How deeply a value that is read may be nested. Arrays, maps and enums count, and so do `Some`
/// and newtypes, for a recursive type can recurse through any of them.
///
/// A peer chooses how deeply the bytes it sends are nested; without a limit, a few of them would
/// overflow the stack. Writing is not limited, but nobody can read what is nested deeper.
pub const MAX_DEPTH: usize = 128;

/// Whether an encoded payload is nil or there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nil: nothing was appended.
    Nil,
    /// What was appended is the payload, even if it is nothing.
    Bytes,
}

/// What can be the request, the response or an item of a route.
///
/// Implemented for every serde type that owns its data: one MessagePack value, structs as maps
/// keyed by field name. A field that may be missing needs `#[serde(default)]`; unknown ones are
/// skipped. A `Vec<u8>` is an array of numbers, as serde has it: [`MsgBytes`](super::MsgBytes), or
/// a field with `serde_bytes`, is compact.
///
/// ```
/// use gridmux_core::payload::{Body, NoPayload, Payload};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let payload = ("disk-1".to_string(), 3_u32).to_payload()?;
/// assert_eq!(<(String, u32)>::decode(payload)?, ("disk-1".to_string(), 3));
///
/// assert_eq!(NoPayload.to_payload()?, Payload::EMPTY);
/// # Ok(())
/// # }
/// ```
pub trait Body: Sized {
    /// Appends the encoded value to `out`, and says whether the payload is nil. On an error, `out`
    /// is as it was.
    fn encode(&self, out: &mut Vec<u8>) -> Result<Presence, EncodeError>;

    /// The value that `payload` holds, all of it.
    ///
    /// # Errors
    /// It holds something else, or something behind the value.
    fn decode(payload: Payload) -> Result<Self, DecodeBodyError>;

    /// As [`Self::decode`], for a value that takes at most `limit` bytes; and how many it takes.
    ///
    /// Both are estimates, which are made while the value is read: all that is in its vectors, maps,
    /// texts and boxes. A peer that may send 16 MB could make 400 MB of them otherwise, for an empty
    /// vector is one byte on the wire and 24 in memory. The method as provided takes the value to be as
    /// large as its payload.
    ///
    /// # Errors
    /// [`DecodeBodyError::TooLarge`], and all those of [`Self::decode`].
    fn decode_within(payload: Payload, limit: usize) -> Result<(Self, usize), DecodeBodyError> {
        let _ = limit;
        let size = payload.len();
        Ok((Self::decode(payload)?, size))
    }

    /// Whether decoding is no work.
    #[doc(hidden)]
    const IS_RAW: bool = false;

    /// The value's payload, if it is one already: it is then sent without being encoded.
    fn as_payload(&self) -> Option<&Payload> {
        None
    }

    /// The value as a payload of its own.
    fn to_payload(&self) -> Result<Payload, EncodeError> {
        let mut bytes = Vec::new();
        Ok(match self.encode(&mut bytes)? {
            Presence::Nil => Payload::NIL,
            Presence::Bytes => bytes.into(),
        })
    }
}

impl<T: Serialize + DeserializeOwned> Body for T {
    fn encode(&self, out: &mut Vec<u8>) -> Result<Presence, EncodeError> {
        let start = out.len();
        match rmp_serde::encode::write_named(out, self) {
            Ok(()) => Ok(Presence::Bytes),
            Err(error) => {
                out.truncate(start);
                Err(error.into())
            }
        }
    }

    fn decode(payload: Payload) -> Result<Self, DecodeBodyError> {
        Self::decode_within(payload, usize::MAX).map(|(value, _)| value)
    }

    fn decode_within(payload: Payload, limit: usize) -> Result<(Self, usize), DecodeBodyError> {
        if payload.is_empty() {
            return Err(DecodeBodyError::Empty);
        }
        let mut reader = rmp_serde::Deserializer::from_read_ref(payload.as_slice());
        let bounds = Bounds::new(payload.len(), limit);
        let value = T::deserialize(Bounded::new(&mut reader, &bounds))
            .map_err(|error| bounds.exceeded().unwrap_or_else(|| error.into()))?;
        // The reader does not say how far it came, but this error it gives at the very end only.
        match bool::deserialize(&mut reader) {
            Err(decode::Error::InvalidMarkerRead(_)) => Ok((value, bounds.size())),
            Ok(_) | Err(_) => Err(DecodeBodyError::TrailingBytes),
        }
    }
}
