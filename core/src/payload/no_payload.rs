//! Nothing.

use super::{Body, DecodeBodyError, EncodeError, Payload, Presence};

/// Nothing at all: zero bytes. Sent as an empty payload, read from an empty or a nil one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct NoPayload;

impl Body for NoPayload {
    fn encode(&self, _out: &mut Vec<u8>) -> Result<Presence, EncodeError> {
        Ok(Presence::Bytes)
    }

    fn decode(payload: Payload) -> Result<Self, DecodeBodyError> {
        if payload.is_empty() { Ok(Self) } else { Err(DecodeBodyError::TrailingBytes) }
    }

    fn to_payload(&self) -> Result<Payload, EncodeError> {
        Ok(Payload::EMPTY)
    }
}
