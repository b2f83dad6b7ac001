//! A deserializer around another that limits how deeply it recurses, how much it promises, and how
//! much memory it fills.
//!
//! `rmp-serde` counts nested arrays and maps, but not enums, `Some` or newtypes, so a recursive
//! enum lets a peer overflow the stack with two bytes a level. And it reports the length that a
//! header claims as a size hint, so each level may reserve up to a megabyte for nothing. Here,
//! every way into a nested value passes one counter, and no hint exceeds the payload's length.
//!
//! An empty vector is one byte on the wire and 24 in memory, a map of one entry 3 bytes and 500. So
//! each value is counted with the size of its type where it is read: an element of a vector or a map
//! always, a field of a struct not, for it lies within the struct, and what is larger than the place
//! it was counted for, because it lies in a box.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{DecodeBodyError, MAX_DEPTH, json};

/// What an allocation takes beyond its contents.
const ALLOCATION: usize = 24;

/// Entries that a map has room for whenever it has to grow, and after how many it may have to: the
/// nodes of a `BTreeMap` hold 11, and may be half full.
const MAP_NODE: usize = 12;
const MAP_FILL: usize = 6;

/// The limits of one decoding, and which of them has ended it.
pub(super) struct Bounds {
    payload_len: usize,
    limit: usize,
    size: Cell<usize>,
    too_deep: Cell<bool>,
}

impl Bounds {
    /// For a payload of `payload_len` bytes that may become a value of `limit`.
    pub(super) const fn new(payload_len: usize, limit: usize) -> Self {
        Self { payload_len, limit, size: Cell::new(0), too_deep: Cell::new(false) }
    }

    /// Which limit was reached, if one was.
    pub(super) fn exceeded(&self) -> Option<DecodeBodyError> {
        if self.too_deep.get() {
            return Some(DecodeBodyError::TooDeep);
        }
        let limit = self.limit;
        (self.size.get() > limit).then_some(DecodeBodyError::TooLarge { limit })
    }

    /// Bytes that the value takes so far.
    pub(super) const fn size(&self) -> usize {
        self.size.get()
    }

    fn count<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let size = self.size.get().saturating_add(bytes);
        self.size.set(size);
        if size > self.limit { Err(E::custom("too large")) } else { Ok(()) }
    }

    fn count_text<E: Error>(&self, len: usize) -> Result<(), E> {
        if len == 0 { Ok(()) } else { self.count(len + ALLOCATION) }
    }
}

/// What the parts of a value are to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    /// They lie in memory of their own.
    Elements,
    /// They lie within the value.
    Fields,
    /// There are none: it is a name, which is not kept.
    Name,
}

/// `inner`, whatever it is a part of the deserialization, `left` levels above the limit.
pub(super) struct Bounded<'b, T> {
    inner: T,
    left: usize,
    bounds: &'b Bounds,
    /// Bytes that were counted for the value, or lie within one that was.
    place: usize,
    parts: Parts,
    /// Elements that have been read.
    count: usize,
}

impl<'b, T> Bounded<'b, T> {
    pub(super) const fn new(inner: T, bounds: &'b Bounds) -> Self {
        let (left, parts) = (MAX_DEPTH, Parts::Elements);
        Self { inner, left, bounds, place: 0, parts, count: 0 }
    }

    /// The same level, around another part.
    const fn wrap<U>(&self, inner: U) -> Bounded<'b, U> {
        let &Self { left, bounds, place, parts, .. } = self;
        Bounded { inner, left, bounds, place, parts, count: 0 }
    }

    /// The same level, around a part for which there are `place` bytes.
    fn wrap_at<U>(&self, inner: U, place: usize) -> Bounded<'b, U> {
        Bounded { place, ..self.wrap(inner) }
    }

    /// Around the visitor of a value, which is counted unless it lies where another was counted.
    fn visit<U, V, E: Error>(&self, inner: U, parts: Parts) -> Result<Bounded<'b, U>, E> {
        let size = size_of::<V>();
        let place = if size > self.place {
            self.bounds.count(size)?;
            size
        } else {
            self.place
        };
        Ok(Bounded { parts, ..self.wrap_at(inner, place) })
    }

    /// One level down, around `inner`; the visitor comes out.
    fn enter<U, E: Error>(self, inner: U) -> Result<(T, Bounded<'b, U>), E> {
        let Some(left) = self.left.checked_sub(1) else {
            self.bounds.too_deep.set(true);
            return Err(E::custom("nested too deeply"));
        };
        let nested = Bounded { left, ..self.wrap(inner) };
        Ok((self.inner, nested))
    }

    fn cap(&self, hint: Option<usize>) -> Option<usize> {
        hint.map(|hint| hint.min(self.bounds.payload_len))
    }

    /// A text, or bytes, that the value may keep.
    fn count_text<E: Error>(&self, len: usize) -> Result<(), E> {
        if self.parts == Parts::Name { Ok(()) } else { self.bounds.count_text(len) }
    }
}

/// The visitor of each call is wrapped; everything else passes.
macro_rules! forward_deserialize {
    ($parts:ident: $($method:ident($($arg:ident: $type:ty),*)),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V)
            -> Result<V::Value, D::Error>
        {
            let visitor = self.visit::<V, V::Value, D::Error>(visitor, Parts::$parts)?;
            self.inner.$method($($arg,)* visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    forward_deserialize! { Elements:
        deserialize_any(), deserialize_bool(), deserialize_i8(), deserialize_i16(),
        deserialize_i32(), deserialize_i64(), deserialize_i128(), deserialize_u8(),
        deserialize_u16(), deserialize_u32(), deserialize_u64(), deserialize_u128(),
        deserialize_f32(), deserialize_f64(), deserialize_char(), deserialize_str(),
        deserialize_string(), deserialize_bytes(), deserialize_byte_buf(), deserialize_option(),
        deserialize_unit(), deserialize_unit_struct(name: &'static str), deserialize_seq(),
        deserialize_map(),
    }

    forward_deserialize! { Fields:
        deserialize_tuple(len: usize),
        deserialize_tuple_struct(name: &'static str, len: usize),
        deserialize_struct(name: &'static str, fields: &'static [&'static str]),
        deserialize_enum(name: &'static str, variants: &'static [&'static str]),
    }

    forward_deserialize! { Name: deserialize_identifier(), deserialize_ignored_any() }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.visit::<V, V::Value, D::Error>(visitor, Parts::Elements)?;
        if name == json::NAME {
            return self.inner.deserialize_bytes(JsonText(visitor));
        }
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// The text of a [`json::Json`], which is decoded within the same bounds: its visitor gets the value as
/// `Some`, and nil as `None`.
struct JsonText<'b, V>(Bounded<'b, V>);

impl<'de, V: Visitor<'de>> Visitor<'de> for JsonText<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_borrowed_bytes<E: Error>(self, text: &'de [u8]) -> Result<V::Value, E> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = self.0.visit_some(&mut reader).map_err(E::custom)?;
        reader.end().map_err(E::custom)?;
        Ok(value)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }
}

macro_rules! forward_visit {
    ($($method:ident($($value:ident: $type:ty)?)),* $(,)?) => {
        $(fn $method<E: Error>(self, $($value: $type)?) -> Result<V::Value, E> {
            self.inner.$method($($value)?)
        })*
    };
}

macro_rules! visit_text {
    ($($method:ident($value:ident: $type:ty)),* $(,)?) => {
        $(fn $method<E: Error>(self, $value: $type) -> Result<V::Value, E> {
            self.count_text($value.len())?;
            self.inner.$method($value)
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
        visit_f64(v: f64), visit_char(v: char), visit_none(), visit_unit(),
    }

    visit_text! {
        visit_str(v: &str), visit_borrowed_str(v: &'de str), visit_string(v: String),
        visit_bytes(v: &[u8]), visit_borrowed_bytes(v: &'de [u8]), visit_byte_buf(v: Vec<u8>),
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
        let size = size_of::<S::Value>();
        let seed = self.wrap_at(seed, size);
        let element = self.inner.next_element_seed(seed)?;
        if element.is_some() && self.parts == Parts::Elements {
            let first = if self.count == 0 { ALLOCATION } else { 0 };
            self.count += 1;
            self.bounds.count(size + first)?;
        }
        Ok(element)
    }

    fn size_hint(&self) -> Option<usize> {
        self.cap(self.inner.size_hint())
    }
}

impl<A> Bounded<'_, A> {
    /// A key, or a value, of the entry of number `count`.
    fn count_entry<E: Error>(&self, size: usize) -> Result<(), E> {
        if self.count % MAP_FILL != 1 {
            return Ok(());
        }
        self.bounds.count(MAP_NODE * size + ALLOCATION)
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.wrap_at(seed, size_of::<S::Value>());
        let key = self.inner.next_key_seed(seed)?;
        if key.is_some() && self.parts == Parts::Elements {
            self.count += 1;
            self.count_entry(size_of::<S::Value>())?;
        }
        Ok(key)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let size = size_of::<S::Value>();
        if self.parts == Parts::Elements {
            self.count_entry(size)?;
        }
        let seed = self.wrap_at(seed, size);
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
        let &Self { left, bounds, place, parts, .. } = &self;
        let seed = self.wrap(seed);
        let (value, inner) = self.inner.variant_seed(seed)?;
        Ok((value, Bounded { inner, left, bounds, place, parts, count: 0 }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.wrap_at(seed, size_of::<S::Value>());
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = Bounded { parts: Parts::Fields, ..self.wrap(visitor) };
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = Bounded { parts: Parts::Fields, ..self.wrap(visitor) };
        self.inner.struct_variant(fields, visitor)
    }
}
