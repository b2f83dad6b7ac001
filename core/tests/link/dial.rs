//! Who dials, when, and what an attempt comes to: PROTOCOL.md sections 1, 4 and 7.12.

use std::time::Duration;

use crate::support::{self, MS, SECOND, builder, in_bytes, refused, round_trip};
use gridmux_core::connection::Connection;
use gridmux_core::error::{CallError, LinkError};
use gridmux_core::event::{CloseHow, Event, LinkCommand, LinkId};
use gridmux_core::link::{LinkState, dials};
use gridmux_core::testing::{Lone, Pair, Which};
use gridmux_core::websocket::{Channel, MAX_HEADER_LEN, Role, UpgradeRequest, WebSocketError};
use gridmux_core::wire::{Connect, ConnectResponse, Flags, Header, Message, MessageRef, Op};
use serde_json::Value;

const ACCEPTOR: &str = "http://127.0.0.1:9102";

#[test]
fn who_dials_agrees_with_recorded_pairs_from_both_ends_and_in_every_hash() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/dial.json");
    let file: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON");
    let pairs = file["pairs"].as_array().expect("a list");
    assert!(pairs.len() > 20);
    for pair in pairs {
        let text = |key: &str| pair[key].as_str().expect("a text");
        let (local, remote) = (text("local"), text("remote"));
        let hash = |first: &str, second: &str| {
            format!("{:016x}", twox_hash::XxHash3_64::oneshot([first, second].concat().as_bytes()))
        };
        assert_eq!(hash(local, remote), text("hash_local_remote"), "{local} {remote}");
        assert_eq!(hash(remote, local), text("hash_remote_local"), "{local} {remote}");
        let local_dials = pair["local_dials"].as_bool().expect("a bool");
        assert_eq!(dials(local, remote), local_dials, "{local} {remote}");
        assert_eq!(dials(remote, local), !local_dials, "{remote} {local}");
    }
}

#[test]
fn only_the_side_that_is_to_dial_dials_and_only_once_started() {
    let mut pair = builder().build();
    pair.advance(60 * SECOND);
    assert!(pair.ends.iter().all(|end| end.dials.is_empty()), "the start gate is closed");
    assert_eq!(pair.dialler().peer().state(), LinkState::Unconnected);
    assert_eq!(refused(&mut pair, Which::Dialler), CallError::Disconnected { may_have_run: false });
    pair.start();
    pair.drive();
    assert!(pair.is_connected());
    assert_eq!((pair.ends[0].dials.len(), pair.ends[1].dials.len()), (1, 0));
}

#[test]
fn an_acceptor_that_has_not_started_answers_503_and_the_dialler_goes_on() {
    let mut pair = in_bytes().build();
    let now = pair.clocks(Which::Dialler);
    pair.dialler().grid.start(now);
    pair.advance(10 * SECOND);
    let LinkError::Upgrade(error) = &pair.dialler().peer().last_failure().expect("failed") else {
        panic!("the upgrade was refused")
    };
    assert!(error.to_string().contains("503"), "{error}");
    assert!(pair.ends[0].dials.len() >= 5);
    let now = pair.clocks(Which::Acceptor);
    pair.acceptor().grid.start(now);
    pair.advance(2 * SECOND);
    assert!(pair.is_connected());
    round_trip(&mut pair, Which::Acceptor);
}

#[test]
fn connect_says_who_we_are_with_flags_0_and_is_answered_with_flags_0() {
    let mut pair = builder().connected();
    let first =
        |pair: &mut Pair, which| -> Message { support::messages(&pair.end(which).sent).remove(0) };
    let connect = first(&mut pair, Which::Dialler);
    assert_eq!(connect.header, Header::new(Op::Connect));
    let body = Connect::decode(&connect.payload).expect("a body");
    assert_eq!(body.host, "http://127.0.0.1:9101");
    assert_eq!((body.id, &*body.token), ([1; 16], "secret-token"));
    assert_eq!(body.time, pair.clocks(Which::Dialler).wall);
    let response = first(&mut pair, Which::Acceptor);
    assert_eq!(response.header, Header::new(Op::ConnectResponse));
    let body = ConnectResponse::decode(&response.payload).expect("a body");
    assert_eq!((body.id, body.accepted, &*body.rejected_reason), ([2; 16], true, ""));
}

#[test]
fn a_dial_that_hangs_is_given_up_after_2_s_and_repeated_for_ever() {
    let mut pair = builder().build();
    pair.reachable = false;
    pair.start();
    pair.advance(Duration::from_millis(1999));
    assert_eq!(pair.dialler().peer().state(), LinkState::Connecting);
    assert_eq!(pair.ends[0].closed, []);
    pair.advance(MS);
    assert!(matches!(pair.ends[0].closed[..], [LinkError::TimedOut(_)]));
    pair.advance(Duration::from_secs(3600));
    let dials = pair.ends[0].dials.clone();
    assert!((1800..=1802).contains(&dials.len()), "{}", dials.len());
    for two in dials.windows(2) {
        assert_eq!(two[1].since(two[0]), 2 * SECOND, "each takes its 2 s, longer than the spacing");
    }
    pair.reachable = true;
    pair.advance(2 * SECOND);
    assert!(pair.is_connected());
}

#[test]
fn failed_attempts_start_1_to_2_s_apart_with_jitter_for_ever() {
    let mut node = Lone::new(Which::Dialler, |_| {});
    node.grid.start(node.clocks());
    let mut started = Vec::new();
    for attempt in 0..300_u64 {
        let link = node.dialled();
        started.push(node.now);
        // However long the failure takes, the spacing counts from the start.
        node.advance(Duration::from_millis(attempt % 900));
        let now = node.clocks();
        let error = LinkError::Transport("connection refused".into());
        node.peer().handle_dial_failed(now, link, error);
        node.collect();
        assert_eq!(node.peer().state(), LinkState::ConnectionError);
        while node.commands.is_empty() {
            node.advance(MS);
        }
    }
    let waits: Vec<u128> = started.windows(2).map(|w| w[1].since(w[0]).as_millis()).collect();
    assert!(waits.iter().all(|ms| (1000..=2001).contains(ms)), "{waits:?}");
    assert!(waits.iter().min() < Some(&1050) && waits.iter().max() > Some(&1950), "{waits:?}");
}

#[test]
fn an_acceptor_that_never_answers_connect_is_given_up_after_2_s() {
    let mut node = Lone::new(Which::Dialler, |_| {});
    node.grid.start(node.clocks());
    let link = node.dialled();
    node.advance(SECOND);
    let now = node.clocks();
    node.peer().handle_upgraded(now, link);
    assert_eq!(node.sent().len(), 1);
    node.advance(Duration::from_millis(1999));
    assert_eq!(node.peer().state(), LinkState::Connecting);
    node.advance(MS);
    let close = node.commands.pop_front();
    let Some(LinkCommand::Close { how: CloseHow::Abort, reason: LinkError::TimedOut(_), .. }) =
        close
    else {
        panic!("{close:?}")
    };
    assert_eq!(node.peer().state(), LinkState::ConnectionError);
    // The attempt started 3 s ago: the spacing is over.
    node.wake();
    node.dialled();
}

#[test]
fn anything_but_an_accepting_connect_response_is_a_failed_attempt() {
    type Answer = (&'static str, fn(&mut Lone));
    let answers: [Answer; 5] = [
        ("rejected by the peer: no", |node| node.receive_response(false, "no")),
        ("expected ConnectResponse, got Ping", |node| node.receive(Header::new(Op::Ping), &[])),
        ("malformed message", |node| node.receive_frame(b"")),
        ("malformed message", |node| node.receive_frame(&[0x96, 0, 0, 0, 0, 2, 0])),
        ("malformed message", |node| node.receive(Header::new(Op::ConnectResponse), b"\x01")),
    ];
    for (reason, answer) in answers {
        let mut node = Lone::new(Which::Dialler, |_| {});
        node.grid.start(node.clocks());
        let link = node.dialled();
        let now = node.clocks();
        node.peer().handle_upgraded(now, link);
        node.sent();
        answer(&mut node);
        let Some(LinkCommand::Close { reason: found, .. }) = node.commands.pop_front() else {
            panic!("closed: {reason}")
        };
        assert!(found.to_string().starts_with(reason), "{found} / {reason}");
        assert_eq!(node.peer().state(), LinkState::ConnectionError);
        node.advance(2 * SECOND);
        node.dialled();
    }
}

#[test]
fn the_first_retry_is_immediate_only_after_a_link_of_10_s() {
    for (up, immediate) in [(9_999, false), (10_000, true)] {
        let mut pair = builder().connected();
        pair.advance(Duration::from_millis(up));
        let lost = pair.now;
        pair.cut();
        pair.advance(Duration::ZERO);
        assert_eq!(pair.is_connected(), immediate, "{up} ms");
        pair.advance(2 * SECOND);
        assert!(pair.is_connected());
        let wait = pair.ends[0].dials[1].since(lost).as_millis();
        assert!(if immediate { wait == 0 } else { (1000..=2000).contains(&wait) }, "{wait}");
    }
}

#[test]
fn after_an_immediate_retry_that_fails_the_spacing_is_normal() {
    let mut node = Lone::connected(Which::Dialler, |_| {});
    node.advance(15 * SECOND);
    let (now, link) = (node.clocks(), node.link());
    node.peer().handle_link_down(now, link, LinkError::ClosedByPeer, 0);
    node.wake();
    node.commands.clear();
    let (now, link) = (node.clocks(), node.link());
    node.peer().handle_dial_failed(now, link, LinkError::Transport("refused".into()));
    node.advance(Duration::from_millis(999));
    assert!(node.commands.is_empty());
    node.advance(Duration::from_millis(1001));
    node.dialled();
}

#[test]
fn states_are_seen_in_order_and_each_change_is_told_once() {
    let mut node = Lone::new(Which::Dialler, |_| {});
    let mut seen = vec![node.peer().state()];
    let look = |node: &mut Lone, seen: &mut Vec<LinkState>| {
        node.collect();
        assert_eq!(std::mem::take(&mut node.events), [Event::LinkState]);
        seen.push(node.peer().state());
    };
    node.grid.start(node.clocks());
    look(&mut node, &mut seen);
    let link = node.dialled();
    let now = node.clocks();
    node.peer().handle_upgraded(now, link);
    node.sent();
    assert_eq!(node.events, []);
    node.receive_response(true, "");
    look(&mut node, &mut seen);
    let now = node.clocks();
    node.peer().handle_link_down(now, link, LinkError::ClosedByPeer, 0);
    node.collect();
    node.events.retain(|event| *event != Event::QueueWritable);
    look(&mut node, &mut seen);
    let now = node.clocks();
    node.peer().shutdown(now, SECOND);
    node.collect();
    assert_eq!(node.events, [Event::LinkState, Event::Drained]);
    seen.push(node.peer().state());
    use LinkState::{Connected, Connecting, ConnectionError, Shutdown, Unconnected};
    assert_eq!(seen, [Unconnected, Connecting, Connected, ConnectionError, Shutdown]);
}

#[test]
fn base_flags_are_crc_unless_both_names_are_https() {
    let cases = [
        ("http://127.0.0.1:1", "http://127.0.0.1:2", Flags::CRC),
        ("https://127.0.0.1:1", "http://127.0.0.1:2", Flags::CRC),
        ("https://127.0.0.1:1", "https://127.0.0.1:2", Flags::empty()),
    ];
    for (one, other, base) in cases {
        let mut pair = builder().names(one, other).connected();
        pair.acceptor().sent.clear();
        pair.dialler().sent.clear();
        round_trip(&mut pair, Which::Dialler);
        pair.advance(10 * SECOND);
        pair.shutdown(Which::Dialler, SECOND);
        for which in Which::BOTH {
            for message in support::messages(&pair.end(which).sent) {
                let expected = match message.header.op {
                    Op::Ping => Flags::empty(),
                    _ => base,
                };
                let crc = message.header.flags & Flags::CRC;
                assert_eq!(crc, expected, "{one} {other}: {}", message.header.op);
            }
        }
        assert!(support::ops(&mut pair, Which::Dialler).contains(&Op::Disconnect));
    }
}

/// The dialler's end of a connection whose upgrade has been answered, and the link that it is of.
fn upgraded(node: &mut Lone) -> (Connection, LinkId) {
    let (link, now) = (node.dialled(), node.clocks());
    let own = node.grid.node().clone();
    let mut connection = Connection::dialled(&own, ACCEPTOR, link, 1, now).expect("a request");
    let request = UpgradeRequest::parse(connection.write_buf()).expect("an upgrade");
    let (request, len) = request.expect("whole");
    connection.handle_written(node.now, len);
    read(node, &mut connection, &request.accept());
    (connection, link)
}

/// The bytes come in one read, and are told to the peer.
fn read(node: &mut Lone, connection: &mut Connection, bytes: &[u8]) {
    let now = node.clocks();
    connection.read_buf().extend_from_slice(bytes);
    connection.handle_read(now.instant, bytes.len());
    loop {
        connection.exchange(now, node.peer());
        if !connection.decode_more() {
            break;
        }
    }
    node.collect();
}

/// A frame from the acceptor.
fn sealed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; MAX_HEADER_LEN];
    frame.extend_from_slice(message);
    let start = Channel::new(Role::Server, 1 << 20, 1).seal(&mut frame, MAX_HEADER_LEN);
    frame.split_off(start)
}

fn response(accepted: bool, reason: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    ConnectResponse { id: [9; 16], accepted, rejected_reason: reason.into() }.encode(&mut payload);
    encoded(Header::new(Op::ConnectResponse), &payload)
}

fn encoded(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    MessageRef { header, subroute: None, payload }.encode(&mut message);
    message
}

fn started_dialler() -> Lone {
    let mut node = Lone::new(Which::Dialler, |node| node.routes = support::routes());
    node.grid.start(node.clocks());
    node
}

#[test]
fn an_acceptor_s_first_message_has_the_limit_of_a_first_message() {
    for (len, fits) in [(64 << 10, true), ((64 << 10) + 1, false)] {
        let mut node = started_dialler();
        let (mut connection, _) = upgraded(&mut node);
        let mut header = vec![0x82, 127];
        header.extend_from_slice(&u64::to_be_bytes(len));
        // Nothing of what it claims has to come.
        read(&mut node, &mut connection, &header);
        let failed = node.peer().last_failure().cloned();
        assert_eq!(node.peer().state() == LinkState::Connecting, fits, "{failed:?}");
        let refused = matches!(failed, Some(LinkError::WebSocket(WebSocketError::TooLarge { limit, .. }))
            if limit == 64 << 10);
        assert_eq!(refused, !fits, "{failed:?}");
    }
}

#[test]
fn what_comes_behind_the_connect_response_may_be_as_long_as_any_message() {
    let mut bytes = sealed(&response(true, ""));
    let header = Header { mux: 5, handler: 1, flags: Flags::EOF, ..Header::new(Op::Request) };
    bytes.extend(sealed(&encoded(header, &[7; 500_000])));
    for size in [1, 1000, bytes.len()] {
        let mut node = started_dialler();
        let (mut connection, link) = upgraded(&mut node);
        for piece in bytes.chunks(size) {
            read(&mut node, &mut connection, piece);
        }
        assert_eq!(node.peer().link(), Some(link));
        assert_eq!(node.peer().state(), LinkState::Connected);
        assert_eq!(node.calls.len(), 1, "in pieces of {size}");
        assert_eq!(node.calls[0].payload.as_slice().len(), 500_000);
    }
}

#[test]
fn nothing_comes_behind_a_connect_response_that_refuses() {
    let mut node = started_dialler();
    let (mut connection, _) = upgraded(&mut node);
    let mut bytes = sealed(&response(false, "no\r\nway"));
    let header = Header { mux: 5, handler: 1, flags: Flags::EOF, ..Header::new(Op::Request) };
    bytes.extend(sealed(&encoded(header, &[7; 500_000])));
    read(&mut node, &mut connection, &bytes);
    assert_eq!(node.peer().last_failure(), Some(&LinkError::Rejected("no  way".into())));
    assert!(node.calls.is_empty());
    assert_eq!(node.peer().state(), LinkState::ConnectionError);
}
