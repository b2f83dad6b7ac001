//! The payload maps and timestamps: what is read, and what is refused.

use std::time::{Duration, UNIX_EPOCH};

use gridmux_core::wire::{
    Connect, ConnectResponse, DecodeError, MuxConnectError, Ping, Pong, Timestamp,
};

/// A map of `len` entries written by hand.
fn map(len: u8, entries: &[&[u8]]) -> Vec<u8> {
    [&[0x80 | len], entries.concat().as_slice()].concat()
}

/// A short key or text.
fn text(text: &str) -> Vec<u8> {
    [&[0xa0 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

const TIME: [u8; 15] = [0xc7, 12, 5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9];

#[test]
fn keys_may_come_in_any_order_and_be_missing() {
    let payload = map(2, &[&text("Token"), &text("t"), &text("Time"), &TIME]);
    let connect = Connect::decode(&payload).unwrap();
    let time = Timestamp { seconds: 7, nanos: 9 };
    assert_eq!(connect, Connect { time, token: "t".to_owned(), ..Connect::default() });
}

#[test]
fn missing_keys_take_their_zero_value() {
    let empty = map(0, &[]);
    let zero = Timestamp { seconds: -62_135_596_800, nanos: 0 };
    let connect = Connect::decode(&empty).unwrap();
    assert_eq!(connect.id, [0; 16]);
    assert_eq!((connect.host.as_str(), connect.token.as_str()), ("", ""));
    assert_eq!(connect.time, zero);
    let response = ConnectResponse::decode(&empty).unwrap();
    assert_eq!(response, ConnectResponse::default());
    assert!(!response.accepted);
    assert_eq!(MuxConnectError::decode(&empty).unwrap().error, "");
    assert_eq!(Ping::decode(&empty).unwrap().time, zero);
    assert_eq!(Pong::decode(&empty).unwrap(), Pong { not_found: false, error: None, time: zero });
}

#[test]
fn the_last_of_two_equal_keys_counts_and_what_follows_the_map_does_not() {
    let payload = map(2, &[&text("Error"), &text("a"), &text("Error"), &text("b"), b"more"]);
    assert_eq!(MuxConnectError::decode(&payload).unwrap().error, "b");
}

#[test]
fn maps_are_read_in_every_format() {
    for header in [&[0x81u8] as &[u8], &[0xde, 0, 1], &[0xdf, 0, 0, 0, 1]] {
        let payload = [header, &text("Error"), &text("x")].concat();
        assert_eq!(MuxConnectError::decode(&payload).unwrap().error, "x");
    }
}

#[test]
fn texts_are_read_in_every_str_format() {
    for header in [&[0xa1u8] as &[u8], &[0xd9, 1], &[0xda, 0, 1], &[0xdb, 0, 0, 0, 1]] {
        let payload = map(1, &[&text("Error"), header, b"x"]);
        assert_eq!(MuxConnectError::decode(&payload).unwrap().error, "x");
    }
}

#[test]
fn unknown_keys_are_skipped_whatever_their_value_is() {
    let values: [&[u8]; 31] = [
        &[0],
        &[0xff],
        &[0xc0],
        &[0xc2],
        &[0xc3],
        &[0xcc, 1],
        &[0xcd, 1, 2],
        &[0xce, 1, 2, 3, 4],
        &[0xcf, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xd0, 1],
        &[0xd1, 1, 2],
        &[0xd2, 1, 2, 3, 4],
        &[0xd3, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xca, 1, 2, 3, 4],
        &[0xcb, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xa2, 1, 2],
        &[0xd9, 2, 1, 2],
        &[0xda, 0, 2, 1, 2],
        &[0xdb, 0, 0, 0, 2, 1, 2],
        &[0xc4, 2, 1, 2],
        &[0xc5, 0, 2, 1, 2],
        &[0xc6, 0, 0, 0, 2, 1, 2],
        &[0xd4, 1, 2],
        &[0xd5, 1, 2, 3],
        &[0xd6, 1, 2, 3, 4, 5],
        &[0xd7, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        &[0xd8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
        &[0xc7, 1, 2, 3],
        &[0xc8, 0, 1, 2, 3],
        &[0xc9, 0, 0, 0, 1, 2, 3],
        &[0x92, 0x81, 0xa1, b'k', 0x90, 0x80],
    ];
    let containers: [&[u8]; 6] = [
        &[0x91],
        &[0xdc, 0, 1],
        &[0xdd, 0, 0, 0, 1],
        &[0x81, 0xa1, b'k'],
        &[0xde, 0, 1, 0xa1, b'k'],
        &[0xdf, 0, 0, 0, 1, 0xa1, b'k'],
    ];
    for value in values {
        let check = |value: &[u8]| {
            let payload = map(2, &[&text("Later"), value, &text("Error"), &text("x")]);
            assert_eq!(MuxConnectError::decode(&payload).unwrap().error, "x", "{value:02x?}");
            // A value that is cut is refused.
            for cut in 0..value.len() {
                let payload = map(1, &[&text("Later"), &value[..cut]]);
                let error = MuxConnectError::decode(&payload).unwrap_err();
                assert!(matches!(error, DecodeError::Truncated { .. }), "{error:?}");
            }
        };
        check(value);
        for container in containers {
            check(&[container, value].concat());
        }
    }
}

/// A value nested so deep that recursion would exhaust the stack, in each map.
#[test]
fn deeply_nested_unknown_values_are_skipped() {
    for (nest, innermost) in [(&[0x91u8] as &[u8], 0xc0), (&[0x81, 0], 0x80), (&[0x81, 0x91], 0)] {
        let mut value = nest.repeat(100_000);
        value.push(innermost);
        if nest == [0x81, 0x91] {
            // Here the key is what nests: each map's value comes behind.
            value.extend(std::iter::repeat_n(0, 100_000));
        }
        let payload = map(1, &[&text("Later"), &value]);
        assert!(Connect::decode(&payload).is_ok());
        assert!(ConnectResponse::decode(&payload).is_ok());
        assert!(MuxConnectError::decode(&payload).is_ok());
        assert!(Ping::decode(&payload).is_ok());
        assert!(Pong::decode(&payload).is_ok());
    }
}

#[test]
fn claimed_lengths_beyond_the_payload_are_refused() {
    let claims: [&[u8]; 8] = [
        &[0xdb, 0xff, 0xff, 0xff, 0xff],
        &[0xc6, 0xff, 0xff, 0xff, 0xff],
        &[0xc9, 0xff, 0xff, 0xff, 0xff, 0],
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0xdf, 0xff, 0xff, 0xff, 0xff],
        // Each of the elements claims as many again.
        &[0xdd, 0, 0, 0, 2, 0xdd, 0xff, 0xff, 0xff, 0xff, 0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0xdf, 0, 0, 0, 1, 0xdf, 0xff, 0xff, 0xff, 0xff, 0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0xda, 0xff, 0xff],
    ];
    for claim in claims {
        let error = MuxConnectError::decode(&map(1, &[&text("Later"), claim])).unwrap_err();
        assert!(matches!(error, DecodeError::Truncated { .. }), "{error:?}");
        let known = MuxConnectError::decode(&map(1, &[&text("Error"), claim]));
        assert!(known.is_err(), "{known:?}");
    }
    // As many entries as a map can claim, of which there are none.
    let error = Connect::decode(&[0xdf, 0xff, 0xff, 0xff, 0xff]).unwrap_err();
    assert_eq!(error, DecodeError::Truncated { field: "key", needed: 1, left: 0 });
}

#[test]
fn values_of_another_type_are_refused() {
    let wrong = |field, expected, found| DecodeError::Type { field, expected, found };
    let entry = |key: &str, value: &[u8]| map(1, &[&text(key), value]);

    let error = Connect::decode(&entry("Host", &[0xc0])).unwrap_err();
    assert_eq!(error, wrong("Host", "str", "nil"));
    assert_eq!(error.to_string(), "Host: expected str, found nil");
    let error = Connect::decode(&entry("ID", &text("id"))).unwrap_err();
    assert_eq!(error, wrong("ID", "bin", "str"));
    let error = Connect::decode(&entry("Time", &[0xc0])).unwrap_err();
    assert_eq!(error, wrong("Time", "a timestamp", "nil"));
    let error = ConnectResponse::decode(&entry("Accepted", &[1])).unwrap_err();
    assert_eq!(error, wrong("Accepted", "a boolean", "an integer"));
    let error = Pong::decode(&entry("e", &[0xc2])).unwrap_err();
    assert_eq!(error, wrong("e", "str", "a boolean"));
    let error = Pong::decode(&entry("later", &[0xc1])).unwrap_err();
    assert_eq!(error, wrong("value of an unknown key", "a value", "the reserved byte c1"));
    let error = Pong::decode(&map(1, &[&[1], &[1]])).unwrap_err();
    assert_eq!(error, wrong("key", "str", "an integer"));
    let error = Pong::decode(&[0x93, 1, 2, 3]).unwrap_err();
    assert_eq!(error, wrong("payload", "a map", "an array"));
}

#[test]
fn an_id_of_another_length_is_refused() {
    for found in [0u8, 15, 17] {
        let value = [&[0xc4, found], vec![1; found.into()].as_slice()].concat();
        let error = Connect::decode(&map(1, &[&text("ID"), &value])).unwrap_err();
        let found = found.into();
        assert_eq!(error, DecodeError::Length { field: "ID", expected: 16, found });
    }
}

#[test]
fn names_must_be_utf8_and_texts_for_people_need_not() {
    let cut = [0xa2, b'x', 0xc3];
    let error = Connect::decode(&map(1, &[&text("Host"), &cut])).unwrap_err();
    assert_eq!(error, DecodeError::Utf8 { field: "Host", valid_up_to: 1 });
    let error = Connect::decode(&map(1, &[&text("Token"), &cut])).unwrap_err();
    assert_eq!(error, DecodeError::Utf8 { field: "Token", valid_up_to: 1 });

    let replaced = "x\u{fffd}";
    let response = ConnectResponse::decode(&map(1, &[&text("RejectedReason"), &cut])).unwrap();
    assert_eq!(response.rejected_reason, replaced);
    let refusal = MuxConnectError::decode(&map(1, &[&text("Error"), &cut])).unwrap();
    assert_eq!(refusal.error, replaced);
    let pong = Pong::decode(&map(1, &[&text("e"), &cut])).unwrap();
    assert_eq!(pong.error.as_deref(), Some(replaced));
}

#[test]
fn only_a_ping_may_be_without_a_payload() {
    let expected = DecodeError::Truncated { field: "payload", needed: 1, left: 0 };
    assert_eq!(Ping::decode(b""), Ok(Ping { time: Timestamp::ZERO }));
    assert_eq!(Pong::decode(b""), Err(expected.clone()));
    assert_eq!(Connect::decode(b""), Err(expected.clone()));
    assert_eq!(ConnectResponse::decode(b""), Err(expected.clone()));
    assert_eq!(MuxConnectError::decode(b""), Err(expected));
}

#[test]
fn debug_output_of_a_connect_does_not_show_the_token() {
    let connect = Connect { token: "hunter2".to_owned(), id: [0xab; 16], ..Connect::default() };
    for shown in [format!("{connect:?}"), format!("{connect:#?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains(&"ab".repeat(16)), "{shown}");
    }
}

#[test]
fn timestamps_are_read_in_all_their_forms() {
    let at = |seconds, nanos| Timestamp { seconds, nanos };
    let forms: [(Timestamp, &[u8]); 9] = [
        (at(7, 9), &TIME),
        (at(-1, 9), &[0xc7, 12, 5, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 9]),
        (at(0xffff_ffff, 0), &[0xd6, 0xff, 255, 255, 255, 255]),
        (at(7, 9), &[0xd7, 0xff, 0, 0, 0, 9 << 2, 0, 0, 0, 7]),
        (at(0x3_0000_0007, 9), &[0xd7, 0xff, 0, 0, 0, (9 << 2) | 3, 0, 0, 0, 7]),
        (at(-1, 9), &[0xc7, 12, 0xff, 0, 0, 0, 9, 255, 255, 255, 255, 255, 255, 255, 255]),
        // The same in longer extension headers.
        (at(7, 0), &[0xc7, 4, 0xff, 0, 0, 0, 7]),
        (at(7, 9), &[0xc8, 0, 12, 5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9]),
        (at(7, 9), &[0xc9, 0, 0, 0, 8, 0xff, 0, 0, 0, 9 << 2, 0, 0, 0, 7]),
    ];
    for (expected, bytes) in forms {
        assert_eq!(Timestamp::decode(bytes), Ok(expected), "{bytes:02x?}");
        for cut in 0..bytes.len() {
            let error = Timestamp::decode(&bytes[..cut]).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated { .. }), "{error:?}");
        }
    }
}

#[test]
fn other_extensions_are_refused() {
    let extensions: [(i8, usize, &[u8]); 5] = [
        (5, 8, &[0xd7, 5, 0, 0, 0, 0, 0, 0, 0, 0]),
        (5, 11, &[0xc7, 11, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (-1, 16, &[0xd8, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (4, 12, &[0xc7, 12, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (-1, 0, &[0xc7, 0, 0xff]),
    ];
    for (kind, len, bytes) in extensions {
        let error = Timestamp::decode(bytes).unwrap_err();
        assert_eq!(error, DecodeError::Extension { field: "timestamp", kind, len });
    }
}

#[test]
fn a_billion_nanoseconds_are_refused() {
    let billion = 1_000_000_000u32;
    let go = [&[0xc7, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0], billion.to_be_bytes().as_slice()].concat();
    let packed = (u64::from(billion) << 34).to_be_bytes();
    let standard_8 = [&[0xd7, 0xff], packed.as_slice()].concat();
    let standard_12 = [&[0xc7, 12, 0xff], billion.to_be_bytes().as_slice(), &[0; 8]].concat();
    for bytes in [go, standard_8, standard_12] {
        let error = Timestamp::decode(&bytes).unwrap_err();
        assert_eq!(error, DecodeError::Nanoseconds { field: "timestamp", found: billion });
    }
}

#[test]
fn arithmetic_stops_at_the_ends() {
    let last = Timestamp { seconds: i64::MAX, nanos: 999_999_999 };
    let first = Timestamp { seconds: i64::MIN, nanos: 0 };
    assert_eq!(Timestamp::from_unix_nanos(i128::MAX), last);
    for nanos in [0, 1_500_000_000] {
        let span = Duration::from_nanos(nanos);
        let after = Timestamp::from(UNIX_EPOCH + span);
        assert_eq!(after.to_unix_nanos(), i128::from(nanos));
        let before = Timestamp::from(UNIX_EPOCH - span);
        assert_eq!(before.to_unix_nanos(), -i128::from(nanos));
    }
    assert_eq!(Timestamp::from_unix_nanos(i128::MIN), first);
    assert_eq!(last.saturating_add(Duration::from_nanos(1)), last);
    assert_eq!(first.saturating_add(Duration::MAX), last);
    assert_eq!(first.abs_diff(last), Duration::MAX);
    let before_the_epoch = Timestamp { seconds: -1, nanos: 999_999_999 };
    assert_eq!(Timestamp::from_unix_nanos(-1), before_the_epoch);
    assert_eq!(before_the_epoch.to_unix_nanos(), -1);
    assert!(Timestamp::ZERO.is_zero() && !before_the_epoch.is_zero());
    assert_eq!(Timestamp::default(), Timestamp::ZERO);
}
