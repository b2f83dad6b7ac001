//! Which of several handlers with one id is meant.

use sha2::{Digest, Sha256};

/// The id of a subroute: its hash, with the handler in byte 0 and zero in byte 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubrouteId([u8; 32]);

impl SubrouteId {
    /// The id of the subroute that `parts` name under `handler`.
    #[must_use]
    pub fn new(handler: u8, parts: &[&str]) -> Self {
        let mut id: [u8; 32] = Sha256::digest(parts.join("/")).into();
        id[0] = handler;
        id[1] = 0;
        Self(id)
    }
}
