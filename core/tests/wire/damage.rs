//! What is left of a message, or changed in it, is refused.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::vectors::{self, Recorded};
use gridmux_core::wire::{
    DecodeError, Flags, Header, MessageRef, Op, encode_prefix, encode_trailers, for_each_message,
    part_header_len,
};

const LIMIT: usize = 1 << 20;

/// One message of each shape: the same op, flags and length mean the same reading.
fn shapes() -> impl Iterator<Item = Recorded> {
    let key = |message: &Recorded| (message.op.as_u8(), message.flags.bits(), message.bytes.len());
    let shapes: BTreeMap<_, _> =
        vectors::distinct_messages().into_iter().map(|message| (key(&message), message)).collect();
    assert!(shapes.len() > 100, "{} shapes", shapes.len());
    shapes.into_values()
}

/// Nothing that was sent is the beginning of anything else that was sent.
///
/// A reader of a single message cannot see everything: of a message without a checksum, the bytes
/// between the array and the trailers may go missing, since they mean nothing. That is only ever
/// so for merged messages, whose parts they are, and there a missing part is noticed.
#[test]
fn every_truncated_message_is_refused() {
    for recorded in vectors::distinct_messages() {
        let whole = MessageRef::decode(&recorded.bytes).unwrap();
        let without_rest = recorded.bytes.len() - whole.rest.len();
        for len in 0..recorded.bytes.len() {
            let prefix = &recorded.bytes[..len];
            let parts = for_each_message(prefix, LIMIT, |_| ());
            assert!(parts.is_err(), "{len} of {recorded:?}");
            let ignorable = !recorded.flags.contains(Flags::CRC) && len >= without_rest;
            assert_eq!(MessageRef::decode(prefix).is_ok(), ignorable, "{len} of {recorded:?}");
        }
    }
}

#[test]
fn a_message_without_checksum_loses_only_bytes_that_mean_nothing() {
    let header = Header::new(Op::Response);
    let mut frame = Vec::new();
    MessageRef { header, subroute: None, payload: b"all" }.encode(&mut frame);
    let len = frame.len();
    frame.extend_from_slice(b"ignored");
    for cut in 0..=frame.len() {
        let decoded = MessageRef::decode(&frame[..cut]);
        assert_eq!(decoded.is_ok(), cut >= len, "{decoded:?}");
        if let Ok(decoded) = decoded {
            assert_eq!(decoded.message, MessageRef { header, subroute: None, payload: b"all" });
            assert_eq!(decoded.rest, &b"ignored"[..cut - len]);
        }
    }
}

/// Every other value at every position of a message with a checksum.
///
/// The flags say whether there is a checksum, and nothing guards the flags. So a change is let
/// through exactly if the changed bytes read as a message **without** [`Flags::CRC`]; all else is
/// refused. Such a change is to the flags themselves, or to a byte before them, from where it makes
/// another byte be read as the flags; from behind them they cannot be reached.
#[test]
fn every_single_changed_byte_is_refused_unless_it_clears_the_checksum_flag() {
    let recorded = shapes().filter(|message| message.flags.contains(Flags::CRC));
    for bytes in recorded.map(|message| message.bytes) {
        let slipped = slipped_positions(&bytes);
        // None of the recordings has a header that can be read in another way.
        assert_eq!(slipped, [flags_position(&bytes)].into(), "{bytes:02x?}");
    }
}

/// The other kind of change that nothing can notice: the first byte of the deadline becomes a
/// number of its own, and the four bytes behind it become handler, op, flags and payload.
#[test]
fn a_changed_byte_that_makes_another_one_the_flags_is_the_only_other_one_let_through() {
    let header =
        Header { deadline_ms: 0x010e_02c4, handler: 2, flags: Flags::CRC, ..Header::new(Op::Pong) };
    let mut bytes = Vec::new();
    MessageRef { header, subroute: None, payload: b"payload" }.encode(&mut bytes);
    assert_eq!(slipped_positions(&bytes), [3, flags_position(&bytes)].into());

    bytes[3] = 5;
    let message = MessageRef::decode(&bytes).unwrap().message;
    assert_eq!(message.header.op, Op::Request);
    assert_eq!(message.header.flags, Flags::EOF);
}

/// Where a message can be changed without being refused. Fails if such a change is not covered by
/// the rule above.
fn slipped_positions(bytes: &[u8]) -> BTreeSet<usize> {
    let flags_at = flags_position(bytes);
    let mut slipped = BTreeSet::new();
    let mut bytes = bytes.to_vec();
    for position in 0..bytes.len() {
        let right = bytes[position];
        for wrong in wrong_values(right, position, bytes.len()) {
            bytes[position] = wrong;
            if let Ok(decoded) = MessageRef::decode(&bytes) {
                let flags = decoded.message.header.flags;
                assert!(!flags.contains(Flags::CRC), "{position}: {right} -> {wrong}");
                assert!(position <= flags_at, "{position}: {right} -> {wrong}");
                slipped.insert(position);
            }
        }
        bytes[position] = right;
    }
    slipped
}

/// Over this length, most bytes are changed in one way only: each change costs reading all of it.
const LONG: usize = 4096;

/// All other values; in a long message those with one other bit, and beside the ends and some
/// places between only one of those.
fn wrong_values(right: u8, at: usize, len: usize) -> impl Iterator<Item = u8> {
    let thorough = at < 24 || at >= len - 8 || at.is_multiple_of(4099);
    (1..=u8::MAX)
        .filter(move |change| len <= LONG || change.is_power_of_two())
        .filter(move |change| len <= LONG || thorough || *change == 1 << (at % 8))
        .map(move |change| right ^ change)
}

/// Where the flags are in a message that was written as we write it.
fn flags_position(bytes: &[u8]) -> usize {
    let message = MessageRef::decode(bytes).unwrap().message;
    let mut prefix = Vec::new();
    encode_prefix(&message.header, message.payload.len(), &mut prefix);
    prefix.len() - part_header_len(message.payload.len()) - 1
}

#[test]
fn a_missing_checksum_is_named() {
    let header = Header { flags: Flags::CRC, ..Header::new(Op::AckMux) };
    let mut bytes = Vec::new();
    encode_prefix(&header, 0, &mut bytes);
    let error = MessageRef::decode(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::Truncated { field: "crc", needed: 4, left: 0 });
    assert_eq!(error.to_string(), "crc: 4 bytes needed, 0 left");
}

#[test]
fn a_different_checksum_is_named() {
    let header = Header { flags: Flags::CRC, ..Header::new(Op::AckMux) };
    let mut bytes = Vec::new();
    MessageRef { header, subroute: None, payload: b"" }.encode(&mut bytes);
    let at = bytes.len() - 4;
    let expected = u32::from_le_bytes(bytes[at..].try_into().unwrap());
    bytes[at..].copy_from_slice(&(!expected).to_le_bytes());
    let error = MessageRef::decode(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::Crc { expected, found: !expected });
}

#[test]
fn a_missing_subroute_is_named() {
    for (flags, crc_len) in [(Flags::SUBROUTE, 0), (Flags::SUBROUTE | Flags::CRC, 4)] {
        let header = Header { flags, ..Header::new(Op::Request) };
        let plain = Header { flags: flags - Flags::SUBROUTE, ..header };
        let mut bytes = Vec::new();
        MessageRef { header: plain, subroute: None, payload: b"p" }.encode(&mut bytes);
        // The same array with the flag set, and a right checksum where there is one.
        bytes.truncate(bytes.len() - crc_len);
        let flags_at = bytes.len() - 4;
        bytes[flags_at] = flags.bits();
        encode_trailers(plain.flags, None, 0, &mut bytes);
        let error = MessageRef::decode(&bytes).unwrap_err();
        assert_eq!(error, DecodeError::Truncated { field: "subroute", needed: 32, left: 0 });
    }
}
