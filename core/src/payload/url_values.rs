//! A map of lists of texts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A map of texts to lists of texts, as in the query of a URL, or nil (the default).
///
/// ```
/// use gridmux_core::payload::UrlValues;
///
/// let mut query = UrlValues::default();
/// query.append("prefix", "a");
/// query.append("prefix", "b");
/// assert_eq!(query.get("prefix"), ["a", "b"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UrlValues(pub Option<BTreeMap<String, Vec<String>>>);

impl UrlValues {
    /// The texts at `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> &[String] {
        self.0.as_ref().and_then(|map| map.get(key)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Adds `value` to the texts at `key`; a nil map becomes one of one entry.
    pub fn append(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.get_or_insert_default().entry(key.into()).or_default().push(value.into());
    }
}

impl From<BTreeMap<String, Vec<String>>> for UrlValues {
    fn from(map: BTreeMap<String, Vec<String>>) -> Self {
        Self(Some(map))
    }
}
