//! Hashes of all that there is to see of something.

use std::fmt::{self, Write};

use xxhash_rust::xxh3::Xxh3;

struct Text(Xxh3);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// A hash of what `Debug` shows: the same for the same text, on every machine.
pub(crate) fn fingerprint(of: &impl fmt::Debug) -> u64 {
    let mut text = Text(Xxh3::new());
    // It takes every text.
    let _ = write!(text, "{of:?}");
    text.0.digest()
}
