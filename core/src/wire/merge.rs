//! Several messages in one.

use super::message::{bin_len, common_bin, put_bin_len};
use super::reader::Reader;
use super::{DecodeError, MessageRef, Op};

/// The length of what [`write_merge_header`] writes.
pub const MERGE_HEADER_LEN: usize = 9;

/// The most parts that we put into one message, as a Go node does (PROTOCOL.md section 3).
pub const MAX_PARTS: usize = 51;

/// The most parts that a reader takes in one message: many times what any node sends. Without this
/// limit a frame of 16 MiB could hold 1.5 million messages, which one turn would have to handle.
pub const MAX_PARTS_READ: u32 = 1024;

/// The count is one byte long only up to this number.
const _: () = assert!(MAX_PARTS < 0x80);

/// Writes the message that the parts follow (PROTOCOL.md section 3).
///
/// Its length is the same for every count, so a writer may leave room for it, append each part
/// behind [its header](write_part_header), and write this at the end.
///
/// # Panics
/// If `out` is not [`MERGE_HEADER_LEN`] bytes long, or `parts` is more than [`MAX_PARTS`].
pub fn write_merge_header(out: &mut [u8], parts: u8) {
    assert!(usize::from(parts) <= MAX_PARTS, "{parts} parts, at most {MAX_PARTS} allowed");
    let op = Op::Merged.as_u8();
    out.copy_from_slice(&[0x97, 0, parts, 0, 0, op, 0, 0xc4, 0]);
}

/// The length of what [`write_part_header`] writes.
pub const fn part_header_len(part_len: usize) -> usize {
    bin_len(part_len) - part_len
}

/// Appends what comes before a part of this length within a merged message.
///
/// # Panics
/// If `part_len` is more than 4 GiB, which the format cannot hold.
pub fn write_part_header(part_len: usize, out: &mut Vec<u8>) {
    put_bin_len(part_len, out);
}

/// Gives the messages in `frame`, which is one WebSocket message, in their order: the frame
/// itself, or the parts of a merged one (PROTOCOL.md section 3).
///
/// Parts beyond the announced count, and a merged message among the parts, are passed over. A
/// count of 0 or 1 is legal; more than [`MAX_PARTS_READ`] parts are an error, after those that fit.
/// A message or a part may be `max_message` bytes long; a merged frame may be longer than that, and
/// is limited by who reads the frame.
///
/// # Errors
/// If the frame or a part is not a message or is too long, or parts are missing. Messages before
/// the fault have been given by then; nothing after it is.
pub fn for_each_message<'a>(
    frame: &'a [u8],
    max_message: usize,
    mut f: impl FnMut(MessageRef<'a>),
) -> Result<(), DecodeError> {
    let outer = MessageRef::decode(frame)?;
    if outer.message.header.op != Op::Merged {
        check_len(frame, max_message)?;
        f(outer.message);
        return Ok(());
    }
    let expected = outer.message.header.seq;
    let mut left = outer.rest;
    for found in 0..expected {
        if left.is_empty() {
            return Err(DecodeError::MissingParts { expected, found });
        }
        if found == MAX_PARTS_READ {
            return Err(DecodeError::TooManyParts { found: expected, max: MAX_PARTS_READ });
        }
        let (part, behind) = match common_bin(left) {
            Some(part) => part,
            None => any_part(left)?,
        };
        left = behind;
        check_len(part, max_message)?;
        let message = MessageRef::decode(part)?.message;
        if message.header.op != Op::Merged {
            f(message);
        }
        if planted!(
            TailLostAfterClose,
            matches!(message.header.op, Op::DisconnectServerMux | Op::DisconnectClientMux)
        ) {
            return Ok(());
        }
    }
    Ok(())
}

/// One part, read with care: an error says what is wrong with it.
#[cold]
fn any_part(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let mut reader = Reader::new(bytes);
    let part = reader.bin("part")?;
    Ok((part, reader.left()))
}

#[inline]
fn check_len(message: &[u8], max: usize) -> Result<(), DecodeError> {
    if message.len() > max {
        return Err(DecodeError::TooLong { found: message.len(), max });
    }
    Ok(())
}
