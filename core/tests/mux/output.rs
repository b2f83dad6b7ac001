//! Streams from callee to caller, at both ends: PROTOCOL.md section 5.2.

use std::time::Duration;

use gridmux_core::error::{CallError, CancelReason, LimitKind, Violation};
use gridmux_core::event::Event;
use gridmux_core::mux::{IncomingKey, OutgoingKey, Received, Refusal};
use gridmux_core::outbox::Data;
use gridmux_core::wire::{Flags, Message, MuxConnectError, Op};

use crate::support::messages::{Edit, merged, message, opening};
use crate::support::solo::Solo;

const NOTHING: [&str; 0] = [];

fn item(key: OutgoingKey, seq: u32, payload: &[u8]) -> Message {
    message(Op::MuxServerMsg, key.mux_id(), seq).payload(payload)
}

fn last(key: OutgoingKey, seq: u32) -> Message {
    message(Op::MuxServerMsg, key.mux_id(), seq).flags(Flags::EOF)
}

fn ended(key: OutgoingKey) -> Message {
    message(Op::DisconnectClientMux, key.mux_id(), 0)
}

fn taken(bytes: &'static [u8]) -> Received<CallError> {
    Received::Item(bytes.into())
}

// ---- the callee ----

#[test]
fn the_ack_goes_out_before_anything_else() {
    let mut solo = Solo::acceptor();
    solo.stalled = true;
    solo.give(&opening(Op::ConnectMux, 1, 13, b""));
    let call = solo.call();
    solo.peer().serve_item(call.key, Data::Borrowed(b"x")).expect("a credit");
    solo.stalled = false;
    assert_eq!(solo.said(), ["AckMux mux=1 seq=0 CRC nil", "MuxServerMsg mux=1 seq=1 CRC [78]"]);
}

#[test]
fn the_callee_sends_as_many_items_as_its_capacity_and_one_for_each_credit() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 14);
    let send = |solo: &mut Solo| solo.peer().serve_item(key, Data::Borrowed(b"x"));
    for _ in 0..3 {
        assert_eq!(send(&mut solo), Ok(()));
    }
    assert_eq!(send(&mut solo), Err(Refusal::NoCredit));
    for seq in 1..=10 {
        solo.events.clear();
        solo.give(&message(Op::UnblockSrvMux, 1, seq));
        assert!(solo.saw(Event::OutputWritable(key)));
        assert_eq!(send(&mut solo), Ok(()));
        assert_eq!(send(&mut solo), Err(Refusal::NoCredit));
    }
    let seqs: Vec<_> = solo.sent.iter().map(|m| m.header.seq).collect();
    solo.pump();
    assert!(seqs.is_sorted());
    assert_eq!(solo.said().len(), 13);
}

#[test]
fn surplus_credits_are_ignored() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 14);
    for seq in 1..=10 {
        solo.give(&message(Op::UnblockSrvMux, 1, seq));
    }
    for _ in 0..3 {
        solo.peer().serve_item(key, Data::Borrowed(b"x")).expect("a credit");
    }
    assert_eq!(solo.peer().serve_item(key, Data::Borrowed(b"x")), Err(Refusal::NoCredit));
}

#[test]
fn the_final_message_costs_a_credit_and_waits_for_it_without_a_handler() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 13);
    solo.peer().serve_item(key, Data::Borrowed(b"x")).expect("a credit");
    solo.finish(key, Ok(()));
    assert_eq!(solo.said(), ["MuxServerMsg mux=1 seq=1 CRC [78]"]);
    assert!(solo.peer().is_live(key), "the mux is held");
    solo.give(&message(Op::UnblockSrvMux, 1, 1));
    assert_eq!(
        solo.said(),
        ["MuxServerMsg mux=1 seq=2 CRC EOF nil", "DisconnectClientMux mux=1 seq=0 CRC nil"]
    );
    assert!(solo.peer().is_quiescent());
}

#[test]
fn an_end_that_waits_for_a_credit_is_dropped_by_cancel_deadline_and_silence() {
    let mut solo = Solo::acceptor();
    let deadline = Duration::from_millis(100);
    for (mux, wait) in [(1, None), (2, Some(deadline)), (3, Some(Duration::from_secs(60)))] {
        let ms = if wait == Some(deadline) { 100 } else { 0 };
        solo.give(&opening(Op::ConnectMux, mux, 13, b"").deadline(ms));
        let key = solo.call().key;
        solo.peer().serve_item(key, Data::Borrowed(b"x")).expect("a credit");
        solo.finish(key, Ok(()));
        solo.said();
        match wait {
            None => solo.give(&message(Op::DisconnectServerMux, mux, 0)),
            Some(wait) => solo.advance(wait + Duration::from_millis(5)),
        }
        let line = format!("DisconnectClientMux mux={mux} seq=0 CRC nil");
        assert_eq!(solo.said_of_muxes(), [line], "and no final");
        assert!(!solo.peer().is_live(key));
        assert!(solo.peer().is_quiescent(), "mux {mux}");
    }
}

#[test]
fn a_handlers_error_goes_out_after_its_items() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 14);
    for _ in 0..2 {
        solo.peer().serve_item(key, Data::Nil).expect("a credit");
    }
    solo.finish(key, Err("broken"));
    assert_eq!(
        solo.said(),
        [
            "MuxServerMsg mux=1 seq=1 CRC PAYLOAD_IS_ZERO []",
            "MuxServerMsg mux=1 seq=2 CRC PAYLOAD_IS_ZERO []",
            "MuxServerMsg mux=1 seq=3 CRC EOF PAYLOAD_IS_ERR text",
            "DisconnectClientMux mux=1 seq=0 CRC nil",
        ]
    );
    assert!(solo.peer().is_quiescent());
}

#[test]
fn an_item_or_error_over_the_message_limit_is_not_sent() {
    let mut solo = Solo::acceptor_with(|node| node.limits.message = 1024);
    let key = solo.serve(1, 14);
    let large = "x".repeat(2000);
    let refused = solo.peer().serve_item(key, Data::Borrowed(large.as_bytes()));
    assert!(matches!(refused, Err(Refusal::Failed(CallError::TooLarge { .. }))));
    solo.peer().serve_item(key, Data::Borrowed(b"x")).expect("no credit was lost");
    solo.finish(key, Err(&large));
    assert!(solo.sent.iter().all(|m| m.payload.len() < 200));
    assert_eq!(
        solo.said(),
        [
            "MuxServerMsg mux=1 seq=1 CRC [78]",
            "MuxServerMsg mux=1 seq=2 CRC EOF PAYLOAD_IS_ERR text",
            "DisconnectClientMux mux=1 seq=0 CRC nil",
        ]
    );
}

#[test]
fn large_items_and_what_follows_them_keep_their_order() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 14);
    solo.stalled = true;
    solo.peer().serve_item(key, Data::Borrowed(b"a")).expect("a credit");
    solo.peer().serve_item(key, Data::Borrowed(&[1; 30_000])).expect("a credit");
    solo.finish(key, Err("end"));
    solo.stalled = false;
    solo.pump();
    let seqs: Vec<_> = solo.sent.iter().map(|m| (m.header.op, m.header.seq)).collect();
    let op = Op::MuxServerMsg;
    assert_eq!(seqs, [(op, 1), (op, 2), (op, 3), (Op::DisconnectClientMux, 0)]);
}

#[test]
fn a_cancel_is_answered_with_one_bare_disconnect_behind_the_items_queued() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 14);
    solo.stalled = true;
    solo.peer().serve_item(key, Data::Borrowed(b"x")).expect("a credit");
    solo.give(&message(Op::DisconnectServerMux, 1, 5));
    solo.give(&message(Op::DisconnectServerMux, 1, 0));
    solo.stalled = false;
    assert_eq!(
        solo.said(),
        ["MuxServerMsg mux=1 seq=1 CRC [78]", "DisconnectClientMux mux=1 seq=0 CRC nil"]
    );
    assert!(solo.saw(Event::Cancelled(key, CancelReason::Caller)));
    assert_eq!(
        solo.peer().serve_item(key, Data::Borrowed(b"y")),
        Err(Refusal::Failed(CallError::Cancelled))
    );
    solo.finish(key, Err("late"));
    assert_eq!(solo.said(), NOTHING);
    assert!(solo.peer().is_quiescent());
}

/// A stream with a small and a large item queued while nothing leaves.
fn large_items_queued(deadline_ms: u32) -> (Solo, IncomingKey) {
    let mut solo = Solo::acceptor();
    solo.give(&opening(Op::ConnectMux, 1, 14, b"").deadline(deadline_ms));
    let key = solo.call().key;
    solo.said();
    solo.stalled = true;
    solo.peer().serve_item(key, Data::Borrowed(b"a")).expect("a credit");
    solo.peer().serve_item(key, Data::Borrowed(&[1; 600_000])).expect("a credit");
    (solo, key)
}

#[test]
fn large_items_that_wait_are_not_sent_once_the_caller_takes_nothing_more() {
    for (deadline_ms, wait) in [(0, None), (100, Some(105))] {
        let (mut solo, key) = large_items_queued(deadline_ms);
        match wait {
            None => solo.give(&message(Op::DisconnectServerMux, 1, 0)),
            Some(ms) => solo.advance(Duration::from_millis(ms)),
        }
        assert!(!solo.peer().is_live(key));
        solo.stalled = false;
        solo.pump();
        let said = ["MuxServerMsg mux=1 seq=1 CRC [61]", "DisconnectClientMux mux=1 seq=0 CRC nil"];
        assert_eq!(solo.said_of_muxes(), said, "{wait:?}");
        solo.finish(key, Ok(()));
        assert!(solo.peer().is_quiescent(), "nothing of it is left");
    }
}

#[test]
fn the_end_of_a_stream_and_its_large_items_are_not_sent_to_a_caller_that_cancels_meanwhile() {
    let (mut solo, key) = large_items_queued(0);
    solo.finish(key, Ok(()));
    assert!(!solo.peer().is_live(key), "nothing but its items is left");
    solo.give(&message(Op::DisconnectServerMux, 1, 0));
    solo.stalled = false;
    solo.pump();
    assert_eq!(solo.said(), ["MuxServerMsg mux=1 seq=1 CRC [61]"]);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_cancel_that_crosses_the_final_is_not_answered() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 13);
    solo.finish(key, Ok(()));
    solo.said();
    solo.give(&message(Op::DisconnectServerMux, 1, 1));
    solo.give(&message(Op::DisconnectServerMux, 1, 0));
    // L1: credits and pings for a mux that is over.
    solo.give(&message(Op::UnblockSrvMux, 1, 1));
    assert_eq!(solo.said(), NOTHING);
    assert!(solo.peer().is_quiescent());
}

// ---- the caller ----

#[test]
fn opening_a_stream_without_input_says_eof_and_one_with_input_does_not() {
    let mut solo = Solo::dialler();
    let key = solo.open((0, 1), None);
    let id = key.mux_id();
    assert_eq!(solo.said(), [format!("ConnectMux mux={id} seq=0 handler=11 CRC EOF nil")]);
    let key = solo.open((1, 1), Some(Duration::from_secs(1)));
    let id = key.mux_id();
    assert_eq!(
        solo.said(),
        [format!("ConnectMux mux={id} seq=0 deadline=1000 handler=11 CRC nil")]
    );
}

#[test]
fn items_come_in_order_then_one_end_for_ever() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 5), None);
    solo.feed(&merged(&[item(key, 1, b"a"), item(key, 2, b""), last(key, 3), ended(key)]));
    assert_eq!(solo.receive(key), taken(b"a"));
    assert_eq!(solo.receive(key), taken(b""));
    for _ in 0..3 {
        assert_eq!(solo.receive(key), Received::End);
    }
    assert_eq!(solo.said(), NOTHING, "after the final no credit is returned");
    solo.release(key);
    assert_eq!(solo.said(), NOTHING);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_credit_goes_back_when_the_application_takes_the_item() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 1), None);
    let id = key.mux_id();
    for seq in 1..5 {
        solo.give(&item(key, seq, b"a"));
        assert_eq!(solo.said(), NOTHING);
        assert_eq!(solo.receive(key), taken(b"a"));
        assert_eq!(solo.receive(key), Received::Pending);
        assert_eq!(solo.said(), [format!("UnblockSrvMux mux={id} seq={seq} CRC nil")]);
    }
}

#[test]
fn an_error_comes_after_the_items_before_it() {
    // L19, L26: Go loses the items.
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 5), None);
    let error = last(key, 3).error("failed");
    solo.feed(&merged(&[item(key, 1, b"a"), item(key, 2, b"b"), error, ended(key)]));
    assert_eq!(solo.receive(key), taken(b"a"));
    assert_eq!(solo.receive(key), taken(b"b"));
    let end = Received::Failed(CallError::Remote("failed".into()));
    assert_eq!(solo.receive(key), end);
    assert_eq!(solo.receive(key), end);
}

#[test]
fn every_end_but_our_own_lets_the_items_before_it_be_read() {
    type End = fn(&mut Solo, OutgoingKey);
    let ends: [(End, CallError); 5] = [
        (|solo, _| solo.cut(), CallError::Disconnected { may_have_run: true }),
        (|solo, key| solo.give(&ended(key)), CallError::Disconnected { may_have_run: true }),
        (|solo, key| solo.give(&ended(key).error("aborted")), CallError::Remote("aborted".into())),
        (
            |solo, key| {
                let mut payload = Vec::new();
                MuxConnectError { error: "no".into() }.encode(&mut payload);
                solo.give(&message(Op::MuxConnectError, key.mux_id(), 0).payload(&payload));
            },
            CallError::Refused("no".into()),
        ),
        (
            |solo, key| solo.give(&item(key, 9, b"x")),
            CallError::PeerViolation(Violation::OutOfSequence { expected: 2, received: 9 }),
        ),
    ];
    for (end, error) in ends {
        let mut solo = Solo::dialler();
        let key = solo.open_acked((0, 5), None);
        solo.give(&item(key, 1, b"a"));
        end(&mut solo, key);
        assert_eq!(solo.receive(key), taken(b"a"));
        assert_eq!(solo.receive(key), Received::Failed(error.clone()));
        assert_eq!(solo.receive(key), Received::Failed(error));
        solo.release(key);
        solo.sent.clear();
        assert!(solo.peer().is_quiescent() || solo.link.is_none());
    }
}

#[test]
fn our_own_deadline_and_cancel_retract_what_was_not_taken() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 5), Some(Duration::from_millis(100)));
    solo.give(&item(key, 1, b"a"));
    solo.advance(Duration::from_millis(101));
    let error = CallError::DeadlineExceeded { may_have_run: true };
    assert_eq!(solo.receive(key), Received::Failed(error));
    solo.release(key);

    let key = solo.open_acked((0, 5), None);
    solo.give(&item(key, 1, b"a"));
    let now = solo.clocks();
    solo.peer().cancel(now, key);
    assert_eq!(solo.receive(key), Received::Failed(CallError::Cancelled));
    let id = key.mux_id();
    assert_eq!(solo.said(), [format!("DisconnectServerMux mux={id} seq=0 CRC nil")]);
    solo.release(key);
    assert_eq!(solo.said(), NOTHING, "told once");
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_deadline_or_cancel_after_the_end_retracts_nothing() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 5), Some(Duration::from_millis(100)));
    solo.feed(&merged(&[item(key, 1, b"a"), last(key, 2)]));
    solo.advance(Duration::from_millis(200));
    let now = solo.clocks();
    solo.peer().cancel(now, key);
    assert_eq!(solo.receive(key), taken(b"a"));
    assert_eq!(solo.receive(key), Received::End);
    assert_eq!(solo.said(), NOTHING);
}

#[test]
fn a_nil_item_is_no_item_and_its_credit_goes_back() {
    // L25: a Go caller loses step here.
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 1), None);
    let id = key.mux_id();
    solo.give(&message(Op::MuxServerMsg, id, 1));
    assert_eq!(solo.receive(key), Received::Pending);
    assert_eq!(solo.said(), [format!("UnblockSrvMux mux={id} seq=1 CRC nil")]);
    solo.give(&item(key, 2, b"next"));
    assert_eq!(solo.receive(key), taken(b"next"));
}

#[test]
fn more_items_than_the_capacity_end_the_call_and_the_peer_is_told_once() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 2), None);
    for seq in 1..=5 {
        solo.give(&item(key, seq, b"x"));
    }
    let id = key.mux_id();
    assert_eq!(solo.said(), [format!("DisconnectServerMux mux={id} seq=0 CRC nil")]);
    assert_eq!(solo.receive(key), taken(b"x"));
    assert_eq!(solo.receive(key), taken(b"x"));
    let error = CallError::PeerViolation(Violation::OverCapacity { route: None, capacity: 2 });
    assert_eq!(solo.receive(key), Received::Failed(error));
    assert_eq!(solo.said(), NOTHING);
}

#[test]
fn items_whose_credits_have_not_left_are_over_the_capacity_though_all_before_were_taken() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 2), None);
    for seq in 1..=6 {
        solo.give(&item(key, seq, b"a"));
        assert_eq!(solo.receive(key), taken(b"a"), "each credit leaves at once");
    }
    // The other node does not read any more, and goes on.
    solo.stalled = true;
    for seq in 7..=8 {
        solo.give(&item(key, seq, b"b"));
        assert_eq!(solo.receive(key), taken(b"b"));
    }
    solo.give(&item(key, 9, b"c"));
    let error = CallError::PeerViolation(Violation::OverCapacity { route: None, capacity: 2 });
    assert_eq!(solo.receive(key), Received::Failed(error));
}

#[test]
fn every_counted_message_must_carry_the_next_number() {
    for op in [Op::MuxServerMsg, Op::UnblockClMux, Op::AckMux] {
        let mut solo = Solo::dialler();
        let key = solo.open_acked((5, 5), None);
        solo.give(&message(op, key.mux_id(), 2).payload(b"x"));
        let violation = Violation::OutOfSequence { expected: 1, received: 2 };
        assert_eq!(solo.receive(key), Received::Failed(CallError::PeerViolation(violation)));
        let text = CallError::PeerViolation(violation).to_string();
        assert!(text.starts_with("out-of-sequence item received"), "{text}");
        assert_eq!(solo.said().len(), 1);
    }
}

#[test]
fn whatever_comes_late_for_a_finished_stream_is_ignored() {
    // 7.2, L1: late credits, pings, messages and finals are never errors.
    let mut solo = Solo::dialler();
    let key = solo.open_acked((1, 1), None);
    solo.give(&last(key, 1));
    for released in [false, true] {
        if released {
            solo.release(key);
        }
        use Op::{
            AckMux, DisconnectClientMux, MuxConnectError, MuxServerMsg, Pong, Response,
            UnblockClMux,
        };
        for op in [
            AckMux,
            DisconnectClientMux,
            MuxConnectError,
            MuxServerMsg,
            Pong,
            Response,
            UnblockClMux,
        ] {
            solo.give(&message(op, key.mux_id(), 3));
            assert_eq!(solo.said(), NOTHING, "{op:?}");
        }
    }
    assert!(solo.closed.is_empty());
    assert!(solo.peer().is_quiescent());
}

#[test]
fn an_item_over_the_receive_limit_ends_its_call_only() {
    let mut solo = Solo::dialler_from(0, |node| node.limits.received_bytes = 1024);
    let (full, other) = (solo.open_acked((0, 5), None), solo.open_acked((0, 5), None));
    solo.give(&item(full, 1, &[1; 900]));
    solo.give(&item(full, 2, &[2; 900]));
    assert_eq!(solo.receive(full), Received::Item(vec![1; 900].into()));
    assert_eq!(solo.receive(full), Received::Failed(CallError::Limit(LimitKind::ReceivedBytes)));
    solo.give(&item(other, 1, &[3; 900]));
    assert_eq!(solo.receive(other), Received::Item(vec![3; 900].into()));
    assert!(solo.closed.is_empty());
}

#[test]
fn releasing_a_stream_frees_what_was_not_taken() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 5), None);
    solo.give(&item(key, 1, b"a"));
    solo.release(key);
    assert_eq!(solo.said().len(), 1);
    solo.feed(&merged(&[item(key, 2, b"b"), last(key, 3), ended(key)]));
    assert_eq!(solo.said(), NOTHING);
    assert!(solo.peer().is_quiescent());
}
