//! The name of one of several handlers with the same id.

use std::fmt;

use sha2::{Digest, Sha256};

/// The id of a subroute, as it travels behind a message (PROTOCOL.md section 2).
///
/// The all-zero id, which is the default, belongs to handler 0 and so names nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubrouteId([u8; Self::LEN]);

impl SubrouteId {
    /// The length of an id in bytes.
    pub const LEN: usize = 32;

    /// The id of the subroute named by `parts`, joined with `/`, of a handler.
    pub fn new(handler: u8, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                hash.update(b"/");
            }
            hash.update(part.as_bytes());
        }
        let mut id: [u8; Self::LEN] = hash.finalize().into();
        id[0] = handler;
        id[1] = 0;
        Self(id)
    }

    /// The id with these bytes, as they were received.
    #[inline]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes to send.
    #[inline]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The handler that the id was made for.
    #[inline]
    pub const fn handler(&self) -> u8 {
        self.0[0]
    }
}

/// The id in hexadecimal.
impl fmt::Debug for SubrouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// Shows bytes in hexadecimal.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Debug for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
