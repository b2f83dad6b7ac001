//! One message: its header, its payload and what follows them.

use std::borrow::Cow;
use std::fmt;
use std::hash::Hasher as _;

use bytes::Bytes;
use twox_hash::XxHash3_64;

use super::reader::{Reader, truncated};
use super::subroute::SubrouteId;
use super::{DecodeError, Flags, Op};

/// The MessagePack header of an array of seven elements.
const ARRAY_OF_7: u8 = 0x97;
/// MessagePack's markers of numbers and byte strings (PROTOCOL.md section 2).
pub(super) const U8: u8 = 0xcc;
pub(super) const U16: u8 = 0xcd;
pub(super) const U32: u8 = 0xce;
pub(super) const U64: u8 = 0xcf;
pub(super) const BIN8: u8 = 0xc4;
pub(super) const BIN16: u8 = 0xc5;
pub(super) const BIN32: u8 = 0xc6;
/// The longest header: the array's, six integers in their longest forms, the payload's.
const MAX_HEADER_LEN: usize = 1 + 9 + 5 + 5 + 2 + 2 + 2 + 5;
/// The length of the checksum.
const CRC_LEN: usize = 4;

/// The fixed fields of a message (PROTOCOL.md section 2).
///
/// ```
/// use gridmux_core::wire::{Flags, Header, Op};
///
/// let header = Header { mux: 7, flags: Flags::CRC | Flags::EOF, ..Header::new(Op::Request) };
/// assert_eq!(header.seq, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The call that the message belongs to; 0 is the link itself.
    pub mux: u64,
    /// The number of the message within its mux and direction, or the number of parts of a
    /// merged message.
    pub seq: u32,
    /// Milliseconds left to answer; 0 is no deadline.
    pub deadline_ms: u32,
    /// The handler called; 0 is none.
    pub handler: u8,
    /// What the message asks for or says.
    pub op: Op,
    /// How the message is to be read.
    pub flags: Flags,
}

impl Header {
    /// A header with this operation, everything else zero.
    #[inline]
    pub const fn new(op: Op) -> Self {
        Self { mux: 0, seq: 0, deadline_ms: 0, handler: 0, op, flags: Flags::empty() }
    }
}

/// One message, its payload borrowed.
///
/// The flags decide what follows the payload on the wire. `subroute` belongs to
/// [`Flags::SUBROUTE`]: without that flag it is not sent, and with the flag but without an id the
/// zero id is sent. Decoding gives an id exactly when the flag is set.
///
/// Only the length of the payload is shown by `Debug`, since a payload may hold secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MessageRef<'a> {
    /// The fixed fields.
    pub header: Header,
    /// Which of several handlers with one id is meant.
    pub subroute: Option<SubrouteId>,
    /// The payload; see [`MessageRef::is_nil`] if it is of length 0.
    pub payload: &'a [u8],
}

/// What [`MessageRef::decode`] found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The message.
    pub message: MessageRef<'a>,
    /// The bytes between its array and its trailers: the parts of a merged message, which
    /// [`for_each_message`](super::for_each_message) reads. In any other they mean nothing.
    pub rest: &'a [u8],
}

impl<'a> MessageRef<'a> {
    /// No message is more than this longer than its payload.
    pub(crate) const MAX_OVERHEAD: usize = MAX_HEADER_LEN + SubrouteId::LEN + CRC_LEN;

    /// The number of bytes that [`MessageRef::encode`] appends.
    pub fn encoded_len(&self) -> usize {
        let Header { mux, seq, deadline_ms, handler, op, flags } = self.header;
        let uints = uint_len(mux)
            + uint_len(seq.into())
            + uint_len(deadline_ms.into())
            + uint_len(handler.into())
            + uint_len(op.as_u8().into())
            + uint_len(flags.bits().into());
        1 + uints + bin_len(self.payload.len()) + trailers_len(flags)
    }

    /// Appends the message: the array, then the trailers that the flags ask for.
    ///
    /// # Panics
    /// If the payload is longer than 4 GiB, which the format cannot hold.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.prepare(&mut Prefix::empty()).encode(out);
    }

    /// Encodes what comes before the payload, so that the length of the whole is known; into `prefix`,
    /// which is empty.
    #[inline]
    pub(crate) fn prepare<'b>(&'b self, prefix: &'b mut Prefix) -> Prepared<'b> {
        prefix.put_header(&self.header, self.payload.len());
        Prepared { message: self, prefix }
    }

    /// Reads one message that takes up all of `bytes`.
    ///
    /// Bytes between the array and the trailers are legal and are given back as
    /// [`Decoded::rest`].
    ///
    /// # Errors
    /// If the bytes are not such a message, or its checksum is missing or differs.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Decoded<'a>, DecodeError> {
        let (header, payload, mut rest) = match common_array(bytes) {
            Some(array) => array,
            None => any_array(bytes)?,
        };
        if header.flags.contains(Flags::CRC) {
            rest = check_crc(bytes, rest)?;
        }
        let mut subroute = None;
        if header.flags.contains(Flags::SUBROUTE) {
            let Some((before, id)) = rest.split_last_chunk() else {
                return Err(truncated("subroute", SubrouteId::LEN, rest.len()).into());
            };
            rest = before;
            subroute = Some(SubrouteId::from_bytes(*id));
        }
        Ok(Decoded { message: Self { header, subroute, payload }, rest })
    }

    /// Whether the payload is nil, which is not the same as empty: of length 0, without
    /// [`Flags::PAYLOAD_IS_ZERO`].
    #[inline]
    pub fn is_nil(&self) -> bool {
        self.payload.is_empty() && !self.header.flags.contains(Flags::PAYLOAD_IS_ZERO)
    }

    /// The error that the payload is the text of, if [`Flags::PAYLOAD_IS_ERR`] says so. Bytes
    /// that are not UTF-8 are shown by replacement characters.
    pub fn error_text(&self) -> Option<Cow<'a, str>> {
        let is_error = self.header.flags.contains(Flags::PAYLOAD_IS_ERR);
        is_error.then(|| String::from_utf8_lossy(self.payload))
    }

    /// The message with a copy of the payload.
    pub fn to_message(&self) -> Message {
        self.to_message_with(Bytes::copy_from_slice)
    }

    /// The message with what `copy` makes of the payload.
    pub(crate) fn to_message_with(self, copy: impl FnOnce(&[u8]) -> Bytes) -> Message {
        let Self { header, subroute, payload } = self;
        Message { header, subroute, payload: copy(payload) }
    }

    /// The message with its payload a slice of `frame`, which it was decoded from; the payload is
    /// copied if it lies elsewhere.
    pub fn to_message_in(&self, frame: &Bytes) -> Message {
        let Self { header, subroute, payload } = *self;
        let (whole, part) = (frame.as_ptr_range(), payload.as_ptr_range());
        if whole.start <= part.start && part.end <= whole.end {
            Message { header, subroute, payload: frame.slice_ref(payload) }
        } else {
            self.to_message()
        }
    }
}

/// A message's array and what is in it: the header, the payload, and the bytes behind.
type Array<'a> = (Header, &'a [u8], &'a [u8]);

/// Reads the array in the form that nearly all have: in registers, without a word on what is wrong.
/// `None` if it has another form, or none.
#[inline(always)]
fn common_array(bytes: &[u8]) -> Option<Array<'_>> {
    let [ARRAY_OF_7, left @ ..] = bytes else { return None };
    let (mux, left) = common_uint(left)?;
    let (seq, left) = common_uint(left)?;
    let (deadline_ms, left) = common_uint(left)?;
    let (handler, left) = common_uint(left)?;
    let [op @ 0..=0x7f, flags @ 0..=0x7f, left @ ..] = left else { return None };
    let (payload, rest) = common_bin(left)?;
    let header = Header {
        mux,
        seq: seq.try_into().ok()?,
        deadline_ms: deadline_ms.try_into().ok()?,
        handler: handler.try_into().ok()?,
        op: Op::from_u8(*op),
        flags: Flags::from_bits_retain(*flags),
    };
    Some((header, payload, rest))
}

#[inline(always)]
fn common_uint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match *bytes {
        [number @ 0..=0x7f, ref left @ ..] => Some((number.into(), left)),
        [U8, number, ref left @ ..] => Some((number.into(), left)),
        [U16, a, b, ref left @ ..] => Some((u16::from_be_bytes([a, b]).into(), left)),
        [U32, a, b, c, d, ref left @ ..] => Some((u32::from_be_bytes([a, b, c, d]).into(), left)),
        [U64, a, b, c, d, e, f, g, h, ref left @ ..] => {
            Some((u64::from_be_bytes([a, b, c, d, e, f, g, h]), left))
        }
        _ => None,
    }
}

/// A byte string, and what is behind it.
#[inline(always)]
pub(super) fn common_bin(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match *bytes {
        [BIN8, len, ref left @ ..] => left.split_at_checked(len.into()),
        [BIN16, a, b, ref left @ ..] => left.split_at_checked(u16::from_be_bytes([a, b]).into()),
        [BIN32, a, b, c, d, ref left @ ..] => {
            left.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize)
        }
        _ => None,
    }
}

/// Reads the array in any legal form.
#[cold]
#[inline(never)]
fn any_array(bytes: &[u8]) -> Result<Array<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let elements = reader.array_len("message")?;
    if elements != 7 {
        return Err(DecodeError::Elements { found: elements });
    }
    let header = Header {
        mux: reader.unsigned("mux id")?,
        seq: reader.unsigned("seq")?,
        deadline_ms: reader.unsigned("deadline")?,
        handler: reader.unsigned("handler")?,
        op: Op::from_u8(reader.unsigned("op")?),
        flags: Flags::from_bits_retain(reader.unsigned("flags")?),
    };
    let payload = reader.bin("payload")?;
    Ok((header, payload, reader.left()))
}

/// A message of which all but the payload and what follows it is encoded.
pub(crate) struct Prepared<'a> {
    message: &'a MessageRef<'a>,
    /// Where it stays: to move bytes that have just been written one by one takes longer than that.
    prefix: &'a mut Prefix,
}

impl Prepared<'_> {
    /// The number of bytes that [`Self::encode`] appends.
    #[inline]
    pub(crate) fn encoded_len(&self) -> usize {
        let MessageRef { header, payload, .. } = self.message;
        self.prefix.len() + payload.len() + trailers_len(header.flags)
    }

    /// Appends the message.
    #[inline]
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let MessageRef { header, subroute, payload } = self.message;
        let start = out.len();
        out.reserve(self.encoded_len());
        out.extend_from_slice(self.prefix.as_slice());
        out.extend_from_slice(payload);
        encode_trailers(header.flags, subroute.as_ref(), start, out);
    }

    /// Appends the message as a part of a merged one: behind its length.
    #[inline]
    pub(crate) fn encode_part(&mut self, out: &mut Vec<u8>) {
        let len = self.encoded_len();
        let from = self.prefix.put_part_header(len);
        let MessageRef { header, subroute, payload } = self.message;
        let before = out.len();
        out.reserve(MAX_PREFIX_LEN + payload.len() + SubrouteId::LEN + CRC_LEN);
        // A copy of a length that is known here is a few instructions.
        out.extend_from_slice(self.prefix.fixed(from));
        out.truncate(before + self.prefix.end - from);
        out.extend_from_slice(payload);
        encode_trailers(header.flags, subroute.as_ref(), before + PART_HEADER - from, out);
    }
}

impl fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "MessageRef", &self.header, self.subroute.as_ref(), self.payload.len())
    }
}

impl fmt::Debug for Decoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded")
            .field("message", &self.message)
            .field("rest", &format_args!("{} bytes", self.rest.len()))
            .finish()
    }
}

/// One message that owns its payload; otherwise as [`MessageRef`].
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The fixed fields.
    pub header: Header,
    /// Which of several handlers with one id is meant.
    pub subroute: Option<SubrouteId>,
    /// The payload.
    pub payload: Bytes,
}

impl Message {
    /// Whether the payload is nil, which is not the same as empty.
    #[inline]
    pub fn is_nil(&self) -> bool {
        self.as_message_ref().is_nil()
    }

    /// The same message, its payload borrowed.
    #[inline]
    pub fn as_message_ref(&self) -> MessageRef<'_> {
        MessageRef { header: self.header, subroute: self.subroute, payload: &self.payload }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Message", &self.header, self.subroute.as_ref(), self.payload.len())
    }
}

fn debug(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    header: &Header,
    subroute: Option<&SubrouteId>,
    payload_len: usize,
) -> fmt::Result {
    f.debug_struct(name)
        .field("header", header)
        .field("subroute", &subroute)
        .field("payload", &format_args!("{payload_len} bytes"))
        .finish()
}

/// Appends a message up to its payload, for who writes the payload themselves.
///
/// To finish it, append exactly `payload_len` bytes and then what [`encode_trailers`] adds:
///
/// ```
/// use gridmux_core::wire::{Flags, Header, MessageRef, Op, encode_prefix, encode_trailers};
///
/// let header = Header { flags: Flags::CRC, ..Header::new(Op::Response) };
/// let mut out = Vec::new();
/// let start = out.len();
/// encode_prefix(&header, 5, &mut out);
/// out.extend_from_slice(b"hello");
/// encode_trailers(header.flags, None, start, &mut out);
///
/// let decoded = MessageRef::decode(&out)?;
/// assert_eq!(decoded.message, MessageRef { header, subroute: None, payload: b"hello" });
/// # Ok::<(), gridmux_core::wire::DecodeError>(())
/// ```
///
/// # Panics
/// If `payload_len` is more than 4 GiB, which the format cannot hold.
#[inline]
pub fn encode_prefix(header: &Header, payload_len: usize, out: &mut Vec<u8>) {
    let mut prefix = Prefix::empty();
    prefix.put_header(header, payload_len);
    out.extend_from_slice(prefix.as_slice());
}

/// Appends the trailers that `flags` ask for to the message that begins at `start` in `out`: the
/// subroute, then the checksum of all of the message before it.
///
/// # Panics
/// If `start` is beyond the end of `out`.
#[inline]
pub fn encode_trailers(
    flags: Flags,
    subroute: Option<&SubrouteId>,
    start: usize,
    out: &mut Vec<u8>,
) {
    if flags.contains(Flags::SUBROUTE) {
        let subroute = subroute.copied().unwrap_or_default();
        out.extend_from_slice(subroute.as_bytes());
    }
    if flags.contains(Flags::CRC) {
        let crc = crc(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }
}

/// Room for what comes before a message that is a part of another: the longest header of a bin value.
const PART_HEADER: usize = 5;
const MAX_PREFIX_LEN: usize = PART_HEADER + MAX_HEADER_LEN;

/// What comes before the payload, made here first: to write it costs less than to grow a vector by a
/// byte or two, nine times.
pub(crate) struct Prefix {
    /// The message begins at [`PART_HEADER`]. Behind the longest one there is padding, so that a copy
    /// may be of a fixed length.
    bytes: [u8; MAX_PREFIX_LEN + PART_HEADER],
    end: usize,
}

impl Prefix {
    #[inline(always)]
    pub(crate) const fn empty() -> Self {
        Self { bytes: [0; MAX_PREFIX_LEN + PART_HEADER], end: PART_HEADER }
    }

    #[inline]
    fn put_header(&mut self, header: &Header, payload_len: usize) {
        self.put([ARRAY_OF_7]);
        self.put_uint(header.mux);
        self.put_uint(header.seq.into());
        self.put_uint(header.deadline_ms.into());
        self.put_uint(header.handler.into());
        self.put_uint(header.op.as_u8().into());
        self.put_uint(header.flags.bits().into());
        self.put_bin_len(payload_len);
    }

    #[inline]
    const fn len(&self) -> usize {
        self.end - PART_HEADER
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        &self.bytes[PART_HEADER..self.end]
    }

    /// All bytes from here on, and padding.
    #[inline]
    fn fixed(&self, from: usize) -> &[u8; MAX_PREFIX_LEN] {
        self.bytes[from..].first_chunk().expect("it begins within the part header")
    }

    #[inline]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.end..self.end + N].copy_from_slice(&bytes);
        self.end += N;
    }

    /// In the shortest form that holds the number, as everywhere here.
    #[inline(always)]
    fn put_uint(&mut self, number: u64) {
        match number {
            0..=0x7f => self.put([number as u8]),
            _ => self.put_long_uint(number),
        }
    }

    fn put_long_uint(&mut self, number: u64) {
        match number {
            0..=0xff => self.put([U8, number as u8]),
            0x100..=0xffff => {
                let [a, b] = (number as u16).to_be_bytes();
                self.put([U16, a, b]);
            }
            0x1_0000..=0xffff_ffff => {
                let [a, b, c, d] = (number as u32).to_be_bytes();
                self.put([U32, a, b, c, d]);
            }
            _ => {
                let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
                self.put([U64, a, b, c, d, e, f, g, h]);
            }
        }
    }

    /// The header of a bin value.
    #[inline]
    fn put_bin_len(&mut self, len: usize) {
        match len {
            0..=0xff => self.put([BIN8, len as u8]),
            0x100..=0xffff => {
                let [a, b] = (len as u16).to_be_bytes();
                self.put([BIN16, a, b]);
            }
            _ => self.put(long_bin(len)),
        }
    }

    /// Puts the header of a bin value of this length before all the rest; where it begins.
    #[inline]
    fn put_part_header(&mut self, len: usize) -> usize {
        match len {
            0..=0xff => {
                self.bytes[3..PART_HEADER].copy_from_slice(&[BIN8, len as u8]);
                3
            }
            0x100..=0xffff => {
                let [a, b] = (len as u16).to_be_bytes();
                self.bytes[2..PART_HEADER].copy_from_slice(&[BIN16, a, b]);
                2
            }
            _ => {
                self.bytes[..PART_HEADER].copy_from_slice(&long_bin(len));
                0
            }
        }
    }
}

fn long_bin(len: usize) -> [u8; 5] {
    let len = u32::try_from(len).expect("MessagePack holds at most 4 GiB");
    let [a, b, c, d] = len.to_be_bytes();
    [BIN32, a, b, c, d]
}

/// Appends the header of a bin value.
pub(super) fn put_bin_len(len: usize, out: &mut Vec<u8>) {
    let mut prefix = Prefix::empty();
    prefix.put_bin_len(len);
    out.extend_from_slice(prefix.as_slice());
}

const fn uint_len(number: u64) -> usize {
    match number {
        0..=0x7f => 1,
        0x80..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// The length of a bin value and its header.
pub(super) const fn bin_len(len: usize) -> usize {
    let header = match len {
        0..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    };
    header + len
}

const fn trailers_len(flags: Flags) -> usize {
    let subroute = if flags.contains(Flags::SUBROUTE) { SubrouteId::LEN } else { 0 };
    let crc = if flags.contains(Flags::CRC) { CRC_LEN } else { 0 };
    subroute + crc
}

/// The low half of XXH3-64.
#[inline]
fn crc(bytes: &[u8]) -> u32 {
    XxHash3_64::oneshot(bytes) as u32
}

/// The checksum of bytes that come piece by piece.
#[derive(Default)]
pub(crate) struct Crc(XxHash3_64);

impl Crc {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// As it stands in a message.
    pub(crate) fn finish(&self) -> [u8; CRC_LEN] {
        (self.0.finish() as u32).to_le_bytes()
    }
}

impl fmt::Debug for Crc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Crc")
    }
}

/// Checks the checksum at the end of `bytes`, whose tail after the array is `rest`: gives `rest`
/// without the checksum.
#[inline]
fn check_crc<'a>(bytes: &[u8], rest: &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let Some((before, found)) = rest.split_last_chunk::<CRC_LEN>() else {
        return Err(truncated("crc", CRC_LEN, rest.len()).into());
    };
    let found = u32::from_le_bytes(*found);
    let expected = crc(&bytes[..bytes.len() - CRC_LEN]);
    if found == expected { Ok(before) } else { Err(DecodeError::Crc { expected, found }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Both readers of the array agree, on what nodes send and on damaged forms of it.
        #[test]
        fn what_is_read_the_short_way_is_what_is_read_the_long_way(
            (mux, seq, deadline_ms) in (any::<u64>(), any::<u32>(), any::<u32>()),
            (shift, handler, op, flags) in (0..64u32, any::<u8>(), 0..40u8, any::<u8>()),
            payload in prop_oneof![
                9 => proptest::collection::vec(any::<u8>(), 0..600),
                1 => Just(vec![7; 70_000]),
            ],
            damage in proptest::option::of((0..60usize, any::<u8>())),
            cut in proptest::option::of(any::<proptest::sample::Index>()),
        ) {
            let small = |number: u32| number.checked_shr(shift).unwrap_or(0);
            let header = Header {
                mux: mux >> shift,
                seq: small(seq),
                deadline_ms: small(deadline_ms),
                handler,
                op: Op::from_u8(op),
                flags: Flags::from_bits_retain(flags),
            };
            let mut bytes = Vec::new();
            encode_prefix(&header, payload.len(), &mut bytes);
            bytes.extend_from_slice(&payload);
            let whole = flags < 0x80 && damage.is_none() && cut.is_none();
            if let Some((at, byte)) = damage && let Some(damaged) = bytes.get_mut(at) {
                *damaged = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let short = common_array(&bytes);
            if let Some(array) = short {
                prop_assert_eq!(any_array(&bytes).expect("it is legal"), array);
            }
            prop_assert!(short.is_some() || !whole, "all that nodes send is read the short way");
        }

        #[test]
        fn a_part_is_the_message_behind_its_length(
            mux: u64,
            len in prop_oneof![0..300usize, 65_000..66_000usize],
            flags in proptest::sample::select(vec![Flags::empty(), Flags::CRC, Flags::CRC | Flags::SUBROUTE]),
        ) {
            let payload = vec![7; len];
            let header = Header { mux, flags, ..Header::new(Op::Request) };
            let message = MessageRef { header, subroute: None, payload: &payload };
            let mut expected = b"before".to_vec();
            put_bin_len(message.encoded_len(), &mut expected);
            message.encode(&mut expected);
            let mut part = b"before".to_vec();
            message.prepare(&mut Prefix::empty()).encode_part(&mut part);
            prop_assert!(part == expected);
        }
    }
}
