//! Streams from caller to callee, at both ends: PROTOCOL.md section 5.2.

use std::time::Duration;

use gridmux_core::error::{CallError, CancelReason};
use gridmux_core::event::Event;
use gridmux_core::mux::{IncomingKey, OutgoingKey, Received, Refusal};
use gridmux_core::outbox::Data;
use gridmux_core::wire::{Flags, Message, Op};

use crate::support::messages::{Edit, merged, message, opening};
use crate::support::solo::Solo;

const NOTHING: [&str; 0] = [];

fn item(mux: u64, seq: u32, payload: &[u8]) -> Message {
    message(Op::MuxClientMsg, mux, seq).payload(payload)
}

fn eof(mux: u64, seq: u32) -> Message {
    message(Op::MuxClientMsg, mux, seq).flags(Flags::EOF)
}

fn taken(bytes: &'static [u8]) -> Received<CancelReason> {
    Received::Item(bytes.into())
}

fn send(solo: &mut Solo, key: OutgoingKey, payload: &[u8]) -> Result<(), Refusal> {
    let sent = solo.peer().send(key, Data::Borrowed(payload));
    solo.pump();
    sent
}

/// What a violation is answered with.
fn refused(mux: u64, seq: u32) -> [String; 2] {
    [
        format!("MuxServerMsg mux={mux} seq={seq} CRC EOF PAYLOAD_IS_ERR text"),
        format!("DisconnectClientMux mux={mux} seq=0 CRC nil"),
    ]
}

// ---- the caller ----

#[test]
fn items_wait_for_the_ack_and_then_for_credits() {
    let mut solo = Solo::dialler();
    let key = solo.open((2, 1), None);
    let id = key.mux_id();
    solo.said();
    assert_eq!(send(&mut solo, key, b"a"), Err(Refusal::NoCredit));
    solo.give(&message(Op::AckMux, id, 0));
    assert!(solo.saw(Event::Writable(key)));
    assert_eq!(send(&mut solo, key, b"a"), Ok(()));
    assert_eq!(send(&mut solo, key, b""), Ok(()));
    assert_eq!(send(&mut solo, key, b"c"), Err(Refusal::NoCredit));
    solo.events.clear();
    solo.give(&message(Op::UnblockClMux, id, 1));
    assert!(solo.saw(Event::Writable(key)));
    assert_eq!(send(&mut solo, key, b"c"), Ok(()));
    assert_eq!(send(&mut solo, key, b"d"), Err(Refusal::NoCredit));
    assert_eq!(
        solo.said(),
        [
            format!("MuxClientMsg mux={id} seq=1 CRC [61]"),
            format!("MuxClientMsg mux={id} seq=2 CRC PAYLOAD_IS_ZERO []"),
            format!("MuxClientMsg mux={id} seq=3 CRC [63]"),
        ]
    );
}

#[test]
fn surplus_credits_never_give_more_than_the_capacity() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((2, 1), None);
    for seq in 1..=5 {
        solo.give(&message(Op::UnblockClMux, key.mux_id(), seq));
    }
    assert_eq!(send(&mut solo, key, b"a"), Ok(()));
    assert_eq!(send(&mut solo, key, b"a"), Ok(()));
    assert_eq!(send(&mut solo, key, b"a"), Err(Refusal::NoCredit));
}

#[test]
fn the_end_of_input_needs_neither_ack_nor_credit() {
    let mut solo = Solo::dialler();
    let key = solo.open((1, 1), None);
    let id = key.mux_id();
    solo.peer().close_input(key);
    solo.peer().close_input(key);
    solo.pump();
    assert_eq!(solo.said()[1..], [format!("MuxClientMsg mux={id} seq=1 CRC EOF nil")]);
    assert_eq!(send(&mut solo, key, b"a"), Err(Refusal::Failed(CallError::SendClosed)));
    // The stream goes on.
    solo.give(&message(Op::AckMux, id, 0));
    assert_eq!(solo.receive(key), Received::Pending);
    let key = solo.open_acked((1, 1), None);
    assert_eq!(send(&mut solo, key, b"a"), Ok(()));
    solo.peer().close_input(key);
    assert_eq!(solo.said().len(), 2, "the item took the only credit");
}

#[test]
fn a_stream_without_input_takes_none_and_closing_it_does_nothing() {
    // L7: closing the channels that such a stream does not have.
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 1), None);
    assert_eq!(send(&mut solo, key, b"a"), Err(Refusal::Failed(CallError::SendClosed)));
    solo.peer().close_input(key);
    assert_eq!(solo.said(), NOTHING);
}

#[test]
fn after_the_end_nothing_can_be_sent_and_the_error_is_the_ends() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((1, 1), None);
    solo.give(&message(Op::MuxServerMsg, key.mux_id(), 1).flags(Flags::EOF));
    assert!(solo.saw(Event::Writable(key)), "a sender that waits wakes");
    assert_eq!(send(&mut solo, key, b"a"), Err(Refusal::Failed(CallError::Ended)));
    solo.peer().close_input(key);
    assert_eq!(solo.said(), NOTHING);
    let key = solo.open_acked((1, 1), None);
    solo.give(&message(Op::DisconnectClientMux, key.mux_id(), 0));
    let error = CallError::Disconnected { may_have_run: true };
    assert_eq!(send(&mut solo, key, b"a"), Err(Refusal::Failed(error)));
}

#[test]
fn credits_pings_and_items_of_one_direction_share_one_numbering() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((1, 1), None);
    let id = key.mux_id();
    send(&mut solo, key, b"a").expect("a credit");
    solo.give(&message(Op::MuxServerMsg, id, 1).payload(b"x"));
    solo.receive(key);
    solo.advance(Duration::from_secs(15));
    solo.peer().close_input(key);
    assert_eq!(
        solo.said_of_muxes(),
        [
            format!("MuxClientMsg mux={id} seq=1 CRC [61]"),
            format!("UnblockSrvMux mux={id} seq=2 CRC nil"),
            format!("Ping mux={id} seq=3 CRC nil"),
            format!("MuxClientMsg mux={id} seq=4 CRC EOF nil"),
        ]
    );
}

#[test]
fn a_full_queue_makes_the_sender_wait_without_losing_a_credit() {
    let mut solo = Solo::dialler_from(0, |node| node.limits.queued_bytes = 100);
    let key = solo.open_acked((2, 1), None);
    solo.stalled = true;
    assert_eq!(send(&mut solo, key, &[1; 90]), Ok(()), "there is always room for one");
    assert_eq!(send(&mut solo, key, &[2; 90]), Err(Refusal::QueueFull));
    solo.stalled = false;
    solo.pump();
    assert!(solo.saw(Event::QueueWritable));
    assert_eq!(send(&mut solo, key, &[2; 90]), Ok(()));
}

/// A call whose large item waits and fills the queue, and another that waits for room.
fn full_queue(timeout: Option<Duration>) -> (Solo, OutgoingKey) {
    let mut solo = Solo::dialler_from(0, |node| node.limits.queued_bytes = 20_000);
    let other = solo.open_acked((2, 1), None);
    let key = solo.open_acked((2, 1), timeout);
    solo.stalled = true;
    assert_eq!(send(&mut solo, key, &[1; 20_000]), Ok(()));
    assert_eq!(send(&mut solo, other, &[2; 90]), Err(Refusal::QueueFull));
    solo.advance(Duration::from_millis(60));
    solo.events.clear();
    (solo, key)
}

#[test]
fn what_a_call_had_queued_makes_room_when_the_peer_gives_it_up_near_its_deadline() {
    let (mut solo, key) = full_queue(Some(Duration::from_millis(100)));
    solo.give(&message(Op::DisconnectClientMux, key.mux_id(), 0));
    assert!(solo.saw(Event::QueueWritable), "nothing is left that would announce it");
}

#[test]
fn what_a_call_had_queued_is_not_sent_once_the_peer_has_ended_it() {
    let ends: [fn(u64) -> Message; 3] = [
        |mux| message(Op::MuxServerMsg, mux, 1).flags(Flags::EOF),
        |mux| message(Op::MuxServerMsg, mux, 1).flags(Flags::EOF).error("no"),
        |mux| message(Op::DisconnectClientMux, mux, 0),
    ];
    for end in ends {
        let (mut solo, key) = full_queue(None);
        solo.give(&end(key.mux_id()));
        assert!(solo.saw(Event::QueueWritable));
        solo.stalled = false;
        solo.pump();
        assert_eq!(solo.said().len(), 0);
    }
}

// ---- the callee ----

#[test]
fn a_credit_goes_back_for_each_item_taken_and_none_for_the_end() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 11);
    solo.feed(&merged(&[item(1, 1, b"a"), item(1, 2, b""), eof(1, 3)]));
    assert_eq!(solo.said(), NOTHING);
    assert_eq!(solo.take_input(key), taken(b"a"));
    assert_eq!(solo.take_input(key), taken(b""));
    assert_eq!(solo.take_input(key), Received::End);
    assert_eq!(solo.take_input(key), Received::End);
    assert_eq!(
        solo.said(),
        ["UnblockClMux mux=1 seq=1 CRC nil", "UnblockClMux mux=1 seq=2 CRC nil"]
    );
}

#[test]
fn a_caller_of_our_kind_gets_no_credits_once_it_has_ended_its_input() {
    for (mux, credits) in [(1, 1), (1 << 63 | 1, 0)] {
        let mut solo = Solo::acceptor();
        let key = solo.serve(mux, 11);
        solo.feed(&merged(&[item(mux, 1, b"a"), item(mux, 2, b"b"), item(mux, 3, b"c")]));
        assert_eq!(solo.take_input(key), taken(b"a"));
        assert_eq!(solo.said(), [format!("UnblockClMux mux={mux} seq=1 CRC nil")]);
        solo.give(&eof(mux, 4));
        assert_eq!(solo.take_input(key), taken(b"b"));
        assert_eq!(solo.said().len(), credits);
        solo.peer().drop_input(key);
        assert_eq!(solo.take_input(key), Received::End);
        solo.pump();
        assert_eq!(solo.said().len(), credits);
        // The numbers of what it gets go on without a gap.
        solo.peer().serve_item(key, Data::Borrowed(b"c")).expect("a credit");
        solo.pump();
        assert_eq!(solo.sent[0].header.seq, 2 + 2 * credits as u32);
    }
}

#[test]
fn the_end_of_input_may_come_with_the_opening_message() {
    let mut solo = Solo::acceptor();
    solo.feed(&merged(&[opening(Op::ConnectMux, 1, 11, b""), eof(1, 1).payload(b"ignored")]));
    let key = solo.call().key;
    assert_eq!(solo.said(), ["AckMux mux=1 seq=0 CRC nil"]);
    assert_eq!(solo.take_input(key), Received::End);
    // Or as its flag.
    solo.give(&opening(Op::ConnectMux, 2, 11, b"").flags(Flags::EOF));
    let key = solo.call().key;
    assert_eq!(solo.take_input(key), Received::End);
}

#[test]
fn the_input_of_a_stream_that_takes_none_has_ended() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 13);
    assert_eq!(solo.take_input(key), Received::End);
}

#[test]
fn a_stream_may_start_at_any_number_and_wraps() {
    let mut solo = Solo::acceptor();
    for (mux, first) in [(1, 5), (2, u32::MAX), (3, u32::MAX - 1)] {
        let mut open = opening(Op::ConnectMux, mux, 11, b"");
        open.header.seq = first;
        solo.give(&open);
        let key = solo.call().key;
        solo.give(&item(mux, first.wrapping_add(1), b"a"));
        solo.give(&item(mux, first.wrapping_add(2), b"b"));
        assert_eq!(solo.take_input(key), taken(b"a"));
        assert_eq!(solo.take_input(key), taken(b"b"));
        solo.peer().serve_item(key, Data::Borrowed(b"c")).expect("a credit");
        let seqs: Vec<_> = (0..4).map(|n| first.wrapping_add(n)).collect();
        solo.pump();
        assert_eq!(solo.sent.iter().map(|m| m.header.seq).collect::<Vec<_>>(), seqs);
        solo.sent.clear();
    }
}

#[test]
fn dropped_input_is_discarded_and_its_credits_go_back() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 15);
    solo.feed(&merged(&[item(1, 1, b"a"), item(1, 2, b"b")]));
    solo.peer().drop_input(key);
    assert_eq!(solo.said().len(), 2);
    for seq in 3..20 {
        solo.give(&item(1, seq, b"c"));
        assert_eq!(solo.said(), [format!("UnblockClMux mux=1 seq={seq} CRC nil")]);
    }
    solo.give(&eof(1, 20));
    assert_eq!(solo.said(), NOTHING);
    solo.finish(key, Ok(()));
    assert_eq!(solo.said().len(), 2);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_handler_that_waits_for_its_ends_credit_still_takes_input_away() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 17);
    solo.peer().serve_item(key, Data::Borrowed(b"x")).expect("a credit");
    solo.finish(key, Ok(()));
    solo.said();
    solo.give(&item(1, 1, b"a"));
    assert_eq!(solo.said(), ["UnblockClMux mux=1 seq=2 CRC nil"]);
    solo.give(&message(Op::UnblockSrvMux, 1, 2));
    assert_eq!(
        solo.said(),
        ["MuxServerMsg mux=1 seq=3 CRC EOF nil", "DisconnectClientMux mux=1 seq=0 CRC nil"]
    );
    assert!(solo.peer().is_quiescent());
}

type Messages = fn() -> Vec<Message>;

/// What a caller does wrong, on which handler.
const VIOLATIONS: [(&str, u8, Messages); 7] = [
    ("a number left out", 11, || vec![item(1, 2, b"a")]),
    ("a number twice", 11, || vec![item(1, 1, b"a"), item(1, 1, b"a")]),
    ("a credit out of sequence", 11, || vec![message(Op::UnblockSrvMux, 1, 2)]),
    ("input on a stream without", 13, || vec![item(1, 1, b"a")]),
    ("more than the capacity", 15, || (1..=3).map(|seq| item(1, seq, b"a")).collect()),
    ("input after its end", 11, || vec![eof(1, 1), item(1, 2, b"a")]),
    ("a second end", 11, || vec![eof(1, 1), eof(1, 2)]),
];

#[test]
fn a_violation_is_answered_once_and_cancels_the_handler() {
    for (name, handler, messages) in VIOLATIONS {
        let mut solo = Solo::acceptor();
        let key = solo.serve(1, handler);
        for message in messages() {
            solo.give(&message);
        }
        assert_eq!(solo.said(), refused(1, 1), "{name}");
        assert!(solo.saw(Event::Cancelled(key, CancelReason::Violation)), "{name}");
        // L27: a Go node answers each further message.
        for seq in 0..5 {
            solo.give(&item(1, seq, b"more"));
            solo.give(&message(Op::UnblockSrvMux, 1, seq));
        }
        solo.give(&message(Op::DisconnectServerMux, 1, 0));
        assert_eq!(solo.said(), NOTHING, "{name}");
        solo.finish(key, Err("gone"));
        assert!(solo.peer().is_quiescent(), "{name}");
    }
}

#[test]
fn a_handler_reads_what_came_before_a_violation_and_then_the_reason() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 11);
    solo.give(&item(1, 1, b"a"));
    solo.give(&item(1, 7, b"b"));
    solo.said();
    assert_eq!(solo.take_input(key), taken(b"a"));
    assert_eq!(solo.take_input(key), Received::Failed(CancelReason::Violation));
    assert_eq!(solo.said(), NOTHING, "no credit after a failure");
    solo.gone(key);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn items_whose_credits_have_not_left_are_over_the_capacity_though_all_before_were_taken() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 15);
    for seq in 1..=6 {
        solo.give(&item(1, seq, b"a"));
        assert_eq!(solo.take_input(key), taken(b"a"), "each credit leaves at once");
    }
    solo.said();
    // The other node does not read any more, and goes on.
    solo.stalled = true;
    for seq in 7..=8 {
        solo.give(&item(1, seq, b"b"));
        assert_eq!(solo.take_input(key), taken(b"b"));
    }
    solo.give(&item(1, 9, b"c"));
    assert_eq!(solo.take_input(key), Received::Failed(CancelReason::Violation));
    solo.stalled = false;
    let credits = (7..=8).map(|seq| format!("UnblockClMux mux=1 seq={seq} CRC nil"));
    let end = ["MuxServerMsg mux=1 seq=9 CRC EOF PAYLOAD_IS_ERR text".to_owned()];
    let over = ["DisconnectClientMux mux=1 seq=0 CRC nil".to_owned()];
    assert_eq!(solo.said(), credits.chain(end).chain(over).collect::<Vec<_>>());
}

#[test]
fn credits_that_leave_between_large_items_are_out_though_more_of_these_wait() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 11);
    let (now, link) = (solo.clocks(), solo.link.expect("a link"));
    let large = |solo: &mut Solo| solo.peer().serve_item(key, Data::Borrowed(&[7; 20_000]));
    // From now on there is always a large item that waits, and something leaves each time.
    solo.stalled = true;
    large(&mut solo).expect("a credit");
    let mut seq = 0;
    for _ in 0..20 {
        large(&mut solo).expect("a credit");
        seq += 1;
        solo.give(&item(1, seq, b"a"));
        assert_eq!(solo.take_input(key), taken(b"a"), "{seq}");
        seq += 1;
        solo.give(&message(Op::UnblockSrvMux, 1, seq));
        for _ in 0..2 {
            assert!(solo.peer().poll_transmit(now, link).is_some(), "an item, or credits");
        }
    }
}

#[test]
fn an_id_that_was_refused_may_be_used_again() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 11);
    solo.give(&item(1, 7, b"b"));
    solo.gone(key);
    let key: IncomingKey = solo.serve(1, 11);
    solo.give(&item(1, 1, b"a"));
    assert_eq!(solo.take_input(key), taken(b"a"));
    solo.finish(key, Ok(()));
    solo.said();
    solo.give(&item(1, 2, b"late"));
    assert_eq!(solo.said(), ["DisconnectClientMux mux=1 seq=0 CRC nil"], "over, not refused");
}

#[test]
fn of_the_ids_that_were_refused_the_last_1024_are_remembered() {
    let mut solo = Solo::acceptor();
    for id in 1..=1025 {
        let key = solo.serve(id, 11);
        solo.give(&item(id, 7, b"b"));
        solo.gone(key);
    }
    solo.said();
    solo.give(&item(2, 8, b"more"));
    solo.give(&item(1025, 8, b"more"));
    assert_eq!(solo.said(), NOTHING, "the last ones were answered already");
    solo.give(&item(1, 8, b"more"));
    assert_eq!(solo.said(), ["DisconnectClientMux mux=1 seq=0 CRC nil"], "the oldest is forgotten");
}

#[test]
fn input_over_the_receive_limit_ends_its_call_only() {
    let mut solo = Solo::acceptor_with(|node| node.limits.received_bytes = 1024);
    let key = solo.serve(1, 11);
    let other = solo.serve(2, 11);
    solo.give(&item(1, 1, &[1; 900]));
    solo.give(&item(1, 2, &[2; 900]));
    assert_eq!(solo.said(), refused(1, 1));
    assert!(solo.saw(Event::Cancelled(key, CancelReason::ReceiveLimit)));
    solo.gone(key);
    solo.give(&item(2, 1, &[3; 900]));
    assert_eq!(solo.take_input(other), Received::Item(vec![3; 900].into()));
    assert!(solo.closed.is_empty());
}

#[test]
fn a_lost_link_ends_the_input_after_the_items_that_came() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 11);
    solo.give(&item(1, 1, b"a"));
    solo.cut();
    assert_eq!(solo.take_input(key), taken(b"a"));
    assert_eq!(solo.take_input(key), Received::Failed(CancelReason::Disconnected));
    solo.gone(key);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_second_opening_with_a_live_id_is_ignored() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 11);
    solo.give(&opening(Op::ConnectMux, 1, 11, b"again"));
    solo.give(&opening(Op::ConnectMux, 1, 99, b"again"));
    assert_eq!(solo.said(), NOTHING);
    assert!(solo.calls.is_empty());
    solo.give(&item(1, 1, b"a"));
    assert_eq!(solo.take_input(key), taken(b"a"));
}

#[test]
fn a_stateless_stream_is_refused() {
    let mut solo = Solo::acceptor();
    solo.give(&opening(Op::ConnectMux, 1, 11, b"").flags(Flags::STATELESS));
    assert_eq!(solo.said().len(), 1);
    assert!(solo.calls.is_empty());
}
