//! Single requests, on either side: PROTOCOL.md section 5.1.

use std::time::Duration;

use gridmux_core::error::{CallError, CancelReason};
use gridmux_core::event::Event;
use gridmux_core::mux::{Refusal, Target};
use gridmux_core::outbox::Data;
use gridmux_core::payload::Payload;
use gridmux_core::peer::Inbound;
use gridmux_core::wire::{Flags, MuxConnectError, Op, SubrouteId};

use crate::support::messages::{Edit, merged, message, opening};
use crate::support::solo::{ACCEPTOR, DIALLER, Solo, node};

const SECOND: Duration = Duration::from_secs(1);

fn refusal(text: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    MuxConnectError { error: text.into() }.encode(&mut payload);
    payload
}

#[test]
fn a_request_tells_nil_from_empty_by_the_flag_zero() {
    let mut solo = Solo::dialler();
    let (now, target) = (solo.now, Target { handler: 9, subroute: None });
    for (data, text) in [
        (Data::Nil, "CRC EOF nil"),
        (Data::Borrowed(b""), "CRC EOF PAYLOAD_IS_ZERO []"),
        (Data::Borrowed(b"x"), "CRC EOF [78]"),
    ] {
        let key = solo.peer().request(now, target, data, None).expect("connected");
        let id = key.mux_id();
        let line = format!("Request mux={id} seq=0 deadline=60000 handler=9 {text}");
        assert_eq!(solo.said(), [line]);
    }
}

#[test]
fn a_response_is_nil_empty_or_bytes_as_it_was_sent() {
    let mut solo = Solo::dialler();
    let response = |id| message(Op::Response, id, 0).flags(Flags::EOF);
    let key = solo.request(b"", None);
    solo.give(&response(key.mux_id()));
    assert!(solo.saw(Event::Readable(key)));
    assert_eq!(solo.peer().take_response(key), Some(Ok(Payload::NIL)));
    let key = solo.request(b"", None);
    solo.give(&response(key.mux_id()).payload(b""));
    assert_eq!(solo.peer().take_response(key), Some(Ok(Payload::EMPTY)));
    let key = solo.request(b"", None);
    solo.give(&response(key.mux_id()).payload(b"yes"));
    assert_eq!(solo.peer().take_response(key), Some(Ok(b"yes".to_vec().into())));
    assert_eq!(solo.peer().take_response(key), None, "once");
    solo.said();
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_handlers_error_and_a_refusal_are_told_apart() {
    let mut solo = Solo::dialler();
    let key = solo.request(b"", None);
    solo.give(&message(Op::Response, key.mux_id(), 0).flags(Flags::EOF).error("no"));
    let error = solo.peer().take_response(key).expect("over").expect_err("an error");
    assert_eq!(error, CallError::Remote("no".into()));
    assert!(error.may_have_run());
    // L3: a MuxConnectError reaches the caller. Its header is the opener's and is not looked at.
    let key = solo.request(b"", None);
    let refused = message(Op::MuxConnectError, key.mux_id(), 77).payload(&refusal("never"));
    solo.give(&refused);
    let error = solo.peer().take_response(key).expect("over").expect_err("an error");
    assert_eq!(error, CallError::Refused("never".into()));
    assert!(!error.may_have_run());
}

#[test]
fn an_unknown_handler_is_refused_with_the_openers_header_and_no_subroute() {
    let mut solo = Solo::acceptor();
    solo.give(&opening(Op::Request, 4, 0, b"x").deadline(70));
    solo.give(&opening(Op::Request, 5, 99, b"x").deadline(70));
    // L2: the subroute flag is not left on the reply.
    solo.give(&opening(Op::Request, 6, 1, b"x").subroute(SubrouteId::new(1, &["a"])));
    solo.give(&opening(Op::ConnectMux, 7, 1, b"x"));
    solo.give(&opening(Op::Request, 8, 11, b"x"));
    assert_eq!(
        solo.said(),
        [
            "MuxConnectError mux=4 seq=0 deadline=70 CRC EOF text",
            "MuxConnectError mux=5 seq=0 deadline=70 handler=99 CRC EOF text",
            "MuxConnectError mux=6 seq=0 handler=1 CRC EOF text",
            "MuxConnectError mux=7 seq=0 handler=1 CRC text",
            "MuxConnectError mux=8 seq=0 handler=11 CRC EOF text",
        ]
    );
    assert!(solo.calls.is_empty());
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_response_copies_the_seq_and_mux_id_of_the_request() {
    let mut solo = Solo::acceptor();
    for mux in [0, 1, u64::MAX] {
        let mut request = opening(Op::Request, mux, 1, b"x");
        request.header.seq = 7;
        solo.give(&request);
        let call = solo.call();
        solo.respond(call.key, Ok(b"y"));
        assert_eq!(solo.said(), [format!("Response mux={mux} seq=7 CRC EOF [79]")]);
    }
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_response_or_error_over_the_limit_becomes_an_error_that_says_so() {
    let mut solo = Solo::acceptor_with(|node| node.limits.message = 1024);
    let large = "x".repeat(2000);
    for result in [Ok(large.as_bytes()), Err(large.as_str())] {
        solo.give(&opening(Op::Request, 1, 1, b"x"));
        let call = solo.call();
        solo.respond(call.key, result);
        assert!(solo.sent[0].payload.len() < 200);
        assert_eq!(solo.said(), ["Response mux=1 seq=0 CRC EOF PAYLOAD_IS_ERR text"]);
    }
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_request_over_the_limit_fails_and_nothing_is_sent() {
    let mut solo = Solo::dialler_from(0, |node| node.limits.message = 1024);
    let (now, target) = (solo.now, Target { handler: 1, subroute: None });
    let large = [0; 1024];
    let refused = solo.peer().request(now, target, Data::Borrowed(&large), None);
    let Err(Refusal::Failed(error @ CallError::TooLarge { limit: 1024, .. })) = refused else {
        panic!("{refused:?}");
    };
    assert!(!error.may_have_run());
    assert_eq!(solo.said(), [""; 0]);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn two_requests_with_one_id_are_both_answered() {
    let mut solo = Solo::acceptor();
    solo.feed(&merged(&[opening(Op::Request, 1, 1, b"a"), opening(Op::Request, 1, 1, b"b")]));
    let (first, second) = (solo.call(), solo.call());
    solo.respond(second.key, Ok(b"b"));
    solo.respond(first.key, Ok(b"a"));
    assert_eq!(
        solo.said(),
        ["Response mux=1 seq=0 CRC EOF [62]", "Response mux=1 seq=0 CRC EOF [61]"]
    );
    assert!(solo.peer().is_quiescent());
}

#[test]
fn one_cancel_ends_all_requests_with_its_id() {
    let mut solo = Solo::acceptor();
    solo.feed(&merged(&[opening(Op::Request, 1, 1, b"a"), opening(Op::Request, 1, 1, b"b")]));
    let (first, second) = (solo.call(), solo.call());
    solo.give(&message(Op::DisconnectServerMux, 1, 0));
    for key in [first.key, second.key] {
        assert!(solo.saw(Event::Cancelled(key, CancelReason::Caller)));
        assert!(!solo.peer().is_live(key));
        solo.respond(key, Ok(b"too late"));
    }
    assert_eq!(solo.said(), [""; 0]);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn cancelling_a_request_tells_the_peer_and_ignores_what_comes_late() {
    let mut solo = Solo::dialler();
    let key = solo.request(b"", None);
    let id = key.mux_id();
    solo.said();
    solo.release(key);
    assert_eq!(solo.said(), [format!("DisconnectServerMux mux={id} seq=0 CRC nil")]);
    solo.give(&message(Op::Response, id, 0).flags(Flags::EOF).payload(b"late"));
    solo.give(&message(Op::MuxConnectError, id, 0).payload(&refusal("late")));
    assert_eq!(solo.said(), [""; 0]);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_cancelled_request_that_never_left_is_not_announced_if_it_was_large() {
    let mut solo = Solo::dialler();
    solo.stalled = true;
    let key = solo.request(&[0; 40_000], None);
    solo.release(key);
    solo.stalled = false;
    assert_eq!(solo.said(), [""; 0]);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn no_response_is_sent_after_the_deadline_though_its_timer_has_not_fired() {
    let mut solo = Solo::acceptor();
    solo.give(&opening(Op::Request, 1, 1, b"x").deadline(100));
    let call = solo.call();
    assert_eq!(call.deadline, Some(solo.now.after(Duration::from_millis(100))));
    solo.now = solo.now.after(Duration::from_millis(100));
    solo.respond(call.key, Ok(b"late"));
    assert_eq!(solo.said(), [""; 0]);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn the_callee_cancels_the_handler_of_an_expired_request() {
    let mut solo = Solo::acceptor();
    solo.give(&opening(Op::Request, 1, 1, b"x").deadline(100));
    let call = solo.call();
    solo.advance(Duration::from_millis(99));
    assert!(solo.peer().is_live(call.key));
    solo.advance(Duration::from_millis(2));
    assert!(solo.saw(Event::Cancelled(call.key, CancelReason::Deadline)));
    solo.gone(call.key);
    assert_eq!(solo.said(), [""; 0]);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_request_without_a_deadline_from_the_peer_never_expires() {
    let mut solo = Solo::acceptor();
    solo.give(&opening(Op::Request, 1, 1, b"x"));
    let call = solo.call();
    assert_eq!(call.deadline, None);
    for _ in 0..60 {
        solo.give(&message(Op::Pong, 0, 0));
        solo.advance(15 * SECOND);
    }
    assert!(solo.peer().is_live(call.key));
}

#[test]
fn a_call_cancelled_before_it_was_taken_is_never_given_out() {
    let mut solo = Solo::acceptor();
    let request = opening(Op::Request, 1, 1, b"x");
    let stream = opening(Op::ConnectMux, 2, 11, b"x");
    let cancels = [1, 2].map(|mux| message(Op::DisconnectServerMux, mux, 0));
    solo.feed(&merged(&[request, stream, cancels[0].clone(), cancels[1].clone()]));
    assert!(solo.calls.is_empty());
    solo.said();
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_batch_handled_in_parts_does_what_the_whole_one_does() {
    let never_issued = |number: u64| message(Op::AckMux, (1 << 63) | number, 0);
    let frames = [
        merged(&[opening(Op::Request, 1, 1, b"a"), never_issued(7), never_issued(8)]),
        merged(&[
            opening(Op::ConnectMux, 2, 11, b""),
            message(Op::MuxClientMsg, 2, 1).payload(b"item"),
            never_issued(9),
            message(Op::Ping, 2, 2),
            opening(Op::Request, 3, 99, b"nobody serves it"),
        ]),
        merged(&[message(Op::DisconnectServerMux, 2, 0), opening(Op::Request, 4, 1, b"b")]),
        b"no message".to_vec(),
    ];
    let outcome = |frames: &[Vec<u8>], count| {
        let mut solo = Solo::acceptor();
        let (now, link) = (solo.clocks(), solo.link.expect("up"));
        let mut inbound = Inbound::new();
        for frame in frames {
            inbound.add_slice(frame, 1 << 20);
        }
        let mut parts = 0;
        while !inbound.is_empty() {
            solo.peer().handle_messages(now, link, &mut inbound, count);
            parts += 1;
        }
        solo.pump();
        let calls: Vec<_> = solo.calls.drain(..).map(|call| call.payload).collect();
        (parts, (solo.said(), calls, solo.events, solo.closed))
    };
    for (frames, calls, closed) in [(&frames[..3], 2, 0), (&frames[..], 0, 1)] {
        let (parts, whole) = outcome(frames, usize::MAX);
        assert_eq!((parts, whole.1.len(), whole.3.len()), (1, calls, closed), "{whole:?}");
        for count in 1..=9 {
            let (parts, result) = outcome(frames, count);
            assert_eq!(parts, 10usize.div_ceil(count));
            assert_eq!(result, whole, "{count} at a time");
        }
    }
}

#[test]
fn requests_leave_nothing_behind() {
    // L8: call state leaked for each finished request, and again for those with a subroute.
    let mut solo = Solo::dialler();
    for n in 0..1000 {
        let (now, subroute) = (solo.now, (n % 2 == 0).then(|| SubrouteId::new(1, &["a"])));
        let target = Target { handler: 1, subroute };
        let key = solo.peer().request(now, target, Data::Nil, None).expect("connected");
        assert_eq!(key.slot(), 0, "the slot is free again");
        solo.give(&message(Op::Response, key.mux_id(), 0).flags(Flags::EOF));
        solo.peer().take_response(key).expect("answered").expect("a response");
        solo.sent.clear();
        assert!(solo.peer().is_quiescent());
    }
}

#[test]
fn without_a_link_a_call_fails_at_once_and_has_not_run() {
    let mut solo = Solo::new(node(DIALLER, [1; 16]), ACCEPTOR, 0);
    let (now, target) = (solo.now, Target { handler: 1, subroute: None });
    let refused = solo.peer().request(now, target, Data::Nil, None);
    let error = CallError::Disconnected { may_have_run: false };
    assert_eq!(refused, Err(Refusal::Failed(error)));
}

#[test]
fn a_lost_link_says_of_each_request_whether_it_may_have_run() {
    let mut solo = Solo::dialler();
    let sent = solo.request(b"sent", None);
    solo.stalled = true;
    let queued = solo.request(b"queued", None);
    let large = solo.request(&[0; 40_000], None);
    solo.cut();
    for (key, may_have_run) in [(sent, true), (queued, false), (large, false)] {
        let error = CallError::Disconnected { may_have_run };
        assert_eq!(solo.peer().take_response(key), Some(Err(error)));
    }
}

#[test]
fn a_lost_link_cancels_every_handler_and_its_answer_goes_nowhere() {
    let mut solo = Solo::acceptor();
    solo.give(&opening(Op::Request, 1, 1, b"x"));
    let call = solo.call();
    solo.cut();
    assert!(solo.saw(Event::Cancelled(call.key, CancelReason::Disconnected)));
    solo.reconnect();
    solo.respond(call.key, Ok(b"for the former link"));
    assert_eq!(solo.said(), [""; 0]);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn calls_beyond_the_limit_are_refused_on_both_sides() {
    let mut solo = Solo::acceptor_with(|node| {
        node.limits.incoming_muxes = 1;
        node.limits.outgoing_muxes = 1;
    });
    solo.give(&opening(Op::Request, 1, 1, b"x"));
    let call = solo.call();
    solo.give(&opening(Op::Request, 2, 1, b"x"));
    assert_eq!(solo.said(), ["MuxConnectError mux=2 seq=0 handler=1 CRC EOF text"]);
    // A cancelled handler that still runs counts.
    solo.give(&message(Op::DisconnectServerMux, 1, 0));
    solo.give(&opening(Op::Request, 3, 1, b"x"));
    assert_eq!(solo.said(), ["MuxConnectError mux=3 seq=0 handler=1 CRC EOF text"]);
    solo.gone(call.key);
    solo.give(&opening(Op::Request, 4, 1, b"x"));
    assert_eq!(solo.calls.len(), 1);

    solo.request(b"", None);
    let (now, target) = (solo.now, Target { handler: 1, subroute: None });
    let refused = solo.peer().request(now, target, Data::Nil, None);
    assert!(matches!(refused, Err(Refusal::Failed(CallError::Limit(_)))), "{refused:?}");
}
