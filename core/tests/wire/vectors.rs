//! The recorded traffic decodes to what its description says, and encodes to the same bytes.

use crate::support::vectors::{self, Payload, Recorded, Sent};
use gridmux_core::wire::{
    Connect, ConnectResponse, DecodeError, Flags, Header, MERGE_HEADER_LEN, MessageRef,
    MuxConnectError, Op, Ping, Pong, SubrouteId, Timestamp, for_each_message, part_header_len,
    write_merge_header, write_part_header,
};
use serde_json::Value;

/// Larger than any recorded message.
const LIMIT: usize = 1 << 20;

#[test]
fn recorded_messages_decode_to_the_fields_described() {
    for recorded in vectors::all_messages() {
        let decoded = MessageRef::decode(&recorded.bytes).unwrap();
        let message = decoded.message;
        let expected = Header {
            mux: recorded.mux,
            seq: recorded.seq,
            deadline_ms: recorded.deadline_ms,
            handler: recorded.handler,
            op: recorded.op,
            flags: recorded.flags,
        };
        assert_eq!(message.header, expected);
        assert_eq!(message.subroute, recorded.subroute.map(SubrouteId::from_bytes));
        match &recorded.payload {
            Payload::Nil => assert!(message.is_nil(), "{message:?}"),
            Payload::Bytes(bytes) => {
                assert!(!message.is_nil(), "{message:?}");
                assert_eq!(message.payload, bytes);
            }
            Payload::Length(len) => assert_eq!(message.payload.len(), *len),
        }
        assert_eq!(recorded.crc.is_some(), recorded.flags.contains(Flags::CRC));
        if let Some(crc) = recorded.crc {
            assert!(recorded.bytes.ends_with(&crc.to_le_bytes()));
        }
        assert_eq!(decoded.rest.is_empty(), recorded.op != Op::Merged);
    }
}

#[test]
fn recorded_messages_encode_to_the_same_bytes() {
    for recorded in vectors::all_messages() {
        let Ok(decoded) = MessageRef::decode(&recorded.bytes) else { panic!("{recorded:?}") };
        // The parts of a merged message are the writer's to add: see below.
        let expected = &recorded.bytes[..recorded.bytes.len() - decoded.rest.len()];
        let mut out = b"before".to_vec();
        decoded.message.encode(&mut out);
        assert_eq!(&out[6..], expected);
        assert_eq!(decoded.message.encoded_len(), expected.len());
    }
}

#[test]
fn recorded_merged_messages_give_their_parts_in_order() {
    let mut merged = 0;
    for recorded in vectors::all_messages() {
        let expected = if recorded.op == Op::Merged {
            merged += 1;
            recorded.parts.iter().map(|part| part.bytes.as_slice()).collect()
        } else {
            vec![recorded.bytes.as_slice()]
        };
        let mut given = Vec::new();
        for_each_message(&recorded.bytes, LIMIT, |message| {
            let mut out = Vec::new();
            message.encode(&mut out);
            given.push(out);
        })
        .unwrap();
        assert_eq!(given, expected);
    }
    assert!(merged > 150, "{merged} merged messages");
}

#[test]
fn recorded_merged_messages_are_rebuilt_from_their_parts() {
    for recorded in vectors::all_messages() {
        if recorded.op != Op::Merged {
            continue;
        }
        let mut out = vec![0; MERGE_HEADER_LEN];
        for part in &recorded.parts {
            let before = out.len();
            write_part_header(part.bytes.len(), &mut out);
            assert_eq!(out.len() - before, part_header_len(part.bytes.len()));
            out.extend_from_slice(&part.bytes);
        }
        let count = u8::try_from(recorded.parts.len()).unwrap();
        write_merge_header(&mut out[..MERGE_HEADER_LEN], count);
        assert_eq!(out, recorded.bytes);
    }
}

#[test]
fn recorded_payload_maps_decode_to_the_body_described_and_encode_to_the_same_bytes() {
    let mut bodies = 0;
    for recorded in vectors::all_messages() {
        let Some(body) = &recorded.body else { continue };
        let Payload::Bytes(payload) = &recorded.payload else { panic!("{recorded:?}") };
        assert_eq!(&re_encoded(&recorded, payload, body), payload);
        bodies += 1;
    }
    assert!(bodies > 50, "{bodies} bodies");
}

/// Decodes the payload, compares it with `body` and encodes it again.
fn re_encoded(recorded: &Recorded, payload: &[u8], body: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match recorded.op {
        Op::Connect => {
            let connect = Connect::decode(payload).unwrap();
            assert_eq!(connect.id, id(body));
            assert_eq!(connect.host, text(&body["Host"]));
            assert_eq!(connect.time, time(&body["Time"]));
            assert_eq!(connect.token, text(&body["Token"]));
            connect.encode(&mut out);
        }
        Op::ConnectResponse => {
            let response = ConnectResponse::decode(payload).unwrap();
            assert_eq!(response.id, id(body));
            assert_eq!(Some(response.accepted), body["Accepted"].as_bool());
            assert_eq!(response.rejected_reason, text(&body["RejectedReason"]));
            response.encode(&mut out);
        }
        Op::MuxConnectError => {
            let error = MuxConnectError::decode(payload).unwrap();
            assert_eq!(error.error, text(&body["Error"]));
            error.encode(&mut out);
        }
        Op::Ping => {
            let ping = Ping::decode(payload).unwrap();
            assert_eq!(ping.time, time(&body["t"]));
            ping.encode(&mut out);
        }
        Op::Pong => {
            let pong = Pong::decode(payload).unwrap();
            assert_eq!(Some(pong.not_found), body["nf"].as_bool());
            assert_eq!(pong.error.as_deref(), body["e"].as_str());
            assert_eq!(pong.time, time(&body["t"]));
            pong.encode(&mut out);
        }
        _ => {
            let message = MessageRef::decode(&recorded.bytes).unwrap().message;
            let error = message.error_text().expect("a body is a map or an error");
            assert_eq!(error, text(&body["error"]));
            out.extend_from_slice(error.as_bytes());
        }
    }
    out
}

fn id(body: &Value) -> [u8; 16] {
    vectors::unhex_array(text(&body["ID"]["hex"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn time(value: &Value) -> Timestamp {
    Timestamp {
        seconds: value["seconds"].as_i64().unwrap(),
        nanos: u32::try_from(value["nanos"].as_u64().unwrap()).unwrap(),
    }
}

#[test]
fn recorded_subroute_ids_follow_from_handler_and_parts() {
    for recorded in vectors::subroutes() {
        let parts: Vec<&str> = recorded.parts.iter().map(String::as_str).collect();
        let id = SubrouteId::new(recorded.handler, &parts);
        assert_eq!(id.as_bytes(), &recorded.id);
        assert_eq!(id.handler(), recorded.handler);
        assert_eq!(id, SubrouteId::from_bytes(recorded.id));
    }
}

/// Which of the messages sent by hand do not parse is what closed their link, but for those that
/// the node refused for what they say.
#[test]
fn messages_sent_by_hand_parse_exactly_where_the_node_parsed_them() {
    let parse = |bytes: &[u8]| for_each_message(bytes, LIMIT, |_| ());
    for probe in vectors::probes() {
        let broken = probe.sent.iter().any(|sent| match sent {
            Sent::Message(bytes) => parse(bytes).is_err(),
            Sent::Frame { .. } | Sent::Http(_) => false,
        });
        let refused_for_its_content = [
            "upgrade with a wrong bearer token",
            "first message is a Ping",
            "Connect with a broken payload",
            "Connect with unknown host",
            "Connect with wrong token",
            "Connect from the side that should be dialled",
            "Connect without a Token key",
            "second Connect for the same pair: what the first link sees",
            "WebSocket close",
        ];
        if refused_for_its_content.contains(&probe.name.as_str()) {
            assert!(probe.link_closed && !broken, "{}", probe.name);
        } else {
            assert_eq!(broken, probe.link_closed, "{}", probe.name);
        }
    }
}

#[test]
fn connects_sent_by_hand_parse_as_the_node_parsed_them() {
    for probe in vectors::probes() {
        if !probe.name.starts_with("Connect with ") && probe.name != "Connect without a Token key" {
            continue;
        }
        let [Sent::Message(bytes)] = probe.sent.as_slice() else {
            continue;
        };
        let message = MessageRef::decode(bytes).unwrap().message;
        if message.header.op != Op::Connect {
            continue;
        }
        let connect = Connect::decode(message.payload);
        match probe.name.as_str() {
            "Connect with a broken payload" => {
                assert!(matches!(connect, Err(DecodeError::Truncated { .. })), "{connect:?}");
            }
            "Connect without a Token key" => assert_eq!(connect.unwrap().token, ""),
            "Connect with standard timestamp ext -1" => {
                let time = connect.unwrap().time;
                assert_eq!(time.seconds / 1000, 1_795_230, "{time:?}");
            }
            _ => assert!(connect.unwrap().host.starts_with("http://")),
        }
    }
}

#[test]
fn a_link_ping_without_a_payload_is_answered_with_its_zero_time() {
    let probes = vectors::probes();
    let probe = probes.iter().find(|probe| probe.name == "link ping without payload").unwrap();
    let Sent::Message(sent) = &probe.sent[0] else { panic!("{probe:?}") };
    let ping = Ping::decode(MessageRef::decode(sent).unwrap().message.payload).unwrap();
    assert_eq!(ping.time, Timestamp::ZERO);
    assert!(ping.time.is_zero());

    let received = probe.received[0].message().unwrap();
    let mut echo = Vec::new();
    Pong { time: ping.time, ..Pong::default() }.encode(&mut echo);
    assert_eq!(received.payload, Payload::Bytes(echo));
}
