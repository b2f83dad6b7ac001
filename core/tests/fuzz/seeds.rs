//! What the fuzzers begin with, made from the recorded traffic.

use std::collections::BTreeSet;

use gridmux_core::websocket::{Channel, ClientUpgrade, MAX_HEADER_LEN, Role};
use gridmux_core::wire::{Connect, Header, MessageRef, Op};

use super::targets::{NOW, Said, TOKEN, act, hold, names};
use super::vectors::{self, Event, Recorded, Side};

/// Longer ones teach a fuzzer no more, and slow it down.
const LONGEST: usize = 2048;

/// A file each, by name.
pub(super) fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let made = match target {
        "wire" => wire(),
        "websocket" => websocket(),
        "acceptor" => acceptor(),
        "payload" => payload(),
        "peers" => peers(),
        _ => panic!("no target {target}"),
    };
    let mut named: Vec<_> =
        made.into_iter().map(|(name, bytes)| (format!("seed-{name}"), bytes)).collect();
    named.sort();
    named
}

/// One message of each kind, and the payloads that the protocol reads.
fn wire() -> Vec<(String, Vec<u8>)> {
    let mut kinds = BTreeSet::new();
    let mut made = Vec::new();
    for recorded in vectors::distinct_messages() {
        let Recorded { bytes, op, flags, mux, deadline_ms, parts, .. } = &recorded;
        let kind = (op.name(), flags.bits(), *mux == 0, *deadline_ms == 0, parts.len());
        if bytes.len() > LONGEST || !kinds.insert(kind) {
            continue;
        }
        made.push((format!("message-{:02}", made.len()), bytes.clone()));
        if recorded.body.is_some() {
            let payload = MessageRef::decode(bytes).unwrap().message.payload;
            made.push((format!("payload-{:02}", made.len()), payload.to_vec()));
        }
    }
    made
}

/// Each side of each link.
fn websocket() -> Vec<(String, Vec<u8>)> {
    let mut made = Vec::new();
    for (name, entries) in vectors::links() {
        for (side, role, settings) in
            [(Side::Dialler, Role::Client, 0), (Side::Acceptor, Role::Server, 1)]
        {
            let mut channel = Channel::new(role, 1 << 20, 3);
            let mut bytes = vec![settings, 2, 0, 7, 1, 63, 20];
            for message in messages(&entries, side) {
                if bytes.len() + message.bytes.len() < LONGEST {
                    bytes.extend(sealed(&mut channel, &message.bytes));
                }
            }
            made.push((format!("{name}-{settings}"), bytes));
        }
    }
    made
}

/// Good strangers, and the heads that Go nodes send.
fn acceptor() -> Vec<(String, Vec<u8>)> {
    let mut made = Vec::new();
    let [own, other] = names();
    let (_, head) = ClientUpgrade::new(
        own.trim_start_matches("http://"),
        "/minio/grid/v1",
        TOKEN,
        i64::try_from(NOW.wall.to_unix_nanos()).unwrap().into(),
        [7; 16],
    )
    .unwrap();
    for (name, token) in [("good", TOKEN), ("wrong-token", "other")] {
        let mut payload = Vec::new();
        let hello =
            Connect { id: [9; 16], host: other.into(), time: NOW.wall, token: token.into() };
        hello.encode(&mut payload);
        let header = Header::new(Op::Connect);
        let mut frame = Vec::new();
        MessageRef { header, subroute: None, payload: &payload }.encode(&mut frame);
        let mut channel = Channel::new(Role::Client, 1 << 20, 3);
        let mut frame = sealed(&mut channel, &frame);
        // Calls that come right behind it.
        let recorded = vectors::link("singles");
        for message in messages(&recorded, Side::Dialler).skip(1).take(4) {
            frame.extend(sealed(&mut channel, &message.bytes));
        }
        for settings in 0..2 {
            let mut bytes = vec![settings, 9, 63, 2, 30];
            if settings & 1 == 0 {
                bytes.extend_from_slice(&head);
            }
            bytes.extend_from_slice(&frame);
            made.push((format!("{name}-{settings}"), bytes));
        }
    }
    for (name, entries) in vectors::links() {
        let Some(head) = entries.iter().find_map(|entry| match &entry.event {
            Event::Http(head) if entry.from == Side::Dialler => Some(head),
            _ => None,
        }) else {
            continue;
        };
        let mut bytes = vec![0, 3, 20, 63, 1];
        bytes.extend_from_slice(head.as_bytes());
        made.push((format!("head-{name}"), bytes));
    }
    made
}

/// Values as Go encodes them.
fn payload() -> Vec<(String, Vec<u8>)> {
    let all = vectors::read("payloads");
    let mut made = Vec::new();
    for (at, one) in all["payloads"].as_array().unwrap().iter().enumerate() {
        let choice = match one["type"].as_str().unwrap() {
            "MSS" => 0,
            "Bytes" => 1,
            "URLValues" => 2,
            "JSON" => 3,
            "NoPayload" => 4,
            "Array of Bytes" => 5,
            _ => 8,
        };
        let mut bytes = vec![choice];
        bytes.extend(vectors::unhex(one["hex"].as_str().unwrap()));
        bytes.truncate(LONGEST);
        made.push((format!("{at:02}"), bytes));
    }
    made
}

/// The messages of each link once more, with what an application does between them.
fn peers() -> Vec<(String, Vec<u8>)> {
    let mut made = Vec::new();
    for (name, entries) in vectors::links() {
        let mut bytes = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let Some(message) = entry.event.message() else { continue };
            let all = if message.parts.is_empty() {
                std::slice::from_ref(message)
            } else {
                &message.parts[..]
            };
            for message in all {
                bytes.extend(said(message, entry.from).to_bytes());
            }
            // Open, serve, take, and let 20 ms pass.
            let turn = at as u8;
            bytes.extend([2, turn & 1, turn.wrapping_mul(37), turn, 3]);
            bytes.extend([5, 20, 0]);
        }
        bytes.truncate(LONGEST);
        made.push((name.to_owned(), bytes));
    }
    made.extend(floods());
    made
}

/// Peers that let a node work for them and take nothing of what it sends.
fn floods() -> Vec<(String, Vec<u8>)> {
    let said = |op: Op, mux, times, handler, len| Said {
        to_dialler: false,
        times,
        mux,
        seq: u8::MAX,
        deadline: 0,
        handler,
        op: op.as_u8(),
        flags: 0,
        len,
    };
    let (item, request) = (Op::MuxClientMsg, Op::Request);
    // First of all: the other end would say that it knows nothing of such a stream.
    let mut credits = hold();
    credits.extend(said(Op::ConnectMux, 1, 0, 5, 0).to_bytes());
    let mut responses = hold();
    let mut pings = hold();
    let mut unknown = hold();
    for round in 0..150 {
        credits.extend(said(item, 1, 19, 0, 2).to_bytes());
        credits.extend(act("TakeInput"));
        responses.extend(said(request, 1 + round % 30, 0, 1, 2).to_bytes());
        responses.extend(act("Respond"));
        pings.extend(said(Op::Ping, 0, 50, 0, 0).to_bytes());
        unknown.extend(said(item, 2 + round % 28, 50, 0, 2).to_bytes());
    }
    let named = [
        ("flood-credits", credits),
        ("flood-responses", responses),
        ("flood-pings", pings),
        ("flood-unknown", unknown),
    ];
    named.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

fn said(message: &Recorded, from: Side) -> Said {
    Said {
        to_dialler: from == Side::Acceptor,
        times: 0,
        mux: u8::try_from(message.mux).unwrap_or(31),
        seq: u8::try_from(message.seq).unwrap_or(255),
        deadline: u8::from(message.deadline_ms > 0) * 3,
        handler: message.handler,
        op: message.op.as_u8(),
        flags: message.flags.bits(),
        len: 3,
    }
}

fn messages(entries: &[vectors::Entry], side: Side) -> impl Iterator<Item = &Recorded> {
    entries.iter().filter(move |entry| entry.from == side).filter_map(|entry| entry.event.message())
}

fn sealed(channel: &mut Channel, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; MAX_HEADER_LEN];
    frame.extend_from_slice(message);
    let start = channel.seal(&mut frame, MAX_HEADER_LEN);
    frame.split_off(start)
}
