//! A newer connection takes an older one's place, and two processes with one name do not fight
//! (PROTOCOL.md sections 4.5 and 7.11).

use std::time::Duration;

use crate::support::{SECOND, builder, in_bytes, outcome, request, round_trip, routes, served};
use bytes::Bytes;
use gridmux_core::error::{CallError, CancelReason, LinkError};
use gridmux_core::event::{Event, LinkCommand};
use gridmux_core::link::LinkState;
use gridmux_core::testing::{Crowd, Lone, Which};
use gridmux_core::wire::{Header, Op};

#[test]
fn a_newer_connection_replaces_the_older_one_and_its_calls_fail_once() {
    for mode in [builder(), in_bytes()] {
        let mut pair = mode.connected();
        pair.advance(11 * SECOND);
        let from_acceptor = request(&mut pair, Which::Acceptor, b"a");
        served(&mut pair, Which::Dialler);
        request(&mut pair, Which::Dialler, b"d");
        let running = served(&mut pair, Which::Acceptor);
        for end in &mut pair.ends {
            end.events.clear();
        }
        let old = pair.acceptor().peer().link();
        // The dialler sees its connection break, the acceptor does not; the redial is at once.
        pair.cut_for(Which::Dialler);
        pair.advance(Duration::ZERO);
        assert!(pair.is_connected());
        assert_ne!(pair.acceptor().peer().link(), old);
        assert_eq!(pair.acceptor().closed, [LinkError::Replaced]);
        let events = pair.acceptor().take_events();
        let ended = |event: &&Event| **event == Event::Readable(from_acceptor);
        assert_eq!(events.iter().filter(ended).count(), 1, "{events:?}");
        let cancelled = Event::Cancelled(running.key, CancelReason::Disconnected);
        assert_eq!(events.iter().filter(|event| **event == cancelled).count(), 1);
        let lost = CallError::Disconnected { may_have_run: true };
        assert_eq!(outcome(&mut pair, Which::Acceptor, from_acceptor), Some(Err(lost)));
        assert_eq!(outcome(&mut pair, Which::Acceptor, from_acceptor), None, "once");
        round_trip(&mut pair, Which::Dialler);
        round_trip(&mut pair, Which::Acceptor);
        let now = pair.now;
        assert_eq!(pair.acceptor().peer().stats(now).reconnects, 1);
    }
}

#[test]
fn late_inputs_for_the_older_link_are_ignored_and_counted() {
    let mut node = Lone::connected(Which::Acceptor, |node| node.routes = routes());
    let old = node.link();
    let new = node.connect([9; 16]).expect("accepted");
    assert!(matches!(
        node.commands.pop_front(),
        Some(LinkCommand::Close { link, reason: LinkError::Replaced, .. }) if link == old
    ));
    node.sent();
    node.events.clear();
    let now = node.clocks();
    let frame = Bytes::from_static(b"nonsense");
    node.peer().handle_frame(now, old, &frame);
    node.peer().handle_link_down(now, old, LinkError::ClosedByPeer, 1);
    node.peer().handle_dial_failed(now, old, LinkError::ClosedByPeer);
    node.peer().handle_upgraded(now, old);
    assert!(node.peer().poll_transmit(now, old).is_none());
    node.peer().handle_written(old, 1000);
    node.collect();
    assert_eq!((node.events.len(), node.commands.len()), (0, 0));
    assert_eq!((node.link(), node.peer().state()), (new, LinkState::Connected));
    let stats = node.peer().stats(now.instant);
    assert_eq!((stats.stale_inputs, stats.bytes_out), (4, 0));
    node.receive(Header { seq: 4, ..Header::new(Op::Ping) }, &[]);
    assert_eq!(node.sent().len(), 1, "the new link works");
}

#[test]
fn a_late_question_for_the_older_link_does_not_say_that_the_newer_one_has_written() {
    let mut node = Lone::connected(Which::Acceptor, |node| node.routes = routes());
    let old = node.link();
    let new = node.connect([9; 16]).expect("accepted");
    node.commands.clear();
    let now = node.clocks();
    assert!(node.peer().poll_transmit(now, new).is_some(), "the ConnectResponse");
    node.peer().shutdown(now, Duration::ZERO);
    assert!(node.peer().poll_transmit(now, new).is_some(), "the Disconnect, being written");
    assert!(node.peer().poll_transmit(now, old).is_none());
    node.wake();
    assert_eq!(node.commands.len(), 0, "what is being written is not flushed yet");
    assert!(node.peer().poll_transmit(now, new).is_none());
    node.collect();
    assert!(
        matches!(node.commands.pop_front(), Some(LinkCommand::Close { link, .. }) if link == new)
    );
}

#[test]
fn link_numbers_are_never_reused() {
    let mut node = Lone::connected(Which::Acceptor, |_| {});
    let mut seen = vec![node.link()];
    for _ in 0..50 {
        let link = node.connect([9; 16]).expect("the same process reconnects");
        assert!(!seen.contains(&link));
        seen.push(link);
    }
}

#[test]
fn two_processes_of_one_name_do_not_fight_and_the_newest_keeps_the_link() {
    let mut crowd = Crowd::new(2);
    crowd.start(0);
    crowd.advance(60 * SECOND);
    assert_eq!(crowd.connected(), [0]);
    crowd.start(1);
    assert_eq!(crowd.connected(), [1], "the newest takes over");
    crowd.advance(Duration::from_secs(3600));
    assert_eq!(crowd.connected(), [1], "and keeps the link for an hour");
    assert_eq!(crowd.dials(1).len(), 1);
    for (process, _, reason) in &crowd.refused {
        assert_eq!(*process, 0);
        assert_eq!(reason, "another process uses the name http://127.0.0.1:9101");
    }
    // The first dial, the immediate retry after the loss, then one every 10 s at most.
    let dials = crowd.dials(0);
    assert!((290..=362).contains(&dials.len()), "{}", dials.len());
    for two in dials[1..].windows(2) {
        let wait = two[1].since(two[0]);
        assert!((10 * SECOND..=13 * SECOND).contains(&wait), "{wait:?}");
    }
}

#[test]
fn a_replaced_process_comes_back_when_the_newer_one_is_gone() {
    let mut crowd = Crowd::new(2);
    crowd.start(0);
    crowd.advance(5 * SECOND);
    crowd.start(1);
    crowd.advance(20 * SECOND);
    assert_eq!(crowd.connected(), [1]);
    crowd.kill(1);
    crowd.advance(13 * SECOND);
    assert_eq!(crowd.connected(), [0]);
    crowd.advance(100 * SECOND);
    assert_eq!(crowd.connected(), [0]);
}

#[test]
fn the_process_that_holds_the_link_gets_it_back_after_a_broken_connection() {
    let mut crowd = Crowd::new(2);
    crowd.start(0);
    crowd.advance(5 * SECOND);
    crowd.start(1);
    crowd.advance(20 * SECOND);
    crowd.cut(1);
    crowd.advance(Duration::ZERO);
    assert_eq!(crowd.connected(), [1], "its link was stable: it redials at once");
    assert!(crowd.refused.iter().all(|(process, ..)| *process == 0));
}

#[test]
fn among_many_processes_of_one_name_the_newest_keeps_the_link() {
    let mut crowd = Crowd::new(8);
    for number in 0..8 {
        crowd.start(number);
        crowd.advance(3 * SECOND);
        assert_eq!(crowd.connected(), [number]);
    }
    crowd.advance(600 * SECOND);
    assert_eq!(crowd.connected(), [7]);
    assert_eq!(crowd.dials(7).len(), 1, "it was never disturbed");
    for number in 0..7 {
        let late = crowd.dials(number).windows(2).skip(3);
        assert!(late.clone().all(|two| two[1].since(two[0]) >= 10 * SECOND));
    }
}

#[test]
fn a_replaced_process_is_known_after_the_machine_has_panicked() {
    let mut node = Lone::connected(Which::Acceptor, |_| {});
    let (older, newer) = ([9; 16], [8; 16]);
    node.connect(newer).expect("a new process takes over");
    let now = node.clocks();
    let reborn = node.peer().reborn(now);
    *node.peer() = reborn;
    node.connect(older).expect("the newer one has lost its link, too");
    let reason = node.connect(newer).expect_err("now it is the one that was replaced");
    assert_eq!(reason, "another process uses the name http://127.0.0.1:9101");
}

#[test]
fn a_connect_that_comes_late_on_an_older_connection_takes_no_place() {
    let mut node = Lone::connected(Which::Acceptor, |_| {});
    let came = node.now;
    node.advance(SECOND);
    let link = node.connect([2; 16]).expect("a new process takes over");
    for id in [[1; 16], [2; 16]] {
        let (now, hello) = (node.clocks(), node.hello(id));
        let reason = node.grid.handle_hello(now, &hello, came).expect_err("a newer one is up");
        assert_eq!(reason.reason, "http://127.0.0.1:9101 has a newer connection");
        assert_eq!(node.link(), link);
    }
    let now = node.clocks();
    node.peer().handle_link_down(now, link, LinkError::ClosedByPeer, 0);
    let hello = node.hello([1; 16]);
    let reason =
        node.grid.handle_hello(now, &hello, came).expect_err("whoever has dialled is gone");
    assert_eq!(reason.reason, "http://127.0.0.1:9101 has a newer connection");
    node.grid.handle_hello(now, &hello, now.instant).expect("it dials again");
}

#[test]
fn a_restarted_process_has_a_new_id_and_is_never_taken_for_a_duplicate() {
    let mut crowd = Crowd::new(5);
    for number in 0..5 {
        crowd.start(number);
        assert_eq!(crowd.connected(), [number]);
        crowd.advance(30 * SECOND);
        crowd.kill(number);
    }
    assert_eq!(crowd.refused, []);
}
