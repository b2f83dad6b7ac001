//! How the seven elements may be written, and what is refused.

use std::borrow::Cow;

use gridmux_core::wire::{DecodeError, Flags, Header, MessageRef, Op};

/// A message with its elements written by hand.
fn message(array: &[u8], elements: [&[u8]; 7]) -> Vec<u8> {
    [array, &elements.concat()].concat()
}

/// The elements of a small message.
const SMALL: [&[u8]; 7] = [&[1], &[2], &[3], &[4], &[14], &[0], &[0xc4, 1, b'x']];
const NAMES: [&str; 6] = ["mux id", "seq", "deadline", "handler", "op", "flags"];
const BITS: [u32; 6] = [64, 32, 32, 8, 8, 8];

fn with(index: usize, element: &[u8]) -> Vec<u8> {
    let mut elements = SMALL;
    elements[index] = element;
    message(&[0x97], elements)
}

fn header(bytes: &[u8]) -> Result<Header, DecodeError> {
    MessageRef::decode(bytes).map(|decoded| decoded.message.header)
}

fn fields(header: Header) -> [u64; 6] {
    [
        header.mux,
        header.seq.into(),
        header.deadline_ms.into(),
        header.handler.into(),
        header.op.as_u8().into(),
        header.flags.bits().into(),
    ]
}

#[test]
fn integers_are_written_in_the_smallest_form() {
    let table: [(u64, &[u8]); 10] = [
        (0, &[0]),
        (0x7f, &[0x7f]),
        (0x80, &[0xcc, 0x80]),
        (0xff, &[0xcc, 0xff]),
        (0x100, &[0xcd, 1, 0]),
        (0xffff, &[0xcd, 0xff, 0xff]),
        (0x1_0000, &[0xce, 0, 1, 0, 0]),
        (0xffff_ffff, &[0xce, 0xff, 0xff, 0xff, 0xff]),
        (0x1_0000_0000, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
        (u64::MAX, &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    ];
    for (number, form) in table {
        let mut fields = Header { mux: number, ..Header::new(Op::Request) };
        let mut expected = [form, &[0], &[0], &[0], &[14], &[0], &[0xc4, 0]];
        if let Ok(number) = u32::try_from(number) {
            (fields.seq, fields.deadline_ms) = (number, number);
            (expected[1], expected[2]) = (form, form);
        }
        if let Ok(number) = u8::try_from(number) {
            fields.handler = number;
            expected[3] = form;
        }
        let message = MessageRef { header: fields, subroute: None, payload: b"" };
        let mut out = Vec::new();
        message.encode(&mut out);
        assert_eq!(out, self::message(&[0x97], expected), "{number:#x}");
        assert_eq!(out.len(), message.encoded_len());
    }
}

#[test]
fn op_and_flags_beyond_127_take_two_bytes() {
    let header = Header { flags: Flags::from_bits_retain(0xc0), ..Header::new(Op::Unknown(200)) };
    let message = MessageRef { header, subroute: None, payload: b"" };
    let mut out = Vec::new();
    message.encode(&mut out);
    assert_eq!(out, [0x97, 0, 0, 0, 0, 0xcc, 200, 0xcc, 0xc0, 0xc4, 0]);
    assert_eq!(out.len(), message.encoded_len());
}

#[test]
fn every_integer_format_is_read_in_every_field() {
    let forms: [&[u8]; 9] = [
        &[9],
        &[0xcc, 9],
        &[0xcd, 0, 9],
        &[0xce, 0, 0, 0, 9],
        &[0xcf, 0, 0, 0, 0, 0, 0, 0, 9],
        &[0xd0, 9],
        &[0xd1, 0, 9],
        &[0xd2, 0, 0, 0, 9],
        &[0xd3, 0, 0, 0, 0, 0, 0, 0, 9],
    ];
    for form in forms {
        for index in 0..5 {
            let mut expected = [1, 2, 3, 4, 14, 0];
            expected[index] = 9;
            assert_eq!(fields(header(&with(index, form)).unwrap()), expected, "{form:02x?}");
        }
        // 9 as flags is a checksum that is missing: reading got as far as that.
        let error = header(&with(5, form)).unwrap_err();
        assert_eq!(error, DecodeError::Truncated { field: "crc", needed: 4, left: 0 });
    }
}

#[test]
fn the_largest_number_of_each_field_is_read() {
    let full = [0xff; 8];
    for (index, bits) in BITS.into_iter().enumerate().take(5) {
        let bytes = &full[..bits as usize / 8];
        let marker = match bits {
            8 => 0xcc,
            32 => 0xce,
            _ => 0xcf,
        };
        let found = header(&with(index, &[&[marker], bytes].concat())).unwrap();
        assert_eq!(fields(found)[index], u64::MAX >> (64 - bits), "{}", NAMES[index]);
    }
}

#[test]
fn numbers_too_large_for_their_field_are_refused() {
    for (index, bits) in BITS.into_iter().enumerate().skip(1) {
        for marker in [0xcf, 0xd3] {
            let number = 1u64 << bits;
            let form = [&[marker], number.to_be_bytes().as_slice()].concat();
            let error = header(&with(index, &form)).unwrap_err();
            let expected = DecodeError::Range { field: NAMES[index], bits, found: number.into() };
            assert_eq!(error, expected);
        }
    }
}

#[test]
fn negative_numbers_are_refused() {
    let forms: [(i128, &[u8]); 6] = [
        (-1, &[0xff]),
        (-32, &[0xe0]),
        (-128, &[0xd0, 0x80]),
        (-2, &[0xd1, 0xff, 0xfe]),
        (-2, &[0xd2, 0xff, 0xff, 0xff, 0xfe]),
        (i64::MIN.into(), &[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (found, form) in forms {
        for index in 0..6 {
            let error = header(&with(index, form)).unwrap_err();
            let (field, bits) = (NAMES[index], BITS[index]);
            assert_eq!(error, DecodeError::Range { field, bits, found });
        }
    }
}

#[test]
fn other_types_than_integers_are_refused() {
    let others: [(&str, &[u8]); 10] = [
        ("nil", &[0xc0]),
        ("the reserved byte c1", &[0xc1]),
        ("a boolean", &[0xc3]),
        ("bin", &[0xc4, 0]),
        ("an extension", &[0xd4, 0, 0]),
        ("a float", &[0xca, 0, 0, 0, 0]),
        ("a float", &[0xcb, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("str", &[0xa0]),
        ("an array", &[0x90]),
        ("a map", &[0x80]),
    ];
    for (found, form) in others {
        for (index, field) in NAMES.into_iter().enumerate() {
            let error = header(&with(index, form)).unwrap_err();
            assert_eq!(error, DecodeError::Type { field, expected: "an integer", found });
        }
    }
}

#[test]
fn arrays_of_seven_are_read_in_every_format() {
    for array in [&[0x97u8] as &[u8], &[0xdc, 0, 7], &[0xdd, 0, 0, 0, 7]] {
        let found = header(&message(array, SMALL)).unwrap();
        assert_eq!(fields(found), [1, 2, 3, 4, 14, 0], "{array:02x?}");
    }
}

#[test]
fn arrays_of_another_length_are_refused() {
    let arrays: [(u32, &[u8]); 8] = [
        (0, &[0x90]),
        (6, &[0x96]),
        (8, &[0x98]),
        (6, &[0xdc, 0, 6]),
        (8, &[0xdc, 0, 8]),
        (0x107, &[0xdc, 1, 7]),
        (8, &[0xdd, 0, 0, 0, 8]),
        (u32::MAX, &[0xdd, 0xff, 0xff, 0xff, 0xff]),
    ];
    for (found, array) in arrays {
        let error = header(&message(array, SMALL)).unwrap_err();
        assert_eq!(error, DecodeError::Elements { found }, "{array:02x?}");
    }
}

#[test]
fn what_is_no_array_is_refused() {
    let expected = "an array";
    for (found, bytes) in [("nil", 0xc0), ("a map", 0x87), ("an integer", 7), ("str", 0xa7)] {
        let error = header(&message(&[bytes], SMALL)).unwrap_err();
        assert_eq!(error, DecodeError::Type { field: "message", expected, found });
    }
    let error = header(b"").unwrap_err();
    assert_eq!(error, DecodeError::Truncated { field: "message", needed: 1, left: 0 });
}

#[test]
fn payloads_are_read_in_every_bin_format() {
    for payload in [&[0xc4u8, 1, b'x'] as &[u8], &[0xc5, 0, 1, b'x'], &[0xc6, 0, 0, 0, 1, b'x']] {
        let bytes = with(6, payload);
        let decoded = MessageRef::decode(&bytes).unwrap();
        assert_eq!(decoded.message.payload, b"x");
    }
}

#[test]
fn payloads_are_written_in_the_smallest_bin_format() {
    let lengths: [(usize, &[u8]); 6] = [
        (0, &[0xc4, 0]),
        (0xff, &[0xc4, 0xff]),
        (0x100, &[0xc5, 1, 0]),
        (0xffff, &[0xc5, 0xff, 0xff]),
        (0x1_0000, &[0xc6, 0, 1, 0, 0]),
        (0x10_0000, &[0xc6, 0, 0x10, 0, 0]),
    ];
    for (len, form) in lengths {
        let payload = vec![7; len];
        let message =
            MessageRef { header: Header::new(Op::Request), subroute: None, payload: &payload };
        let mut out = Vec::new();
        message.encode(&mut out);
        assert_eq!(&out[7..7 + form.len()], form);
        assert_eq!(out.len(), message.encoded_len());
        assert_eq!(MessageRef::decode(&out).unwrap().message, message);
    }
}

#[test]
fn payloads_of_another_type_are_refused() {
    let others: [(&str, &[u8]); 4] = [
        ("str", &[0xa1, b'x']),
        ("str", &[0xd9, 1, b'x']),
        ("nil", &[0xc0]),
        ("an array", &[0x90]),
    ];
    for (found, payload) in others {
        let error = header(&with(6, payload)).unwrap_err();
        assert_eq!(error, DecodeError::Type { field: "payload", expected: "bin", found });
    }
}

#[test]
fn a_payload_longer_than_the_message_is_refused() {
    let claims: [(usize, &[u8]); 3] = [
        (0xff, &[0xc4, 0xff]),
        (0xffff, &[0xc5, 0xff, 0xff]),
        (0xffff_ffff, &[0xc6, 0xff, 0xff, 0xff, 0xff]),
    ];
    for (needed, claim) in claims {
        let error = header(&with(6, &[claim, b"few"].concat())).unwrap_err();
        assert_eq!(error, DecodeError::Truncated { field: "payload", needed, left: 3 });
    }
}

#[test]
fn nil_and_empty_payloads_are_told_apart_by_a_flag() {
    let nil = |flags, payload| {
        let header = Header { flags, ..Header::new(Op::Request) };
        MessageRef { header, subroute: None, payload }.is_nil()
    };
    assert!(nil(Flags::EOF, b""));
    assert!(!nil(Flags::PAYLOAD_IS_ZERO, b""));
    assert!(!nil(Flags::empty(), b"x"));
    assert!(!nil(Flags::PAYLOAD_IS_ZERO, b"x"));
}

#[test]
fn an_error_text_is_given_only_where_the_flag_says_so() {
    let text = |flags, payload| {
        let header = Header { flags, ..Header::new(Op::Response) };
        let message = MessageRef { header, subroute: None, payload };
        message.error_text().map(Cow::into_owned)
    };
    assert_eq!(text(Flags::EOF, b"no"), None);
    assert_eq!(text(Flags::PAYLOAD_IS_ERR, b""), Some(String::new()));
    assert_eq!(text(Flags::PAYLOAD_IS_ERR, "größe".as_bytes()), Some("größe".to_owned()));
    assert_eq!(text(Flags::PAYLOAD_IS_ERR, b"cut \xc3"), Some("cut \u{fffd}".to_owned()));
}

#[test]
fn debug_output_shows_the_length_of_a_payload_only() {
    let header = Header::new(Op::Connect);
    let message = MessageRef { header, subroute: None, payload: b"secret" };
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes.extend_from_slice(b"secret");
    let decoded = MessageRef::decode(&bytes).unwrap();
    let secret = format!("{:?}", b"secret");
    let inner = secret.trim_matches(['[', ']']);
    for shown in [format!("{decoded:?}"), format!("{:?}", message.to_message())] {
        assert!(shown.contains("6 bytes"), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains(inner), "{shown}");
    }
}

#[test]
fn ops_show_their_names() {
    assert_eq!(Op::MuxConnectError.to_string(), "MuxConnectError");
    assert_eq!(Op::from_u8(40).to_string(), "Unknown(40)");
    assert_eq!(Op::from_u8(40).name(), "Unknown");
    assert_eq!(Op::from_u8(0), Op::Unknown(0));
}
