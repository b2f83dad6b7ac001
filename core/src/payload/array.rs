//! A list.

use serde::{Deserialize, Serialize};

/// A list of values, or nil (the default).
///
/// ```
/// use gridmux_core::payload::{Array, Body, MsgBytes};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let list = Array::from_iter([MsgBytes::from(vec![1]), MsgBytes::from(vec![2, 3])]);
/// assert_eq!(list.to_payload()?.as_slice(), b"\x92\xc4\x01\x01\xc4\x02\x02\x03");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Array<T>(pub Option<Vec<T>>);

/// Nil, whatever the items are.
impl<T> Default for Array<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> From<Vec<T>> for Array<T> {
    fn from(items: Vec<T>) -> Self {
        Self(Some(items))
    }
}

impl<T> FromIterator<T> for Array<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(Some(items.into_iter().collect()))
    }
}
