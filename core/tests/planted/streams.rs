//! Streams: credits, items, ends, pings.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use gridmux_core::error::{CallError, CancelReason};
use gridmux_core::event::Event;
use gridmux_core::mux::Received;
use gridmux_core::outbox::Data;
use gridmux_core::planted::Bug;
use gridmux_core::testing::Pair;
use gridmux_core::testing::Which::{Acceptor, Dialler};
use gridmux_core::wire::{Flags, Header, Op};

use super::link_support::{
    LIST, TALK, TALK_CAPACITY, builder, drain, finish, list, release, served, talk,
};
use super::{ending, lone, lone_with_queue, opened, ops, queued_request, serving, shows};

#[test]
fn a_stream_without_input_can_be_closed() {
    let scene = || {
        let mut pair = builder().connected();
        let stream = list(&mut pair, Dialler);
        let call = served(&mut pair, Acceptor);
        pair.dialler().peer().close_input(stream);
        pair.drive();
        pair.acceptor().peer().is_live(call.key)
    };
    shows(Bug::CloseOfInputlessStream, scene, true, false);
}

#[test]
fn input_that_nobody_expects_is_refused() {
    let scene = || {
        let mut node = lone();
        let call = serving(&mut node, LIST);
        let send = || node.receive_mux(Op::MuxClientMsg, 5, 1, Flags::empty(), b"unexpected");
        let survived = catch_unwind(AssertUnwindSafe(send)).is_ok();
        (survived, survived && !node.peer().is_live(call))
    };
    shows(Bug::UnexpectedInputPanics, scene, (true, true), (false, false));
}

#[test]
fn a_handler_that_reads_nothing_is_cancelled_all_the_same() {
    let scene = || {
        let mut pair = builder().connected();
        let stream = talk(&mut pair, Dialler);
        let call = served(&mut pair, Acceptor);
        pair.dialler().peer().send(stream, Data::Borrowed(b"x")).expect("a credit");
        pair.drive();
        release(&mut pair, Dialler, stream);
        let told = Event::Cancelled(call.key, CancelReason::Caller);
        pair.acceptor().take_events().contains(&told)
    };
    shows(Bug::UnreadInputBlocksCancel, scene, true, false);
}

#[test]
fn acks_never_wait_for_room() {
    let scene = || {
        let mut node = lone_with_queue(100);
        queued_request(&mut node, 200);
        let flags = Flags::CRC;
        let header = Header { mux: 5, handler: TALK.handler, flags, ..Header::new(Op::ConnectMux) };
        node.receive(header, b"");
        ops(&node.sent()).contains(&Op::AckMux)
    };
    shows(Bug::AckNeedsRoom, scene, true, false);
}

/// A stream of which `items` were received, nothing of them taken.
fn unread(items: u8) -> (Pair, gridmux_core::mux::OutgoingKey, gridmux_core::mux::IncomingKey) {
    let mut pair = builder().connected();
    let stream = list(&mut pair, Dialler);
    let call = served(&mut pair, Acceptor);
    for n in 0..items {
        pair.acceptor().peer().serve_item(call.key, Data::Borrowed(&[n])).expect("a credit");
    }
    pair.drive();
    (pair, stream, call.key)
}

#[test]
fn items_come_before_the_loss_of_the_link() {
    let scene = || {
        let (mut pair, stream, _) = unread(2);
        pair.cut();
        drain(&mut pair, Dialler, stream).0.len()
    };
    shows(Bug::ErrorBeforeItems, scene, 2, 0);
}

#[test]
fn items_come_before_the_end_be_it_orderly_or_not() {
    let scene = |end: Result<(), &str>| {
        let (mut pair, stream, key) = unread(2);
        finish(&mut pair, Acceptor, key, end);
        drain(&mut pair, Dialler, stream).0.len()
    };
    shows(Bug::LastItemsDropped, || scene(Ok(())), 2, 0);
    shows(Bug::ErrorRetractsItems, || scene(Err("broken")), 2, 0);
}

#[test]
fn a_reader_that_is_slow_loses_no_stream() {
    let scene = || {
        let (mut pair, stream, key) = unread(1);
        pair.advance(Duration::from_secs(200));
        let live = pair.acceptor().peer().is_live(key);
        (live, drain(&mut pair, Dialler, stream).1)
    };
    let lost = Received::Failed(CallError::Disconnected { may_have_run: true });
    shows(Bug::NoPingWhileUnread, scene, (true, Received::Pending), (false, lost.clone()));
    shows(Bug::PongIgnoredWhileUnread, scene, (true, Received::Pending), (false, lost));
}

#[test]
fn an_orderly_end_stays_though_the_link_is_lost() {
    let scene = || {
        let (mut pair, stream, key) = unread(0);
        finish(&mut pair, Acceptor, key, Ok(()));
        pair.cut();
        drain(&mut pair, Dialler, stream).1
    };
    let lost = Received::Failed(CallError::Disconnected { may_have_run: true });
    shows(Bug::LossReplacesEnd, scene, Received::End, lost);
}

#[test]
fn a_nil_item_gives_its_credit_back() {
    let scene = || {
        let mut node = lone();
        let stream = opened(&mut node, LIST);
        node.receive_mux(Op::MuxServerMsg, stream.mux_id(), 1, Flags::empty(), b"");
        ops(&node.sent())
    };
    shows(Bug::NilItemKeepsCredit, scene, vec![Op::UnblockSrvMux], vec![]);
}

#[test]
fn a_refused_stream_is_told_so_once() {
    let scene = || {
        let mut node = lone();
        serving(&mut node, TALK);
        node.receive_mux(Op::MuxClientMsg, 5, 9, Flags::empty(), b"out of sequence");
        node.sent();
        for seq in 2..4 {
            node.receive_mux(Op::MuxClientMsg, 5, seq, Flags::empty(), b"more");
        }
        node.sent().len()
    };
    shows(Bug::RefusedIdForgotten, scene, 0, 2);
}

#[test]
fn input_waits_for_the_ack() {
    let scene = || {
        let mut node = lone();
        let now = node.now;
        let stream = node.peer().open(now, TALK, TALK_CAPACITY, Data::Nil, None).expect("up");
        node.peer().send(stream, Data::Borrowed(b"x")).is_ok()
    };
    shows(Bug::InputBeforeAck, scene, false, true);
}

#[test]
fn a_credit_goes_back_when_the_item_is_taken() {
    let scene = || {
        let mut node = lone();
        let stream = opened(&mut node, LIST);
        node.receive_mux(Op::MuxServerMsg, stream.mux_id(), 1, Flags::empty(), b"x");
        let on_receipt = node.sent().len();
        node.peer().receive(stream);
        (on_receipt, node.sent().len())
    };
    shows(Bug::CreditOnReceipt, scene, (0, 1), (1, 0));
}

#[test]
fn the_final_message_waits_for_a_credit_and_is_sent_once() {
    let scene = || {
        let mut node = lone();
        ending(&mut node);
        let at_once = ops(&node.sent()).len();
        for seq in 1..3 {
            node.receive_mux(Op::UnblockSrvMux, 5, seq, Flags::empty(), b"");
        }
        (at_once, ops(&node.sent()).len())
    };
    // The final message and the DisconnectClientMux behind it.
    shows(Bug::EndWithoutCredit, scene, (0, 2), (2, 0));
    shows(Bug::EndPerCredit, scene, (0, 2), (0, 4));
}

#[test]
fn a_stream_whose_end_waits_answers_pings_and_can_be_cancelled() {
    let scene = || {
        let mut node = lone();
        let key = ending(&mut node);
        node.receive_mux(Op::Ping, 5, 1, Flags::empty(), b"");
        let answer = ops(&node.sent());
        node.receive_mux(Op::DisconnectServerMux, 5, 0, Flags::empty(), b"");
        (answer, node.peer().is_live(key))
    };
    let pong = vec![Op::Pong];
    shows(Bug::NoPongWhileEnding, scene, (pong.clone(), false), (vec![], false));
    shows(Bug::CancelIgnoredWhileEnding, scene, (pong.clone(), false), (pong, true));
}

#[test]
fn items_are_life_at_both_ends() {
    let second = Duration::from_secs(1);
    let caller = || {
        let mut node = lone();
        let stream = opened(&mut node, TALK);
        for seq in 1..=4 {
            node.advance(9 * second);
            node.receive_mux(Op::UnblockClMux, stream.mux_id(), seq, Flags::empty(), b"");
        }
        node.peer().receive(stream)
    };
    let lost = Received::Failed(CallError::Disconnected { may_have_run: true });
    shows(Bug::ItemsAreNoLife, caller, Received::Pending, lost);
    let callee = || {
        let mut node = lone();
        let key = serving(&mut node, TALK);
        for seq in 1..=7 {
            node.advance(9 * second);
            node.receive_mux(Op::UnblockSrvMux, 5, seq, Flags::empty(), b"");
        }
        node.peer().is_live(key)
    };
    shows(Bug::ItemsAreNoLifeAtCallee, callee, true, false);
}

#[test]
fn closed_input_stays_closed() {
    let scene = || {
        let mut node = lone();
        let stream = opened(&mut node, TALK);
        node.peer().close_input(stream);
        node.receive_mux(Op::UnblockClMux, stream.mux_id(), 1, Flags::empty(), b"");
        ops(&node.sent()).iter().filter(|op| **op == Op::MuxClientMsg).count()
    };
    // One end of the input.
    shows(Bug::GrantReopensInput, scene, 1, 2);
}

#[test]
fn surplus_credits_are_ignored() {
    let scene = || {
        let mut node = lone();
        let key = serving(&mut node, LIST);
        for seq in 1..4 {
            node.receive_mux(Op::UnblockSrvMux, 5, seq, Flags::empty(), b"");
        }
        (0..20).take_while(|n| node.peer().serve_item(key, Data::Borrowed(&[*n])).is_ok()).count()
    };
    shows(Bug::CreditBeyondCapacity, scene, 5, 8);
}

#[test]
fn the_first_credit_wakes_the_sender() {
    let scene = || {
        let mut node = lone();
        let stream = opened(&mut node, TALK);
        while node.peer().send(stream, Data::Borrowed(b"x")).is_ok() {}
        node.receive_mux(Op::UnblockClMux, stream.mux_id(), 1, Flags::empty(), b"");
        node.events.contains(&Event::Writable(stream))
    };
    shows(Bug::CreditWakeLost, scene, true, false);
}

#[test]
fn input_that_the_handler_dropped_gives_its_credits_back() {
    let scene = || {
        let mut node = lone();
        let key = serving(&mut node, TALK);
        node.peer().drop_input(key);
        node.receive_mux(Op::MuxClientMsg, 5, 1, Flags::empty(), b"x");
        ops(&node.sent())
    };
    shows(Bug::DroppedInputKeepsCredits, scene, vec![Op::UnblockClMux], vec![]);
}

#[test]
fn items_dropped_by_a_cancel_are_counted_no_more() {
    let scene = || {
        let (mut pair, stream, key) = unread(1);
        release(&mut pair, Dialler, stream);
        super::link_support::gone(&mut pair, Acceptor, key);
        let now = pair.now;
        pair.dialler().peer().stats(now).received_bytes > 0
    };
    shows(Bug::DroppedItemsStayCounted, scene, false, true);
}

#[test]
fn large_items_of_a_stream_that_was_cancelled_are_not_sent() {
    let scene = || {
        let mut node = lone();
        let key = serving(&mut node, TALK);
        node.peer().serve_item(key, Data::Borrowed(&[1; 30_000])).expect("a credit");
        node.receive_mux(Op::DisconnectServerMux, 5, 0, Flags::empty(), b"");
        ops(&node.sent())
    };
    let end = Op::DisconnectClientMux;
    shows(Bug::CancelledItemsSent, scene, vec![end], vec![Op::MuxServerMsg, end]);
}

#[test]
fn the_end_of_the_input_is_not_the_end_of_the_stream() {
    let scene = || {
        let mut node = lone();
        let key = serving(&mut node, TALK);
        node.receive_mux(Op::MuxClientMsg, 5, 1, Flags::EOF, b"");
        node.peer().serve_item(key, Data::Borrowed(b"x")).is_ok()
    };
    shows(Bug::HalfCloseEndsStream, scene, true, false);
}
