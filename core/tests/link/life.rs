//! A link that is up: pings, silence, pauses, and what is ignored (PROTOCOL.md sections 4 and 7.6).

use std::time::Duration;

use crate::support::{
    ECHO, MS, SECOND, TALK, builder, in_bytes, messages, outcome, request, respond, round_trip,
    routes, served, talk,
};
use gridmux_core::error::LinkError;
use gridmux_core::event::{CloseHow, LinkCommand};
use gridmux_core::link::LinkState;
use gridmux_core::outbox::Data;
use gridmux_core::testing::{Lone, Which};
use gridmux_core::wire::{Flags, Header, Message, Op, Ping, Pong, Timestamp};

fn lone() -> Lone {
    Lone::connected(Which::Acceptor, |node| node.routes = routes())
}

fn ping_payload(time: Timestamp) -> Vec<u8> {
    let mut payload = Vec::new();
    Ping { time }.encode(&mut payload);
    payload
}

fn pong_payload(time: Timestamp) -> Vec<u8> {
    let mut payload = Vec::new();
    Pong { not_found: false, error: None, time }.encode(&mut payload);
    payload
}

fn pong(node: &mut Lone, time: Timestamp) {
    let header = Header { flags: Flags::CRC, ..Header::new(Op::Pong) };
    node.receive(header, &pong_payload(time));
}

/// The ping that the node sends now.
#[track_caller]
fn ping(node: &mut Lone) -> Timestamp {
    let sent: Vec<Message> = node.sent();
    let [message] = &sent[..] else { panic!("one ping, not {sent:?}") };
    assert_eq!(message.header, Header { deadline_ms: 10_000, ..Header::new(Op::Ping) });
    Ping::decode(&message.payload).expect("a body").time
}

#[track_caller]
fn dropped(node: &mut Lone) -> LinkError {
    match node.commands.pop_front() {
        Some(LinkCommand::Close { how: CloseHow::Abort, reason, .. }) => reason,
        other => panic!("expected the end of the link, got {other:?}"),
    }
}

#[test]
fn pings_go_out_every_10_s_the_first_one_10_s_after_connect_on_both_sides() {
    let mut pair = builder().connected();
    for end in &mut pair.ends {
        end.sent.clear();
    }
    pair.advance(Duration::from_millis(9_999));
    assert!(pair.ends.iter().all(|end| end.sent.is_empty()));
    for round in 1..=6 {
        pair.advance(MS);
        for which in Which::BOTH {
            let sent = messages(&pair.end(which).sent);
            let count = |op| sent.iter().filter(|m| m.header.op == op).count();
            assert_eq!((count(Op::Ping), count(Op::Pong)), (round, round), "{which:?}");
        }
        pair.advance(Duration::from_millis(9_999));
    }
    assert!(pair.is_connected());
}

#[test]
fn a_pong_copies_seq_deadline_and_handler_and_echoes_t() {
    let mut node = lone();
    let time = Timestamp { seconds: -5, nanos: 999_999_999 };
    let header = Header { seq: 77, deadline_ms: 1234, handler: 9, ..Header::new(Op::Ping) };
    node.receive(header, &ping_payload(time));
    let sent = node.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].header, Header { op: Op::Pong, flags: Flags::CRC, ..header });
    let body = Pong::decode(&sent[0].payload).expect("a body");
    assert_eq!(body, Pong { not_found: false, error: None, time });
}

#[test]
fn a_ping_without_payload_is_answered_with_the_zero_time() {
    let mut node = lone();
    node.receive(Header { seq: 3, ..Header::new(Op::Ping) }, &[]);
    let sent = node.sent();
    assert_eq!(sent[0].header.seq, 3);
    assert!(Pong::decode(&sent[0].payload).expect("a body").time.is_zero());
}

#[test]
fn only_the_newest_unanswered_ping_is_answered() {
    let mut node = lone();
    for seq in 0..100 {
        node.receive(Header { seq, ..Header::new(Op::Ping) }, &[]);
    }
    let sent = node.sent();
    assert_eq!(sent.iter().map(|m| m.header.seq).collect::<Vec<_>>(), [99]);
}

#[test]
fn round_trip_time_is_of_the_ping_that_a_pong_echoes_and_of_no_other() {
    let mut node = lone();
    let stats = |node: &mut Lone| {
        let now = node.now;
        node.peer().stats(now)
    };
    assert_eq!((stats(&mut node).round_trip, stats(&mut node).last_pong), (None, None));
    node.advance(10 * SECOND);
    let time = ping(&mut node);
    node.advance(30 * MS);
    pong(&mut node, Timestamp { seconds: time.seconds + 5, nanos: 1 });
    assert_eq!(stats(&mut node).round_trip, None, "a time that we never sent");
    assert_eq!(stats(&mut node).last_pong, Some(Duration::ZERO), "though it is a Pong");
    pong(&mut node, time);
    assert_eq!(stats(&mut node).round_trip, Some(30 * MS));
    node.advance(SECOND);
    pong(&mut node, time);
    assert_eq!(stats(&mut node).round_trip, Some(30 * MS), "echoed a second time");
    assert_eq!(stats(&mut node).last_pong, Some(Duration::ZERO));
}

#[test]
fn a_wall_clock_that_jumps_does_not_touch_the_round_trip_time() {
    let mut pair = builder().connected();
    pair.latency = 20 * MS;
    pair.advance(9_990 * MS);
    pair.set_wall(Timestamp { seconds: 5, nanos: 0 });
    pair.advance(SECOND);
    let now = pair.now;
    assert_eq!(pair.dialler().peer().stats(now).round_trip, Some(40 * MS));
    pair.shift_wall(Which::Acceptor, 1_000_000);
    pair.advance(100 * SECOND);
    assert!(pair.is_connected(), "clocks are compared at Connect only");
}

#[test]
fn nothing_received_for_more_than_20_s_at_a_ping_tick_drops_the_link() {
    let mut node = lone();
    node.advance(20 * SECOND);
    node.sent();
    assert_eq!(node.peer().state(), LinkState::Connected, "20 s are not more than 20 s");
    node.advance(Duration::from_millis(9_999));
    assert_eq!(node.peer().state(), LinkState::Connected, "only a ping tick looks");
    node.advance(MS);
    assert_eq!(dropped(&mut node), LinkError::PeerSilent);
    assert_eq!(node.peer().state(), LinkState::ConnectionError);

    // A sign of life just before: 19.999 s ago at the third tick.
    let mut node = lone();
    node.advance(Duration::from_millis(10_001));
    node.receive(Header::new(Op::Unknown(99)), &[]);
    node.advance(Duration::from_millis(20_000));
    assert_eq!(node.peer().state(), LinkState::Connected);
    node.advance(10 * SECOND);
    assert_eq!(dropped(&mut node), LinkError::PeerSilent);
}

#[test]
fn a_call_with_a_short_deadline_does_not_excuse_the_silence_of_the_peer() {
    let mut node = lone();
    node.advance(Duration::from_millis(8_300));
    node.receive(Header::new(Op::Unknown(99)), &[]);
    node.advance(Duration::from_millis(6_700));
    // The wheel of the timers looks at this deadline in a slot that began seconds ago.
    let (now, data) = (node.now, Data::Borrowed(b"x"));
    node.peer().request(now, ECHO, data, Some(MS)).expect("a call can be made");
    node.advance(Duration::from_millis(15_001));
    assert_eq!(dropped(&mut node), LinkError::PeerSilent);
}

#[test]
fn a_minute_without_a_pong_drops_the_link_though_bytes_arrive() {
    let mut node = lone();
    for _ in 0..59 {
        node.advance(SECOND);
        node.receive(Header::new(Op::Unknown(99)), &[]);
        node.sent();
    }
    assert_eq!(node.peer().state(), LinkState::Connected);
    node.advance(SECOND);
    assert_eq!(dropped(&mut node), LinkError::PeerDoesNotAnswer);

    // One Pong in between buys another minute.
    let mut node = lone();
    node.advance(25 * SECOND);
    node.receive(Header::new(Op::Unknown(99)), &[]);
    node.sent();
    pong(&mut node, Timestamp::ZERO);
    for _ in 0..59 {
        node.advance(SECOND);
        node.receive(Header::new(Op::Unknown(99)), &[]);
        node.sent();
    }
    assert_eq!(node.peer().state(), LinkState::Connected, "59 s after the Pong");
    node.advance(6 * SECOND);
    assert_eq!(dropped(&mut node), LinkError::PeerDoesNotAnswer);
}

/// The peer sends, reads and does not answer: within so many seconds the link is given up.
#[track_caller]
fn until_dropped(node: &mut Lone, seconds: u32) {
    for _ in 0..seconds {
        node.receive(Header::new(Op::Unknown(99)), &[]);
        node.sent();
        node.advance(SECOND);
        if node.peer().state() != LinkState::Connected {
            return assert_eq!(dropped(node), LinkError::PeerDoesNotAnswer);
        }
    }
    panic!("still connected after {seconds} s");
}

#[test]
fn a_ping_that_has_not_left_asks_nothing() {
    let mut node = lone();
    let alive = |node: &mut Lone, seconds| {
        for _ in 0..seconds {
            node.receive(Header::new(Op::Unknown(99)), &[]);
            node.advance(SECOND);
        }
    };
    // What was handed out before it is still being written.
    let (now, link) = (node.clocks(), node.peer().link().expect("a link"));
    node.peer().request(now.instant, ECHO, Data::Borrowed(b"x"), None).expect("connected");
    assert!(node.peer().poll_transmit(now, link).is_some());
    alive(&mut node, 200);
    assert_eq!(node.peer().state(), LinkState::Connected);
    for _ in 0..59 {
        node.sent();
        alive(&mut node, 1);
    }
    assert_eq!(node.peer().state(), LinkState::Connected);
    until_dropped(&mut node, 11);
}

#[test]
fn a_ping_that_the_system_still_holds_asks_nothing() {
    let mut node = lone();
    let link = node.peer().link().expect("a link");
    let second = |node: &mut Lone, unsent| {
        node.now = node.now.after(SECOND);
        let now = node.clocks();
        node.peer().handle_unsent(link, unsent);
        node.peer().handle_timeout(now);
        node.receive(Header::new(Op::Unknown(99)), &[]);
        node.peer().handle_written(link, 100);
        node.sent();
    };
    (0..200).for_each(|_| second(&mut node, Some(100_000)));
    assert_eq!(node.peer().state(), LinkState::Connected);
    for _ in 0..50 {
        second(&mut node, Some(0));
    }
    assert_eq!(node.peer().state(), LinkState::Connected);
    until_dropped(&mut node, 21);
}

#[test]
fn a_peer_that_answers_our_calls_reads_though_no_pong_comes() {
    let mut node = lone();
    let (now, data) = (node.now, Data::Borrowed(b"x"));
    let key = node.peer().open(now, TALK, (200, 1), data, None).expect("connected");
    node.receive_mux(Op::AckMux, key.mux_id(), 0, Flags::empty(), b"");
    for seq in 1..100 {
        node.advance(2 * SECOND);
        node.receive_mux(Op::UnblockClMux, key.mux_id(), seq, Flags::empty(), b"");
        node.sent();
    }
    assert_eq!(node.peer().state(), LinkState::Connected, "credits are answers");
    until_dropped(&mut node, 71);
}

#[test]
fn bytes_of_a_large_message_on_a_slow_link_are_life() {
    let mut pair = in_bytes().connected();
    // A thousand bytes a second: no whole message in 50 s.
    (pair.latency, pair.room[0]) = (SECOND, 1000);
    let key = request(&mut pair, Which::Dialler, &vec![7; 50_000]);
    pair.advance(50 * SECOND);
    assert!(pair.is_connected());
    assert!(pair.acceptor().calls.is_empty());
    pair.advance(2 * SECOND);
    let call = served(&mut pair, Which::Acceptor);
    assert_eq!(call.payload.len(), 50_000);
    respond(&mut pair, Which::Acceptor, call.key, b"done");
    pair.advance(2 * SECOND);
    assert!(outcome(&mut pair, Which::Dialler, key).expect("answered").is_ok());
}

#[test]
fn a_write_without_progress_for_3_s_drops_the_link() {
    let mut pair = in_bytes().connected();
    pair.advance(5 * SECOND);
    request(&mut pair, Which::Dialler, b"hello");
    pair.room[0] = 0;
    pair.advance(Duration::from_millis(2_999));
    assert_eq!(pair.dialler().peer().state(), LinkState::Connected);
    pair.advance(MS);
    assert_eq!(pair.dialler().peer().last_failure(), Some(&LinkError::WriteStalled));

    // A byte now and then is progress.
    let mut pair = in_bytes().connected();
    request(&mut pair, Which::Dialler, &[7; 100]);
    pair.held[1] = true;
    for written in 1..=5 {
        pair.room[0] = written;
        pair.advance(Duration::from_millis(2_999));
        assert!(pair.is_connected());
    }
    pair.advance(MS);
    assert_eq!(pair.dialler().peer().last_failure(), Some(&LinkError::WriteStalled));
}

#[test]
fn a_pause_of_both_processes_for_a_minute_does_not_kill_a_healthy_link() {
    for timers_first in [false, true] {
        for mode in [builder(), in_bytes()] {
            let mut pair = mode.connected();
            let stream = talk(&mut pair, Which::Dialler);
            pair.advance(8 * SECOND);
            pair.jump(60 * SECOND, timers_first);
            assert!(pair.is_connected());
            pair.advance(200 * SECOND);
            assert!(pair.is_connected(), "{timers_first}");
            assert!(pair.end(Which::Dialler).peer().send(stream, Data::Nil).is_ok());
        }
    }
}

#[test]
fn a_pause_in_the_middle_of_a_write_is_not_taken_for_a_stall() {
    let mut pair = in_bytes().connected();
    let key = request(&mut pair, Which::Dialler, b"hello");
    pair.room[0] = 0;
    pair.drive();
    pair.jump(60 * SECOND, true);
    assert!(pair.is_connected());
    pair.room[0] = usize::MAX;
    let call = served(&mut pair, Which::Acceptor);
    respond(&mut pair, Which::Acceptor, call.key, b"late but well");
    // The call's own deadline has passed in the meantime, and that is another matter.
    assert!(outcome(&mut pair, Which::Dialler, key).expect("over").is_err());
    round_trip(&mut pair, Which::Dialler);
}

#[test]
fn a_pause_does_not_make_a_dead_peer_live_longer_than_by_its_own_length() {
    let mut node = lone();
    node.advance(9 * SECOND);
    node.receive(Header::new(Op::Unknown(99)), &[]);
    // The pause ends; what has arrived in it is read before the timers run.
    node.now = node.now.after(60 * SECOND);
    node.receive(Header::new(Op::Unknown(99)), &[]);
    node.wake();
    let resumed = node.now;
    while node.commands.is_empty() {
        node.advance(SECOND);
        node.sent();
    }
    assert_eq!(dropped(&mut node), LinkError::PeerSilent);
    assert!(node.now.since(resumed) <= 31 * SECOND, "{:?}", node.now.since(resumed));
}

#[test]
fn a_connect_and_what_else_means_nothing_on_a_live_link_are_ignored() {
    let mut node = lone();
    let mut hello = Vec::new();
    node.hello([9; 16]).encode(&mut hello);
    node.receive(Header::new(Op::Connect), &hello);
    node.receive(Header::new(Op::Connect), b"");
    node.receive_response(false, "no");
    node.receive(Header::new(Op::Unknown(0)), b"");
    node.receive(Header { flags: Flags::from_bits_retain(0xc0), ..Header::new(Op::Pong) }, b"x");
    assert_eq!(node.sent(), []);
    assert_eq!((node.events.len(), node.calls.len(), node.commands.len()), (0, 0, 0));
    assert_eq!(node.peer().state(), LinkState::Connected);
}

#[test]
fn messages_that_do_not_parse_drop_the_link_and_those_before_them_count() {
    let broken: [&[u8]; 4] =
        [b"", b"\x93\x01\x02\x03", b"\x97\x00\x00\x00\x00\x03\x01\xc4\x00", &[0xff; 40]];
    for frame in broken {
        let mut node = lone();
        node.receive_frame(frame);
        assert!(matches!(dropped(&mut node), LinkError::Malformed(_)), "{frame:?}");
    }
    // A merged message of two parts, of which the second is broken.
    let mut node = lone();
    let mut part = Vec::new();
    let header = Header { mux: 5, handler: ECHO.handler, ..Header::new(Op::Request) };
    gridmux_core::wire::MessageRef { header, subroute: None, payload: b"x" }.encode(&mut part);
    let mut merged = vec![0x97, 0, 2, 0, 0, 17, 0, 0xc4, 0, 0xc4, part.len() as u8];
    merged.extend_from_slice(&part);
    merged.extend_from_slice(&[0xc4, 1, 0xff]);
    node.receive_frame(&merged);
    assert!(matches!(dropped(&mut node), LinkError::Malformed(_)));
    assert_eq!(node.peer().stats(gridmux_core::time::Instant::ZERO).messages_in, 1);
}

#[test]
fn text_messages_are_ignored() {
    use gridmux_core::connection::Connection;
    let mut node = Lone::new(Which::Dialler, |_| {});
    node.grid.start(node.clocks());
    let link = node.dialled();
    let (now, shared) = (node.clocks(), node.grid.node().clone());
    let mut connection =
        Connection::dialled(&shared, "http://127.0.0.1:9102", link, 1, now).expect("sendable");
    let request = connection.write_buf().to_vec();
    connection.handle_written(now.instant, request.len());
    let parsed = gridmux_core::websocket::UpgradeRequest::parse(&request);
    let (upgrade, _) = parsed.expect("valid").expect("whole");
    let mut bytes = upgrade.accept();
    bytes.extend_from_slice(b"\x81\x05hello");
    connection.read_buf().extend_from_slice(&bytes);
    connection.handle_read(now.instant, bytes.len());
    connection.exchange(now, node.peer());
    assert_eq!(node.peer().state(), LinkState::Connecting, "it waits for the ConnectResponse");
    assert!(!connection.is_finished());
    assert!(!connection.write_buf().is_empty(), "its Connect");
}
