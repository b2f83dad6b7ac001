//! JSON within MessagePack.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

/// A value as JSON text, or nil (the default): for types whose JSON form is the one both ends
/// agree on. The text ends with a newline.
///
/// A JSON `null` in the text is a value and is read as `Some`, if `T` has it; nil is the absence
/// of any text.
///
/// ```
/// use gridmux_core::payload::{Body, Json};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let payload = Json(Some(vec![1, 2])).to_payload()?;
/// assert_eq!(payload.as_slice(), b"\xc4\x06[1,2]\n");
/// assert_eq!(Json::<Vec<u8>>::decode(payload)?, Json(Some(vec![1, 2])));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub Option<T>);

/// Nil, whatever the value's type.
impl<T> Default for Json<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> From<T> for Json<T> {
    fn from(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: Serialize> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(value) = &self.0 else {
            return serializer.serialize_none();
        };
        let mut text = serde_json::to_vec(value).map_err(ser::Error::custom)?;
        text.push(b'\n');
        serializer.serialize_bytes(&text)
    }
}

/// How a [`Json`] asks for itself: a deserializer that knows the name gives it the value in the text.
pub(super) const NAME: &str = "gridmux::Json";

impl<'de, T: DeserializeOwned> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NAME, JsonVisitor(PhantomData))
    }
}

struct JsonVisitor<T>(PhantomData<fn() -> T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for JsonVisitor<T> {
    type Value = Json<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON text as bytes, or nil")
    }

    /// The value in the text.
    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<Json<T>, D::Error> {
        T::deserialize(json).map(|value| Json(Some(value)))
    }

    /// Another deserializer, which does not know the name, has the text.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, text: D) -> Result<Json<T>, D::Error> {
        text.deserialize_bytes(self)
    }

    fn visit_bytes<E: Error>(self, text: &[u8]) -> Result<Json<T>, E> {
        serde_json::from_slice(text).map(|value| Json(Some(value))).map_err(E::custom)
    }

    fn visit_unit<E: Error>(self) -> Result<Json<T>, E> {
        Ok(Json(None))
    }

    fn visit_none<E: Error>(self) -> Result<Json<T>, E> {
        Ok(Json(None))
    }
}
