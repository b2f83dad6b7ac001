//! Frame headers (RFC 6455 section 5.2).
//!
//! Written out here, and not taken from `tungstenite`, so that each violation is noticed at its
//! first byte and a length in a longer form than needed is noticed at all.

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::channel::Role;
use super::error::WebSocketError;

/// The longest frame header, in bytes: two, eight of length, four of mask.
pub const MAX_HEADER_LEN: usize = 14;

/// The longest payload of a ping, pong or close, in bytes (RFC 6455 section 5.5).
pub(super) const MAX_CONTROL_LEN: usize = 125;

const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const OPCODE_BITS: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH_BITS: u8 = 0x7f;
const LENGTH_IS_U16: u8 = 126;
const LENGTH_IS_U64: u8 = 127;

/// A frame header that keeps all rules that can be told without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) fin: bool,
    /// Never a reserved one.
    pub(super) opcode: OpCode,
    pub(super) mask: Option<[u8; 4]>,
    /// Bytes of payload. At most [`MAX_CONTROL_LEN`] in a control frame.
    pub(super) payload_len: u64,
    /// Bytes of this header.
    pub(super) len: usize,
}

/// Reads the header at the front of `bytes`; `None` if more is needed.
///
/// `role` is the reader's. `in_message` tells whether a fragmented message is unfinished. Checks
/// are in the order of the bytes, so the error does not depend on how they arrive.
#[inline]
pub(super) fn parse(
    bytes: &[u8],
    role: Role,
    in_message: bool,
) -> Result<Option<Header>, WebSocketError> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let fin = first & FIN != 0;
    let opcode = check_first(first, in_message)?;

    let Some((&second, rest)) = rest.split_first() else {
        return Ok(None);
    };
    let masked = second & MASKED != 0;
    match role {
        Role::Server if !masked => return Err(WebSocketError::NotMasked),
        Role::Client if masked => return Err(WebSocketError::Masked),
        Role::Server | Role::Client => {}
    }
    let short = second & LENGTH_BITS;
    if matches!(opcode, OpCode::Control(_)) && usize::from(short) > MAX_CONTROL_LEN {
        return Err(WebSocketError::LongControl);
    }

    let Some((payload_len, rest)) = read_length(short, rest)? else {
        return Ok(None);
    };
    let (mask, rest) = if masked {
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        (Some(*mask), rest)
    } else {
        (None, rest)
    };
    let len = bytes.len() - rest.len();
    Ok(Some(Header { fin, opcode, mask, payload_len, len }))
}

/// What the first byte alone can break.
fn check_first(first: u8, in_message: bool) -> Result<OpCode, WebSocketError> {
    if first & RESERVED_BITS != 0 {
        return Err(WebSocketError::ReservedBits);
    }
    let opcode = OpCode::from(first & OPCODE_BITS);
    match opcode {
        OpCode::Data(Data::Reserved(code)) | OpCode::Control(Control::Reserved(code)) => {
            Err(WebSocketError::UnknownOpcode(code))
        }
        OpCode::Control(_) if first & FIN == 0 => Err(WebSocketError::FragmentedControl),
        OpCode::Data(Data::Continue) if !in_message => Err(WebSocketError::StrayContinuation),
        OpCode::Data(Data::Text | Data::Binary) if in_message => {
            Err(WebSocketError::InterleavedMessage)
        }
        OpCode::Control(_) | OpCode::Data(_) => Ok(opcode),
    }
}

/// The payload's length, and what lies behind it; `None` if more is needed.
fn read_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, WebSocketError> {
    match short {
        LENGTH_IS_U16 => {
            let Some((length, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let length = u64::from(u16::from_be_bytes(*length));
            if length < u64::from(LENGTH_IS_U16) {
                return Err(WebSocketError::NonMinimalLength);
            }
            Ok(Some((length, rest)))
        }
        LENGTH_IS_U64 => {
            let Some((length, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let length = u64::from_be_bytes(*length);
            if length >> 63 != 0 {
                return Err(WebSocketError::LengthTopBit);
            }
            if length <= u64::from(u16::MAX) {
                return Err(WebSocketError::NonMinimalLength);
            }
            Ok(Some((length, rest)))
        }
        length => Ok(Some((u64::from(length), rest))),
    }
}

/// Bytes of the header of an unfragmented frame.
pub(super) fn header_len(payload_len: usize, masked: bool) -> usize {
    let length = match payload_len {
        0..=125 => 0,
        126..=0xffff => 2,
        _ => 8,
    };
    2 + length + if masked { 4 } else { 0 }
}

/// Writes the header of an unfragmented frame into `out`, which is [`header_len`] long.
pub(super) fn write(out: &mut [u8], opcode: OpCode, payload_len: usize, mask: Option<[u8; 4]>) {
    let mut header = [0; MAX_HEADER_LEN];
    let mask_bit = if mask.is_some() { MASKED } else { 0 };
    header[0] = FIN | u8::from(opcode);
    let mut at = 2;
    match payload_len {
        0..=125 => header[1] = mask_bit | payload_len as u8,
        126..=0xffff => {
            header[1] = mask_bit | LENGTH_IS_U16;
            header[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
            at = 4;
        }
        _ => {
            header[1] = mask_bit | LENGTH_IS_U64;
            header[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
            at = 10;
        }
    }
    if let Some(mask) = mask {
        header[at..at + 4].copy_from_slice(&mask);
        at += 4;
    }
    out.copy_from_slice(&header[..at]);
}
