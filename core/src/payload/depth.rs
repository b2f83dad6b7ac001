//! A deserializer around another that limits how deeply it recurses, and how much it promises.
//!
//! `rmp-serde` counts nested arrays and maps, but not enums, `Some` or newtypes, so a recursive
//! enum lets a peer overflow the stack with two bytes a level. And it reports the length that a
//! header claims as a size hint, so each level may reserve up to a megabyte for nothing. Here,
//! every way into a nested value passes one counter, and no hint exceeds the payload's length.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::MAX_DEPTH;

/// The limits of one decoding, and whether the depth was the one that ended it.
pub(super) struct Bounds {
    payload_len: usize,
    too_deep: Cell<bool>,
}

impl Bounds {
    pub(super) const fn new(payload_len: usize) -> Self {
        Self { payload_len, too_deep: Cell::new(false) }
    }

    pub(super) const fn depth_exceeded(&self) -> bool {
        self.too_deep.get()
    }
}

/// `inner`, whatever it is a part of the deserialization, `left` levels above the limit.
pub(super) struct Bounded<'b, T> {
    inner: T,
    left: usize,
    bounds: &'b Bounds,
}

impl<'b, T> Bounded<'b, T> {
    pub(super) const fn new(inner: T, bounds: &'b Bounds) -> Self {
        Self { inner, left: MAX_DEPTH, bounds }
    }

    /// The same level, around another part.
    const fn wrap<U>(&self, inner: U) -> Bounded<'b, U> {
        Bounded { inner, left: self.left, bounds: self.bounds }
    }

    /// One level down, around `inner`; the visitor comes out.
    fn enter<U, E: Error>(self, inner: U) -> Result<(T, Bounded<'b, U>), E> {
        let Some(left) = self.left.checked_sub(1) else {
            self.bounds.too_deep.set(true);
            return Err(E::custom("nested too deeply"));
        };
        Ok((self.inner, Bounded { inner, left, bounds: self.bounds }))
    }

    fn cap(&self, hint: Option<usize>) -> Option<usize> {
        hint.map(|hint| hint.min(self.bounds.payload_len))
    }
}

/// The visitor of each call is wrapped; everything else passes.
macro_rules! forward_deserialize {
    ($($method:ident($($arg:ident: $type:ty),*)),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V)
            -> Result<V::Value, D::Error>
        {
            let visitor = self.wrap(visitor);
            self.inner.$method($($arg,)* visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    forward_deserialize! {
        deserialize_any(), deserialize_bool(), deserialize_i8(), deserialize_i16(),
        deserialize_i32(), deserialize_i64(), deserialize_i128(), deserialize_u8(),
        deserialize_u16(), deserialize_u32(), deserialize_u64(), deserialize_u128(),
        deserialize_f32(), deserialize_f64(), deserialize_char(), deserialize_str(),
        deserialize_string(), deserialize_bytes(), deserialize_byte_buf(), deserialize_option(),
        deserialize_unit(), deserialize_unit_struct(name: &'static str),
        deserialize_newtype_struct(name: &'static str), deserialize_seq(),
        deserialize_tuple(len: usize),
        deserialize_tuple_struct(name: &'static str, len: usize), deserialize_map(),
        deserialize_struct(name: &'static str, fields: &'static [&'static str]),
        deserialize_enum(name: &'static str, variants: &'static [&'static str]),
        deserialize_identifier(), deserialize_ignored_any(),
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! forward_visit {
    ($($method:ident($($value:ident: $type:ty)?)),* $(,)?) => {
        $(fn $method<E: Error>(self, $($value: $type)?) -> Result<V::Value, E> {
            self.inner.$method($($value)?)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    forward_visit! {
        visit_bool(v: bool), visit_i8(v: i8), visit_i16(v: i16), visit_i32(v: i32),
        visit_i64(v: i64), visit_i128(v: i128), visit_u8(v: u8), visit_u16(v: u16),
        visit_u32(v: u32), visit_u64(v: u64), visit_u128(v: u128), visit_f32(v: f32),
        visit_f64(v: f64), visit_char(v: char), visit_str(v: &str),
        visit_borrowed_str(v: &'de str), visit_string(v: String), visit_bytes(v: &[u8]),
        visit_borrowed_bytes(v: &'de [u8]), visit_byte_buf(v: Vec<u8>), visit_none(),
        visit_unit(),
    }

    fn visit_some<D: Deserializer<'de>>(self, nested: D) -> Result<V::Value, D::Error> {
        let (visitor, nested) = self.enter(nested)?;
        visitor.visit_some(nested)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, nested: D) -> Result<V::Value, D::Error> {
        let (visitor, nested) = self.enter(nested)?;
        visitor.visit_newtype_struct(nested)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, nested: A) -> Result<V::Value, A::Error> {
        let (visitor, nested) = self.enter(nested)?;
        visitor.visit_seq(nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, nested: A) -> Result<V::Value, A::Error> {
        let (visitor, nested) = self.enter(nested)?;
        visitor.visit_map(nested)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, nested: A) -> Result<V::Value, A::Error> {
        let (visitor, nested) = self.enter(nested)?;
        visitor.visit_enum(nested)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.wrap(deserializer);
        self.inner.deserialize(deserializer)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.wrap(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.cap(self.inner.size_hint())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.wrap(seed);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.wrap(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.cap(self.inner.size_hint())
    }
}

impl<'de, 'b, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'b, A> {
    type Error = A::Error;
    type Variant = Bounded<'b, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let seed = self.wrap(seed);
        let (left, bounds) = (self.left, self.bounds);
        let (value, inner) = self.inner.variant_seed(seed)?;
        Ok((value, Bounded { inner, left, bounds }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.wrap(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.wrap(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.wrap(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}
