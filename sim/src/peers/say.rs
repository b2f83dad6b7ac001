//! Messages, as bytes.

use gridmux_core::wire::{Flags, Header, MessageRef, Op, SubrouteId, write_part_header};

/// A message's bytes.
pub(super) fn encode(header: Header, subroute: Option<SubrouteId>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    MessageRef { header, subroute, payload }.encode(&mut bytes);
    bytes
}

/// A merged message that says it has `count` parts.
pub(super) fn merged<'a>(count: u32, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = encode(Header { seq: count, ..Header::new(Op::Merged) }, None, &[]);
    for part in parts {
        write_part_header(part.len(), &mut bytes);
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The flags that messages of a link have.
pub(super) const fn base(crc: bool) -> Flags {
    if crc { Flags::CRC } else { Flags::empty() }
}
