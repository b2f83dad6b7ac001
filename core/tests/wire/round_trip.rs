//! What is encoded decodes to the same value, and no bytes make decoding panic.

use std::time::Duration;

use bytes::Bytes;
use gridmux_core::wire::{
    Connect, ConnectResponse, Flags, Header, MAX_PARTS, MERGE_HEADER_LEN, MessageRef,
    MuxConnectError, Op, Ping, Pong, SubrouteId, Timestamp, encode_prefix, for_each_message,
    part_header_len, write_merge_header, write_part_header,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Numbers of every encoded width.
fn uint(max: u64) -> impl Strategy<Value = u64> {
    (0..64u32, any::<u64>()).prop_map(move |(shift, number)| (number >> shift) & max)
}

fn header() -> impl Strategy<Value = Header> {
    let u32s = || uint(u32::MAX.into()).prop_map(|number| u32::try_from(number).unwrap());
    (uint(u64::MAX), u32s(), u32s(), any::<u8>(), any::<u8>(), any::<u8>()).prop_map(
        |(mux, seq, deadline_ms, handler, op, flags)| Header {
            mux,
            seq,
            deadline_ms,
            handler,
            op: Op::from_u8(op),
            flags: Flags::from_bits_retain(flags),
        },
    )
}

/// A message whose subroute is there if its flags say so.
fn message() -> impl Strategy<Value = (Header, Option<SubrouteId>, Vec<u8>)> {
    let payload = prop_oneof![
        3 => vec(any::<u8>(), 0..=40),
        1 => vec(any::<u8>(), 250..=260),
        1 => (65_530..=65_540usize, any::<u8>()).prop_map(|(len, byte)| std::vec![byte; len]),
    ];
    (header(), any::<[u8; 32]>(), payload).prop_map(|(header, id, payload)| {
        let has_subroute = header.flags.contains(Flags::SUBROUTE);
        (header, has_subroute.then_some(SubrouteId::from_bytes(id)), payload)
    })
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

/// Failed cases are kept beside this file.
fn config() -> ProptestConfig {
    let persistence = FileFailurePersistence::WithSource("regressions");
    ProptestConfig { failure_persistence: Some(Box::new(persistence)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn messages_round_trip((header, subroute, payload) in message()) {
        let message = MessageRef { header, subroute, payload: &payload };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        prop_assert_eq!(bytes.len(), message.encoded_len());
        let decoded = MessageRef::decode(&bytes).unwrap();
        prop_assert_eq!(decoded.message, message);
        prop_assert!(decoded.rest.is_empty());
    }

    #[test]
    fn owned_messages_hold_the_same((header, subroute, payload) in message()) {
        let mut bytes = Vec::new();
        MessageRef { header, subroute, payload: &payload }.encode(&mut bytes);
        let frame = Bytes::from(bytes);
        let message = MessageRef::decode(&frame).unwrap().message;
        let sliced = message.to_message_in(&frame);
        prop_assert_eq!(sliced.as_message_ref(), message);
        let in_frame = frame.as_ptr_range().contains(&sliced.payload.as_ptr());
        prop_assert_eq!(in_frame, !payload.is_empty());
        prop_assert_eq!(message.to_message(), message.to_message_in(&Bytes::new()));
        prop_assert_eq!(message.to_message(), sliced);
    }

    #[test]
    fn merged_messages_round_trip(parts in vec(message(), 0..=MAX_PARTS)) {
        let mut frame = vec![0; MERGE_HEADER_LEN];
        let mut expected = Vec::new();
        for (header, subroute, payload) in &parts {
            let message = MessageRef { header: *header, subroute: *subroute, payload };
            let len = message.encoded_len();
            let before = frame.len();
            write_part_header(len, &mut frame);
            message.encode(&mut frame);
            prop_assert_eq!(frame.len() - before, part_header_len(len) + len);
            // A merged message within a merged one is ignored.
            if message.header.op != Op::Merged {
                expected.push(message);
            }
        }
        let count = u8::try_from(parts.len()).unwrap();
        write_merge_header(&mut frame[..MERGE_HEADER_LEN], count);
        let mut given = Vec::new();
        for_each_message(&frame, 1 << 20, |message| given.push(message)).unwrap();
        prop_assert_eq!(given, expected);
    }

    #[test]
    fn payload_maps_round_trip(
        id in any::<[u8; 16]>(),
        (name, text) in any::<(String, String)>(),
        time in timestamp(),
        flag in any::<bool>(),
        error in any::<Option<String>>(),
    ) {
        let mut out = Vec::new();
        let connect = Connect { id, host: name.clone(), time, token: text.clone() };
        connect.encode(&mut out);
        prop_assert_eq!(Connect::decode(&out).unwrap(), connect);

        out.clear();
        let response = ConnectResponse { id, accepted: flag, rejected_reason: text };
        response.encode(&mut out);
        prop_assert_eq!(ConnectResponse::decode(&out).unwrap(), response);

        out.clear();
        let refusal = MuxConnectError { error: name };
        refusal.encode(&mut out);
        prop_assert_eq!(MuxConnectError::decode(&out).unwrap(), refusal);

        out.clear();
        let ping = Ping { time };
        ping.encode(&mut out);
        prop_assert_eq!(Ping::decode(&out).unwrap(), ping);

        out.clear();
        let pong = Pong { not_found: flag, error, time };
        pong.encode(&mut out);
        prop_assert_eq!(Pong::decode(&out).unwrap(), pong);
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in vec(any::<u8>(), 0..=300)) {
        decode_all(&bytes);
    }

    /// As above, but starting as a message does, so that the reading gets further.
    #[test]
    fn no_bytes_behind_a_header_make_decoding_panic(
        header in header(),
        len in 0..=70_000usize,
        tail in vec(any::<u8>(), 0..=100),
    ) {
        let mut bytes = Vec::new();
        encode_prefix(&header, len, &mut bytes);
        bytes.extend_from_slice(&tail);
        decode_all(&bytes);
    }

    #[test]
    fn timestamps_round_trip_through_nanoseconds(time in timestamp()) {
        prop_assert_eq!(Timestamp::from_unix_nanos(time.to_unix_nanos()), time);
    }

    #[test]
    fn adding_the_difference_gives_the_later_time(a in timestamp(), b in timestamp()) {
        prop_assert_eq!(a.abs_diff(b), b.abs_diff(a));
        prop_assert_eq!(a.min(b).saturating_add(a.abs_diff(b)), a.max(b));
        prop_assert_eq!(a.saturating_add(Duration::ZERO), a);
    }
}

fn decode_all(bytes: &[u8]) {
    let _ = MessageRef::decode(bytes);
    let _ = for_each_message(bytes, 1 << 16, |_| ());
    let _ = Connect::decode(bytes);
    let _ = ConnectResponse::decode(bytes);
    let _ = MuxConnectError::decode(bytes);
    let _ = Ping::decode(bytes);
    let _ = Pong::decode(bytes);
    let _ = Timestamp::decode(bytes);
}

#[test]
fn every_op_and_every_flag_combination_round_trips() {
    for number in 0..=u8::MAX {
        assert_eq!(Op::from_u8(number).as_u8(), number);
        let known = (1..=17).contains(&number);
        assert_eq!(matches!(Op::from_u8(number), Op::Unknown(_)), !known);
        for op in [Op::from_u8(number), Op::Request] {
            let flags = Flags::from_bits_retain(number);
            let has_subroute = flags.contains(Flags::SUBROUTE);
            let subroute = has_subroute.then(|| SubrouteId::new(9, &["a", "b"]));
            let header = Header { flags, ..Header::new(op) };
            let message = MessageRef { header, subroute, payload: b"payload" };
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            let decoded = MessageRef::decode(&bytes).unwrap();
            assert_eq!(decoded.message, message);
            assert_eq!(decoded.message.header.flags.bits(), number);
        }
    }
}

#[test]
fn the_flags_decide_whether_a_subroute_is_sent() {
    let id = SubrouteId::new(9, &["a"]);
    let encode = |flags, subroute| {
        let header = Header { flags, ..Header::new(Op::Request) };
        let mut bytes = Vec::new();
        let message = MessageRef { header, subroute, payload: b"" };
        message.encode(&mut bytes);
        assert_eq!(bytes.len(), message.encoded_len());
        bytes
    };
    let found = |bytes: &[u8]| MessageRef::decode(bytes).unwrap().message.subroute;
    assert_eq!(found(&encode(Flags::empty(), Some(id))), None);
    assert_eq!(found(&encode(Flags::SUBROUTE, Some(id))), Some(id));
    assert_eq!(found(&encode(Flags::SUBROUTE, None)), Some(SubrouteId::default()));
}
