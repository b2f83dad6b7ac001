//! Mux ids, and what arrives for those that the receiver does not know: PROTOCOL.md sections 5
//! and 7.1.

use gridmux_core::error::CallError;
use gridmux_core::mux::{IncomingKey, OutgoingKey, Received};
use gridmux_core::wire::{Flags, Message, MuxConnectError, Op};

use crate::support::messages::{Edit, merged, message, opening};
use crate::support::solo::Solo;

const NOTHING: [&str; 0] = [];
const GENERATIONS: u32 = 1 << 31;

fn generation(key: OutgoingKey) -> u32 {
    (key.mux_id() >> 32) as u32 & (GENERATIONS - 1)
}

fn response(id: u64) -> Message {
    message(Op::Response, id, 0).flags(Flags::EOF).payload(b"x")
}

/// A request that is answered and taken.
fn complete(solo: &mut Solo) -> OutgoingKey {
    let key = solo.request(b"", None);
    solo.give(&response(key.mux_id()));
    solo.peer().take_response(key).expect("answered").expect("a response");
    solo.sent.clear();
    key
}

/// All that a callee may send for a mux.
fn answers(mux: u64) -> Vec<(Message, bool)> {
    let mut refusal = Vec::new();
    MuxConnectError { error: "no".into() }.encode(&mut refusal);
    vec![
        (message(Op::AckMux, mux, 0), true),
        (message(Op::MuxServerMsg, mux, 1).payload(b"x"), true),
        (message(Op::MuxServerMsg, mux, 1), true),
        (message(Op::Pong, mux, 1), true),
        (message(Op::MuxServerMsg, mux, 1).flags(Flags::EOF), false),
        (message(Op::MuxServerMsg, mux, 1).flags(Flags::EOF).error("x"), false),
        (response(mux), false),
        (message(Op::MuxConnectError, mux, 0).payload(&refusal), false),
        (message(Op::UnblockClMux, mux, 1), false),
        (message(Op::DisconnectClientMux, mux, 0), false),
    ]
}

#[test]
fn every_id_has_bit_63_set_and_no_two_live_calls_share_one() {
    let mut solo = Solo::dialler();
    let mut ids: Vec<_> = (0..100).map(|_| solo.request(b"", None).mux_id()).collect();
    assert!(ids.iter().all(|id| id >> 63 == 1));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[test]
fn free_slots_are_reused_first_in_first_out_with_a_new_generation() {
    let mut solo = Solo::dialler_from(41, |_| {});
    let keys: Vec<_> = (0..3).map(|_| solo.request(b"", None)).collect();
    assert!(keys.iter().all(|key| generation(*key) == 41));
    for n in [1, 0, 2] {
        solo.release(keys[n]);
    }
    let again: Vec<_> = (0..4).map(|_| solo.request(b"", None)).collect();
    let slots: Vec<_> = again.iter().map(|key| (key.slot(), generation(*key))).collect();
    assert_eq!(slots, [(1, 42), (0, 42), (2, 42), (3, 41)]);
}

#[test]
fn the_generation_wraps_from_its_end_to_zero() {
    let mut solo = Solo::dialler_from(GENERATIONS - 1, |_| {});
    let last = complete(&mut solo);
    assert_eq!(generation(last), GENERATIONS - 1);
    let first = complete(&mut solo);
    assert_eq!((first.slot(), generation(first)), (last.slot(), 0));
    // Both are known as over.
    for key in [last, first] {
        for (message, _) in answers(key.mux_id()) {
            solo.give(&message);
            assert_eq!(solo.said(), NOTHING);
        }
    }
}

#[test]
fn generations_survive_a_reconnect_and_ids_of_the_former_link_find_nothing() {
    let mut solo = Solo::dialler();
    let done = complete(&mut solo);
    let lost = solo.request(b"", None);
    solo.cut();
    solo.peer().take_response(lost);
    solo.advance(std::time::Duration::from_secs(3));
    solo.answer_connect();
    let key = solo.request(b"", None);
    assert_eq!((key.slot(), generation(key)), (done.slot(), generation(done) + 2));
    solo.said();
    solo.give(&response(done.mux_id()));
    solo.give(&response(lost.mux_id()));
    assert_eq!(solo.peer().take_response(key), None);
    // An id of the former link was never issued on this one.
    for id in [done.mux_id(), lost.mux_id()] {
        solo.give(&message(Op::AckMux, id, 0));
        assert_eq!(solo.said(), [format!("DisconnectServerMux mux={id} seq=0 CRC nil")]);
    }
    solo.give(&response(key.mux_id()));
    assert!(solo.peer().take_response(key).is_some());
}

#[test]
fn nothing_is_answered_for_an_id_of_ours_that_is_over() {
    let mut solo = Solo::dialler();
    let over: Vec<_> = (0..3).map(|_| complete(&mut solo)).collect();
    let held = solo.open_acked((0, 1), None);
    let now = solo.clocks();
    solo.peer().cancel(now, held);
    solo.said();
    for key in over.into_iter().chain([held]) {
        for (message, _) in answers(key.mux_id()) {
            solo.give(&message);
            assert_eq!(solo.said(), NOTHING, "{message:?}");
        }
    }
    assert!(solo.closed.is_empty());
}

#[test]
fn an_id_that_was_never_issued_is_told_so_where_the_peer_waits_for_us() {
    let mut solo = Solo::dialler();
    let live = complete(&mut solo);
    let never = OutgoingKey::from_mux_id(live.mux_id() + 1).expect("one of ours");
    let older = OutgoingKey::from_mux_id(live.mux_id() + (5 << 32)).expect("one of ours");
    for id in [77, never.mux_id(), older.mux_id(), u64::MAX] {
        for (message, answered) in answers(id) {
            solo.give(&message);
            let line = format!("DisconnectServerMux mux={id} seq=0 CRC nil");
            assert_eq!(solo.said(), if answered { vec![line] } else { vec![] }, "{message:?}");
        }
    }
    assert!(solo.peer().is_quiescent());
}

#[test]
fn a_frame_gets_one_such_answer_at_most() {
    let mut solo = Solo::dialler();
    let items: Vec<_> =
        (1..50).map(|mux| message(Op::MuxServerMsg, mux, 1).payload(b"x")).collect();
    for _ in 0..3 {
        solo.feed(&merged(&items));
        assert_eq!(solo.said(), ["DisconnectServerMux mux=1 seq=0 CRC nil"]);
    }
}

#[test]
fn what_a_caller_sends_for_an_unknown_mux_is_answered_by_the_table() {
    let mut solo = Solo::acceptor();
    // 78 is over, 77 was never live.
    let key = solo.serve(78, 11);
    solo.finish(key, Ok(()));
    solo.said();
    for mux in [77, 78] {
        for seq in [1, 2] {
            solo.give(&message(Op::MuxClientMsg, mux, seq).payload(b"x"));
            let line = format!("DisconnectClientMux mux={mux} seq=0 CRC nil");
            assert_eq!(solo.said(), [line]);
        }
        solo.give(&message(Op::Ping, mux, 3));
        assert_eq!(solo.sent.len(), 1);
        assert!(solo.said()[0].contains("nf=true"));
        for op in [Op::UnblockSrvMux, Op::DisconnectServerMux] {
            solo.give(&message(op, mux, 1));
            assert_eq!(solo.said(), NOTHING, "{op:?}");
        }
    }
    assert!(solo.peer().is_quiescent());
}

#[test]
fn stream_messages_do_not_touch_a_single_request_with_the_same_id() {
    let mut solo = Solo::acceptor();
    solo.give(&opening(Op::Request, 5, 1, b"x"));
    let call = solo.call();
    solo.give(&message(Op::MuxClientMsg, 5, 1).payload(b"x"));
    solo.give(&message(Op::UnblockSrvMux, 5, 1));
    assert_eq!(solo.said(), NOTHING);
    assert!(solo.peer().is_live(call.key));
    solo.respond(call.key, Ok(b"y"));
    assert_eq!(solo.said(), ["Response mux=5 seq=0 CRC EOF [79]"]);
}

#[test]
fn a_wrong_direction_disconnect_hits_nothing_of_ours() {
    // L22: a Go caller names a call of its own where the receiver looks among its own.
    let mut solo = Solo::dialler();
    let (request, stream) = (solo.request(b"", None), solo.open_acked((0, 1), None));
    for mux in 0..100 {
        solo.give(&message(Op::DisconnectClientMux, mux, 0));
    }
    assert_eq!(solo.peer().take_response(request), None);
    assert_eq!(solo.receive(stream), Received::Pending);
    solo.give(&message(Op::DisconnectClientMux, request.mux_id(), 0));
    let error = CallError::Disconnected { may_have_run: true };
    assert_eq!(solo.peer().take_response(request), Some(Err(error)));
}

#[test]
fn the_two_directions_have_their_own_ids() {
    let mut solo = Solo::dialler();
    let ours = solo.open_acked((5, 5), None);
    let id = ours.mux_id();
    let theirs = solo.serve(id, 11);
    solo.give(&message(Op::MuxClientMsg, id, 1).payload(b"in"));
    solo.give(&message(Op::MuxServerMsg, id, 1).payload(b"out"));
    assert_eq!(solo.take_input(theirs), Received::Item(b"in".as_slice().into()));
    assert_eq!(solo.receive(ours), Received::Item(b"out".as_slice().into()));
    solo.release(ours);
    assert!(solo.peer().is_live(theirs));
}

/// Removes the peer and adds it again, which is connected then.
fn add_again(solo: &mut Solo) {
    let (now, name) = (solo.clocks(), solo.peer().name().to_owned());
    drop(solo.grid.remove_peer(&name, now).expect("known"));
    solo.grid.add_peer(&name, now).expect("gone");
    solo.link = None;
    solo.pump();
    solo.answer_connect();
}

#[test]
fn the_handler_of_a_call_from_before_a_peer_was_removed_finds_no_later_call() {
    let mut solo = Solo::dialler_from(0, |_| {});
    let mut former: Option<IncomingKey> = None;
    for _ in 0..3 {
        let key = solo.serve(1, 11);
        assert!(solo.peer().is_live(key));
        assert!(former.is_none_or(|former| former != key && !solo.peer().is_live(former)));
        former = Some(key);
        add_again(&mut solo);
    }
}

#[test]
fn a_connection_from_before_a_peer_was_removed_is_none_of_the_peer_that_is_added_again() {
    let mut solo = Solo::dialler_from(0, |_| {});
    let mut links = Vec::new();
    for _ in 0..3 {
        links.push(solo.peer().link().expect("connected"));
        add_again(&mut solo);
    }
    assert!(links.is_sorted_by(|one, next| one < next), "{links:?}");
}

#[test]
fn a_peer_that_is_added_again_uses_no_id_of_its_former_time() {
    // The generations wrap in the first time already.
    for first_generation in [0, 0x7fff_fffe, 0x7fff_ffff] {
        let mut solo = Solo::dialler_from(first_generation, |_| {});
        let mut used = Vec::new();
        for _ in 0..2 {
            for _ in 0..5 {
                let open = [solo.request(b"", None), solo.request(b"", None)];
                for key in open {
                    used.push(key.mux_id());
                    solo.release(key);
                }
            }
            add_again(&mut solo);
        }
        let last = solo.request(b"", None).mux_id();
        assert!(!used.contains(&last), "{last:x} of {used:x?}");
        let mut once = used.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), used.len(), "{used:x?}");
    }
}
