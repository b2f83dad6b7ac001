//! A payload as it travels.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use super::{Body, DecodeBodyError, EncodeError, Presence};

/// How many bytes `Debug` shows.
const SHOWN: usize = 16;

/// A raw payload: nil or bytes.
///
/// A nil payload and an empty one look alike as a slice, but they are different things on the
/// wire and are not equal here. Cloning shares the bytes.
///
/// As a [`Body`] it passes through unchanged and uncopied: for handlers that bring their own
/// encoding.
///
/// ```
/// use gridmux_core::payload::Payload;
///
/// let payload = Payload::from(&b"ping"[..]);
/// assert_eq!(payload.as_slice(), b"ping");
/// assert!(Payload::NIL.is_nil());
/// assert!(Payload::NIL.is_empty() && Payload::EMPTY.is_empty());
/// assert_ne!(Payload::NIL, Payload::EMPTY);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(Option<Bytes>);

impl Payload {
    /// No payload at all. Also the default.
    pub const NIL: Self = Self(None);

    /// A payload of zero bytes, which is not nil.
    pub const EMPTY: Self = Self(Some(Bytes::new()));

    /// The bytes; none if nil.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether this is nil, rather than bytes (which may be none).
    #[must_use]
    pub const fn is_nil(&self) -> bool {
        self.0.is_none()
    }

    /// The bytes; none if nil. Ask [`is_nil`](Self::is_nil) first where it matters, or use
    /// [`into_inner`](Self::into_inner).
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0.unwrap_or_default()
    }

    /// The bytes, or `None` if nil.
    #[must_use]
    pub fn into_inner(self) -> Option<Bytes> {
        self.0
    }
}

impl Body for Payload {
    const IS_RAW: bool = true;

    fn encode(&self, out: &mut Vec<u8>) -> Result<Presence, EncodeError> {
        out.extend_from_slice(self);
        Ok(if self.is_nil() { Presence::Nil } else { Presence::Bytes })
    }

    fn decode(payload: Payload) -> Result<Self, DecodeBodyError> {
        Ok(payload)
    }

    fn as_payload(&self) -> Option<&Payload> {
        Some(self)
    }

    fn to_payload(&self) -> Result<Payload, EncodeError> {
        Ok(self.clone())
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self(Some(bytes))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Some(bytes.into()))
    }
}

impl From<&'static [u8]> for Payload {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Some(Bytes::from_static(bytes)))
    }
}

/// The bytes; none if nil.
impl From<Payload> for Bytes {
    fn from(payload: Payload) -> Self {
        payload.into_bytes()
    }
}

impl From<Option<Bytes>> for Payload {
    fn from(bytes: Option<Bytes>) -> Self {
        Self(bytes)
    }
}

/// The length and the first bytes: a log line, not a dump.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nil() {
            return f.write_str("Payload(nil)");
        }
        write!(f, "Payload({} bytes", self.len())?;
        for (index, byte) in self.iter().take(SHOWN).enumerate() {
            f.write_str(if index == 0 { ": " } else { "" })?;
            write!(f, "{byte:02x}")?;
        }
        f.write_str(if self.len() > SHOWN { "…)" } else { ")" })
    }
}
