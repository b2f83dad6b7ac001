//! The bytes of requests, results and items: each end knows what the other must have sent.

use gridmux_core::payload::Payload;

use crate::history::CallId;
use crate::keyed::{Keyed, Purpose, mix};

/// What bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Result,
    Input(u32),
    Output(u32),
}

impl Kind {
    const fn key(self) -> u64 {
        match self {
            Self::Request => 1,
            Self::Result => 2,
            Self::Input(index) => 3 | (index as u64) << 8,
            Self::Output(index) => 4 | (index as u64) << 8,
        }
    }
}

/// The bytes of one payload. A request of eight bytes or more begins with the number of its call.
pub(crate) fn payload(keyed: Keyed, call: CallId, kind: Kind, size: Option<u32>) -> Payload {
    let Some(size) = size else { return Payload::NIL };
    let size = size as usize;
    let mut word = keyed.draw(Purpose::Content, [call as u64, kind.key(), size as u64]);
    let mut bytes = Vec::with_capacity(size + 8);
    if kind == Kind::Request {
        bytes.extend_from_slice(&(call as u64).to_le_bytes());
    }
    while bytes.len() < size {
        word = mix(word.wrapping_add(0x9e37_79b9_7f4a_7c15));
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(size);
    if kind == Kind::Request && size < 8 {
        // Too short for a number.
        bytes.fill(word as u8);
    }
    Payload::from(bytes)
}

/// The number of the call that a request belongs to.
pub(crate) fn call_of(request: &[u8]) -> Option<CallId> {
    let word = request.get(..8)?.try_into().ok()?;
    usize::try_from(u64::from_le_bytes(word)).ok()
}
