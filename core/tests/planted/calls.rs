//! Single requests: ids, deadlines, answers, slots.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use gridmux_core::error::{CallError, LinkError};
use gridmux_core::limits::Limits;
use gridmux_core::mux::{Refusal, Target};
use gridmux_core::outbox::Data;
use gridmux_core::planted::Bug;
use gridmux_core::testing::Which::{Acceptor, Dialler};
use gridmux_core::wire::{Flags, Op, SubrouteId};

use super::link_support::{
    ECHO, MS, SECOND, builder, finish, list, messages, outcome, release, request, respond,
    round_trip, served,
};
use super::{lone, opened, ops, queued_request, request_frame, shows};

#[test]
fn a_refusal_reaches_the_caller() {
    let scene = || {
        let mut pair = builder().connected();
        let now = pair.now;
        let unknown = Target { handler: 200, subroute: None };
        let key = pair.dialler().peer().request(now, unknown, Data::Nil, None).expect("up");
        pair.drive();
        outcome(&mut pair, Dialler, key)
    };
    let refused = CallError::Refused("no handler with this id".into());
    shows(Bug::ConnectErrorDropped, scene, Some(Err(refused)), None);
}

#[test]
fn slots_that_are_free_stay_known() {
    let scene = || {
        let mut node = lone();
        let calls = [1, 2].map(|len| queued_request(&mut node, len));
        let now = node.clocks();
        for call in calls {
            node.peer().release(now, call);
        }
        catch_unwind(AssertUnwindSafe(|| node.peer().check_invariants())).is_ok()
    };
    shows(Bug::FreeSlotsForgotten, scene, true, false);
}

#[test]
fn a_refusal_carries_no_subroute() {
    let scene = || {
        let mut pair = builder().connected();
        let now = pair.now;
        let unknown = Target { handler: 1, subroute: Some(SubrouteId::new(1, &["nowhere"])) };
        pair.dialler().peer().request(now, unknown, Data::Nil, None).expect("up");
        pair.drive();
        let sent = messages(&pair.acceptor().sent);
        sent.last().expect("a refusal").header.flags.contains(Flags::SUBROUTE)
    };
    shows(Bug::SubrouteLeftOnReply, scene, false, true);
}

#[test]
fn a_reply_that_nobody_takes_frees_its_slot() {
    let scene = || {
        let mut pair = builder().connected();
        let key = request(&mut pair, Dialler, b"x");
        let call = served(&mut pair, Acceptor);
        respond(&mut pair, Acceptor, call.key, b"y");
        release(&mut pair, Dialler, key);
        pair.is_quiescent()
    };
    shows(Bug::UntakenReplyLeaksSlot, scene, true, false);
}

#[test]
fn a_cancelled_request_is_answered_by_nothing_and_leaves_nothing() {
    let scene = || {
        let mut pair = builder().connected();
        let key = request(&mut pair, Dialler, b"x");
        let call = served(&mut pair, Acceptor);
        release(&mut pair, Dialler, key);
        pair.acceptor().sent.clear();
        respond(&mut pair, Acceptor, call.key, b"late");
        let sent = messages(&pair.acceptor().sent);
        (ops(&sent), pair.is_quiescent())
    };
    shows(Bug::LateAnswerLeaksSlot, scene, (vec![], true), (vec![], false));
    shows(Bug::AnswerAfterCancel, scene, (vec![], true), (vec![Op::Response], true));
}

#[test]
fn an_answer_after_the_deadline_is_not_sent_however_late_the_timer_is() {
    let scene = || {
        let mut node = lone();
        node.receive_frame(&request_frame(5, 100));
        let key = node.calls.pop_front().expect("a call").key;
        node.now = node.now.after(100 * MS);
        let now = node.clocks();
        node.peer().respond(now, key, Ok(Data::Borrowed(b"late")));
        ops(&node.sent())
    };
    shows(Bug::AnswerAfterDeadline, scene, vec![], vec![Op::Response]);
}

#[test]
fn a_large_call_that_waits_fails_with_the_link() {
    let scene = || {
        let mut pair = builder().connected();
        let key = request(&mut pair, Dialler, &[7; 20_000]);
        pair.cut();
        outcome(&mut pair, Dialler, key)
    };
    let lost = CallError::Disconnected { may_have_run: false };
    shows(Bug::LossSkipsUnsentCalls, scene, Some(Err(lost)), None);
}

#[test]
fn the_end_of_a_stream_does_not_touch_the_peers_call_of_the_same_number() {
    let scene = || {
        let mut pair = builder().connected();
        let ours = list(&mut pair, Dialler);
        let stream = served(&mut pair, Acceptor);
        let theirs = request(&mut pair, Acceptor, b"x");
        let call = served(&mut pair, Dialler);
        assert_eq!(ours.mux_id(), theirs.mux_id());
        finish(&mut pair, Acceptor, stream.key, Ok(()));
        pair.dialler().peer().is_live(call.key)
    };
    shows(Bug::WrongDirectionDisconnect, scene, true, false);
}

#[test]
fn a_late_credit_is_no_violation() {
    let scene = || {
        let mut node = lone();
        let stream = opened(&mut node, super::TALK);
        let now = node.clocks();
        node.peer().release(now, stream);
        node.receive_mux(Op::UnblockClMux, stream.mux_id(), 1, Flags::empty(), b"");
        node.peer().link().is_some()
    };
    shows(Bug::LateCreditIsViolation, scene, true, false);
}

#[test]
fn the_callees_expiry_leaves_the_verdict_to_the_callers_clock() {
    let scene = || {
        let mut node = lone();
        let now = node.now;
        let timeout = Some(SECOND);
        let key = node.peer().request(now, ECHO, Data::Nil, timeout).expect("connected");
        node.sent();
        node.advance(960 * MS);
        node.receive_mux(Op::DisconnectClientMux, key.mux_id(), 0, Flags::empty(), b"");
        node.advance(50 * MS);
        node.peer().take_response(key)
    };
    let expired = CallError::DeadlineExceeded { may_have_run: true };
    let lost = CallError::Disconnected { may_have_run: true };
    shows(Bug::CalleeExpiryIsLoss, scene, Some(Err(expired)), Some(Err(lost)));
}

#[test]
fn a_deadline_travels_as_what_it_is() {
    let travels = |timeout: Duration| {
        let mut node = lone();
        let now = node.now;
        match node.peer().request(now, ECHO, Data::Nil, Some(timeout)) {
            Ok(_) => Ok(node.sent()[0].header.deadline_ms),
            Err(refusal) => Err(refusal),
        }
    };
    let too_short = Err(Refusal::Failed(CallError::DeadlineTooShort));
    shows(Bug::ShortDeadlineAsNone, || travels(Duration::from_micros(400)), too_short, Ok(0));
    let long = Duration::from_millis((1 << 32) + 5);
    shows(Bug::LongDeadlineWraps, || travels(long), Ok(u32::MAX), Ok(5));
}

#[test]
fn an_answered_request_leaves_no_timer() {
    let scene = || {
        let mut pair = builder().connected();
        round_trip(&mut pair, Dialler);
        pair.is_quiescent()
    };
    shows(Bug::TimerLeftBehind, scene, true, false);
}

#[test]
fn a_deadline_is_told_on_time() {
    let scene = || {
        let mut pair = builder().connected();
        let now = pair.now;
        let timeout = Some(100 * MS);
        let key = pair.dialler().peer().request(now, ECHO, Data::Nil, timeout).expect("up");
        pair.advance(100 * MS);
        outcome(&mut pair, Dialler, key)
    };
    let expired = CallError::DeadlineExceeded { may_have_run: true };
    shows(Bug::WheelSlotOffByOne, scene, Some(Err(expired)), None);
}

#[test]
fn a_late_answer_finds_no_newer_call() {
    let scene = || {
        let mut node = lone();
        let first = queued_request(&mut node, 1);
        let now = node.clocks();
        node.peer().release(now, first);
        let second = queued_request(&mut node, 1);
        node.receive_mux(Op::Response, first.mux_id(), 0, Flags::EOF, b"for the first");
        node.peer().take_response(second).is_some()
    };
    shows(Bug::IdUsedAgain, scene, false, true);
}

#[test]
fn generations_begin_anew_after_the_last() {
    let scene = || {
        let mut pair = builder().first_generation(0x7fff_ffff).connected();
        round_trip(&mut pair, Dialler);
        let key = request(&mut pair, Dialler, b"x");
        let call = served(&mut pair, Acceptor);
        respond(&mut pair, Acceptor, call.key, b"y");
        outcome(&mut pair, Dialler, key).is_some()
    };
    shows(Bug::WrapNotMasked, scene, true, false);
}

#[test]
fn an_answer_over_the_limit_becomes_the_error_that_says_so() {
    let scene = || {
        let limits = Limits { message: 4096, ..Limits::default() };
        let mut pair = builder().limits(Acceptor, limits).connected();
        let key = request(&mut pair, Dialler, b"x");
        let call = served(&mut pair, Acceptor);
        respond(&mut pair, Acceptor, call.key, &[7; 8000]);
        matches!(outcome(&mut pair, Dialler, key), Some(Err(CallError::ResponseTooLarge { .. })))
    };
    shows(Bug::OversizedReplyDropped, scene, true, false);
}

#[test]
fn an_empty_payload_is_not_nil() {
    let scene = || {
        let mut pair = builder().connected();
        request(&mut pair, Dialler, b"");
        served(&mut pair, Acceptor).payload.is_nil()
    };
    shows(Bug::EmptyBecomesNil, scene, false, true);
}

#[test]
fn a_call_cancelled_before_it_is_taken_does_not_run_and_leaves_nothing() {
    let scene = || {
        let mut node = lone();
        let (now, link) = (node.clocks(), node.link());
        let frame = Bytes::from(request_frame(5, 0));
        node.peer().handle_frame(now, link, &frame);
        node.peer().handle_link_down(now, link, LinkError::ClosedByPeer, 0);
        node.collect();
        (node.calls.len(), node.peer().is_quiescent())
    };
    shows(Bug::CancelledCallRuns, scene, (0, true), (1, false));
    shows(Bug::UntakenCallLeaksSlot, scene, (0, true), (0, false));
}

#[test]
fn a_call_refused_at_the_limit_of_received_bytes_harms_no_later_one() {
    let scene = || {
        let limits = Limits { received_bytes: 4096, ..Limits::default() };
        let mut pair = builder().limits(Acceptor, limits).connected();
        request(&mut pair, Dialler, &[7; 5000]);
        request(&mut pair, Dialler, b"x");
        pair.drive();
        pair.acceptor().calls.len()
    };
    shows(Bug::RefusedBytesCounted, scene, 1, 0);
}
