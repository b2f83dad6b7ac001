//! The graceful end, and peers that come and go at run time (PROTOCOL.md section 7.9, DESIGN.md 1.2).

use std::time::Duration;

use crate::support::{
    ECHO, MS, SECOND, builder, drain, finish, gone, in_bytes, messages, ops, outcome, refused,
    release, request, respond, routes, served, talk, try_request,
};
use gridmux_core::error::{CallError, CancelReason, ConfigError, LinkError};
use gridmux_core::event::{CloseHow, Event, LinkCommand};
use gridmux_core::link::LinkState;
use gridmux_core::mux::Received;
use gridmux_core::outbox::Data;
use gridmux_core::testing::{Lone, Pair, Which};
use gridmux_core::wire::{Flags, Header, MuxConnectError, Op};

fn is_drained(pair: &mut Pair, which: Which) -> bool {
    let told = pair.end(which).events.contains(&Event::Drained);
    assert_eq!(told, pair.end(which).peer().is_drained());
    told
}

#[test]
fn an_idle_link_says_disconnect_and_closes_at_once() {
    for mode in [builder(), in_bytes()] {
        let mut pair = mode.connected();
        pair.dialler().sent.clear();
        pair.shutdown(Which::Dialler, 60 * SECOND);
        assert!(is_drained(&mut pair, Which::Dialler));
        assert!(pair.is_quiescent());
        if !pair.dialler().sent.is_empty() {
            assert_eq!(ops(&mut pair, Which::Dialler), [Op::Disconnect]);
        }
        assert_eq!(pair.dialler().peer().state(), LinkState::Shutdown);
        assert_eq!(pair.acceptor().peer().state(), LinkState::ConnectionError);
        assert_eq!(pair.acceptor().peer().last_failure(), Some(&LinkError::ClosedByPeer));
        pair.advance(600 * SECOND);
        assert_eq!(pair.dialler().dials.len(), 1, "dials stop");
    }
}

#[test]
fn running_calls_of_both_sides_go_on_to_their_ends_and_then_the_link_closes() {
    for mode in [builder(), in_bytes()] {
        for which in Which::BOTH {
            let mut pair = mode.clone().connected();
            let other = which.other();
            let ours = request(&mut pair, which, b"ours");
            let ours_there = served(&mut pair, other);
            let stream = talk(&mut pair, other);
            let theirs_here = served(&mut pair, which);
            pair.shutdown(which, 60 * SECOND);
            pair.advance(20 * SECOND);
            assert!(pair.is_connected(), "running calls go on");
            respond(&mut pair, other, ours_there.key, b"done");
            assert_eq!(
                outcome(&mut pair, which, ours).expect("over").expect("ok").as_slice(),
                b"done"
            );
            for n in 0..10_u8 {
                pair.end(other).peer().send(stream, Data::Borrowed(&[n])).expect("a credit");
                pair.drive();
                let item = pair.end(which).peer().take_input(theirs_here.key);
                assert_eq!(item, Received::Item(vec![n].into()));
                pair.end(which)
                    .peer()
                    .serve_item(theirs_here.key, Data::Borrowed(&[n]))
                    .expect("ok");
                pair.drive();
                assert_eq!(pair.end(other).peer().receive(stream), Received::Item(vec![n].into()));
                pair.drive();
            }
            assert!(!is_drained(&mut pair, which));
            finish(&mut pair, which, theirs_here.key, Ok(()));
            assert_eq!(drain(&mut pair, other, stream), (vec![], Received::End));
            release(&mut pair, other, stream);
            pair.advance(2 * SECOND);
            assert!(is_drained(&mut pair, which));
            assert!(pair.is_quiescent());
        }
    }
}

#[test]
fn while_draining_new_calls_are_refused_on_both_sides_and_by_their_own_names() {
    let mut pair = builder().connected();
    let running = request(&mut pair, Which::Dialler, b"x");
    let call = served(&mut pair, Which::Acceptor);
    // The Disconnect takes a second to arrive.
    pair.latency = SECOND;
    pair.shutdown(Which::Dialler, 60 * SECOND);
    assert_eq!(refused(&mut pair, Which::Dialler), CallError::ShuttingDown);
    let crossing = try_request(&mut pair, Which::Acceptor, b"crossing").expect("not yet known");
    pair.acceptor().events.clear();
    pair.advance(SECOND);
    assert_eq!(pair.acceptor().take_events(), [Event::LinkState], "the peer leaves");
    assert_eq!(refused(&mut pair, Which::Acceptor), CallError::PeerShuttingDown);
    pair.advance(2 * SECOND);
    let end = outcome(&mut pair, Which::Acceptor, crossing).expect("over");
    assert_eq!(end, Err(CallError::Refused("shutting down".into())));
    assert!(pair.dialler().calls.is_empty());
    respond(&mut pair, Which::Acceptor, call.key, b"y");
    pair.advance(2 * SECOND);
    assert!(outcome(&mut pair, Which::Dialler, running).expect("over").is_ok());
}

#[test]
fn a_refusal_copies_the_openers_header_less_its_subroute() {
    let mut node = Lone::connected(Which::Acceptor, |node| node.routes = routes());
    node.receive_mux(Op::Request, 4, 0, Flags::EOF, b"keeps the link open");
    node.receive(
        Header { mux: 5, handler: ECHO.handler, flags: Flags::CRC, ..Header::new(Op::Request) },
        b"x",
    );
    let now = node.clocks();
    node.peer().shutdown(now, SECOND);
    node.sent();
    let header = Header {
        mux: 77,
        seq: 3,
        deadline_ms: 500,
        handler: 1,
        op: Op::Request,
        flags: Flags::EOF | Flags::CRC,
    };
    node.receive(header, b"payload");
    let sent = node.sent();
    assert_eq!(sent[0].header, Header { op: Op::MuxConnectError, ..header });
    let body = MuxConnectError::decode(&sent[0].payload).expect("a body");
    assert_eq!(body.error, "shutting down");
}

#[test]
fn when_the_grace_is_too_short_the_rest_is_cancelled_and_told() {
    for mode in [builder(), in_bytes()] {
        let mut pair = mode.connected();
        let ours = request(&mut pair, Which::Dialler, b"ours");
        let ours_there = served(&mut pair, Which::Acceptor);
        let theirs = request(&mut pair, Which::Acceptor, b"theirs");
        let theirs_here = served(&mut pair, Which::Dialler);
        let stream = talk(&mut pair, Which::Acceptor);
        let stream_here = served(&mut pair, Which::Dialler);
        pair.shutdown(Which::Dialler, 3 * SECOND);
        pair.advance(Duration::from_millis(2_999));
        assert!(pair.is_connected());
        for end in &mut pair.ends {
            end.events.clear();
        }
        pair.advance(MS);
        assert!(is_drained(&mut pair, Which::Dialler));
        assert_eq!(outcome(&mut pair, Which::Dialler, ours), Some(Err(CallError::Cancelled)));
        let events = pair.dialler().take_events();
        for key in [theirs_here.key, stream_here.key] {
            assert!(events.contains(&Event::Cancelled(key, CancelReason::ShuttingDown)));
            gone(&mut pair, Which::Dialler, key);
        }
        // The cancel went out before the close.
        let cancelled = Event::Cancelled(ours_there.key, CancelReason::Caller);
        assert!(pair.acceptor().events.contains(&cancelled));
        gone(&mut pair, Which::Acceptor, ours_there.key);
        let lost = CallError::Disconnected { may_have_run: true };
        assert_eq!(outcome(&mut pair, Which::Acceptor, theirs), Some(Err(lost.clone())));
        assert_eq!(drain(&mut pair, Which::Acceptor, stream), (vec![], Received::Failed(lost)));
        release(&mut pair, Which::Acceptor, stream);
        assert!(pair.is_quiescent());
    }
}

#[test]
fn a_handler_that_never_ends_does_not_hold_the_drain() {
    let mut pair = builder().connected();
    request(&mut pair, Which::Acceptor, b"for ever");
    served(&mut pair, Which::Dialler);
    pair.shutdown(Which::Dialler, SECOND);
    pair.advance(SECOND);
    assert!(is_drained(&mut pair, Which::Dialler));
    assert!(!pair.dialler().peer().is_quiescent(), "it still counts");
}

#[test]
fn both_sides_draining_at_once_is_the_same() {
    for latency in [Duration::ZERO, 30 * MS] {
        for mode in [builder(), in_bytes()] {
            let mut pair = mode.connected();
            pair.latency = latency;
            let call = request(&mut pair, Which::Dialler, b"x");
            pair.advance(SECOND);
            let served = pair.acceptor().call();
            pair.shutdown(Which::Dialler, 10 * SECOND);
            pair.shutdown(Which::Acceptor, 10 * SECOND);
            pair.advance(5 * SECOND);
            assert_eq!(refused(&mut pair, Which::Dialler), CallError::ShuttingDown);
            assert_eq!(refused(&mut pair, Which::Acceptor), CallError::ShuttingDown);
            respond(&mut pair, Which::Acceptor, served.key, b"y");
            pair.advance(5 * SECOND);
            assert!(outcome(&mut pair, Which::Dialler, call).expect("over").is_ok());
            for which in Which::BOTH {
                assert!(is_drained(&mut pair, which));
                assert_eq!(pair.end(which).peer().state(), LinkState::Shutdown);
            }
            assert!(pair.is_quiescent());
        }
    }
}

#[test]
fn after_the_peers_shutdown_the_dialler_waits_the_normal_spacing() {
    let mut pair = builder().connected();
    pair.advance(100 * SECOND);
    pair.shutdown(Which::Acceptor, SECOND);
    let closed = pair.now;
    pair.advance(10 * SECOND);
    let dials = pair.dialler().dials.clone();
    let wait = dials[1].since(closed);
    assert!((SECOND..=2 * SECOND).contains(&wait), "{wait:?}");
    let reason = pair.dialler().peer().last_failure().cloned();
    assert_eq!(reason, Some(LinkError::Rejected("shutting down".into())));
}

#[test]
fn the_queue_is_flushed_before_the_close_frame_but_only_for_a_second() {
    // A response of 60 KB is under way when the grace ends.
    for (rate, arrives) in [(1_000_000, true), (10_000, false)] {
        let mut pair = in_bytes().connected();
        let call = request(&mut pair, Which::Acceptor, b"x");
        let here = served(&mut pair, Which::Dialler);
        (pair.latency, pair.room[0]) = (100 * MS, rate / 10);
        let now = pair.clocks(Which::Dialler);
        let data = Data::Owned(vec![7; 60_000].into());
        pair.dialler().peer().respond(now, here.key, Ok(data));
        pair.shutdown(Which::Dialler, Duration::ZERO);
        pair.advance(5 * SECOND);
        assert!(is_drained(&mut pair, Which::Dialler));
        let end = outcome(&mut pair, Which::Acceptor, call).expect("over");
        assert_eq!(end.is_ok(), arrives, "{end:?}");
    }
}

#[test]
fn a_drain_against_a_peer_that_hangs_ends_all_the_same() {
    let mut pair = in_bytes().connected();
    pair.advance(9 * SECOND);
    let call = request(&mut pair, Which::Dialler, b"x");
    served(&mut pair, Which::Acceptor);
    pair.held = [true; 2];
    pair.room = [0; 2];
    pair.shutdown(Which::Dialler, SECOND);
    let begun = pair.now;
    while !pair.dialler().peer().is_drained() {
        pair.advance(100 * MS);
        assert!(pair.now.since(begun) <= 5 * SECOND, "grace, flush, close and their margin");
    }
    pair.drive();
    assert_eq!(outcome(&mut pair, Which::Dialler, call), Some(Err(CallError::Cancelled)));
    assert!(pair.dialler().peer().is_quiescent());
}

#[test]
fn while_a_drained_link_closes_nothing_more_is_said_or_heard() {
    let mut node = Lone::connected(Which::Acceptor, |node| node.routes = routes());
    let now = node.clocks();
    node.peer().shutdown(now, SECOND);
    let sent: Vec<Op> = node.sent().iter().map(|m| m.header.op).collect();
    assert_eq!(sent, [Op::Disconnect]);
    assert!(matches!(
        node.commands.pop_front(),
        Some(LinkCommand::Close { how: CloseHow::Graceful(wait), .. }) if wait == SECOND
    ));
    node.receive_mux(Op::Request, 5, 0, Flags::EOF, b"late");
    node.receive(Header::new(Op::Ping), &[]);
    node.receive_frame(b"broken");
    assert!(!node.peer().has_transmit(), "else the runtime would spin");
    assert_eq!(node.frames().len(), 0);
    assert_eq!(node.commands.len(), 0);
    // A runtime that never says that it has closed is not waited for.
    node.advance(3 * SECOND);
    assert!(node.peer().is_drained());
}

#[test]
fn what_cannot_be_flushed_in_time_is_dropped() {
    let mut node = Lone::connected(Which::Acceptor, |node| node.routes = routes());
    let now = node.clocks();
    for _ in 0..100 {
        node.peer().request(now.instant, ECHO, Data::Borrowed(&[7; 1000]), None).expect("up");
    }
    let link = node.link();
    let _being_written = node.peer().poll_transmit(now, link).expect("output");
    node.peer().shutdown(now, Duration::ZERO);
    node.advance(Duration::from_millis(999));
    assert_eq!(node.commands.len(), 0);
    node.advance(MS);
    assert!(matches!(node.commands.pop_front(), Some(LinkCommand::Close { .. })));
    assert!(!node.peer().has_transmit());
    assert_eq!(node.frames().len(), 0);
}

#[test]
fn a_second_shutdown_may_only_shorten_the_grace() {
    let mut pair = builder().connected();
    request(&mut pair, Which::Dialler, b"x");
    served(&mut pair, Which::Acceptor);
    pair.shutdown(Which::Dialler, 30 * SECOND);
    pair.shutdown(Which::Dialler, 300 * SECOND);
    pair.shutdown(Which::Dialler, 3 * SECOND);
    pair.advance(Duration::from_millis(2_999));
    assert!(!is_drained(&mut pair, Which::Dialler));
    pair.advance(MS);
    assert!(is_drained(&mut pair, Which::Dialler));
    let drained = pair.dialler().events.iter().filter(|event| **event == Event::Drained).count();
    assert_eq!(drained, 1);
}

#[test]
fn a_node_that_was_never_connected_or_is_dialling_drains_at_once() {
    let mut pair = builder().build();
    pair.shutdown(Which::Dialler, 60 * SECOND);
    assert!(is_drained(&mut pair, Which::Dialler));
    pair.start();
    pair.advance(10 * SECOND);
    assert!(pair.dialler().dials.is_empty(), "a start after the end starts nothing");

    let mut pair = builder().build();
    pair.reachable = false;
    pair.start();
    pair.drive();
    pair.shutdown(Which::Dialler, 60 * SECOND);
    assert!(is_drained(&mut pair, Which::Dialler));
    assert_eq!(pair.dialler().closed, [LinkError::ShutDown], "the attempt is given up");
}

#[test]
fn a_peer_that_is_removed_fails_its_calls_by_name_and_closes_gracefully() {
    let mut node = Lone::connected(Which::Dialler, |node| node.routes = routes());
    let now = node.clocks();
    let sent = node.peer().request(now.instant, ECHO, Data::Borrowed(b"x"), None).expect("up");
    node.sent();
    let queued = node.peer().request(now.instant, ECHO, Data::Borrowed(b"y"), None).expect("up");
    let large = Data::Owned(vec![7; 20_000].into());
    let withheld = node.peer().request(now.instant, ECHO, large, None).expect("up");
    let mut peer = node.grid.remove_peer("http://127.0.0.1:9102", now).expect("known");
    let removed = |may_have_run| Some(Err(CallError::PeerRemoved { may_have_run }));
    assert_eq!(peer.take_response(sent), removed(true));
    assert_eq!(peer.take_response(queued), removed(true), "its batch leaves with the cancel");
    assert_eq!(peer.take_response(withheld), removed(false), "a large one is taken back");
    let new = peer.request(now.instant, ECHO, Data::Nil, None);
    let error = CallError::PeerRemoved { may_have_run: false };
    assert_eq!(new, Err(gridmux_core::mux::Refusal::Failed(error)));
    let link = peer.link().expect("still closing");
    let mut frames = Vec::new();
    while let Some(transmit) = peer.poll_transmit(now, link) {
        let gridmux_core::outbox::Transmit::Frame { buf, start, .. } = transmit else {
            panic!("small")
        };
        frames.push(bytes::Bytes::from(buf).slice(start..));
    }
    let sent: Vec<Op> = messages(&frames).iter().map(|m| m.header.op).collect();
    assert_eq!(sent[0], Op::Disconnect);
    assert!(sent.contains(&Op::DisconnectServerMux), "the peer is told of the cancelled call");
    assert!(matches!(
        peer.poll_command(),
        Some(LinkCommand::Close { how: CloseHow::Graceful(_), .. })
    ));
    peer.handle_link_down(now, link, LinkError::ClosedByPeer, 0);
    assert!(peer.is_drained() && peer.is_quiescent());
    let again = node.grid.remove_peer("http://127.0.0.1:9102", now).map(|_| ());
    assert_eq!(again, Err(ConfigError::UnknownPeer("http://127.0.0.1:9102".into())));
}

#[test]
fn a_peer_that_is_added_at_run_time_dials_as_any_other() {
    let mut node = Lone::new(Which::Dialler, |_| {});
    let now = node.clocks();
    let taken = node.grid.add_peer("http://127.0.0.1:9102", now).map(|_| ());
    assert_eq!(taken, Err(ConfigError::NameTaken("http://127.0.0.1:9102".into())));
    let own = node.grid.add_peer("http://127.0.0.1:9101", now).map(|_| ());
    assert_eq!(own, Err(ConfigError::OwnName("http://127.0.0.1:9101".into())));
    assert!(node.grid.add_peer("no name", now).is_err());
    // http://127.0.0.1:9101 dials http://10.0.0.1:9000.
    let peer = node.grid.add_peer("http://10.0.0.1:9000", now).expect("new");
    assert_eq!(peer.poll_command(), None, "not before the start");
    node.grid.start(now);
    let peer = node.grid.peer_mut("http://10.0.0.1:9000").expect("added");
    assert!(matches!(peer.poll_command(), Some(LinkCommand::Dial { .. })));
    let peer = node.grid.add_peer("http://10.0.0.9:9000", now).expect("new");
    if peer.dials() {
        assert!(matches!(peer.poll_command(), Some(LinkCommand::Dial { .. })));
    }
    node.grid.shutdown(now, SECOND);
    let peer = node.grid.add_peer("http://10.0.0.8:9000", now).expect("new");
    assert!(peer.is_drained(), "a node that shuts down takes no new links");
}
