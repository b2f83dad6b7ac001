//! Every bug that the Go implementation has had, as a scenario that ours must hold: PROTOCOL.md
//! section 8. The number of the line is in the name of its test.
//!
//! Not here:
//! - L9, a write to a dead peer that blocks for ever: it needs a real socket. What stands for it is
//!   `a_write_without_progress_for_3_s_drops_the_link` in `life.rs`.
//! - L20, an error text read from a reused buffer: a `String` owns its text, the borrow checker
//!   refuses the rest.
//! - L23, a pooled element recycled twice: a buffer is given back by value, once.

use std::time::Duration;

use crate::support::{
    self, LIST, LIST_CAPACITY, MS, SECOND, TALK, TALK_CAPACITY, builder, drain, finish, gone,
    in_bytes, list, messages, outcome, release, request, respond, round_trip, routes, served, sub,
    talk,
};
use gridmux_core::error::{CallError, CancelReason, LinkError, Violation};
use gridmux_core::event::{Event, LinkCommand};
use gridmux_core::link::{Accepting, LinkState};
use gridmux_core::mux::{OutgoingKey, Received, Refusal};
use gridmux_core::outbox::Data;
use gridmux_core::testing::{Lone, Mode, Pair, Which};
use gridmux_core::wire::{Flags, Header, Message, MessageRef, Op};

fn lone() -> Lone {
    Lone::connected(Which::Acceptor, |node| node.routes = routes())
}

fn ops(sent: &[Message]) -> Vec<Op> {
    sent.iter().map(|message| message.header.op).collect()
}

/// A stream of ours to the test, acknowledged; with what was said for it taken.
fn opened(node: &mut Lone, capacity: (u32, u32)) -> OutgoingKey {
    let target = if capacity == LIST_CAPACITY { LIST } else { TALK };
    let now = node.now;
    let key = node.peer().open(now, target, capacity, Data::Nil, None).expect("open");
    node.sent();
    node.receive_mux(Op::AckMux, key.mux_id(), 0, Flags::empty(), b"");
    node.events.clear();
    key
}

/// A stream that the test has opened, with what was said for it taken.
fn served_stream(node: &mut Lone, mux: u64, handler: u8) -> gridmux_core::mux::IncomingKey {
    let flags = if handler == LIST.handler { Flags::EOF } else { Flags::empty() } | Flags::CRC;
    node.receive(Header { mux, handler, flags, ..Header::new(Op::ConnectMux) }, b"");
    assert_eq!(ops(&node.sent()), [Op::AckMux]);
    node.calls.pop_front().expect("a call").key
}

#[test]
fn l01_credits_and_acks_for_a_closed_mux_are_ignored() {
    let mut node = lone();
    let ours = opened(&mut node, TALK_CAPACITY);
    let now = node.clocks();
    node.peer().release(now, ours);
    assert_eq!(ops(&node.sent()), [Op::DisconnectServerMux]);
    for (op, seq) in [(Op::UnblockClMux, 1), (Op::AckMux, 0), (Op::UnblockClMux, 9)] {
        node.receive_mux(op, ours.mux_id(), seq, Flags::empty(), b"");
    }
    let theirs = served_stream(&mut node, 5, TALK.handler);
    let now = node.clocks();
    node.peer().finish(now, theirs, Ok(()));
    node.sent();
    node.events.clear();
    for seq in 1..5 {
        node.receive_mux(Op::UnblockSrvMux, 5, seq, Flags::empty(), b"");
    }
    assert_eq!(node.sent(), []);
    assert_eq!((node.events.len(), node.commands.len()), (0, 0));
    assert!(node.peer().is_quiescent());
}

#[test]
fn l02_no_reply_carries_a_subroute() {
    let mut pair = builder().connected();
    let now = pair.now;
    let data = Data::Borrowed(b"x");
    let key = pair.dialler().peer().request(now, sub(), data, None).expect("up");
    let call = served(&mut pair, Which::Acceptor);
    respond(&mut pair, Which::Acceptor, call.key, b"y");
    assert!(outcome(&mut pair, Which::Dialler, key).expect("over").is_ok());
    let mut unknown = sub();
    unknown.subroute = Some(gridmux_core::wire::SubrouteId::new(1, &["nowhere"]));
    let refused =
        pair.dialler().peer().request(now, unknown, Data::Borrowed(b"x"), None).expect("up");
    pair.drive();
    let end = outcome(&mut pair, Which::Dialler, refused).expect("over");
    assert!(matches!(end, Err(CallError::Refused(_))));
    let sent = messages(&pair.acceptor().sent);
    assert_eq!(ops(&sent)[1..], [Op::Response, Op::MuxConnectError]);
    for message in sent {
        assert!(!message.header.flags.contains(Flags::SUBROUTE), "{message:?}");
    }
}

#[test]
fn l03_a_refusal_is_delivered_to_the_caller_of_a_request_and_of_a_stream() {
    let mut pair = builder().connected();
    let now = pair.now;
    let unknown = gridmux_core::mux::Target { handler: 200, subroute: None };
    let peer = pair.dialler().peer();
    let single = peer.request(now, unknown, Data::Borrowed(b"x"), None).expect("up");
    let stream = peer.open(now, unknown, (5, 5), Data::Nil, None).expect("up");
    pair.drive();
    let refused = CallError::Refused("no handler with this id".into());
    assert!(!refused.may_have_run());
    assert_eq!(outcome(&mut pair, Which::Dialler, single), Some(Err(refused.clone())));
    let end = drain(&mut pair, Which::Dialler, stream);
    assert_eq!(end, (vec![], Received::Failed(refused)));
    release(&mut pair, Which::Dialler, stream);
    assert!(pair.is_quiescent());
}

#[test]
fn l04_a_read_buffer_shrinks_after_one_huge_message() {
    use gridmux_core::websocket::{Channel, Incoming, MAX_HEADER_LEN, Role};
    let mut acceptor = Channel::new(Role::Server, 16 << 20, 1);
    let mut dialler = Channel::new(Role::Client, 16 << 20, 1);
    let mut frame = vec![0; MAX_HEADER_LEN];
    frame.resize(MAX_HEADER_LEN + (8 << 20), 7);
    let start = dialler.seal(&mut frame, MAX_HEADER_LEN);
    let mut left = &frame[start..];
    let mut received = None;
    while !left.is_empty() {
        let buf = acceptor.read_buf();
        let len = left.len().min(buf.capacity() - buf.len());
        buf.extend_from_slice(&left[..len]);
        left = &left[len..];
        if let Some(Incoming::Message(message)) = acceptor.poll_message().expect("valid") {
            received = Some(message.len());
        }
    }
    assert_eq!(received, Some(8 << 20));
    assert!(acceptor.buffer_size() <= 256 << 10, "{}", acceptor.buffer_size());
    assert!(acceptor.read_buf().capacity() <= 256 << 10);
    acceptor.idle();
    assert_eq!(acceptor.buffer_size(), 0, "an idle link keeps none");
}

#[test]
fn l05_a_rejection_says_why_on_both_sides() {
    let mut pair = builder().token(Which::Dialler, "other-token").build();
    pair.start();
    pair.drive();
    let Some(LinkError::Rejected(reason)) = pair.dialler().peer().last_failure().cloned() else {
        panic!("rejected")
    };
    assert!(reason.starts_with("auth token: "), "{reason}");
    let closed = &pair.acceptor().closed;
    assert!(matches!(&closed[..], [LinkError::Refused(denial)] if denial.reason == reason));
}

#[test]
fn l06_a_reconnect_and_a_change_of_state_at_one_moment_leave_one_link() {
    // In every order: the loss on either side, a retry, a shutdown of one side.
    for seed in 0..200_u64 {
        let mut pair = builder().seed(seed).connected();
        pair.latency = Duration::from_millis(seed % 7);
        pair.advance(Duration::from_millis(9_900 + seed));
        for step in 0..6 {
            match (seed >> (2 * step)) & 3 {
                0 => pair.cut_for(Which::Dialler),
                1 => pair.cut_for(Which::Acceptor),
                2 => pair.cut(),
                _ => pair.advance(Duration::from_millis(5)),
            }
            pair.wake();
        }
        pair.advance(40 * SECOND);
        assert!(pair.is_connected(), "seed {seed}");
        pair.latency = Duration::ZERO;
        pair.advance(SECOND);
        round_trip(&mut pair, Which::Dialler);
        round_trip(&mut pair, Which::Acceptor);
    }
}

#[test]
fn l07_a_stream_without_input_opens_closes_and_ends_like_any_other() {
    let mut pair = builder().connected();
    for cut in [false, true] {
        let stream = list(&mut pair, Which::Dialler);
        let call = served(&mut pair, Which::Acceptor);
        assert_eq!(pair.acceptor().peer().take_input(call.key), Received::End, "no input at all");
        pair.dialler().peer().close_input(stream);
        pair.dialler().peer().close_input(stream);
        let sent = pair.dialler().peer().send(stream, Data::Borrowed(b"x"));
        assert_eq!(sent, Err(Refusal::Failed(CallError::SendClosed)));
        pair.acceptor().peer().drop_input(call.key);
        pair.drive();
        if cut {
            pair.cut();
            gone(&mut pair, Which::Acceptor, call.key);
        } else {
            finish(&mut pair, Which::Acceptor, call.key, Ok(()));
            assert_eq!(drain(&mut pair, Which::Dialler, stream), (vec![], Received::End));
        }
        release(&mut pair, Which::Dialler, stream);
        assert!(pair.is_quiescent());
    }
}

#[test]
fn l08_a_finished_request_leaves_nothing_behind_with_a_subroute_or_without() {
    let mut pair = builder().connected();
    for n in 0..10_000_u32 {
        let target = if n % 2 == 0 { support::ECHO } else { sub() };
        let now = pair.now;
        let data = Data::Borrowed(b"x");
        let key = pair.dialler().peer().request(now, target, data, None).expect("up");
        assert_eq!(key.slot(), 0, "the slot is used again");
        let call = served(&mut pair, Which::Acceptor);
        assert_eq!(call.key.slot(), 0);
        respond(&mut pair, Which::Acceptor, call.key, b"y");
        assert!(outcome(&mut pair, Which::Dialler, key).expect("over").is_ok());
        for end in &mut pair.ends {
            end.sent.clear();
            end.events.clear();
        }
    }
    assert!(pair.is_quiescent());
    let now = pair.now;
    let stats = pair.dialler().peer().stats(now);
    assert_eq!((stats.outgoing_requests, stats.received_bytes, stats.queued_bytes), (0, 0, 0));
}

#[test]
fn l10_an_application_that_does_not_read_blocks_neither_cancel_nor_reconnect() {
    let mut pair = builder().connected();
    pair.advance(15 * SECOND);
    let stream = list(&mut pair, Which::Dialler);
    let call = served(&mut pair, Which::Acceptor);
    for n in 0..5 {
        pair.acceptor().peer().serve_item(call.key, Data::Borrowed(&[n])).expect("a credit");
    }
    let full = pair.acceptor().peer().serve_item(call.key, Data::Borrowed(b"x"));
    assert_eq!(full, Err(Refusal::NoCredit));
    pair.drive();
    round_trip(&mut pair, Which::Dialler);
    let now = pair.clocks(Which::Dialler);
    pair.dialler().peer().cancel(now, stream);
    pair.drive();
    let cancelled = Event::Cancelled(call.key, CancelReason::Caller);
    assert!(pair.acceptor().take_events().contains(&cancelled));
    gone(&mut pair, Which::Acceptor, call.key);
    release(&mut pair, Which::Dialler, stream);

    let unread = list(&mut pair, Which::Dialler);
    let call = served(&mut pair, Which::Acceptor);
    pair.acceptor().peer().serve_item(call.key, Data::Borrowed(b"x")).expect("a credit");
    pair.drive();
    pair.cut();
    pair.advance(Duration::ZERO);
    assert!(pair.is_connected(), "the unread item is nobody's concern");
    round_trip(&mut pair, Which::Dialler);
    assert_eq!(drain(&mut pair, Which::Dialler, unread).0, [b"x"]);
}

#[test]
fn l11_a_disconnect_while_a_call_is_set_up_fails_it_once() {
    // Cut at every stage between the opener and the ack.
    for latency_ms in 0..4 {
        let mut pair = builder().connected();
        pair.latency = Duration::from_millis(2);
        let stream = talk(&mut pair, Which::Dialler);
        pair.advance(Duration::from_millis(latency_ms));
        pair.cut();
        let (items, end) = drain(&mut pair, Which::Dialler, stream);
        assert_eq!(items, [[0; 0]; 0]);
        assert_eq!(end, Received::Failed(CallError::Disconnected { may_have_run: true }));
        let events = pair.dialler().take_events();
        let told = events.iter().filter(|event| **event == Event::Readable(stream)).count();
        assert_eq!(told, 1);
        release(&mut pair, Which::Dialler, stream);
        for call in pair.acceptor().calls.split_off(0) {
            gone(&mut pair, Which::Acceptor, call.key);
        }
        assert!(pair.is_quiescent());
    }
}

/// Fills an end's queue until it takes no more; then the link breaks and comes back.
fn full_queue_then_reconnect(filling: Which) {
    let mut pair = in_bytes().connected();
    pair.advance(15 * SECOND);
    pair.room = [0; 2];
    let now = pair.now;
    let payload = bytes::Bytes::from(vec![7; 1 << 20]);
    let mut calls = Vec::new();
    let full = loop {
        let data = Data::Owned(payload.clone());
        match pair.end(filling).peer().request(now, support::ECHO, data, None) {
            Ok(key) => calls.push(key),
            Err(refusal) => break refusal,
        }
        pair.drive();
    };
    assert_eq!(full, Refusal::QueueFull);
    assert!(calls.len() >= 15);
    pair.cut();
    pair.room = [usize::MAX; 2];
    pair.advance(Duration::ZERO);
    assert!(pair.is_connected());
    assert!(pair.end(filling).take_events().contains(&Event::QueueWritable), "waiters look again");
    for key in calls {
        assert!(outcome(&mut pair, filling, key).expect("over").is_err());
    }
    round_trip(&mut pair, filling);
    round_trip(&mut pair, filling.other());
    assert!(pair.is_quiescent());
}

#[test]
fn l12_a_full_output_queue_does_not_block_a_reconnect_of_the_caller() {
    full_queue_then_reconnect(Which::Dialler);
}

#[test]
fn l13_acks_never_block_reading() {
    let mut pair = in_bytes().connected();
    pair.room[1] = 0;
    // The acceptor cannot write, and reads all the same.
    for _ in 0..1000 {
        talk(&mut pair, Which::Dialler);
    }
    pair.drive();
    assert_eq!(pair.acceptor().calls.len(), 1000);
    pair.room[1] = usize::MAX;
    pair.drive();
    assert!(pair.is_connected());
}

#[test]
fn l14_an_error_never_overtakes_the_last_responses() {
    for mode in [Mode::Frames, Mode::Bytes(usize::MAX), Mode::Bytes(5)] {
        for size in [1, 20_000] {
            let mut pair = builder().mode(mode).connected();
            let stream = list(&mut pair, Which::Dialler);
            let call = served(&mut pair, Which::Acceptor);
            for n in 0..4 {
                let item = Data::Owned(vec![n; size].into());
                pair.acceptor().peer().serve_item(call.key, item).expect("a credit");
            }
            finish(&mut pair, Which::Acceptor, call.key, Err("broken"));
            let (items, end) = drain(&mut pair, Which::Dialler, stream);
            assert_eq!(items, [0, 1, 2, 3].map(|n| vec![n; size]));
            assert_eq!(end, Received::Failed(CallError::Remote("broken".into())));
        }
    }
}

#[test]
fn l15_the_time_of_the_last_pong_is_right_and_a_dead_link_is_seen_dead() {
    let mut pair = builder().connected();
    pair.advance(35 * SECOND);
    let now = pair.now;
    assert_eq!(pair.dialler().peer().stats(now).last_pong, Some(5 * SECOND));
    pair.held = [true; 2];
    pair.advance(Duration::from_millis(24_999));
    assert!(pair.is_connected());
    pair.advance(MS);
    assert_eq!(pair.dialler().peer().last_failure(), Some(&LinkError::PeerSilent));
    assert_eq!(pair.acceptor().peer().last_failure(), Some(&LinkError::PeerSilent));
}

/// A stream whose items nobody takes: its pings and pongs go on.
fn pings_go_on_while_blocked(open: fn(&mut Pair, Which) -> OutgoingKey) {
    let mut pair = builder().connected();
    let stream = open(&mut pair, Which::Dialler);
    let call = served(&mut pair, Which::Acceptor);
    for n in 0..5 {
        pair.acceptor().peer().serve_item(call.key, Data::Borrowed(&[n])).expect("a credit");
    }
    pair.drive();
    // Both the caller's 30 s and the callee's 60 s pass many times over.
    pair.advance(Duration::from_secs(600));
    let (items, end) = drain(&mut pair, Which::Dialler, stream);
    assert_eq!((items.len(), end), (5, Received::Pending));
    pair.drive();
    pair.acceptor().peer().serve_item(call.key, Data::Borrowed(b"x")).expect("credits came back");
    finish(&mut pair, Which::Acceptor, call.key, Ok(()));
    assert_eq!(drain(&mut pair, Which::Dialler, stream), (vec![b"x".to_vec()], Received::End));
}

#[test]
fn l16_pings_go_on_while_a_response_waits_to_be_taken_one_way() {
    pings_go_on_while_blocked(list);
}

#[test]
fn l17_pings_go_on_while_a_response_waits_to_be_taken_two_way() {
    pings_go_on_while_blocked(talk);
}

#[test]
fn l18_a_full_output_queue_does_not_block_a_reconnect_of_the_callee() {
    full_queue_then_reconnect(Which::Acceptor);
    // And with responses, which are never refused.
    let mut pair = in_bytes().connected();
    pair.advance(15 * SECOND);
    let calls: Vec<_> = (0..40).map(|_| request(&mut pair, Which::Dialler, b"x")).collect();
    pair.drive();
    pair.room[1] = 0;
    for call in pair.acceptor().calls.split_off(0) {
        respond(&mut pair, Which::Acceptor, call.key, &vec![7; 1 << 20]);
    }
    pair.cut();
    pair.room[1] = usize::MAX;
    pair.advance(Duration::ZERO);
    for key in calls {
        assert!(outcome(&mut pair, Which::Dialler, key).expect("over").is_err());
    }
    assert!(pair.is_quiescent());
    round_trip(&mut pair, Which::Dialler);
}

#[test]
fn l19_items_buffered_at_the_end_of_a_stream_all_arrive() {
    let mut pair = builder().connected();
    for items in 0..5_u8 {
        let stream = list(&mut pair, Which::Dialler);
        let call = served(&mut pair, Which::Acceptor);
        for n in 0..items {
            pair.acceptor().peer().serve_item(call.key, Data::Borrowed(&[n])).expect("a credit");
        }
        finish(&mut pair, Which::Acceptor, call.key, Ok(()));
        pair.advance(100 * SECOND);
        let (received, end) = drain(&mut pair, Which::Dialler, stream);
        assert_eq!(received.len(), usize::from(items));
        assert_eq!(end, Received::End);
        release(&mut pair, Which::Dialler, stream);
    }
    assert!(pair.is_quiescent());
}

#[test]
fn l21_a_client_that_does_not_begin_with_connect_is_refused() {
    let mut node = Lone::new(Which::Acceptor, |node| node.routes = routes());
    node.grid.start(node.clocks());
    for op in [Op::Request, Op::Ping, Op::ConnectResponse, Op::Merged, Op::Unknown(77)] {
        let mut acceptor = node.grid.accept_upgraded(node.now, &[]);
        let mut frame = Vec::new();
        MessageRef { header: Header::new(op), subroute: None, payload: b"" }.encode(&mut frame);
        let mut client = gridmux_core::websocket::Channel::new(
            gridmux_core::websocket::Role::Client,
            1 << 16,
            1,
        );
        let start = client.seal(&mut frame, 0);
        acceptor.read_buf().extend_from_slice(&frame[start..]);
        let outcome = acceptor.handle_read(node.clocks(), &node.grid);
        assert!(matches!(outcome, Accepting::Finished(LinkError::Refused(_))), "{op}");
        assert_eq!(node.peer().state(), LinkState::Unconnected);
    }
    assert!(node.calls.is_empty());
}

#[test]
fn l22_a_wrong_direction_disconnect_hits_no_call() {
    let mut node = lone();
    let now = node.now;
    // 40 running requests of ours, and 40 streams of the peer with ids as a Go node counts them.
    let ours: Vec<OutgoingKey> =
        (0..40).map(|_| node.peer().request(now, LIST, Data::Nil, None).expect("up")).collect();
    for mux in 1..=40 {
        served_stream_quietly(&mut node, mux);
    }
    node.sent();
    // The peer forgets its streams and answers each late message with DisconnectClientMux.
    for mux in 1..=40 {
        node.receive_mux(Op::DisconnectClientMux, mux, 0, Flags::empty(), b"");
    }
    assert_eq!(node.sent(), []);
    for key in &ours {
        assert_eq!(node.peer().take_response(*key), None, "it still runs");
        assert!(key.mux_id() >> 63 == 1, "no Go node counts that far");
    }
    // And we never answer in the wrong direction: what comes for our closed call gets nothing.
    let stream = opened(&mut node, TALK_CAPACITY);
    let clocks = node.clocks();
    node.peer().release(clocks, stream);
    node.sent();
    for (op, seq) in [(Op::MuxServerMsg, 1), (Op::AckMux, 0), (Op::Pong, 1)] {
        node.receive_mux(op, stream.mux_id(), seq, Flags::empty(), b"x");
    }
    assert_eq!(node.sent(), []);
}

fn served_stream_quietly(node: &mut Lone, mux: u64) {
    let header = Header { mux, handler: 7, flags: Flags::EOF, ..Header::new(Op::ConnectMux) };
    node.receive(header, b"");
}

#[test]
fn l24_a_peer_that_takes_tcp_and_then_says_nothing_is_left_at_every_stage() {
    // During the upgrade or the handshake.
    let mut pair = in_bytes().build();
    pair.held = [true; 2];
    pair.start();
    pair.advance(2 * SECOND);
    assert!(matches!(pair.ends[0].closed[..], [LinkError::TimedOut(_)]));
    pair.advance(2 * SECOND);
    assert!(matches!(pair.ends[1].closed[..], [LinkError::TimedOut(_), ..]));
    pair.held = [false; 2];
    pair.advance(5 * SECOND);
    assert!(pair.is_connected());
    // On a live link with a call open.
    let stream = talk(&mut pair, Which::Dialler);
    pair.drive();
    pair.held = [true; 2];
    pair.advance(31 * SECOND);
    for end in &pair.ends {
        assert!(end.closed.contains(&LinkError::PeerSilent), "{:?}", end.closed);
    }
    let (_, end) = drain(&mut pair, Which::Dialler, stream);
    assert_eq!(end, Received::Failed(CallError::Disconnected { may_have_run: true }));
}

#[test]
fn l25_a_nil_item_keeps_the_stream_in_step_and_is_never_sent() {
    let mut node = lone();
    let stream = opened(&mut node, LIST_CAPACITY);
    node.receive_mux(Op::MuxServerMsg, stream.mux_id(), 1, Flags::empty(), b"");
    node.receive_mux(Op::MuxServerMsg, stream.mux_id(), 2, Flags::empty(), b"x");
    assert_eq!(node.peer().receive(stream), Received::Item(b"x".as_slice().into()));
    assert_eq!(node.peer().receive(stream), Received::Pending);
    node.sent();
    let theirs = served_stream(&mut node, 5, LIST.handler);
    node.peer().serve_item(theirs, Data::Nil).expect("a credit");
    let sent = node.sent();
    let flags = Flags::CRC | Flags::PAYLOAD_IS_ZERO;
    assert_eq!(sent[0].header, Header { mux: 5, seq: 1, flags, ..Header::new(Op::MuxServerMsg) });
}

#[test]
fn l26_an_error_does_not_overtake_items_not_yet_taken() {
    let mut pair = builder().connected();
    for (open, count) in [(list as fn(&mut Pair, Which) -> OutgoingKey, 2), (talk, 2)] {
        let stream = open(&mut pair, Which::Dialler);
        let call = served(&mut pair, Which::Acceptor);
        for _ in 0..count {
            pair.acceptor().peer().serve_item(call.key, Data::Borrowed(b"x")).expect("a credit");
        }
        finish(&mut pair, Which::Acceptor, call.key, Err("no"));
        let (items, end) = drain(&mut pair, Which::Dialler, stream);
        assert_eq!(items.len(), count);
        assert_eq!(end, Received::Failed(CallError::Remote("no".into())));
    }
    // Nor does a violation by the callee.
    let mut node = lone();
    let stream = opened(&mut node, LIST_CAPACITY);
    node.receive_mux(Op::MuxServerMsg, stream.mux_id(), 1, Flags::empty(), b"x");
    node.receive_mux(Op::MuxServerMsg, stream.mux_id(), 7, Flags::empty(), b"y");
    assert_eq!(node.peer().receive(stream), Received::Item(b"x".as_slice().into()));
    let violation = Violation::OutOfSequence { expected: 2, received: 7 };
    let failed = Received::Failed(CallError::PeerViolation(violation));
    assert_eq!(node.peer().receive(stream), failed);
}

#[test]
fn l27_input_after_a_refusal_is_answered_once_not_each_time() {
    let mut node = lone();
    served_stream(&mut node, 5, TALK.handler);
    node.receive_mux(Op::MuxClientMsg, 5, 9, Flags::empty(), b"out of sequence");
    assert_eq!(ops(&node.sent()), [Op::MuxServerMsg, Op::DisconnectClientMux]);
    for seq in 2..50 {
        node.receive_mux(Op::MuxClientMsg, 5, seq, Flags::empty(), b"more");
    }
    assert_eq!(node.sent(), []);
    assert!(!node.commands.iter().any(|c| matches!(c, LinkCommand::Close { .. })));
}
