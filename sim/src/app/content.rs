//! The bytes of requests, results and items: each end knows what the other must have sent.

use gridmux_core::payload::{Body as _, Payload};
use serde::{Deserialize, Serialize};

use super::forms::{Content, with_form};
use crate::keyed::{Keyed, Purpose, mix, name_key};
use crate::script::Form;

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

/// What tells a call from the others, whatever else its script holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct CallMark(pub(crate) u64);

impl CallMark {
    pub(crate) const fn of(name: &str) -> Self {
        Self(name_key(name))
    }
}

/// What an application sends and expects. A request of eight bytes or more begins with the mark of
/// its call.
pub(crate) fn content<T: Content>(
    keyed: Keyed,
    call: CallMark,
    kind: Kind,
    size: Option<u32>,
) -> T {
    T::of(call, size.map(|size| bytes(keyed, call, kind, size)))
}

/// The same as it travels, in one of the forms.
pub(crate) fn payload(
    form: Form,
    keyed: Keyed,
    call: CallMark,
    kind: Kind,
    size: Option<u32>,
) -> Payload {
    let encoded = with_form!(form, T => content::<T>(keyed, call, kind, size).to_payload());
    encoded.unwrap_or_default()
}

fn bytes(keyed: Keyed, call: CallMark, kind: Kind, size: u32) -> Vec<u8> {
    let size = size as usize;
    let mut word = keyed.draw(Purpose::Content, [call.0, kind.key(), size as u64]);
    let mut bytes = Vec::with_capacity(size + 8);
    if kind == Kind::Request {
        bytes.extend_from_slice(&call.0.to_le_bytes());
    }
    while bytes.len() < size {
        word = mix(word.wrapping_add(0x9e37_79b9_7f4a_7c15));
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(size);
    if kind == Kind::Request && size < 8 {
        // Too short for a mark.
        bytes.fill(word as u8);
    }
    bytes
}

/// The mark of the call that a request belongs to.
pub(crate) fn call_of(form: Form, request: &[u8]) -> Option<CallMark> {
    let request = Payload::from(request.to_vec());
    with_form!(form, T => T::decode(request).ok()?.call())
}
