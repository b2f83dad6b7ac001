//! Why bytes are not a message.

/// What was wrong with bytes that should have been a message or a payload map.
///
/// `field` is the element being read: a column of the table of PROTOCOL.md section 2 or a key of
/// a payload map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("{field}: {needed} bytes needed, {left} left")]
    Truncated {
        /// What was being read.
        field: &'static str,
        /// The number of bytes that it needs at the least.
        needed: usize,
        /// The number of bytes that are there.
        left: usize,
    },
    /// The message is an array, but not of seven elements.
    #[error("message: expected an array of 7 elements, found {found}")]
    Elements {
        /// The number of elements found.
        found: u32,
    },
    /// The MessagePack type is another one.
    #[error("{field}: expected {expected}, found {found}")]
    Type {
        /// What was being read.
        field: &'static str,
        /// The type expected there.
        expected: &'static str,
        /// The type found.
        found: &'static str,
    },
    /// A number is negative, or too large for its field.
    #[error("{field}: expected an unsigned number of {bits} bits, found {found}")]
    Range {
        /// What was being read.
        field: &'static str,
        /// The size of the field.
        bits: u32,
        /// The number found.
        found: i128,
    },
    /// A value of a fixed length has another one.
    #[error("{field}: expected a length of {expected}, found {found}")]
    Length {
        /// What was being read.
        field: &'static str,
        /// The length expected.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// The extension is not a timestamp.
    #[error("{field}: expected a timestamp, found extension type {kind} of length {len}")]
    Extension {
        /// What was being read.
        field: &'static str,
        /// The extension type found.
        kind: i8,
        /// Its length.
        len: usize,
    },
    /// A timestamp's nanoseconds make a second or more.
    #[error("{field}: expected less than 1000000000 nanoseconds, found {found}")]
    Nanoseconds {
        /// What was being read.
        field: &'static str,
        /// The nanoseconds found.
        found: u32,
    },
    /// A text is not UTF-8.
    #[error("{field}: expected utf-8, found another byte at {valid_up_to}")]
    Utf8 {
        /// What was being read.
        field: &'static str,
        /// The length of the part that is UTF-8.
        valid_up_to: usize,
    },
    /// The checksum differs.
    #[error("crc: expected {expected:08x}, found {found:08x}")]
    Crc {
        /// The checksum of the bytes received.
        expected: u32,
        /// The checksum received with them.
        found: u32,
    },
    /// A merged message announces more parts than it has.
    #[error("merged message: expected {expected} parts, found {found}")]
    MissingParts {
        /// The number of parts announced.
        expected: u32,
        /// The number of parts that are there.
        found: u32,
    },
    /// A merged message has more parts than a reader takes; those that fit were read.
    #[error("merged message: at most {max} parts allowed, found {found}")]
    TooManyParts {
        /// The number of parts announced.
        found: u32,
        /// The number of parts allowed.
        max: u32,
    },
    /// A message is longer than allowed.
    #[error("message: at most {max} bytes allowed, found {found}")]
    TooLong {
        /// The length found.
        found: usize,
        /// The length allowed.
        max: usize,
    },
}
