//! Deadlines at both ends: PROTOCOL.md sections 5.1 and 5.2.

use std::time::Duration;

use gridmux_core::error::{CallError, CancelReason};
use gridmux_core::event::Event;
use gridmux_core::mux::{OutgoingKey, Received, Refusal, Target};
use gridmux_core::outbox::Data;
use gridmux_core::wire::{Message, Op, Pong, Timestamp};

use crate::support::messages::{Edit, message, opening};
use crate::support::solo::Solo;

const NOTHING: [&str; 0] = [];
const MS: Duration = Duration::from_millis(1);
const EXPIRED: CallError = CallError::DeadlineExceeded { may_have_run: true };

fn disconnect(key: OutgoingKey) -> Message {
    message(Op::DisconnectClientMux, key.mux_id(), 0)
}

#[test]
fn a_deadline_under_a_millisecond_fails_and_nothing_is_sent() {
    let mut solo = Solo::dialler();
    let (now, target) = (solo.now, Target { handler: 1, subroute: None });
    for timeout in [Duration::ZERO, Duration::from_nanos(999_999)] {
        let refused = solo.peer().request(now, target, Data::Nil, Some(timeout));
        assert_eq!(refused, Err(Refusal::Failed(CallError::DeadlineTooShort)));
        let refused = solo.peer().open(now, target, (1, 1), Data::Nil, Some(timeout));
        assert_eq!(refused, Err(Refusal::Failed(CallError::DeadlineTooShort)));
    }
    assert_eq!(solo.said(), NOTHING);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn the_field_is_rounded_up_to_milliseconds_and_cut_to_its_width() {
    let mut solo = Solo::dialler();
    for (timeout, field) in [
        (MS, 1),
        (MS + Duration::from_micros(400), 2),
        (MS + Duration::from_nanos(1), 2),
        (Duration::from_millis(u32::MAX.into()), u32::MAX),
        (Duration::from_millis(u64::from(u32::MAX) + 1), u32::MAX),
        (Duration::MAX, u32::MAX),
    ] {
        solo.request(b"", Some(timeout));
        assert_eq!(solo.sent.pop().expect("sent").header.deadline_ms, field, "{timeout:?}");
        solo.open((0, 1), Some(timeout));
        assert_eq!(solo.sent.pop().expect("sent").header.deadline_ms, field, "{timeout:?}");
    }
}

#[test]
fn a_request_without_a_deadline_has_one_of_a_minute_here_too() {
    let mut solo = Solo::dialler();
    let key = solo.request(b"", None);
    solo.advance(Duration::from_millis(59_999));
    assert_eq!(solo.peer().take_response(key), None);
    solo.advance(2 * MS);
    assert_eq!(solo.peer().take_response(key), Some(Err(EXPIRED)));
}

#[test]
fn a_deadline_is_never_early_and_the_peer_is_told() {
    for timeout in [MS, Duration::from_micros(1500), 100 * MS, Duration::from_secs(3600)] {
        let mut solo = Solo::dialler();
        let key = solo.request(b"", Some(timeout));
        let id = key.mux_id();
        solo.said();
        solo.advance(timeout - Duration::from_nanos(1));
        assert_eq!(solo.peer().take_response(key), None, "{timeout:?}");
        solo.advance(2 * MS);
        assert_eq!(solo.peer().take_response(key), Some(Err(EXPIRED)), "{timeout:?}");
        let line = format!("DisconnectServerMux mux={id} seq=0 CRC nil");
        assert_eq!(solo.said_of_muxes(), [line]);
        assert!(solo.peer().is_quiescent());
    }
}

#[test]
fn a_request_that_expires_in_the_queue_has_not_run_only_if_it_is_taken_back() {
    let mut solo = Solo::dialler();
    solo.stalled = true;
    let small = solo.request(b"", Some(100 * MS));
    let large = solo.request(&[0; 40_000], Some(100 * MS));
    solo.advance(102 * MS);
    // The small one is in a batch already, and leaves with it: a retry could run it twice.
    for (key, may_have_run) in [(small, true), (large, false)] {
        let error = CallError::DeadlineExceeded { may_have_run };
        assert_eq!(solo.peer().take_response(key), Some(Err(error)));
    }
    solo.stalled = false;
    let id = small.mux_id();
    assert_eq!(
        solo.said(),
        [
            format!("Request mux={id} seq=0 deadline=100 handler=1 CRC EOF PAYLOAD_IS_ZERO []"),
            format!("DisconnectServerMux mux={id} seq=0 CRC nil"),
        ]
    );
}

#[test]
fn the_callee_cancels_a_stream_at_its_deadline_and_says_so_with_a_bare_disconnect() {
    let mut solo = Solo::acceptor();
    solo.give(&opening(Op::ConnectMux, 1, 11, b"").deadline(200));
    let call = solo.call();
    assert_eq!(call.deadline, Some(solo.now.after(200 * MS)));
    solo.said();
    solo.advance(199 * MS);
    assert_eq!(solo.said(), NOTHING);
    solo.advance(3 * MS);
    assert_eq!(solo.said(), ["DisconnectClientMux mux=1 seq=0 CRC nil"]);
    assert!(solo.saw(Event::Cancelled(call.key, CancelReason::Deadline)));
    assert_eq!(solo.take_input(call.key), Received::Failed(CancelReason::Deadline));
    solo.gone(call.key);
    assert!(solo.peer().is_quiescent());
}

/// The deadline, how long before it the callee gives up, and whether that is held back.
const HOLD_BACK: [(Duration, Duration, bool); 6] = [
    (Duration::from_secs(1), Duration::from_millis(50), true),
    (Duration::from_secs(1), Duration::from_millis(51), false),
    (Duration::from_secs(10), Duration::from_millis(100), true),
    (Duration::from_secs(10), Duration::from_millis(101), false),
    (Duration::from_secs(3600), Duration::from_secs(36), true),
    (Duration::from_millis(40), Duration::from_millis(39), true),
];

#[test]
fn a_bare_disconnect_near_the_deadline_is_the_deadline_and_earlier_it_is_a_disconnect() {
    for (timeout, left, held) in HOLD_BACK {
        let mut solo = Solo::dialler();
        let key = solo.open_acked((5, 5), Some(timeout));
        solo.jump_to(solo.now.after(timeout - left));
        solo.sent.clear();
        solo.give(&disconnect(key));
        if !held {
            let error = CallError::Disconnected { may_have_run: true };
            assert_eq!(solo.receive(key), Received::Failed(error), "{timeout:?}");
            continue;
        }
        solo.advance(left - Duration::from_nanos(1));
        assert_eq!(solo.receive(key), Received::Pending, "{timeout:?}: never before");
        solo.advance(2 * MS);
        assert_eq!(solo.receive(key), Received::Failed(EXPIRED), "{timeout:?}");
        solo.release(key);
        assert_eq!(solo.said_of_muxes(), NOTHING, "the callee is gone");
        assert!(solo.peer().is_quiescent());
    }
}

#[test]
fn while_a_disconnect_is_held_back_items_can_be_read_and_nothing_is_sent() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((5, 5), Some(100 * MS));
    solo.give(&message(Op::MuxServerMsg, key.mux_id(), 1).payload(b"a"));
    solo.advance(60 * MS);
    solo.give(&disconnect(key));
    assert_eq!(solo.receive(key), Received::Item(b"a".as_slice().into()));
    assert_eq!(solo.peer().send(key, Data::Borrowed(b"x")), Err(Refusal::NoCredit));
    solo.peer().close_input(key);
    assert_eq!(solo.said(), NOTHING);
    // What the callee sends after that is late.
    solo.give(&message(Op::MuxServerMsg, key.mux_id(), 2).payload(b"b"));
    assert_eq!(solo.receive(key), Received::Pending);
    solo.advance(41 * MS);
    assert_eq!(solo.receive(key), Received::Failed(EXPIRED));
}

#[test]
fn a_held_back_disconnect_does_not_outlive_cancel_or_link() {
    let mut solo = Solo::dialler();
    let cancelled = solo.open_acked((5, 5), Some(100 * MS));
    let released = solo.open_acked((5, 5), Some(100 * MS));
    let lost = solo.open_acked((5, 5), Some(100 * MS));
    solo.advance(60 * MS);
    for key in [cancelled, released, lost] {
        solo.give(&disconnect(key));
    }
    let now = solo.clocks();
    solo.peer().cancel(now, cancelled);
    assert_eq!(solo.receive(cancelled), Received::Failed(CallError::Cancelled));
    solo.release(released);
    assert_eq!(solo.said(), NOTHING);
    solo.cut();
    let error = CallError::Disconnected { may_have_run: true };
    assert_eq!(solo.receive(lost), Received::Failed(error));
}

#[test]
fn a_request_that_the_peer_disconnects_near_its_deadline_expires_too() {
    let mut solo = Solo::dialler();
    let key = solo.request(b"", Some(100 * MS));
    solo.advance(60 * MS);
    solo.said();
    solo.give(&disconnect(key));
    solo.give(&message(Op::Response, key.mux_id(), 0).payload(b"late"));
    assert_eq!(solo.peer().take_response(key), None);
    solo.advance(41 * MS);
    assert_eq!(solo.peer().take_response(key), Some(Err(EXPIRED)));
    assert_eq!(solo.said(), NOTHING);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_graceful_end_waits_for_a_call_whose_disconnect_is_held_back() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((5, 5), Some(100 * MS));
    solo.advance(60 * MS);
    solo.give(&disconnect(key));
    let now = solo.clocks();
    solo.peer().shutdown(now, Duration::from_secs(10));
    solo.advance(39 * MS);
    assert_eq!(solo.receive(key), Received::Pending);
    solo.advance(2 * MS);
    assert_eq!(solo.receive(key), Received::Failed(EXPIRED));
}

#[test]
fn an_abort_with_a_text_is_never_held_back() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((5, 5), Some(100 * MS));
    solo.advance(99 * MS);
    solo.give(&disconnect(key).error("broken"));
    assert_eq!(solo.receive(key), Received::Failed(CallError::Remote("broken".into())));
}

#[test]
fn a_stream_without_a_deadline_lives_as_long_as_its_callee_answers() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 1), None);
    for _ in 0..100 {
        solo.advance(Duration::from_secs(10));
        let mut payload = Vec::new();
        Pong { not_found: false, error: None, time: Timestamp::ZERO }.encode(&mut payload);
        solo.give(&message(Op::Pong, key.mux_id(), 1).payload(&payload));
    }
    assert_eq!(solo.receive(key), Received::Pending);
    assert!(solo.closed.is_empty());
}
