//! MessagePack values out of bytes that are not to be trusted.

use rmp::Marker;

use super::DecodeError;
use super::message::{BIN8, BIN16, BIN32, U8, U16, U32, U64};

/// Why a value could not be read. In a box, so that results are small.
#[derive(Debug)]
pub(super) struct ReadError(Box<DecodeError>);

impl ReadError {
    #[cold]
    fn new(error: DecodeError) -> Self {
        Self(Box::new(error))
    }
}

impl From<ReadError> for DecodeError {
    #[cold]
    fn from(error: ReadError) -> Self {
        *error.0
    }
}

type Read<T> = Result<T, ReadError>;

/// What is left to read.
///
/// Each method takes one value, names it `field` in the error if it is not what was expected, and
/// never looks beyond the bytes that are there. After an error the position is meaningless.
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// The bytes not read yet.
    pub(super) fn left(&self) -> &'a [u8] {
        self.left
    }

    fn take(&mut self, len: usize, field: &'static str) -> Read<&'a [u8]> {
        let Some((taken, left)) = self.left.split_at_checked(len) else {
            return Err(truncated(field, len, self.left.len()));
        };
        self.left = left;
        Ok(taken)
    }

    /// The next `N` bytes, whatever they mean.
    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Read<[u8; N]> {
        let Some((taken, left)) = self.left.split_first_chunk() else {
            return Err(truncated(field, N, self.left.len()));
        };
        self.left = left;
        Ok(*taken)
    }

    fn marker(&mut self, field: &'static str) -> Read<Marker> {
        let [byte] = self.array(field)?;
        Ok(Marker::from_u8(byte))
    }

    fn len8(&mut self, field: &'static str) -> Read<usize> {
        let [len] = self.array(field)?;
        Ok(len.into())
    }

    fn len16(&mut self, field: &'static str) -> Read<usize> {
        self.array(field).map(|bytes| u16::from_be_bytes(bytes).into())
    }

    fn len32(&mut self, field: &'static str) -> Read<usize> {
        self.array(field).map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    /// A number in any of the integer formats that fits `T`.
    pub(super) fn unsigned<T: TryFrom<u64>>(&mut self, field: &'static str) -> Read<T> {
        let [byte] = self.array(field)?;
        let number = match byte {
            0..=0x7f => byte.into(),
            U8 => u8::from_be_bytes(self.array(field)?).into(),
            U16 => u16::from_be_bytes(self.array(field)?).into(),
            U32 => u32::from_be_bytes(self.array(field)?).into(),
            U64 => u64::from_be_bytes(self.array(field)?),
            other => return self.signed(Marker::from_u8(other), field),
        };
        T::try_from(number).map_err(|_| range::<T>(field, number))
    }

    fn signed<T: TryFrom<u64>>(&mut self, marker: Marker, field: &'static str) -> Read<T> {
        let number: i64 = match marker {
            Marker::FixNeg(number) => number.into(),
            Marker::I8 => i8::from_be_bytes(self.array(field)?).into(),
            Marker::I16 => i16::from_be_bytes(self.array(field)?).into(),
            Marker::I32 => i32::from_be_bytes(self.array(field)?).into(),
            Marker::I64 => i64::from_be_bytes(self.array(field)?),
            other => return Err(wrong_type(field, "an integer", other)),
        };
        u64::try_from(number)
            .ok()
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| range::<T>(field, number))
    }

    /// The number of elements of an array, whose elements come next.
    pub(super) fn array_len(&mut self, field: &'static str) -> Read<u32> {
        match self.marker(field)? {
            Marker::FixArray(len) => Ok(len.into()),
            Marker::Array16 => Ok(u16::from_be_bytes(self.array(field)?).into()),
            Marker::Array32 => Ok(u32::from_be_bytes(self.array(field)?)),
            other => Err(wrong_type(field, "an array", other)),
        }
    }

    /// The number of entries of a map, whose keys and values come next.
    pub(super) fn map_len(&mut self, field: &'static str) -> Read<u32> {
        match self.marker(field)? {
            Marker::FixMap(len) => Ok(len.into()),
            Marker::Map16 => Ok(u16::from_be_bytes(self.array(field)?).into()),
            Marker::Map32 => Ok(u32::from_be_bytes(self.array(field)?)),
            other => Err(wrong_type(field, "a map", other)),
        }
    }

    /// A byte string in the bin format.
    pub(super) fn bin(&mut self, field: &'static str) -> Read<&'a [u8]> {
        let [byte] = self.array(field)?;
        let len = match byte {
            BIN8 => self.len8(field)?,
            BIN16 => self.len16(field)?,
            BIN32 => self.len32(field)?,
            other => return Err(wrong_type(field, "bin", Marker::from_u8(other))),
        };
        self.take(len, field)
    }

    /// The bytes of a text, which may not be UTF-8.
    pub(super) fn str_bytes(&mut self, field: &'static str) -> Read<&'a [u8]> {
        match self.marker(field)? {
            Marker::Null => Err(wrong_type(field, "str", Marker::Null)),
            marker => self.str_after(marker, field),
        }
    }

    /// The bytes of a text, or nothing for nil.
    pub(super) fn str_or_nil(&mut self, field: &'static str) -> Read<Option<&'a [u8]>> {
        match self.marker(field)? {
            Marker::Null => Ok(None),
            marker => self.str_after(marker, field).map(Some),
        }
    }

    fn str_after(&mut self, marker: Marker, field: &'static str) -> Read<&'a [u8]> {
        let len = match marker {
            Marker::FixStr(len) => len.into(),
            Marker::Str8 => self.len8(field)?,
            Marker::Str16 => self.len16(field)?,
            Marker::Str32 => self.len32(field)?,
            other => return Err(wrong_type(field, "str", other)),
        };
        self.take(len, field)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, field: &'static str) -> Read<bool> {
        match self.marker(field)? {
            Marker::True => Ok(true),
            Marker::False => Ok(false),
            other => Err(wrong_type(field, "a boolean", other)),
        }
    }

    /// An extension: its type and its bytes.
    pub(super) fn ext(&mut self, field: &'static str) -> Read<(i8, &'a [u8])> {
        let marker = self.marker(field)?;
        let len = match marker {
            Marker::FixExt1 => 1,
            Marker::FixExt2 => 2,
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            Marker::FixExt16 => 16,
            Marker::Ext8 => self.len8(field)?,
            Marker::Ext16 => self.len16(field)?,
            Marker::Ext32 => self.len32(field)?,
            other => return Err(wrong_type(field, "a timestamp", other)),
        };
        let kind = i8::from_be_bytes(self.array(field)?);
        Ok((kind, self.take(len, field)?))
    }

    /// Passes over one value of any type, and all that it contains.
    ///
    /// Values left to pass over are counted instead of recursed into, and a count that the bytes
    /// cannot hold, at one byte for each at the least, is refused at once.
    pub(super) fn skip(&mut self, field: &'static str) -> Read<()> {
        let mut values: u64 = 1;
        while values > 0 {
            values -= 1;
            values += self.skip_shallow(field)?;
            if values > self.left.len() as u64 {
                let needed = usize::try_from(values).unwrap_or(usize::MAX);
                return Err(truncated(field, needed, self.left.len()));
            }
        }
        Ok(())
    }

    /// Passes over one scalar, or the header of a container: says how many values that contains.
    fn skip_shallow(&mut self, field: &'static str) -> Read<u64> {
        let marker = self.marker(field)?;
        let mut contained = 0;
        let len = match marker {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
                0
            }
            Marker::U8 | Marker::I8 => 1,
            Marker::U16 | Marker::I16 => 2,
            Marker::U32 | Marker::I32 | Marker::F32 => 4,
            Marker::U64 | Marker::I64 | Marker::F64 => 8,
            Marker::FixStr(len) => len.into(),
            Marker::Str8 | Marker::Bin8 => self.len8(field)?,
            Marker::Str16 | Marker::Bin16 => self.len16(field)?,
            Marker::Str32 | Marker::Bin32 => self.len32(field)?,
            // The type of an extension is one more byte.
            Marker::FixExt1 => 2,
            Marker::FixExt2 => 3,
            Marker::FixExt4 => 5,
            Marker::FixExt8 => 9,
            Marker::FixExt16 => 17,
            Marker::Ext8 => self.len8(field)?.saturating_add(1),
            Marker::Ext16 => self.len16(field)?.saturating_add(1),
            Marker::Ext32 => self.len32(field)?.saturating_add(1),
            Marker::FixArray(len) => {
                contained = len.into();
                0
            }
            Marker::Array16 => {
                contained = self.len16(field)? as u64;
                0
            }
            Marker::Array32 => {
                contained = self.len32(field)? as u64;
                0
            }
            Marker::FixMap(len) => {
                contained = 2 * u64::from(len);
                0
            }
            Marker::Map16 => {
                contained = 2 * self.len16(field)? as u64;
                0
            }
            Marker::Map32 => {
                contained = 2 * self.len32(field)? as u64;
                0
            }
            Marker::Reserved => return Err(wrong_type(field, "a value", marker)),
        };
        self.take(len, field)?;
        Ok(contained)
    }
}

/// The error for bytes that end too early.
#[cold]
pub(super) fn truncated(field: &'static str, needed: usize, left: usize) -> ReadError {
    ReadError::new(DecodeError::Truncated { field, needed, left })
}

#[cold]
fn range<T>(field: &'static str, found: impl Into<i128>) -> ReadError {
    let bits = 8 * size_of::<T>() as u32;
    ReadError::new(DecodeError::Range { field, bits, found: found.into() })
}

#[cold]
fn wrong_type(field: &'static str, expected: &'static str, found: Marker) -> ReadError {
    let found = match found {
        Marker::FixPos(_) | Marker::FixNeg(_) => "an integer",
        Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => "an integer",
        Marker::I8 | Marker::I16 | Marker::I32 | Marker::I64 => "an integer",
        Marker::F32 | Marker::F64 => "a float",
        Marker::Null => "nil",
        Marker::True | Marker::False => "a boolean",
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => "str",
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => "bin",
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => "an array",
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => "a map",
        Marker::FixExt1 | Marker::FixExt2 | Marker::FixExt4 => "an extension",
        Marker::FixExt8 | Marker::FixExt16 => "an extension",
        Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => "an extension",
        Marker::Reserved => "the reserved byte c1",
    };
    ReadError::new(DecodeError::Type { field, expected, found })
}
