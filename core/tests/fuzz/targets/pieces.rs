//! The same bytes in other reads.

use bytes::BytesMut;

/// Cuts `bytes` into pieces of at least one byte, whose lengths are `steps` in turn, each doubled as
/// often as its two highest bits say, so that both short and long ones are easy to reach.
pub(super) fn pieces<'a>(bytes: &'a [u8], steps: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    let mut at = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let step = steps.get(at % steps.len().max(1)).copied().unwrap_or(u8::MAX);
        at += 1;
        let len = usize::from(step & 0x3f) << (4 * (step >> 6));
        let (piece, behind) = rest.split_at(len.clamp(1, rest.len()));
        rest = behind;
        Some(piece)
    })
}

/// Appends to a read buffer as much of `piece` as one read may.
pub(super) fn fill(buf: &mut BytesMut, piece: &mut &[u8]) -> usize {
    let len = piece.len().min(buf.capacity() - buf.len());
    assert!(len > 0, "a read needs room");
    buf.extend_from_slice(&piece[..len]);
    *piece = &piece[len..];
    len
}
