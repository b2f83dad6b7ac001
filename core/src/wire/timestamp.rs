//! Points in time, as Go sends them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::DecodeError;
use super::reader::Reader;

const NANOS_PER_SECOND: u32 = 1_000_000_000;
const NANOS_PER_SECOND_WIDE: i128 = NANOS_PER_SECOND as i128;

/// The extension type of Go's timestamps, and the one of the MessagePack specification.
const GO: i8 = 5;
const STANDARD: i8 = -1;

/// A point in time (PROTOCOL.md section 2), whole seconds before or after the Unix epoch and
/// nanoseconds after that second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since the Unix epoch, negative before it.
    pub seconds: i64,
    /// Nanoseconds since that second, less than 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// Go's zero time, midnight of 1 January of the year 1: it stands for "no time".
    pub const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0 };

    /// Whether this is [`Timestamp::ZERO`].
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.seconds == Self::ZERO.seconds && self.nanos == 0
    }

    /// The time so many nanoseconds after the Unix epoch, or before it if negative; the nearest
    /// one if a timestamp cannot hold it.
    pub fn from_unix_nanos(nanos: i128) -> Self {
        // From 1677 to 2262 without a division of 128 bits.
        if let Ok(nanos) = i64::try_from(nanos) {
            let per_second = i64::from(NANOS_PER_SECOND);
            // The remainder is below 1,000,000,000.
            let rest = nanos.rem_euclid(per_second) as u32;
            return Self { seconds: nanos.div_euclid(per_second), nanos: rest };
        }
        match i64::try_from(nanos.div_euclid(NANOS_PER_SECOND_WIDE)) {
            // The remainder is below 1,000,000,000.
            Ok(seconds) => Self { seconds, nanos: nanos.rem_euclid(NANOS_PER_SECOND_WIDE) as u32 },
            Err(_) if nanos < 0 => Self { seconds: i64::MIN, nanos: 0 },
            Err(_) => Self { seconds: i64::MAX, nanos: NANOS_PER_SECOND - 1 },
        }
    }

    /// Nanoseconds since the Unix epoch, negative before it.
    pub fn to_unix_nanos(self) -> i128 {
        i128::from(self.seconds) * NANOS_PER_SECOND_WIDE + i128::from(self.nanos)
    }

    /// The time between two timestamps, whichever is the earlier one; at most [`Duration::MAX`].
    pub fn abs_diff(self, other: Self) -> Duration {
        let nanos = self.to_unix_nanos().abs_diff(other.to_unix_nanos());
        let per_second = u128::from(NANOS_PER_SECOND);
        match u64::try_from(nanos / per_second) {
            // The remainder is below 1,000,000,000.
            Ok(seconds) => Duration::new(seconds, (nanos % per_second) as u32),
            Err(_) => Duration::MAX,
        }
    }

    /// The time so much later; the latest one if a timestamp cannot hold it.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let nanos = i128::from(duration.as_secs()) * NANOS_PER_SECOND_WIDE
            + i128::from(duration.subsec_nanos());
        Self::from_unix_nanos(self.to_unix_nanos() + nanos)
    }

    /// Appends the timestamp as extension type 5 of length 12, as Go does.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0xc7, 12, GO as u8]);
        out.extend_from_slice(&self.seconds.to_be_bytes());
        out.extend_from_slice(&self.nanos.to_be_bytes());
    }

    /// The timestamp at the start of `bytes`: extension type 5 of length 12, or the standard
    /// type -1 of length 4, 8 or 12. What follows it is ignored.
    ///
    /// # Errors
    /// If it is none of these, or its nanoseconds make a second or more.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::read(&mut Reader::new(bytes), "timestamp")
    }

    pub(super) fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        let (kind, bytes) = reader.ext(field)?;
        let mut words = Reader::new(bytes);
        let (seconds, nanos) = match (kind, bytes.len()) {
            (GO, 12) => {
                let seconds = i64::from_be_bytes(words.array(field)?);
                (seconds, u32::from_be_bytes(words.array(field)?))
            }
            (STANDARD, 4) => (u32::from_be_bytes(words.array(field)?).into(), 0),
            // 30 bits of nanoseconds, then 34 bits of seconds.
            (STANDARD, 8) => {
                let word = u64::from_be_bytes(words.array(field)?);
                ((word & 0x3_ffff_ffff) as i64, (word >> 34) as u32)
            }
            (STANDARD, 12) => {
                let nanos = u32::from_be_bytes(words.array(field)?);
                (i64::from_be_bytes(words.array(field)?), nanos)
            }
            (_, len) => return Err(DecodeError::Extension { field, kind, len }),
        };
        if nanos >= NANOS_PER_SECOND {
            return Err(DecodeError::Nanoseconds { field, found: nanos });
        }
        Ok(Self { seconds, nanos })
    }
}

/// A time of the system's clock, before or after 1970.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let nanos = |span: Duration| i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
        Self::from_unix_nanos(match time.duration_since(UNIX_EPOCH) {
            Ok(since) => nanos(since),
            Err(before) => -nanos(before.duration()),
        })
    }
}

/// No time, [`Timestamp::ZERO`]: what a missing key stands for.
impl Default for Timestamp {
    fn default() -> Self {
        Self::ZERO
    }
}
