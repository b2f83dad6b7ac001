//! Why a value could not become a payload, or a payload a value.

use rmp_serde::{decode, encode};

/// How much of another library's message is kept. Such messages quote the value that they
/// complain about, which is the peer's and may be megabytes.
const REASON_LEN: usize = 200;

/// A value could not be written as a payload. Always the local value's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value's own `Serialize` refused, or it does not fit MessagePack.
    #[error("the value cannot be encoded: {0}")]
    Value(Box<str>),
}

impl From<encode::Error> for EncodeError {
    fn from(error: encode::Error) -> Self {
        Self::Value(reason(error.to_string()))
    }
}

/// A payload does not hold a value of the expected type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeBodyError {
    /// A value was expected; the payload is nil or empty.
    #[error("the payload is empty")]
    Empty,
    /// The payload ends within the value.
    #[error("the payload ends within a value")]
    Truncated,
    /// Something follows the value.
    #[error("the payload goes on after the value")]
    TrailingBytes,
    /// The value is nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("the payload is nested too deeply")]
    TooDeep,
    /// The value takes more memory than it may, as far as can be estimated.
    #[error("the payload is decoded to more than {limit} bytes")]
    TooLarge {
        /// How many bytes it may take, [`crate::limits::Limits::decoded_bytes`].
        limit: usize,
    },
    /// A text is not UTF-8.
    #[error("the payload holds a text that is not UTF-8")]
    NotUtf8,
    /// The value is of another type or shape than the expected one.
    #[error("the payload is not of the expected type: {0}")]
    Mismatch(Box<str>),
}

impl From<decode::Error> for DecodeBodyError {
    fn from(error: decode::Error) -> Self {
        match error {
            decode::Error::InvalidMarkerRead(_) | decode::Error::InvalidDataRead(_) => {
                Self::Truncated
            }
            decode::Error::DepthLimitExceeded => Self::TooDeep,
            decode::Error::Utf8Error(_) => Self::NotUtf8,
            decode::Error::TypeMismatch(_)
            | decode::Error::OutOfRange
            | decode::Error::LengthMismatch(_)
            | decode::Error::Uncategorized(_)
            | decode::Error::Syntax(_) => Self::Mismatch(reason(error.to_string())),
        }
    }
}

fn reason(mut text: String) -> Box<str> {
    if text.len() > REASON_LEN {
        text.truncate(text.floor_char_boundary(REASON_LEN));
        text.push('…');
    }
    text.into_boxed_str()
}
