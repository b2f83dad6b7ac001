//! A map of texts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A map of texts to texts, or nil (the default).
///
/// ```
/// use gridmux_core::payload::{Body, Mss};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let args = Mss::from_iter([("disk", "d1")]);
/// assert_eq!(args.get("disk"), Some("d1"));
/// assert_eq!(args.to_payload()?.as_slice(), b"\x81\xa4disk\xa2d1");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mss(pub Option<BTreeMap<String, String>>);

impl Mss {
    /// The text at `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.as_ref()?.get(key).map(String::as_str)
    }

    /// Puts `value` at `key`; a nil map becomes one of one entry.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.get_or_insert_default().insert(key.into(), value.into());
    }
}

impl From<BTreeMap<String, String>> for Mss {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self(Some(map))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Mss {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(Some(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect()))
    }
}
