//! The header of a WebSocket frame: RFC 6455 section 5.2.

use super::{Damage, Role};

/// A frame whose header has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) start: u64,
    pub(super) fin: bool,
    pub(super) opcode: u8,
    pub(super) mask: Option<[u8; 4]>,
    /// Of the payload, how much has passed and how much there is.
    pub(super) passed: u64,
    pub(super) len: u64,
    reserved: bool,
}

/// How many bytes have to follow for the header to go on; 0 once it is whole.
pub(super) fn missing(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else { return 2 - header.len() };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    (2 + length + mask) - header.len()
}

impl Frame {
    /// Of a whole header. `start` is where that begins.
    pub(super) fn parse(header: &[u8], start: u64) -> Self {
        let byte = |at: usize| header.get(at).copied().unwrap_or_default();
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let masked = byte(1) & 0x80 != 0;
        let (body, mask) = match header.split_last_chunk::<4>() {
            Some((body, mask)) if masked => (body, Some(*mask)),
            _ => (header, None),
        };
        let len = match byte(1) & 0x7f {
            126 | 127 => number(body.get(2..).unwrap_or_default()),
            len => len.into(),
        };
        Self {
            start,
            fin: byte(0) & 0x80 != 0,
            opcode: byte(0) & 0x0f,
            mask,
            passed: 0,
            len,
            reserved: byte(0) & 0x70 != 0,
        }
    }

    pub(super) const fn is_control(&self) -> bool {
        self.opcode >= 8
    }

    pub(super) const fn left(&self) -> u64 {
        self.len - self.passed
    }

    /// Whether this side may send it now. `open` is how long the message is so far that is being
    /// sent in fragments.
    pub(super) fn check(&self, from: Role, open: Option<u64>, limit: u64) -> Result<(), Damage> {
        if self.reserved {
            return Err(Damage::ReservedBits);
        }
        if !matches!(self.opcode, 0..=2 | 8..=10) {
            return Err(Damage::Opcode(self.opcode));
        }
        if self.mask.is_some() != (from == Role::Dialler) {
            return Err(Damage::Mask);
        }
        if self.is_control() {
            let fits = self.fin && self.len <= 125;
            return if fits { Ok(()) } else { Err(Damage::ControlFrame) };
        }
        if open.is_some() != (self.opcode == 0) {
            return Err(Damage::Fragment);
        }
        if open.unwrap_or(0).saturating_add(self.len) > limit {
            return Err(Damage::TooLong);
        }
        Ok(())
    }

    /// Takes the mask off the bytes that pass next.
    pub(super) fn unmask(&self, bytes: &mut [u8]) {
        let Some(mut mask) = self.mask else { return };
        mask.rotate_left((self.passed % 4) as usize);
        let word = u64::from_ne_bytes([
            mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
        ]);
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for bytes in words {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(word.to_ne_bytes()) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(header: &[u8]) -> Frame {
        for len in 0..header.len() {
            assert!((1..=header.len() - len).contains(&missing(&header[..len])), "{len}");
        }
        assert_eq!(missing(header), 0);
        Frame::parse(header, 100)
    }

    #[test]
    fn each_form_of_the_length_is_read() {
        let frame = whole(&[0x82, 0x7d]);
        assert_eq!((frame.fin, frame.opcode, frame.len, frame.mask), (true, 2, 125, None));
        assert_eq!(whole(&[0x02, 126, 1, 2]).len, 0x102);
        assert_eq!(whole(&[0x80, 127, 0, 0, 0, 0, 0, 1, 2, 3]).len, 0x1_0203);
        let masked = whole(&[0x82, 0xfe, 1, 2, 9, 8, 7, 6]);
        assert_eq!((masked.len, masked.mask), (0x102, Some([9, 8, 7, 6])));
    }

    #[test]
    fn what_the_rfc_forbids_is_refused() {
        let check = |header: &[u8], open| whole(header).check(Role::Acceptor, open, 1000);
        assert_eq!(check(&[0x82, 5], None), Ok(()));
        assert_eq!(check(&[0xc2, 5], None), Err(Damage::ReservedBits));
        assert_eq!(check(&[0x83, 5], None), Err(Damage::Opcode(3)));
        assert_eq!(check(&[0x82, 0x85, 0, 0, 0, 0], None), Err(Damage::Mask));
        assert_eq!(whole(&[0x82, 5]).check(Role::Dialler, None, 1000), Err(Damage::Mask));
        assert_eq!(check(&[0x09, 5], None), Err(Damage::ControlFrame), "in fragments");
        assert_eq!(check(&[0x89, 126, 0, 126], None), Err(Damage::ControlFrame), "too long");
        assert_eq!(check(&[0x89, 5], Some(7)), Ok(()), "between fragments");
        assert_eq!(check(&[0x80, 5], None), Err(Damage::Fragment), "of nothing");
        assert_eq!(check(&[0x82, 5], Some(7)), Err(Damage::Fragment), "within a message");
        assert_eq!(check(&[0x80, 126, 3, 0xe1], Some(7)), Ok(()), "1000 in all");
        assert_eq!(check(&[0x80, 126, 3, 0xe2], Some(7)), Err(Damage::TooLong));
    }

    #[test]
    fn the_mask_goes_on_where_it_stopped() {
        let mask = [1, 2, 3, 4];
        let plain: Vec<u8> = (0..40).collect();
        let masked: Vec<u8> = plain.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b).collect();
        for cut in 0..=plain.len() {
            let mut frame = whole(&[0x82, 0x80 | 40, 1, 2, 3, 4]);
            let (mut one, mut other) = (masked[..cut].to_vec(), masked[cut..].to_vec());
            frame.unmask(&mut one);
            frame.passed = cut as u64;
            frame.unmask(&mut other);
            assert_eq!([one, other].concat(), plain);
        }
    }
}
