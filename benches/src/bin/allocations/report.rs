//! What was found.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

/// Figures in the order of measurement: a table when displayed, an object when serialised.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Figure>);

#[derive(Debug)]
struct Figure {
    key: String,
    value: f64,
    /// What it says, with its unit.
    what: &'static str,
}

impl Report {
    pub(crate) fn add(&mut self, key: impl Into<String>, value: f64, what: &'static str) {
        // Four digits behind the point are more than any of this is worth.
        let value = (value * 1e4).round() / 1e4;
        self.0.push(Figure { key: key.into(), value, what });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Figure { key, value, what } in &self.0 {
            writeln!(f, "{key:<44}{value:>12.3}  {what}")?;
        }
        Ok(())
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|figure| map.serialize_entry(&figure.key, &figure.value))?;
        map.end()
    }
}
