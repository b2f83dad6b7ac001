//! The pings of streams at both ends: PROTOCOL.md section 5.3.

use std::time::Duration;

use gridmux_core::error::{CallError, CancelReason};
use gridmux_core::event::Event;
use gridmux_core::mux::{OutgoingKey, Received};
use gridmux_core::time::Instant;
use gridmux_core::wire::{Flags, Message, Op, Pong, Timestamp};

use crate::support::messages::{Edit, message, opening};
use crate::support::solo::Solo;

const NOTHING: [&str; 0] = [];
const SECOND: Duration = Duration::from_secs(1);
const GONE: CallError = CallError::Disconnected { may_have_run: true };

fn pong(key: OutgoingKey, not_found: bool, error: Option<&str>) -> Message {
    let mut payload = Vec::new();
    let error = error.map(str::to_owned);
    Pong { not_found, error, time: Timestamp::ZERO }.encode(&mut payload);
    message(Op::Pong, key.mux_id(), 1).payload(&payload)
}

/// When the stream's next ping goes out, at most `limit` from now.
fn next_ping(solo: &mut Solo, key: OutgoingKey, limit: Duration) -> Option<Instant> {
    let until = solo.now.after(limit);
    while solo.now < until {
        solo.advance(Duration::from_millis(10));
        let sent = std::mem::take(&mut solo.sent);
        let id = key.mux_id();
        if sent.iter().any(|m| m.header.op == Op::Ping && m.header.mux == id) {
            return Some(solo.now);
        }
    }
    None
}

#[test]
fn the_first_ping_comes_within_half_an_interval_and_one_then_every_interval() {
    let mut firsts = Vec::new();
    let mut solo = Solo::dialler();
    for _ in 0..20 {
        let opened = solo.now;
        let key = solo.open_acked((0, 1), None);
        let first = next_ping(&mut solo, key, 16 * SECOND).expect("a ping");
        firsts.push(first.since(opened));
        solo.give(&pong(key, false, None));
        let second = next_ping(&mut solo, key, 16 * SECOND).expect("a ping");
        let between = second.since(first);
        assert!(between.abs_diff(15 * SECOND) <= Duration::from_millis(20), "{between:?}");
        solo.release(key);
    }
    let slack = Duration::from_millis(20);
    assert!(firsts.iter().all(|f| (7 * SECOND + SECOND / 2..=15 * SECOND + slack).contains(f)));
    assert!(firsts.iter().max() > firsts.iter().min().map(|f| *f + 2 * SECOND).as_ref(), "spread");
}

#[test]
fn a_stream_with_a_deadline_up_to_the_interval_is_not_pinged() {
    for (deadline, pinged) in [(15 * SECOND, false), (16 * SECOND, true)] {
        let mut solo = Solo::dialler();
        let key = solo.open_acked((0, 1), Some(deadline));
        assert_eq!(next_ping(&mut solo, key, 16 * SECOND).is_some(), pinged, "{deadline:?}");
    }
}

#[test]
fn a_single_request_is_not_pinged() {
    let mut solo = Solo::dialler();
    let key = solo.request(b"", None);
    assert_eq!(next_ping(&mut solo, key, 59 * SECOND), None);
}

#[test]
fn thirty_seconds_without_a_message_of_the_callee_end_the_call() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((5, 5), None);
    solo.advance(30 * SECOND - Duration::from_millis(1));
    assert_eq!(solo.receive(key), Received::Pending);
    solo.said();
    solo.advance(Duration::from_millis(3));
    assert_eq!(solo.receive(key), Received::Failed(GONE));
    let id = key.mux_id();
    assert_eq!(solo.said_of_muxes(), [format!("DisconnectServerMux mux={id} seq=0 CRC nil")]);
}

#[test]
fn every_message_of_the_callee_is_life() {
    let mut solo = Solo::dialler();
    let (ponged, fed) = (solo.open_acked((0, 9), None), solo.open_acked((0, 9), None));
    let (credited, acked) = (solo.open_acked((9, 1), None), solo.open((9, 1), None));
    for seq in 1..6 {
        solo.advance(29 * SECOND);
        solo.give(&pong(ponged, false, None));
        solo.give(&message(Op::MuxServerMsg, fed.mux_id(), seq).payload(b"a"));
        solo.give(&message(Op::UnblockClMux, credited.mux_id(), seq));
        solo.give(&message(Op::AckMux, acked.mux_id(), seq - 1));
    }
    for key in [ponged, credited, acked] {
        assert_eq!(solo.receive(key), Received::Pending);
    }
    assert!(matches!(solo.receive(fed), Received::Item(_)));
}

#[test]
fn a_callee_whose_ping_still_waits_here_is_not_silent() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 1), None);
    // The path takes nothing, and the other node says that it lives.
    solo.stalled = true;
    let alive = message(Op::Unknown(99), 0, 0);
    for _ in 0..100 {
        solo.advance(SECOND);
        solo.give(&alive);
    }
    assert_eq!(solo.receive(key), Received::Pending);
    let waiting = solo.peer().stats(Instant::ZERO).queued_bytes;
    assert!((1..60).contains(&waiting), "one ping, not one each interval: {waiting}");
    // Now it is asked, and does not answer, though it answers the link's pings.
    solo.stalled = false;
    solo.advance(9 * SECOND);
    assert_eq!(solo.receive(key), Received::Pending);
    solo.advance(25 * SECOND);
    assert_eq!(solo.receive(key), Received::Failed(GONE));
}

#[test]
fn a_callee_whose_end_of_the_call_may_wait_in_its_queue_is_not_silent() {
    let mut solo = Solo::dialler();
    let (waiting, other) = (solo.open_acked((0, 1), None), solo.open_acked((0, 100), None));
    // Items of another stream come all the time, as from a full queue on a slow path; link pings are
    // answered ahead of them.
    for seq in 1..60 {
        solo.advance(3 * SECOND);
        solo.give(&message(Op::MuxServerMsg, other.mux_id(), seq).payload(b"a"));
    }
    assert_eq!(solo.receive(waiting), Received::Pending);
    // The queue is empty: nothing follows a link ping or pong.
    solo.advance(25 * SECOND);
    assert_eq!(solo.receive(waiting), Received::Failed(GONE));
}

#[test]
fn a_callee_that_has_not_answered_the_link_since_is_not_silent() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 1), None);
    let alive = message(Op::Unknown(99), 0, 0);
    for _ in 0..58 {
        // Pings and their pongs are under way somewhere, behind other bytes.
        let next = solo.now.after(SECOND);
        solo.jump_without_answer(next);
        solo.give(&alive);
    }
    assert_eq!(solo.receive(key), Received::Pending);
    assert!(solo.closed.is_empty());
}

#[test]
fn a_pong_that_does_not_know_the_mux_or_tells_an_error_ends_the_call() {
    let mut solo = Solo::dialler();
    let (lost, failed) = (solo.open_acked((0, 1), None), solo.open_acked((0, 1), None));
    solo.give(&pong(lost, true, None));
    assert_eq!(solo.receive(lost), Received::Failed(GONE));
    solo.give(&pong(failed, false, Some("cancelled")));
    assert_eq!(solo.receive(failed), Received::Failed(CallError::Remote("cancelled".into())));
    assert_eq!(solo.said_of_muxes(), NOTHING, "the callee does not have it any more");
}

#[test]
fn the_callee_answers_a_ping_with_its_seq_and_no_time() {
    let mut solo = Solo::acceptor();
    solo.serve(1, 13);
    solo.give(&message(Op::Ping, 1, 1));
    let zero = Timestamp::ZERO.to_unix_nanos();
    assert_eq!(solo.said(), [format!("Pong mux=1 seq=1 CRC nf=false e=nil t={zero}")]);
    solo.give(&message(Op::Ping, 77, 9));
    assert_eq!(solo.said(), [format!("Pong mux=77 seq=9 CRC nf=true e=nil t={zero}")]);
}

#[test]
fn a_ping_out_of_sequence_ends_the_stream_and_its_pong_comes_last_with_the_error() {
    let mut solo = Solo::acceptor();
    solo.serve(1, 13);
    solo.give(&message(Op::Ping, 1, 9));
    let zero = Timestamp::ZERO.to_unix_nanos();
    assert_eq!(
        solo.said(),
        [
            "MuxServerMsg mux=1 seq=1 CRC EOF PAYLOAD_IS_ERR text".to_owned(),
            "DisconnectClientMux mux=1 seq=0 CRC nil".to_owned(),
            format!("Pong mux=1 seq=9 CRC nf=false e=text t={zero}"),
        ]
    );
}

#[test]
fn a_minute_without_a_ping_cancels_a_served_stream() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 13);
    solo.advance(40 * SECOND);
    solo.give(&message(Op::Ping, 1, 1));
    solo.said();
    solo.advance(60 * SECOND - Duration::from_millis(1));
    assert!(solo.peer().is_live(key));
    solo.advance(Duration::from_millis(3));
    assert_eq!(solo.said_of_muxes(), ["DisconnectClientMux mux=1 seq=0 CRC nil"]);
    assert!(solo.saw(Event::Cancelled(key, CancelReason::CallerSilent)));
    solo.gone(key);
    assert!(solo.peer().is_quiescent());
}

#[test]
fn every_message_of_the_caller_is_life() {
    let mut solo = Solo::acceptor();
    let (fed, credited) = (solo.serve(1, 11), solo.serve(2, 13));
    for seq in 1..4 {
        solo.advance(59 * SECOND);
        solo.give(&message(Op::MuxClientMsg, 1, seq).payload(b"a"));
        solo.give(&message(Op::UnblockSrvMux, 2, seq));
    }
    assert!(solo.peer().is_live(fed) && solo.peer().is_live(credited));
    solo.advance(61 * SECOND);
    assert!(!solo.peer().is_live(fed) && !solo.peer().is_live(credited));
}

#[test]
fn a_caller_whose_ping_may_wait_in_its_queue_is_not_silent() {
    let mut solo = Solo::acceptor();
    let (waiting, other) = (solo.serve(1, 11), solo.serve(2, 15));
    // Items of another stream come all the time, as from a full queue on a slow path.
    for seq in 1..60 {
        solo.advance(3 * SECOND);
        solo.give(&message(Op::MuxClientMsg, 2, seq).payload(b"a"));
        solo.take_input(other);
    }
    assert!(solo.peer().is_live(waiting));
    // The queue is empty: nothing follows a link ping or pong.
    solo.advance(21 * SECOND);
    assert!(!solo.peer().is_live(waiting));
    assert!(solo.saw(Event::Cancelled(waiting, CancelReason::CallerSilent)));
    assert!(solo.peer().is_live(other));
}

#[test]
fn a_served_stream_with_a_deadline_up_to_a_minute_needs_no_ping() {
    for (ms, reason) in [(60_000, CancelReason::Deadline), (61_000, CancelReason::CallerSilent)] {
        let mut solo = Solo::acceptor();
        solo.give(&opening(Op::ConnectMux, 1, 13, b"").deadline(ms));
        let key = solo.call().key;
        solo.advance(62 * SECOND);
        assert!(solo.saw(Event::Cancelled(key, reason)), "{ms}");
    }
}

#[test]
fn time_in_which_this_node_could_not_run_is_nobodys_silence() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 1), None);
    solo.jump_to(solo.now.after(100 * SECOND));
    assert_eq!(solo.receive(key), Received::Pending);
    let mut solo = Solo::acceptor();
    let key = solo.serve(1, 13);
    solo.jump_to(solo.now.after(100 * SECOND));
    assert!(solo.peer().is_live(key));
}

#[test]
fn an_ended_stream_is_pinged_no_more() {
    let mut solo = Solo::dialler();
    let key = solo.open_acked((0, 1), None);
    solo.give(&message(Op::MuxServerMsg, key.mux_id(), 1).flags(Flags::EOF));
    assert_eq!(next_ping(&mut solo, key, 40 * SECOND), None);
    assert_eq!(solo.receive(key), Received::End);
}

#[test]
fn a_pong_that_knows_no_mux_comes_after_the_end_that_is_queued() {
    let mut solo = Solo::acceptor();
    let key = solo.serve(7, 11);
    // The handler returns, and a ping comes before anything of its end has left.
    let now = solo.clocks();
    solo.peer().finish(now, key, Ok(()));
    solo.give(&message(Op::Ping, 7, 1));
    let ops: Vec<Op> = solo.sent.iter().map(|message| message.header.op).collect();
    let end = ops.iter().position(|op| *op == Op::MuxServerMsg).expect("the end");
    let pong = ops.iter().position(|op| *op == Op::Pong).expect("the pong");
    assert!(end < pong, "{ops:?}");
}
