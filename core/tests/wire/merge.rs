//! Several messages in one: what is given, what is passed over, and what is refused.

use gridmux_core::wire::{
    DecodeError, Flags, Header, MAX_PARTS, MAX_PARTS_READ, MERGE_HEADER_LEN, MessageRef, Op,
    SubrouteId, encode_trailers, for_each_message, part_header_len, write_merge_header,
    write_part_header,
};

const LIMIT: usize = 1 << 20;

/// A small message about this mux.
fn part(mux: u64) -> Vec<u8> {
    let header = Header { mux, flags: Flags::CRC, ..Header::new(Op::Request) };
    let mut bytes = Vec::new();
    MessageRef { header, subroute: None, payload: b"payload" }.encode(&mut bytes);
    bytes
}

/// A merged message that announces `count` parts and has these.
fn merged(count: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = vec![0; MERGE_HEADER_LEN];
    write_merge_header(&mut frame, count);
    for part in parts {
        write_part_header(part.len(), &mut frame);
        frame.extend_from_slice(part);
    }
    frame
}

/// The muxes of the messages given, and how it ended.
fn read(frame: &[u8]) -> (Vec<u64>, Result<(), DecodeError>) {
    read_up_to(frame, LIMIT)
}

fn read_up_to(frame: &[u8], max: usize) -> (Vec<u64>, Result<(), DecodeError>) {
    let mut muxes = Vec::new();
    let end = for_each_message(frame, max, |message| muxes.push(message.header.mux));
    (muxes, end)
}

#[test]
fn a_lone_message_is_given() {
    assert_eq!(read(&part(7)), (vec![7], Ok(())));
}

#[test]
fn parts_are_given_in_order() {
    assert_eq!(read(&merged(3, &[part(2), part(1), part(3)])), (vec![2, 1, 3], Ok(())));
}

#[test]
fn more_parts_than_we_send_are_read() {
    let mut frame = merged(0, &vec![part(1); 1000]);
    // A count of two bytes.
    frame.splice(2..3, [0xcd, 0x03, 0xe8]);
    assert_eq!(read(&frame), (vec![1; 1000], Ok(())));
}

#[test]
fn parts_beyond_the_limit_of_a_reader_are_refused_after_those_that_fit() {
    let max = usize::try_from(MAX_PARTS_READ).unwrap();
    for (parts, end) in [
        (max, Ok(())),
        (
            max + 1,
            Err(DecodeError::TooManyParts { found: MAX_PARTS_READ + 1, max: MAX_PARTS_READ }),
        ),
    ] {
        let mut frame = merged(0, &vec![part(1); parts]);
        let count = u16::try_from(parts).unwrap().to_be_bytes();
        frame.splice(2..3, [0xcd, count[0], count[1]]);
        assert_eq!(read(&frame), (vec![1; max], end));
    }
}

#[test]
fn no_part_and_one_part_are_legal() {
    assert_eq!(read(&merged(0, &[])), (vec![], Ok(())));
    assert_eq!(read(&merged(1, &[part(1)])), (vec![1], Ok(())));
}

#[test]
fn what_is_beyond_the_count_is_ignored() {
    assert_eq!(read(&merged(1, &[part(1), part(2)])), (vec![1], Ok(())));
    assert_eq!(read(&merged(1, &[part(1), b"junk".to_vec()])), (vec![1], Ok(())));
    let frame = [merged(1, &[part(1)]).as_slice(), b"\xc1"].concat();
    assert_eq!(read(&frame), (vec![1], Ok(())));
    assert_eq!(read(&merged(0, &[part(1)])), (vec![], Ok(())));
}

#[test]
fn a_merged_message_among_the_parts_is_ignored() {
    let inner = merged(2, &[part(8), part(9)]);
    assert_eq!(read(&merged(3, &[part(1), inner, part(2)])), (vec![1, 2], Ok(())));
    // Its own parts are not even looked at.
    let broken = merged(9, &[b"junk".to_vec()]);
    assert_eq!(read(&merged(2, &[broken, part(2)])), (vec![2], Ok(())));
}

#[test]
fn a_count_too_high_fails_after_the_parts_that_are_there() {
    let (given, end) = read(&merged(4, &[part(1), part(2)]));
    assert_eq!(given, [1, 2]);
    assert_eq!(end, Err(DecodeError::MissingParts { expected: 4, found: 2 }));

    let mut frame = merged(0, &[part(1)]);
    frame.splice(2..3, [0xce, 0xff, 0xff, 0xff, 0xff]);
    let (given, end) = read(&frame);
    assert_eq!(given, [1]);
    assert_eq!(end, Err(DecodeError::MissingParts { expected: u32::MAX, found: 1 }));
}

#[test]
fn a_broken_part_fails_after_the_parts_before_it() {
    let mut wrong = part(2);
    *wrong.last_mut().unwrap() ^= 1;
    let broken = [
        merged(3, &[part(1), wrong, part(3)]),
        merged(3, &[part(1), vec![0xff, 0xff], part(3)]),
        merged(3, &[part(1), vec![], part(3)]),
        // A part that claims more than there is, and one that is not bin.
        [merged(2, &[part(1)]).as_slice(), &[0xc6, 0xff, 0xff, 0xff, 0xff, 0x97]].concat(),
        [merged(2, &[part(1)]).as_slice(), &[0xa1, b'x']].concat(),
    ];
    for frame in broken {
        let (given, end) = read(&frame);
        assert_eq!(given, [1]);
        assert!(end.is_err(), "{frame:02x?}");
    }
}

#[test]
fn an_empty_frame_is_refused() {
    let end = Err(DecodeError::Truncated { field: "message", needed: 1, left: 0 });
    assert_eq!(read(b""), (vec![], end));
}

#[test]
fn the_limit_holds_for_each_message_and_not_for_the_merged_frame() {
    let len = part(1).len();
    let too_long = Err(DecodeError::TooLong { found: len, max: len - 1 });
    assert_eq!(read_up_to(&part(1), len), (vec![1], Ok(())));
    assert_eq!(read_up_to(&part(1), len - 1), (vec![], too_long.clone()));
    let frame = merged(2, &[part(1), part(2)]);
    assert_eq!(read_up_to(&frame, len), (vec![1, 2], Ok(())));
    assert_eq!(read_up_to(&frame, len - 1), (vec![], too_long));

    let mut longer = Vec::new();
    let header = Header::new(Op::Request);
    MessageRef { header, subroute: None, payload: &[0; 100] }.encode(&mut longer);
    let too_long = Err(DecodeError::TooLong { found: longer.len(), max: len });
    let frame = merged(3, &[part(1), longer, part(3)]);
    assert_eq!(read_up_to(&frame, len), (vec![1], too_long));
}

/// The outer message has no trailers as a rule, but its flags are obeyed as any other's.
#[test]
fn trailers_of_the_outer_message_are_checked_and_left_out_of_the_parts() {
    for flags in [Flags::CRC, Flags::SUBROUTE, Flags::CRC | Flags::SUBROUTE] {
        let mut frame = merged(2, &[part(1), part(2)]);
        frame[6] = flags.bits();
        let id = SubrouteId::new(1, &["a"]);
        encode_trailers(flags, Some(&id), 0, &mut frame);
        assert_eq!(read(&frame), (vec![1, 2], Ok(())));
        // A part too many is looked for before the trailers, not in them.
        frame[2] = 3;
        assert!(read(&frame).1.is_err());

        if flags.contains(Flags::CRC) {
            frame[2] = 2;
            let at = frame.len() - 1;
            frame[at] ^= 1;
            let (given, end) = read(&frame);
            assert!(matches!(end, Err(DecodeError::Crc { .. })), "{end:?}");
            assert!(given.is_empty());
        }
    }
}

#[test]
fn headers_are_as_long_as_announced() {
    for len in [0, 1, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff] {
        let mut out = Vec::new();
        write_part_header(len, &mut out);
        assert_eq!(out.len(), part_header_len(len));
    }
    for parts in 0..=MAX_PARTS {
        let parts = u8::try_from(parts).unwrap();
        let mut out = [0xff; MERGE_HEADER_LEN];
        write_merge_header(&mut out, parts);
        let message = MessageRef::decode(&out).unwrap().message;
        let header = Header { seq: parts.into(), ..Header::new(Op::Merged) };
        assert_eq!(message, MessageRef { header, subroute: None, payload: b"" });
    }
}

#[test]
#[should_panic(expected = "at most 51")]
fn writing_more_parts_than_allowed_is_a_bug() {
    write_merge_header(&mut [0; MERGE_HEADER_LEN], 52);
}
