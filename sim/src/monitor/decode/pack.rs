//! MessagePack, as much of it as the protocol uses.

use super::Damage;

/// Reads values off the front of a slice.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    left: &'a [u8],
    /// Every integer and length so far had its smallest form.
    smallest: bool,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, smallest: true }
    }

    pub(super) const fn left(&self) -> &'a [u8] {
        self.left
    }

    pub(super) const fn is_smallest(&self) -> bool {
        self.smallest
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damage> {
        let (byte, left) = self.left.split_first().ok_or(Damage::Truncated)?;
        self.left = left;
        Ok(*byte)
    }

    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], Damage> {
        let len = usize::try_from(len).map_err(|_| Damage::Truncated)?;
        let (taken, left) = self.left.split_at_checked(len).ok_or(Damage::Truncated)?;
        self.left = left;
        Ok(taken)
    }

    /// A big-endian number of so many bytes, at most eight.
    fn number(&mut self, bytes: u64) -> Result<u64, Damage> {
        Ok(self.take(bytes)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// An integer that is not negative, of any width, up to `max`.
    #[inline]
    pub(super) fn uint(&mut self, max: u64) -> Result<u64, Damage> {
        let marker = self.byte()?;
        if marker < 0x80 {
            return if u64::from(marker) <= max { Ok(marker.into()) } else { Err(Damage::Range) };
        }
        let (bytes, signed) = match marker {
            0xcc..=0xcf => (1 << (marker - 0xcc), false),
            0xd0..=0xd3 => (1 << (marker - 0xd0), true),
            0xe0.. => return Err(Damage::Range),
            _ => return Err(Damage::Type),
        };
        let value = self.number(bytes)?;
        if signed && value >> (8 * bytes - 1) == 1 || value > max {
            return Err(Damage::Range);
        }
        let smallest = match value {
            0..0x80 => 0,
            0x80..0x100 => 1,
            0x100..0x1_0000 => 2,
            0x1_0000..0x1_0000_0000 => 4,
            _ => 8,
        };
        self.smallest &= bytes == smallest && !signed;
        Ok(value)
    }

    /// A length in a field of 1, 2 or 4 bytes, which shorter ones could not hold from `least` on.
    fn length(&mut self, bytes: u64, least: u64) -> Result<u64, Damage> {
        let len = self.number(bytes)?;
        self.smallest &= len >= least;
        Ok(len)
    }

    pub(super) fn bin(&mut self) -> Result<&'a [u8], Damage> {
        let len = match self.byte()? {
            0xc4 => self.length(1, 0)?,
            0xc5 => self.length(2, 0x100)?,
            0xc6 => self.length(4, 0x1_0000)?,
            _ => return Err(Damage::Type),
        };
        self.take(len)
    }

    pub(super) fn str(&mut self) -> Result<&'a [u8], Damage> {
        let marker = self.byte()?;
        self.str_after(marker)
    }

    /// A text, or nothing for nil.
    pub(super) fn str_or_nil(&mut self) -> Result<Option<&'a [u8]>, Damage> {
        match self.byte()? {
            0xc0 => Ok(None),
            marker => self.str_after(marker).map(Some),
        }
    }

    fn str_after(&mut self, marker: u8) -> Result<&'a [u8], Damage> {
        let len = match marker {
            0xa0..0xc0 => u64::from(marker & 0x1f),
            0xd9 => self.length(1, 0x20)?,
            0xda => self.length(2, 0x100)?,
            0xdb => self.length(4, 0x1_0000)?,
            _ => return Err(Damage::Type),
        };
        self.take(len)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Damage> {
        match self.byte()? {
            0xc2 => Ok(false),
            0xc3 => Ok(true),
            _ => Err(Damage::Type),
        }
    }

    pub(super) fn array_len(&mut self) -> Result<u64, Damage> {
        match self.byte()? {
            marker @ 0x90..0xa0 => Ok(u64::from(marker & 0x0f)),
            0xdc => self.length(2, 0x10),
            0xdd => self.length(4, 0x1_0000),
            _ => Err(Damage::Type),
        }
    }

    pub(super) fn map_len(&mut self) -> Result<u64, Damage> {
        match self.byte()? {
            marker @ 0x80..0x90 => Ok(u64::from(marker & 0x0f)),
            0xde => self.length(2, 0x10),
            0xdf => self.length(4, 0x1_0000),
            _ => Err(Damage::Type),
        }
    }

    /// The type and the bytes of an extension.
    pub(super) fn ext(&mut self) -> Result<(u8, &'a [u8]), Damage> {
        let len = match self.byte()? {
            marker @ 0xd4..=0xd8 => 1 << (marker - 0xd4),
            0xc7 => self.number(1)?,
            0xc8 => self.number(2)?,
            0xc9 => self.number(4)?,
            _ => return Err(Damage::Type),
        };
        Ok((self.byte()?, self.take(len)?))
    }

    /// Passes over one value and all that is in it.
    pub(super) fn skip(&mut self) -> Result<(), Damage> {
        let mut values = 1_u64;
        while values > 0 {
            values = values - 1 + self.skip_one()?;
            // Every value is a byte at the least: a count that cannot be true ends here.
            if values > self.left.len() as u64 {
                return Err(Damage::Truncated);
            }
        }
        Ok(())
    }

    /// Passes over a scalar, or the header of a container: how many values that holds.
    fn skip_one(&mut self) -> Result<u64, Damage> {
        let marker = self.byte()?;
        let len = match marker {
            0x80..0x90 => return Ok(2 * u64::from(marker & 0x0f)),
            0x90..0xa0 => return Ok(u64::from(marker & 0x0f)),
            0xdc => return self.number(2),
            0xdd => return self.number(4),
            0xde => return Ok(2 * self.number(2)?),
            0xdf => return Ok(2 * self.number(4)?),
            0x00..0x80 | 0xe0.. | 0xc0 | 0xc2 | 0xc3 => 0,
            0xc1 => return Err(Damage::Type),
            0xa0..0xc0 => u64::from(marker & 0x1f),
            0xc4 | 0xd9 => self.number(1)?,
            0xc5 | 0xda => self.number(2)?,
            0xc6 | 0xdb => self.number(4)?,
            0xc7 => self.number(1)? + 1,
            0xc8 => self.number(2)? + 1,
            0xc9 => self.number(4)? + 1,
            0xca => 4,
            0xcb => 8,
            0xcc..=0xcf => 1 << (marker - 0xcc),
            0xd0..=0xd3 => 1 << (marker - 0xd0),
            0xd4..=0xd8 => 1 + (1 << (marker - 0xd4)),
        };
        self.take(len)?;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_of_an_integer_is_read_and_only_the_smallest_is_smallest() {
        let read = |bytes: &[u8], max| {
            let mut reader = Reader::new(bytes);
            reader.uint(max).map(|value| (value, reader.is_smallest()))
        };
        assert_eq!(read(&[7], 255), Ok((7, true)));
        assert_eq!(read(&[0xcc, 7], 255), Ok((7, false)));
        assert_eq!(read(&[0xcc, 200], 255), Ok((200, true)));
        assert_eq!(read(&[0xd1, 0, 200], 255), Ok((200, false)), "a signed form");
        assert_eq!(read(&[0xcf, 0x80, 0, 0, 0, 0, 0, 0, 1], u64::MAX), Ok(((1 << 63) + 1, true)));
        assert_eq!(read(&[0xcd, 1, 0], 255), Err(Damage::Range));
        assert_eq!(read(&[0xd0, 0xff], 255), Err(Damage::Range), "negative");
        assert_eq!(read(&[0xff], 255), Err(Damage::Range), "negative");
        assert_eq!(read(&[0xce, 0, 0], u64::MAX), Err(Damage::Truncated));
        assert_eq!(read(&[0xc0], 255), Err(Damage::Type));
    }

    #[test]
    fn any_value_is_passed_over_and_a_false_count_is_refused() {
        let values: [&[u8]; 8] = [
            &[0x92, 0x01, 0x91, 0xc0],
            &[0x81, 0xa1, b'k', 0xcb, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xc7, 0x02, 5, 1, 2],
            &[0xd4, 5, 1],
            &[0xd9, 0x01, b'x'],
            &[0xdc, 0, 1, 0xc3],
            &[0xde, 0, 1, 1, 2],
            &[0xd3, 0, 0, 0, 0, 0, 0, 0, 1],
        ];
        for value in values {
            let bytes = [value, &[0x2a]].concat();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.skip(), Ok(()), "{value:x?}");
            assert_eq!(reader.left(), [0x2a], "{value:x?}");
        }
        for bomb in [&[0xdd, 0xff, 0xff, 0xff, 0xff, 0][..], &[0xc6, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(Reader::new(bomb).skip(), Err(Damage::Truncated));
        }
    }
}
