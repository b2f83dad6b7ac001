//! The decoder, by recorded traffic and by hand.

use gridmux_sim::monitor::{Body, Crc, Damage, Kind, Message, Op, Payload, Role, Seen, Tap, flag};

use crate::support::{Draft, frame, head, merged, put_bin, seen};
use crate::vectors::{self, Event, Recorded, Side};

/// One side's part of a connection, as it was on the wire.
struct Stream {
    from: Role,
    bytes: Vec<u8>,
    events: Vec<Event>,
}

/// One side's part of a recorded link: every head begins another connection.
fn streams(link: &str, side: Side) -> Vec<Stream> {
    let from = match side {
        Side::Dialler => Role::Dialler,
        Side::Acceptor => Role::Acceptor,
    };
    let mut streams: Vec<Stream> = Vec::new();
    for entry in vectors::link(link).into_iter().filter(|entry| entry.from == side) {
        if matches!(entry.event, Event::Http(_)) {
            streams.push(Stream { from, bytes: Vec::new(), events: Vec::new() });
        }
        let stream = streams.last_mut().unwrap();
        match &entry.event {
            Event::Http(head) => stream.bytes.extend(head.as_bytes()),
            Event::Frame { opcode, bytes } => {
                stream.bytes.extend(frame(from, *opcode, true, bytes));
            }
            Event::Message(message) => {
                stream.bytes.extend(frame(from, 2, true, &message.bytes));
            }
        }
        stream.events.push(entry.event);
    }
    streams
}

fn all_streams<'a>(links: &'a [&'a str]) -> impl Iterator<Item = (&'a str, Stream)> {
    let of = |link: &'a str| {
        let sides = [Side::Dialler, Side::Acceptor];
        sides.into_iter().flat_map(move |side| streams(link, side)).map(move |s| (link, s))
    };
    links.iter().flat_map(move |link| of(link))
}

fn assert_described(message: &Message, recorded: &Recorded) {
    assert_eq!(message.mux, recorded.mux);
    assert_eq!(message.seq, recorded.seq);
    assert_eq!(message.deadline_ms, recorded.deadline_ms);
    assert_eq!(message.handler, recorded.handler);
    assert_eq!(message.op.number(), recorded.op.as_u8());
    assert_eq!(message.flags, recorded.flags.bits());
    assert_eq!(message.subroute, recorded.subroute);
    assert_eq!(message.crc == Crc::Good, recorded.crc.is_some(), "{message:?}");
    assert_ne!(message.crc, Crc::Bad);
    assert_eq!(message.encoded_len, recorded.bytes.len());
    assert!(message.canonical && message.torn.is_none(), "{message:?}");
    match &recorded.payload {
        vectors::Payload::Nil => assert!(message.is_nil()),
        vectors::Payload::Bytes(bytes) => assert_eq!(message.payload, Payload::of(bytes)),
        vectors::Payload::Length(len) => assert_eq!(message.payload.len, *len),
    }
    assert_body(message, recorded);
    assert_eq!(message.parts.len(), recorded.parts.len());
    for (part, recorded) in message.parts.iter().zip(&recorded.parts) {
        assert_described(part, recorded);
    }
}

fn assert_body(message: &Message, recorded: &Recorded) {
    let text = |key: &str| recorded.body.as_ref().unwrap()[key].as_str().unwrap();
    let time = |key: &str| {
        let time = &recorded.body.as_ref().unwrap()[key];
        (time["seconds"].as_i64().unwrap(), time["nanos"].as_u64().unwrap() as u32)
    };
    match message.body.as_deref() {
        None => assert!(!matches!(message.op, Op::Connect | Op::ConnectResponse | Op::Pong)),
        Some(Body::Connect { host, time: t, .. }) => {
            assert_eq!(host, text("Host"));
            assert_eq!((t.seconds, t.nanos), time("Time"));
        }
        Some(Body::ConnectResponse { accepted, reason, .. }) => {
            assert_eq!(reason, text("RejectedReason"));
            assert_eq!(*accepted, recorded.body.as_ref().unwrap()["Accepted"]);
        }
        Some(Body::Refusal { error }) => assert_eq!(error, text("Error")),
        Some(Body::Ping { time: t }) => assert_eq!((t.seconds, t.nanos), time("t")),
        Some(Body::Pong { not_found, error, time: t }) => {
            let body = recorded.body.as_ref().unwrap();
            assert_eq!(*not_found, body["nf"]);
            assert_eq!(error.as_deref(), body["e"].as_str());
            assert_eq!((t.seconds, t.nanos), time("t"));
        }
        Some(Body::Unreadable(damage)) => panic!("{damage:?} in {recorded:?}"),
    }
}

#[test]
fn recorded_links_are_seen_as_described() {
    let mut messages = 0;
    for (link, Stream { from, bytes, events }) in all_streams(&vectors::LINKS) {
        let seen = seen(from, &bytes, usize::MAX);
        assert_eq!(seen.len(), events.len(), "{link}");
        for (seen, event) in seen.iter().zip(&events) {
            match (&seen.kind, event) {
                (Kind::Head(status), Event::Http(_)) => {
                    assert_eq!(status.is_some(), from == Role::Acceptor);
                }
                (Kind::Control(seen), Event::Frame { opcode, .. }) => assert_eq!(seen, opcode),
                (Kind::Message(message), Event::Message(recorded)) => {
                    assert_described(message, recorded);
                    messages += 1;
                }
                other => panic!("{link}: {other:?}"),
            }
        }
        assert!(seen.windows(2).all(|two| two[0].end == two[1].start), "{link}: no gaps");
    }
    assert!(messages > 400, "{messages}");
}

#[test]
fn every_split_of_the_bytes_shows_the_same() {
    let links = ["streams-two-way", "subroutes", "https", "rejected-token"];
    for (link, Stream { from, bytes, .. }) in all_streams(&links) {
        let whole = seen(from, &bytes, usize::MAX);
        for piece in [1, 2, 3, 5, 7, 13, 100, 1000] {
            assert_eq!(seen(from, &bytes, piece), whole, "{link} in pieces of {piece}");
        }
        for cut in 0..bytes.len().min(2000) {
            let mut tap = Tap::new(from);
            let mut out = Vec::new();
            tap.feed(&bytes[..cut], &mut out);
            tap.feed(&bytes[cut..], &mut out);
            assert_eq!(out, whole, "{link} cut at {cut}");
        }
    }
}

#[test]
fn fragments_with_control_frames_between_are_one_message() {
    let message = Draft::new(Op::MuxClientMsg, 7, 3).payload(&[9; 300]).encode();
    for from in Role::BOTH {
        let mut bytes = head(from).to_vec();
        let start = bytes.len() as u64;
        bytes.extend(frame(from, 2, false, &message[..100]));
        let ping = bytes.len() as u64;
        bytes.extend(frame(from, 9, true, b"hello"));
        let after_ping = bytes.len() as u64;
        bytes.extend(frame(from, 0, false, b""));
        bytes.extend(frame(from, 0, true, &message[100..]));
        let end = bytes.len() as u64;
        bytes.extend(frame(from, 1, true, b"text"));
        bytes.extend(frame(from, 8, true, b""));
        for piece in [1, 4, usize::MAX] {
            let seen = seen(from, &bytes, piece);
            let control = Seen { start: ping, end: after_ping, kind: Kind::Control(9) };
            assert_eq!(seen[1], control);
            assert_eq!((seen[2].start, seen[2].end), (start, end));
            let Kind::Message(decoded) = &seen[2].kind else { panic!("{:?}", seen[2]) };
            assert_eq!(decoded, &Message::decode(&message).unwrap());
            assert_eq!((&seen[3].kind, &seen[4].kind), (&Kind::Text, &Kind::Control(8)));
        }
    }
}

#[test]
fn a_message_that_does_not_parse_is_named_and_the_next_one_is_read() {
    let good = Draft::new(Op::AckMux, 7, 0).encode();
    let cases: [(&[u8], Damage); 7] = [
        (b"", Damage::Truncated),
        (&[0x96, 0, 0, 0, 0, 1, 0], Damage::Elements),
        (&[0x80], Damage::Type),
        (&[0x97, 0xe0, 0, 0, 0, 1, 0, 0xc4, 0], Damage::Range),
        (&[0x97, 0, 0, 0, 0xcd, 1, 0, 1, 0, 0xc4, 0], Damage::Range),
        (&[0x97, 0, 0, 0, 0, 1, 0, 0xa0], Damage::Type),
        (&[0x97, 0, 0, 0, 0, 1, 1, 0xc4, 0], Damage::Truncated),
    ];
    for (bytes, damage) in cases {
        let wire = [head(Role::Acceptor), &frame(Role::Acceptor, 2, true, bytes)].concat();
        let wire = [wire, frame(Role::Acceptor, 2, true, &good)].concat();
        let seen = seen(Role::Acceptor, &wire, usize::MAX);
        assert_eq!(seen[1].kind, Kind::Broken(damage), "{bytes:x?}");
        assert!(!damage.is_final() && matches!(seen[2].kind, Kind::Message(_)), "{bytes:x?}");
    }
}

#[test]
fn a_frame_that_breaks_the_rules_ends_the_reading() {
    let from = Role::Acceptor;
    let good = frame(from, 2, true, &Draft::new(Op::AckMux, 7, 0).encode());
    let bad = [
        (frame(Role::Dialler, 2, true, b"x"), Damage::Mask),
        (frame(from, 3, true, b"x"), Damage::Opcode(3)),
        (frame(from, 0, true, b"x"), Damage::Fragment),
        (frame(from, 9, false, b"x"), Damage::ControlFrame),
        (vec![0xc2, 0], Damage::ReservedBits),
        (vec![0x82, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0], Damage::TooLong),
    ];
    for (bytes, damage) in bad {
        let seen = seen(from, &[head(from), &bytes, &good].concat(), 3);
        assert!(damage.is_final());
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert_eq!(seen[1].kind, Kind::Broken(damage));
    }
}

#[test]
fn after_a_refused_upgrade_nothing_is_read() {
    let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\n\x82\x7fabc";
    let seen = seen(Role::Acceptor, refusal, 1);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].kind, Kind::Head(Some(403)));
    let mut out = Vec::new();
    Tap::new(Role::Dialler).feed(b"POST / HTTP/1.1\r\n\r\n", &mut out);
    assert_eq!(out[0].kind, Kind::Broken(Damage::Head));
}

#[test]
fn a_checksum_covers_the_array_and_the_subroute() {
    let message = Draft::new(Op::Request, 7, 0).payload(b"question").subroute([3; 32]).encode();
    assert_eq!(Message::decode(&message).unwrap().crc, Crc::Good);
    assert_eq!(Message::decode(&message).unwrap().subroute, Some([3; 32]));
    for at in [2, 12, 30, message.len() - 1] {
        let mut damaged = message.clone();
        damaged[at] ^= 1;
        assert_eq!(Message::decode(&damaged).map(|message| message.crc), Ok(Crc::Bad), "{at}");
    }
    let bare = Draft::new(Op::Request, 7, 0).without_crc().encode();
    assert_eq!(Message::decode(&bare).unwrap().crc, Crc::Absent);
}

#[test]
fn parts_are_read_up_to_the_count_and_no_further() {
    let part = |seq| Draft::new(Op::MuxClientMsg, 7, seq).payload(b"x").encode();
    let parts = [part(1), part(2), merged(&[part(3)])];
    let good = Message::decode(&merged(&parts)).unwrap();
    assert_eq!((good.parts.len(), good.torn, good.canonical), (3, None, true));
    assert_eq!(good.each().len(), 3);
    assert!(good.parts[2].parts.is_empty(), "none within a part");

    let mut high = merged(&parts);
    high[2] = 4;
    let high = Message::decode(&high).unwrap();
    assert_eq!((high.parts.len(), high.torn), (3, Some(Damage::Parts)));

    let mut beyond = merged(&parts);
    put_bin(&part(4), &mut beyond);
    let beyond = Message::decode(&beyond).unwrap();
    assert_eq!((beyond.parts.len(), beyond.torn, beyond.canonical), (3, None, false));

    let broken = Message::decode(&merged(&[part(1), vec![0x96], part(2)])).unwrap();
    assert_eq!((broken.parts.len(), broken.torn), (1, Some(Damage::Parts)));
}

#[test]
fn a_message_written_in_another_form_is_read_and_not_canonical() {
    let wide = [0xdc, 0, 7, 0xcf, 0, 0, 0, 0, 0, 0, 0, 7, 0xcc, 1, 0, 0, 9, 0, 0xc5, 0, 1, b'x'];
    let message = Message::decode(&wide).unwrap();
    assert_eq!((message.mux, message.seq, message.payload.len), (7, 1, 1));
    assert!(!message.canonical);
    assert_eq!(message.flags & flag::CRC, 0);
}

#[test]
fn no_damage_makes_it_panic_or_see_beyond_the_bytes() {
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let links = ["streams-two-way", "subroutes", "merged", "cancel"];
    let streams: Vec<Stream> = all_streams(&links).map(|(_, stream)| stream).collect();
    let (mut broken, mut whole) = (0, 0);
    for round in 0..2000 {
        let Stream { from, bytes, .. } = &streams[round % streams.len()];
        let len = bytes.len().min(6000);
        let mut bytes = bytes[..len].to_vec();
        for _ in 0..1 + random(6) {
            let at = random(bytes.len() as u64) as usize;
            match random(4) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes[at] ^= 1 << random(8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random(256) as u8),
            }
        }
        let out = seen(*from, &bytes, 1 + random(400) as usize);
        for one in &out {
            assert!(one.start <= one.end && one.end <= bytes.len() as u64);
            match &one.kind {
                Kind::Broken(_) => broken += 1,
                Kind::Message(message) if message.crc == Crc::Good => whole += 1,
                _ => {}
            }
        }
        assert_eq!(out, seen(*from, &bytes, usize::MAX), "any split of damage is the same");
    }
    assert!(broken > 500 && whole > 500, "{broken} {whole}");
}
