//! Every limit at, below and above: PROTOCOL.md section 7.5.

use std::time::Duration;

use crate::support::{
    ECHO, LIST, MS, SECOND, TALK, TALK_CAPACITY, accepted, builder, drain, encoded, finish, gone,
    in_bytes, list, messages, outcome, release, request, respond, round_trip, routes, sealed,
    served, talk, try_request,
};
use gridmux_core::error::{CallError, CancelReason, LimitKind, LimitOwner, LinkError};
use gridmux_core::event::{Event, LinkCommand};
use gridmux_core::limits::Limits;
use gridmux_core::link::LinkState;
use gridmux_core::mux::{OutgoingKey, Received, Refusal};
use gridmux_core::outbox::Data;
use gridmux_core::testing::{Lone, Pair, Which};
use gridmux_core::wire::{Flags, Header, Op};

fn limited(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

fn lone(change: impl FnOnce(&mut Limits)) -> Lone {
    Lone::connected(Which::Acceptor, |node| {
        node.routes = routes();
        node.limits = limited(change);
    })
}

/// What a request of ours has beyond its payload, when that is of 1000 bytes or more.
fn overhead(pair: &mut Pair) -> usize {
    request(pair, Which::Dialler, &[0; 1000]);
    pair.drive();
    pair.acceptor().calls.clear();
    pair.dialler().sent.last().expect("sent").len() - 1000
}

#[test]
fn a_message_of_ours_over_the_limit_fails_and_nothing_of_it_is_sent() {
    let limits = limited(|limits| limits.message = 2000);
    let mut pair = builder().limits(Which::Dialler, limits).connected();
    let room = 2000 - overhead(&mut pair);
    pair.dialler().sent.clear();
    for (len, fits) in [(room - 1, true), (room, true), (room + 1, false), (1 << 20, false)] {
        let refusal = try_request(&mut pair, Which::Dialler, &vec![7; len]);
        pair.drive();
        assert_eq!(refusal.is_ok(), fits, "{len}");
        assert_eq!(pair.acceptor().calls.len(), usize::from(fits));
        pair.acceptor().calls.clear();
        if let Err(Refusal::Failed(error)) = refusal {
            let size = len + 2000 - room;
            let size = if len > 0xffff { size + 2 } else { size };
            let whose = LimitOwner::ThisNode;
            assert_eq!(error, CallError::TooLarge { size, limit: 2000, whose });
            assert!(!error.may_have_run());
        }
    }
    assert_eq!(messages(&pair.dialler().sent).len(), 2);
    assert!(pair.is_connected());
}

#[test]
fn items_over_the_limit_fail_alone_and_the_stream_goes_on() {
    let limits = limited(|limits| limits.message = 2000);
    let both = builder().limits(Which::Dialler, limits.clone()).limits(Which::Acceptor, limits);
    let mut pair = both.connected();
    let stream = talk(&mut pair, Which::Dialler);
    let call = served(&mut pair, Which::Acceptor);
    let too_large = |refusal| matches!(refusal, Err(Refusal::Failed(CallError::TooLarge { .. })));
    assert!(too_large(pair.dialler().peer().send(stream, Data::Borrowed(&[7; 2000]))));
    assert!(too_large(pair.acceptor().peer().serve_item(call.key, Data::Borrowed(&[7; 2000]))));
    for n in 0..5 {
        pair.dialler().peer().send(stream, Data::Borrowed(&[n])).expect("no credit was lost");
        pair.acceptor().peer().serve_item(call.key, Data::Borrowed(&[n])).expect("nor here");
    }
    pair.drive();
    assert_eq!(drain(&mut pair, Which::Dialler, stream).0.len(), 5);
}

#[test]
fn a_response_over_the_limit_becomes_an_error_response() {
    let limits = limited(|limits| limits.message = 2000);
    let mut pair = builder().limits(Which::Acceptor, limits).connected();
    let key = request(&mut pair, Which::Dialler, b"x");
    let call = served(&mut pair, Which::Acceptor);
    respond(&mut pair, Which::Acceptor, call.key, &[7; 2000]);
    let end = outcome(&mut pair, Which::Dialler, key).expect("over");
    let Err(error @ CallError::ResponseTooLarge { limit: 2000, .. }) = end else {
        panic!("{end:?}")
    };
    assert!(matches!(error, CallError::ResponseTooLarge { whose: LimitOwner::Peer, .. }));
    assert!(error.may_have_run());
}

#[test]
fn a_message_of_theirs_over_the_limit_drops_the_link() {
    // Frames without an upgrade: the acceptor has not told its limit.
    let limits = limited(|limits| limits.message = 2000);
    for (len, fits) in [(1900, true), (2000, false), (100_000, false)] {
        let mut pair = builder().limits(Which::Acceptor, limits.clone()).connected();
        request(&mut pair, Which::Dialler, &vec![7; len]);
        pair.drive();
        assert_eq!(pair.is_connected(), fits, "{len}");
        assert_eq!(pair.acceptor().calls.len(), usize::from(fits));
    }
    let mut node = lone(|limits| limits.message = 2000);
    for (len, fits) in [(1999, true), (2000, true), (2001, false)] {
        let mut frame = vec![0x97, 0, 0, 0, 0, 99, 0, 0xc4, 0];
        frame.resize(len, 0);
        node.receive_frame(&frame);
        assert_eq!(node.peer().state() == LinkState::Connected, fits, "{len}");
    }
}

#[test]
fn a_message_over_the_peers_limit_costs_its_call_and_not_the_link() {
    for (caller, callee) in [(Which::Dialler, Which::Acceptor), (Which::Acceptor, Which::Dialler)] {
        let limits = limited(|limits| limits.message = 2000);
        let mut pair = in_bytes().limits(callee, limits).connected();
        let refused = try_request(&mut pair, caller, &[7; 100_000]);
        let Err(Refusal::Failed(error)) = refused else { panic!("{refused:?}") };
        let CallError::TooLarge { size, limit: 2000, whose } = error else { panic!("{error:?}") };
        assert!(size > 100_000 && whose == LimitOwner::Peer && !error.may_have_run());

        let stream = talk(&mut pair, caller);
        pair.drive();
        let refused = pair.end(caller).peer().send(stream, Data::Borrowed(&[7; 2000]));
        assert!(matches!(refused, Err(Refusal::Failed(CallError::TooLarge { limit: 2000, .. }))));
        pair.end(caller)
            .peer()
            .send(stream, Data::Borrowed(&[7; 1900]))
            .expect("no credit was lost");
        pair.drive();
        release(&mut pair, caller, stream);
        pair.end(callee).calls.clear();

        // The other way, responses: the one who makes the call is the one with the limit.
        let key = request(&mut pair, callee, b"x");
        let call = served(&mut pair, caller);
        respond(&mut pair, caller, call.key, &[7; 2000]);
        let end = outcome(&mut pair, callee, key).expect("over");
        let Err(CallError::ResponseTooLarge { limit: 2000, whose, .. }) = end else {
            panic!("{end:?}")
        };
        assert_eq!(whose, LimitOwner::ThisNode);
        assert!(pair.is_connected());
    }
}

#[test]
fn the_limit_of_a_lost_link_is_forgotten() {
    let limits = limited(|limits| limits.message = 2000);
    let mut pair = in_bytes().limits(Which::Acceptor, limits).connected();
    assert_eq!(pair.dialler().peer().message_limit(), 2000);
    assert_eq!(pair.acceptor().peer().message_limit(), 2000);
    pair.cut();
    assert_eq!(pair.dialler().peer().message_limit(), Limits::default().message);
}

#[test]
fn many_messages_of_the_limits_size_may_be_merged_into_one_longer_frame() {
    let limits = limited(|limits| limits.message = 16 * 1024);
    let mut pair = in_bytes().limits(Which::Acceptor, limits).connected();
    pair.room[0] = 0;
    for _ in 0..20 {
        request(&mut pair, Which::Dialler, &[7; 8000]);
        request(&mut pair, Which::Dialler, &[7; 8200]);
    }
    pair.drive();
    pair.room[0] = usize::MAX;
    pair.drive();
    assert_eq!(pair.acceptor().calls.len(), 40);
}

#[test]
fn live_calls_of_ours_are_limited_and_each_end_makes_room() {
    let limits = limited(|limits| limits.outgoing_muxes = 3);
    let mut pair = builder().limits(Which::Dialler, limits).connected();
    let full = Err(Refusal::Failed(CallError::Limit(LimitKind::OutgoingMuxes)));
    let first = request(&mut pair, Which::Dialler, b"x");
    let call = served(&mut pair, Which::Acceptor);
    let stream = talk(&mut pair, Which::Dialler);
    request(&mut pair, Which::Dialler, b"x");
    assert_eq!(try_request(&mut pair, Which::Dialler, b"x"), full);
    let now = pair.now;
    let opened = pair.dialler().peer().open(now, LIST, (0, 5), Data::Nil, None);
    assert_eq!(opened, full);
    respond(&mut pair, Which::Acceptor, call.key, b"y");
    let again = request(&mut pair, Which::Dialler, b"x");
    assert_eq!(try_request(&mut pair, Which::Dialler, b"x"), full);
    release(&mut pair, Which::Dialler, stream);
    request(&mut pair, Which::Dialler, b"x");
    assert_eq!(try_request(&mut pair, Which::Dialler, b"x"), full);
    assert!(outcome(&mut pair, Which::Dialler, first).is_some());
    assert!(outcome(&mut pair, Which::Dialler, again).is_none());
    assert!(pair.is_connected());
}

#[test]
fn live_calls_of_theirs_are_limited_and_running_handlers_count() {
    let limits = limited(|limits| limits.incoming_muxes = 2);
    let mut pair = builder().limits(Which::Acceptor, limits).connected();
    let first = request(&mut pair, Which::Dialler, b"x");
    let stream = talk(&mut pair, Which::Dialler);
    let surplus = request(&mut pair, Which::Dialler, b"x");
    let surplus_stream = list(&mut pair, Which::Dialler);
    pair.drive();
    let refused = CallError::Refused("too many calls".into());
    assert_eq!(outcome(&mut pair, Which::Dialler, surplus), Some(Err(refused.clone())));
    let end = drain(&mut pair, Which::Dialler, surplus_stream);
    assert_eq!(end, (vec![], Received::Failed(refused.clone())));
    let calls = std::mem::take(&mut pair.acceptor().calls);
    assert_eq!(calls.len(), 2);
    // A cancelled handler counts until it is gone.
    release(&mut pair, Which::Dialler, stream);
    let still = request(&mut pair, Which::Dialler, b"x");
    pair.drive();
    assert_eq!(outcome(&mut pair, Which::Dialler, still), Some(Err(refused)));
    gone(&mut pair, Which::Acceptor, calls[1].key);
    round_trip(&mut pair, Which::Dialler);
    respond(&mut pair, Which::Acceptor, calls[0].key, b"y");
    assert!(outcome(&mut pair, Which::Dialler, first).expect("over").is_ok());
}

#[test]
fn queued_bytes_are_limited_and_room_is_told_at_half() {
    let limits = limited(|limits| limits.queued_bytes = 10_000);
    let mut pair = builder().limits(Which::Dialler, limits).connected();
    let of = 1000 - overhead(&mut pair);
    pair.room[0] = 0;
    request(&mut pair, Which::Dialler, b"handed out: not in the queue");
    pair.drive();
    for _ in 0..10 {
        request(&mut pair, Which::Dialler, &vec![7; of]);
    }
    let now = pair.now;
    assert_eq!(pair.dialler().peer().stats(now).queued_bytes, 10_000);
    assert_eq!(try_request(&mut pair, Which::Dialler, b""), Err(Refusal::QueueFull));
    pair.dialler().events.clear();
    pair.room[0] = usize::MAX;
    pair.drive();
    let writable = |event: &&Event| **event == Event::QueueWritable;
    let events = pair.dialler().take_events();
    assert_eq!(events.iter().filter(writable).count(), 1, "{events:?}");
    request(&mut pair, Which::Dialler, b"x");
    pair.drive();
    assert!(pair.dialler().take_events().iter().all(|e| *e != Event::QueueWritable), "told once");
}

#[test]
fn a_queue_always_has_room_for_one_message() {
    let limits = limited(|limits| limits.queued_bytes = 1);
    let mut pair = builder().limits(Which::Dialler, limits).connected();
    for payload in [vec![7; 10], vec![7; 1 << 20]] {
        request(&mut pair, Which::Dialler, &payload);
        assert_eq!(try_request(&mut pair, Which::Dialler, b"x"), Err(Refusal::QueueFull));
        let call = served(&mut pair, Which::Acceptor);
        assert_eq!(call.payload.len(), payload.len());
    }
}

#[test]
fn senders_learn_of_the_room_that_a_cancelled_call_leaves() {
    let limits = limited(|limits| limits.queued_bytes = 30_000);
    let mut pair = builder().limits(Which::Dialler, limits).connected();
    pair.room[0] = 0;
    request(&mut pair, Which::Dialler, b"handed out");
    pair.drive();
    let large = request(&mut pair, Which::Dialler, &[7; 25_000]);
    assert_eq!(try_request(&mut pair, Which::Dialler, &[7; 9000]), Err(Refusal::QueueFull));
    pair.dialler().events.clear();
    // It never left, so there is nothing to send for it: only the room tells.
    release(&mut pair, Which::Dialler, large);
    assert_eq!(pair.dialler().take_events(), [Event::QueueWritable]);
    assert!(try_request(&mut pair, Which::Dialler, &[7; 9000]).is_ok());
}

#[test]
fn answers_are_never_refused_by_the_send_limit() {
    let limits = limited(|limits| limits.queued_bytes = 100);
    let mut pair = builder().limits(Which::Acceptor, limits).connected();
    let keys: Vec<OutgoingKey> =
        (0..50).map(|_| request(&mut pair, Which::Dialler, b"x")).collect();
    let stream = talk(&mut pair, Which::Dialler);
    pair.drive();
    pair.room[1] = 0;
    let mut calls = std::mem::take(&mut pair.acceptor().calls);
    let streamed = calls.pop_back().expect("the stream");
    for call in calls {
        respond(&mut pair, Which::Acceptor, call.key, &[7; 500]);
    }
    let full = pair.acceptor().peer().serve_item(streamed.key, Data::Borrowed(b"x"));
    assert_eq!(full, Err(Refusal::QueueFull), "items wait");
    finish(&mut pair, Which::Acceptor, streamed.key, Ok(()));
    pair.room[1] = usize::MAX;
    pair.drive();
    for key in keys {
        assert!(outcome(&mut pair, Which::Dialler, key).expect("over").is_ok());
    }
    assert_eq!(drain(&mut pair, Which::Dialler, stream), (vec![], Received::End));
}

#[test]
fn replies_of_the_core_that_pile_up_drop_the_link() {
    // Refusals, answers to unknown muxes and mux pongs count; link pongs replace each other.
    type Flood = (&'static str, fn(&mut Lone, u64));
    let floods: [Flood; 3] = [
        ("refusals", |node, n| {
            let header = Header { mux: n, handler: 200, ..Header::new(Op::Request) };
            node.receive(header, b"x");
        }),
        ("unknown muxes", |node, n| node.receive_mux(Op::MuxClientMsg, n, 1, Flags::empty(), b"x")),
        ("pongs", |node, n| node.receive_mux(Op::Ping, n, 1, Flags::empty(), b"")),
    ];
    for (name, flood) in floods {
        let mut node = lone(|limits| limits.reply_bytes = 10_000);
        let mut sent = 0;
        while node.commands.is_empty() {
            sent += 1;
            flood(&mut node, sent);
            assert!(sent < 1000, "{name}");
        }
        assert!(sent > 100, "{name}: {sent}");
        let Some(LinkCommand::Close { reason, .. }) = node.commands.pop_front() else { panic!() };
        assert_eq!(reason, LinkError::PeerDoesNotRead, "{name}");
        assert_eq!(reason.to_string(), "peer does not read");

        // A peer that reads may send as many as it likes.
        let mut node = lone(|limits| limits.reply_bytes = 10_000);
        for n in 1..2000 {
            flood(&mut node, n);
            node.frames();
        }
        assert_eq!(node.commands.len(), 0, "{name}");
    }
    let mut node = lone(|limits| limits.reply_bytes = 1024);
    for seq in 0..10_000 {
        node.receive(Header { seq, ..Header::new(Op::Ping) }, &[]);
    }
    assert_eq!((node.commands.len(), node.frames().len()), (0, 1));
}

#[test]
fn pongs_that_overtake_frames_are_limited_too() {
    let (mut node, mut client, mut connection) = accepted(|limits| limits.reply_bytes = 10_000);
    let (now, clocks) = (node.now, node.clocks());
    for _ in 0..4 * 51 {
        node.peer().request(now, ECHO, Data::Borrowed(b"x"), None).expect("connected");
    }
    connection.exchange(clocks, node.peer());
    assert!(!connection.write_buf().is_empty());
    let mut read = |node: &mut Lone, header: Header| {
        let frame = sealed(&mut client, &encoded(header, &[]));
        connection.read_buf().extend_from_slice(&frame);
        connection.handle_read(now, frame.len());
        connection.exchange(clocks, node.peer());
        // A peer that reads a little has not stalled.
        connection.handle_written(now, 1);
    };
    read(&mut node, Header { mux: 1, handler: TALK.handler, ..Header::new(Op::ConnectMux) });
    let mut pings = 0;
    while node.peer().last_failure().is_none() {
        pings += 1;
        assert!(pings < 1000, "pongs wait for ever");
        read(&mut node, Header { mux: 1, seq: pings, ..Header::new(Op::Ping) });
    }
    assert!(pings > 100, "{pings}");
    assert_eq!(node.peer().last_failure(), Some(&LinkError::PeerDoesNotRead));
}

#[test]
fn a_peer_that_opens_and_cancels_without_reading_is_dropped() {
    let mut node = lone(|limits| {
        limits.queued_bytes = 1000;
        limits.message = 1024;
        limits.reply_bytes = 10_000;
    });
    let mut opened = 0;
    while node.commands.is_empty() {
        opened += 1;
        let header = Header { mux: opened, handler: TALK.handler, ..Header::new(Op::ConnectMux) };
        node.receive(header, b"x");
        if node.commands.is_empty() {
            node.receive_mux(Op::DisconnectServerMux, opened, 0, Flags::empty(), b"");
        }
        assert!(opened < 10_000, "its acks and disconnects wait for ever");
    }
    let Some(LinkCommand::Close { reason, .. }) = node.commands.pop_front() else { panic!() };
    assert_eq!(reason, LinkError::PeerDoesNotRead);
}

#[test]
fn acks_and_answers_to_cancels_that_pile_up_drop_the_link() {
    let mut node = lone(|limits| limits.answer_bytes = 10_000);
    let mut opened = 0;
    while node.commands.is_empty() {
        opened += 1;
        let header = Header { mux: opened, handler: TALK.handler, ..Header::new(Op::ConnectMux) };
        node.receive(header, b"x");
        node.receive_mux(Op::DisconnectServerMux, opened, 0, Flags::empty(), b"");
        assert!(opened < 1000, "they wait for ever");
    }
    assert!(opened > 100, "{opened}");
    let Some(LinkCommand::Close { reason, .. }) = node.commands.pop_front() else { panic!() };
    assert_eq!(reason, LinkError::PeerDoesNotRead);
}

#[test]
fn a_peer_that_never_reads_is_dropped_and_costs_bounded_memory() {
    let mut pair = in_bytes().connected();
    pair.room[1] = 0;
    let begun = pair.now;
    let mut most = 0;
    while pair.acceptor().peer().state() == LinkState::Connected {
        for _ in 0..100 {
            let now = pair.now;
            let unknown = gridmux_core::mux::Target { handler: 200, subroute: None };
            let _ = pair.dialler().peer().request(now, unknown, Data::Nil, Some(SECOND));
        }
        pair.advance(100 * MS);
        let now = pair.now;
        most = most.max(pair.acceptor().peer().stats(now).queued_bytes);
        assert!(pair.now.since(begun) <= 4 * SECOND);
    }
    assert_eq!(most, 0, "refusals are no data");
    assert_eq!(pair.acceptor().peer().last_failure(), Some(&LinkError::WriteStalled));
}

#[test]
fn the_replies_to_one_merged_frame_are_limited_too() {
    let mut node = lone(|limits| limits.reply_bytes = 10_000);
    let count = 50_000_u32;
    let mut frame = vec![0x97, 0, 0xce];
    frame.extend_from_slice(&count.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 17, 0, 0xc4, 0]);
    for _ in 0..count {
        frame.extend_from_slice(&[0xc4, 9, 0x97, 5, 0, 0, 0, 3, 0, 0xc4, 0]);
    }
    node.receive_frame(&frame);
    assert_eq!(node.peer().last_failure(), Some(&LinkError::PeerDoesNotRead));
    let now = node.now;
    assert!(node.peer().stats(now).messages_out < 1000, "the rest is not answered");
}

#[test]
fn any_number_of_requests_may_share_one_id_and_all_are_answered_and_forgotten() {
    // Were they walked one by one, this would take minutes.
    const FRAMES: u32 = 60;
    const PARTS: u32 = 1000;
    const COUNT: u32 = FRAMES * PARTS;
    let mut node = lone(|_| {});
    let mut receive = |part: &[u8]| {
        let mut frame = vec![0x97, 0, 0xce];
        frame.extend_from_slice(&PARTS.to_be_bytes());
        frame.extend_from_slice(&[0, 0, 17, 0, 0xc4, 0]);
        for _ in 0..PARTS {
            frame.extend_from_slice(&[0xc4, part.len() as u8]);
            frame.extend_from_slice(part);
        }
        (0..FRAMES).for_each(|_| node.receive_frame(&frame));
        node.calls.len()
    };
    assert_eq!(receive(&[0x97, 5, 0, 0, ECHO.handler, 14, 2, 0xc4, 0]), COUNT as usize);
    // For none of them, and each is looked up.
    receive(&[0x97, 5, 0, 0, 0, 9, 0, 0xc4, 0]);
    let now = node.clocks();
    for call in std::mem::take(&mut node.calls) {
        node.peer().respond(now, call.key, Ok(Data::Nil));
    }
    assert_eq!(node.sent().len(), COUNT as usize);
    assert!(node.peer().is_quiescent());
}

#[test]
fn received_items_over_the_limit_end_their_stream_and_nothing_else() {
    let limits = limited(|limits| limits.received_bytes = 10_000);
    let mut pair = builder().limits(Which::Dialler, limits).connected();
    let victim = list(&mut pair, Which::Dialler);
    let call = served(&mut pair, Which::Acceptor);
    let other = list(&mut pair, Which::Dialler);
    let other_call = served(&mut pair, Which::Acceptor);
    for _ in 0..2 {
        let item = Data::Borrowed(&[7; 4900]);
        pair.acceptor().peer().serve_item(call.key, item).expect("a credit");
    }
    pair.drive();
    let now = pair.now;
    assert_eq!(pair.dialler().peer().stats(now).received_bytes, 2 * (4900 + 32));
    pair.acceptor().peer().serve_item(call.key, Data::Borrowed(&[7; 105])).expect("a credit");
    pair.drive();
    let cancelled = Event::Cancelled(call.key, CancelReason::Caller);
    assert!(pair.acceptor().take_events().contains(&cancelled), "the peer is told");
    let (items, end) = drain(&mut pair, Which::Dialler, victim);
    assert_eq!(items.len(), 2, "what came before stays readable");
    assert_eq!(end, Received::Failed(CallError::Limit(LimitKind::ReceivedBytes)));
    pair.acceptor().peer().serve_item(other_call.key, Data::Borrowed(&[7; 9000])).expect("ok");
    pair.drive();
    assert_eq!(drain(&mut pair, Which::Dialler, other).0.len(), 1);
    assert!(pair.is_connected());
}

#[test]
fn a_response_over_the_receive_limit_fails_its_call_alone() {
    let limits = limited(|limits| limits.received_bytes = 10_000);
    let mut pair = builder().limits(Which::Dialler, limits).connected();
    for (len, fits) in [(9_967, true), (9_968, true), (9_969, false)] {
        let key = request(&mut pair, Which::Dialler, b"x");
        let call = served(&mut pair, Which::Acceptor);
        respond(&mut pair, Which::Acceptor, call.key, &vec![7; len]);
        let end = outcome(&mut pair, Which::Dialler, key).expect("over");
        assert_eq!(end.is_ok(), fits, "{len}");
        if let Err(error) = end {
            assert_eq!(error, CallError::Limit(LimitKind::ReceivedBytes));
            assert!(error.may_have_run());
        }
    }
    assert!(pair.is_quiescent() && pair.is_connected());
}

#[test]
fn error_texts_count_as_received_until_they_are_taken() {
    let limits = limited(|limits| limits.received_bytes = 10_000);
    let mut pair = builder().limits(Which::Dialler, limits).connected();
    let keys: Vec<OutgoingKey> = (0..3).map(|_| request(&mut pair, Which::Dialler, b"x")).collect();
    pair.drive();
    let text = "e".repeat(4900);
    for call in std::mem::take(&mut pair.acceptor().calls) {
        let clocks = pair.clocks(Which::Acceptor);
        pair.acceptor().peer().respond(clocks, call.key, Err(&text));
    }
    pair.drive();
    let limit = CallError::Limit(LimitKind::ReceivedBytes);
    let expected = [CallError::Remote(text.clone()), CallError::Remote(text.clone()), limit];
    for (key, error) in keys.into_iter().zip(expected) {
        assert_eq!(outcome(&mut pair, Which::Dialler, key), Some(Err(error)));
    }
    let now = pair.now;
    assert_eq!(pair.dialler().peer().stats(now).received_bytes, 0);
}

#[test]
fn requests_and_input_over_the_receive_limit_are_refused_alone() {
    let mut node = lone(|limits| limits.received_bytes = 10_000);
    // A request whose payload the layer above has not taken.
    let header = |mux| Header { mux, handler: ECHO.handler, ..Header::new(Op::Request) };
    let now = node.clocks();
    let link = node.link();
    let frame = |mux, len: usize| {
        let mut frame = Vec::new();
        let payload = vec![7; len];
        gridmux_core::wire::MessageRef { header: header(mux), subroute: None, payload: &payload }
            .encode(&mut frame);
        bytes::Bytes::from(frame)
    };
    node.peer().handle_frame(now, link, &frame(1, 9000));
    node.peer().handle_frame(now, link, &frame(2, 9000));
    node.collect();
    assert_eq!(node.calls.len(), 1);
    let sent = node.sent();
    assert_eq!((sent.len(), sent[0].header.op), (1, Op::MuxConnectError));
    node.receive_frame(&frame(3, 9000));
    assert_eq!(node.calls.len(), 2, "once taken, a request does not count");

    let open = Header { mux: 9, handler: TALK.handler, ..Header::new(Op::ConnectMux) };
    node.receive(open, b"");
    let call = node.calls.pop_back().expect("a call");
    node.sent();
    node.receive_mux(Op::MuxClientMsg, 9, 1, Flags::empty(), &[7; 9000]);
    node.receive_mux(Op::MuxClientMsg, 9, 2, Flags::empty(), &[7; 9000]);
    let sent = node.sent();
    assert_eq!(sent[0].header.op, Op::MuxServerMsg);
    assert!(sent[0].header.flags.contains(Flags::EOF | Flags::PAYLOAD_IS_ERR));
    assert_eq!(sent[1].header.op, Op::DisconnectClientMux);
    assert!(matches!(node.peer().take_input(call.key), Received::Item(_)));
    let end = node.peer().take_input(call.key);
    assert_eq!(end, Received::Failed(CancelReason::ReceiveLimit));
    assert_eq!(node.peer().state(), LinkState::Connected);
}

#[test]
fn memory_is_given_back_after_one_huge_message() {
    let mut pair = in_bytes().connected();
    let key = request(&mut pair, Which::Dialler, &vec![7; 8 << 20]);
    let call = served(&mut pair, Which::Acceptor);
    assert_eq!(call.payload.len(), 8 << 20);
    drop(call.payload);
    respond(&mut pair, Which::Acceptor, call.key, b"y");
    assert!(outcome(&mut pair, Which::Dialler, key).expect("over").is_ok());
    pair.advance(Duration::from_secs(2));
    let now = pair.now;
    for end in &mut pair.ends {
        let stats = end.peer().stats(now);
        assert_eq!((stats.queued_bytes, stats.received_bytes), (0, 0));
        end.peer().shrink();
        assert!(end.peer().is_quiescent());
    }
}

#[test]
fn streams_opened_by_capacity_stay_within_it() {
    let mut pair = builder().connected();
    let stream = talk(&mut pair, Which::Dialler);
    assert_eq!(pair.dialler().peer().send(stream, Data::Nil), Err(Refusal::NoCredit), "no ack yet");
    let call = served(&mut pair, Which::Acceptor);
    for _ in 0..TALK_CAPACITY.0 {
        pair.dialler().peer().send(stream, Data::Borrowed(b"x")).expect("a credit");
    }
    assert_eq!(pair.dialler().peer().send(stream, Data::Nil), Err(Refusal::NoCredit));
    pair.drive();
    pair.dialler().events.clear();
    assert!(matches!(pair.acceptor().peer().take_input(call.key), Received::Item(_)));
    pair.drive();
    assert_eq!(pair.dialler().take_events(), [Event::Writable(stream)]);
    assert!(pair.dialler().peer().send(stream, Data::Borrowed(b"x")).is_ok());
}

#[test]
fn whoever_waits_for_room_looks_again_when_the_end_begins() {
    let limits = limited(|limits| limits.queued_bytes = 10_000);
    let full = || {
        let mut node = Lone::connected(Which::Dialler, |node| {
            node.routes = routes();
            node.limits = limits.clone();
        });
        let now = node.clocks();
        let mut request =
            || node.peer().request(now.instant, ECHO, Data::Borrowed(&[7; 9_000]), None).map(drop);
        assert_eq!((request(), request()), (Ok(()), Err(Refusal::QueueFull)));
        while node.peer().poll_event().is_some() {}
        (node, now)
    };
    let looks_again = |peer: &mut gridmux_core::peer::Peer| {
        std::iter::from_fn(|| peer.poll_event()).any(|event| event == Event::QueueWritable)
    };
    let (mut node, now) = full();
    node.peer().shutdown(now, 60 * SECOND);
    assert!(looks_again(node.peer()), "a shutdown with a grace");
    let refused = node.peer().request(now.instant, ECHO, Data::Nil, None);
    assert_eq!(refused, Err(Refusal::Failed(CallError::ShuttingDown)));
    let (mut node, now) = full();
    let name = node.peer().name().to_owned();
    let mut removed = node.grid.remove_peer(&name, now).expect("known");
    assert!(looks_again(&mut removed), "a removal");
}
