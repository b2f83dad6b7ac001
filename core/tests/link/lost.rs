//! What the loss of a link does to calls: each fails once, and says whether it may have run
//! (PROTOCOL.md section 4, DESIGN.md section 2).

use std::time::Duration;

use crate::support::{
    self, SECOND, builder, drain, gone, in_bytes, list, messages, outcome, refused, release,
    request, respond, round_trip, served, talk,
};
use gridmux_core::error::{CallError, CancelReason};
use gridmux_core::event::Event;
use gridmux_core::mux::{OutgoingKey, Received};
use gridmux_core::outbox::Data;
use gridmux_core::testing::{Pair, Which};
use gridmux_core::wire::Op;

const NOT_RUN: CallError = CallError::Disconnected { may_have_run: false };
const MAY_HAVE_RUN: CallError = CallError::Disconnected { may_have_run: true };

#[track_caller]
fn failed(pair: &mut Pair, at: Which, key: OutgoingKey) -> CallError {
    outcome(pair, at, key).expect("over").expect_err("failed")
}

#[test]
fn calls_fail_at_once_in_every_state_but_connected() {
    let mut pair = builder().build();
    assert_eq!(refused(&mut pair, Which::Dialler), NOT_RUN);
    pair.reachable = false;
    pair.start();
    pair.drive();
    assert_eq!(refused(&mut pair, Which::Dialler), NOT_RUN, "connecting");
    pair.advance(Duration::from_millis(3900));
    assert_eq!(refused(&mut pair, Which::Dialler), NOT_RUN, "after a failed attempt");
    assert_eq!(refused(&mut pair, Which::Acceptor), NOT_RUN);
    pair.reachable = true;
    pair.advance(2 * SECOND);
    assert!(pair.is_connected());
    assert!(pair.acceptor().calls.is_empty(), "nothing was queued for a later link");
    pair.cut();
    assert_eq!(refused(&mut pair, Which::Dialler), NOT_RUN);
    assert_eq!(refused(&mut pair, Which::Acceptor), NOT_RUN);
}

#[test]
fn a_call_of_which_nothing_was_handed_out_has_not_run() {
    let mut pair = builder().connected();
    let small = request(&mut pair, Which::Dialler, b"in a batch");
    let large = request(&mut pair, Which::Dialler, &[7; 20_000]);
    let stream = list(&mut pair, Which::Dialler);
    pair.cut_for(Which::Dialler);
    assert_eq!(failed(&mut pair, Which::Dialler, small), NOT_RUN);
    assert_eq!(failed(&mut pair, Which::Dialler, large), NOT_RUN);
    assert_eq!(drain(&mut pair, Which::Dialler, stream), (vec![], Received::Failed(NOT_RUN)));
    release(&mut pair, Which::Dialler, stream);
    assert!(pair.dialler().peer().is_quiescent());
}

#[test]
fn a_call_handed_out_of_which_not_a_byte_was_written_has_not_run() {
    for mode in [builder(), in_bytes()] {
        for payload in [&b"small"[..], &[7; 20_000]] {
            let mut pair = mode.clone().connected();
            pair.room[0] = 0;
            let first = request(&mut pair, Which::Dialler, payload);
            pair.drive();
            let waiting = request(&mut pair, Which::Dialler, payload);
            pair.drive();
            pair.cut_for(Which::Dialler);
            assert_eq!(failed(&mut pair, Which::Dialler, first), NOT_RUN);
            assert_eq!(failed(&mut pair, Which::Dialler, waiting), NOT_RUN);
            pair.room[0] = usize::MAX;
            pair.advance(5 * SECOND);
            assert!(pair.acceptor().calls.is_empty(), "and so it did not");
        }
    }
}

#[test]
fn a_call_of_which_a_byte_was_written_may_have_run() {
    for payload in [&b"small"[..], &[7; 20_000]] {
        let mut pair = in_bytes().connected();
        pair.held[1] = true;
        pair.room[0] = 1;
        let first = request(&mut pair, Which::Dialler, payload);
        pair.drive();
        let waiting = request(&mut pair, Which::Dialler, payload);
        pair.drive();
        pair.cut_for(Which::Dialler);
        assert_eq!(failed(&mut pair, Which::Dialler, first), MAY_HAVE_RUN);
        assert_eq!(failed(&mut pair, Which::Dialler, waiting), NOT_RUN);
    }
}

/// Four full frames of requests, of which the transport takes `room` bytes; and the bytes written.
fn four_frames(room: usize) -> (Pair, Vec<OutgoingKey>, usize) {
    let mut pair = in_bytes().connected();
    pair.held[1] = true;
    pair.room[0] = room;
    let written = |pair: &mut Pair| {
        let now = pair.now;
        pair.dialler().peer().stats(now).bytes_out as usize
    };
    let before = written(&mut pair);
    let calls = (0..4 * 51).map(|_| request(&mut pair, Which::Dialler, b"x")).collect();
    pair.drive();
    let written = written(&mut pair) - before;
    (pair, calls, written)
}

#[test]
fn of_frames_that_leave_in_one_write_those_not_begun_have_not_run() {
    let (_, _, all) = four_frames(usize::MAX);
    let frame = all / 4;
    for (room, begun) in [(1, 1), (frame, 1), (frame + 1, 2), (3 * frame, 3), (all - 1, 4)] {
        let (mut pair, calls, _) = four_frames(room);
        pair.cut_for(Which::Dialler);
        let ends: Vec<_> =
            calls.into_iter().map(|call| failed(&mut pair, Which::Dialler, call)).collect();
        let (first, rest) = ends.split_at(begun * 51);
        assert!(first.iter().all(|end| *end == MAY_HAVE_RUN), "{room} of {all} bytes");
        assert!(rest.iter().all(|end| *end == NOT_RUN), "{room} of {all} bytes");
    }
}

#[test]
fn a_written_call_may_have_run_though_a_later_large_item_of_it_is_untouched() {
    for mode in [builder(), in_bytes()] {
        let mut pair = mode.connected();
        let now = pair.now;
        let stream = pair
            .dialler()
            .peer()
            .open(
                now,
                support::TALK,
                support::TALK_CAPACITY,
                Data::Owned(vec![1; 20_000].into()),
                None,
            )
            .expect("open");
        served(&mut pair, Which::Acceptor);
        pair.room[0] = 0;
        let item = Data::Owned(vec![2; 20_000].into());
        pair.dialler().peer().send(stream, item).expect("a credit");
        pair.drive();
        pair.cut_for(Which::Dialler);
        let end = drain(&mut pair, Which::Dialler, stream);
        assert_eq!(end, (vec![], Received::Failed(MAY_HAVE_RUN)));
    }
}

#[test]
fn a_large_response_that_leaves_says_nothing_about_our_call_of_the_same_number() {
    let mut pair = builder().connected();
    // Both sides count their mux ids alike.
    let theirs = request(&mut pair, Which::Acceptor, b"read");
    let call = served(&mut pair, Which::Dialler);
    pair.held[1] = true;
    pair.room[0] = 0;
    let now = pair.clocks(Which::Dialler);
    let ours = request(&mut pair, Which::Dialler, b"takes the number before");
    pair.drive();
    assert_eq!(ours.mux_id(), theirs.mux_id());
    release(&mut pair, Which::Dialler, ours);
    let theirs = request(&mut pair, Which::Acceptor, b"read");
    let second = served(&mut pair, Which::Dialler);
    respond(&mut pair, Which::Dialler, call.key, b"done");
    let data = Data::Owned(vec![7; 20_000].into());
    pair.dialler().peer().respond(now, second.key, Ok(data));
    // Slot 1 of the acceptor's calls, and of ours.
    request(&mut pair, Which::Dialler, b"x");
    let ours = request(&mut pair, Which::Dialler, &[8; 20_000]);
    assert_eq!(ours.mux_id(), theirs.mux_id());
    // The response is written, and then our call is handed out.
    pair.room[0] = 30_000;
    pair.drive();
    pair.cut_for(Which::Dialler);
    assert_eq!(failed(&mut pair, Which::Dialler, ours), NOT_RUN);
}

#[test]
fn what_was_reported_as_not_sent_is_not_sent_in_front_of_the_close_frame() {
    let mut pair = in_bytes().connected();
    pair.room[0] = 0;
    let key = request(&mut pair, Which::Dialler, b"hello");
    pair.drive();
    let before = pair.dialler().written.len();
    // The acceptor drains, and closes with a close frame, which the dialler answers.
    pair.shutdown(Which::Acceptor, SECOND);
    assert_eq!(failed(&mut pair, Which::Dialler, key), NOT_RUN);
    pair.room[0] = usize::MAX;
    pair.drive();
    let written = &pair.dialler().written[before..];
    assert_eq!((written.len(), written[0]), (8, 0x88), "a masked close frame and nothing else");
}

#[test]
fn every_call_and_handler_of_both_sides_ends_once_and_nothing_is_left() {
    for mode in [builder(), in_bytes()] {
        let mut pair = mode.connected();
        pair.advance(15 * SECOND);
        let mut outgoing = Vec::new();
        let mut incoming = Vec::new();
        for which in Which::BOTH {
            outgoing.push((which, request(&mut pair, which, b"x"), false));
            incoming.push((which.other(), served(&mut pair, which.other()).key));
            outgoing.push((which, talk(&mut pair, which), true));
            incoming.push((which.other(), served(&mut pair, which.other()).key));
            outgoing.push((which, list(&mut pair, which), true));
            incoming.push((which.other(), served(&mut pair, which.other()).key));
        }
        for end in &mut pair.ends {
            end.events.clear();
        }
        pair.cut();
        let events = [pair.ends[0].take_events(), pair.ends[1].take_events()];
        let of = |which: Which| &events[usize::from(which == Which::Acceptor)];
        for (which, key) in incoming {
            let cancelled = Event::Cancelled(key, CancelReason::Disconnected);
            assert_eq!(of(which).iter().filter(|event| **event == cancelled).count(), 1);
            gone(&mut pair, which, key);
        }
        for (which, key, is_stream) in outgoing {
            let told = of(which).iter().filter(|event| **event == Event::Readable(key)).count();
            assert_eq!(told, 1);
            if is_stream {
                let end = drain(&mut pair, which, key);
                assert_eq!(end, (vec![], Received::Failed(MAY_HAVE_RUN)));
                release(&mut pair, which, key);
            } else {
                assert_eq!(failed(&mut pair, which, key), MAY_HAVE_RUN);
            }
        }
        for which in Which::BOTH {
            let states = of(which).iter().filter(|event| **event == Event::LinkState).count();
            assert_eq!(states, 1);
        }
        assert!(pair.is_quiescent());
    }
}

#[test]
fn nothing_is_resent_and_late_answers_of_handlers_go_nowhere() {
    let mut pair = builder().connected();
    pair.advance(15 * SECOND);
    request(&mut pair, Which::Dialler, b"x");
    let single = served(&mut pair, Which::Acceptor);
    let stream = talk(&mut pair, Which::Dialler);
    let streamed = served(&mut pair, Which::Acceptor);
    pair.cut();
    pair.advance(2 * SECOND);
    assert!(pair.is_connected());
    for end in &mut pair.ends {
        end.sent.clear();
        assert!(end.calls.is_empty(), "a handler runs at most once");
    }
    respond(&mut pair, Which::Acceptor, single.key, b"too late");
    let refusal = pair.acceptor().peer().serve_item(streamed.key, Data::Borrowed(b"late"));
    assert!(refusal.is_err());
    gone(&mut pair, Which::Acceptor, streamed.key);
    assert!(pair.dialler().peer().send(stream, Data::Borrowed(b"late")).is_err());
    pair.dialler().peer().close_input(stream);
    release(&mut pair, Which::Dialler, stream);
    pair.drive();
    for which in Which::BOTH {
        let sent = messages(&pair.end(which).sent);
        assert!(sent.iter().all(|m| m.header.op == Op::Ping), "{sent:?}");
    }
}

#[test]
fn items_that_came_before_the_loss_are_read_before_its_error() {
    for mode in [builder(), in_bytes()] {
        let mut pair = mode.connected();
        let stream = list(&mut pair, Which::Dialler);
        let call = served(&mut pair, Which::Acceptor);
        for item in [b"1", b"2", b"3"] {
            pair.acceptor().peer().serve_item(call.key, Data::Borrowed(item)).expect("a credit");
        }
        pair.drive();
        pair.cut();
        let (items, end) = drain(&mut pair, Which::Dialler, stream);
        assert_eq!(items, [b"1", b"2", b"3"]);
        assert_eq!(end, Received::Failed(MAY_HAVE_RUN));
        release(&mut pair, Which::Dialler, stream);
        gone(&mut pair, Which::Acceptor, call.key);
        assert!(pair.is_quiescent());
    }
}

#[test]
fn a_call_that_was_cancelled_before_its_handler_took_it_is_not_handed_out() {
    let mut pair = builder().connected();
    pair.latency = SECOND;
    request(&mut pair, Which::Dialler, b"x");
    pair.advance(Duration::from_millis(999));
    let now = pair.clocks(Which::Acceptor);
    let (link, frame) = (pair.acceptor().peer().link().expect("up"), pair.ends[0].sent.clone());
    let last = frame.last().expect("sent");
    // Both inputs come before the outputs are drained.
    pair.acceptor().peer().handle_frame(now, link, last);
    let error = gridmux_core::error::LinkError::ClosedByPeer;
    pair.acceptor().peer().handle_link_down(now, link, error, 0);
    assert_eq!(pair.acceptor().peer().poll_call(), None);
    assert!(pair.acceptor().peer().is_quiescent());
}

#[test]
fn a_thousand_losses_leave_nothing_behind() {
    let mut pair = builder().connected();
    for _ in 0..1000 {
        let stream = talk(&mut pair, Which::Acceptor);
        let call = served(&mut pair, Which::Dialler);
        request(&mut pair, Which::Dialler, b"x");
        pair.cut();
        gone(&mut pair, Which::Dialler, call.key);
        release(&mut pair, Which::Acceptor, stream);
        while !pair.is_connected() {
            pair.advance(SECOND);
        }
    }
    for end in &mut pair.ends {
        end.calls.clear();
    }
    round_trip(&mut pair, Which::Dialler);
}
