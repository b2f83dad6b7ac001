//! In which order things leave: PROTOCOL.md sections 3 and 7.6, DESIGN.md 3.2.

use crate::support::{ECHO, LIST, SECOND, TALK, TALK_CAPACITY, messages, routes};
use gridmux_core::outbox::Data;
use gridmux_core::testing::{Lone, Which};
use gridmux_core::wire::{Flags, Header, MAX_PARTS, Message, Op};

fn lone() -> Lone {
    Lone::connected(Which::Dialler, |node| node.routes = routes())
}

fn request(node: &mut Lone, len: usize) -> u64 {
    let now = node.now;
    let data = Data::Owned(vec![7; len].into());
    node.peer().request(now, ECHO, data, None).expect("up").mux_id()
}

/// The messages of each frame that leaves.
fn frames(node: &mut Lone) -> Vec<Vec<Message>> {
    node.frames().iter().map(|frame| messages([frame])).collect()
}

fn muxes(frames: &[Vec<Message>]) -> Vec<Vec<u64>> {
    frames.iter().map(|frame| frame.iter().map(|m| m.header.mux).collect()).collect()
}

#[test]
fn a_lone_message_leaves_as_it_is_and_several_leave_merged_with_flags_0() {
    let mut node = lone();
    request(&mut node, 10);
    let frames = node.frames();
    assert_eq!(frames.len(), 1);
    let decoded = gridmux_core::wire::MessageRef::decode(&frames[0]).expect("one message");
    assert_eq!(decoded.message.header.op, Op::Request);
    for _ in 0..3 {
        request(&mut node, 10);
    }
    let frames = node.frames();
    let decoded = gridmux_core::wire::MessageRef::decode(&frames[0]).expect("a merged message");
    assert_eq!(decoded.message.header, Header { seq: 3, ..Header::new(Op::Merged) });
    assert_eq!(messages([&frames[0]]).len(), 3);
}

#[test]
fn at_most_51_parts_travel_together_and_what_is_over_16_kib_travels_alone() {
    let mut node = lone();
    let ids: Vec<u64> = (0..120).map(|_| request(&mut node, 10)).collect();
    let left = muxes(&frames(&mut node));
    assert_eq!(left.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_PARTS, MAX_PARTS, 18]);
    assert_eq!(left.concat(), ids, "in order");
    let first = request(&mut node, 10);
    let large = request(&mut node, 16 * 1024);
    let last = request(&mut node, 10);
    assert_eq!(muxes(&frames(&mut node)), [vec![first, last], vec![large]]);
    assert!(frames(&mut node).is_empty());
}

#[test]
fn pings_and_pongs_leave_before_all_data_that_waits() {
    let mut node = lone();
    // A stream that is served, so that its ping is answered with good news.
    let opening = Header { mux: 12345, handler: LIST.handler, ..Header::new(Op::ConnectMux) };
    node.receive(Header { flags: Flags::CRC | Flags::EOF, ..opening }, b"");
    assert_eq!(frames(&mut node)[0][0].header.op, Op::AckMux);
    for _ in 0..100 {
        request(&mut node, 10);
        request(&mut node, 40_000);
    }
    node.receive(Header { seq: 7, ..Header::new(Op::Ping) }, &[]);
    node.receive_mux(Op::Ping, 12345, 1, Flags::empty(), b"");
    node.advance(10 * SECOND);
    let left = frames(&mut node);
    let first: Vec<(Op, u64)> =
        left[..3].iter().map(|frame| (frame[0].header.op, frame[0].header.mux)).collect();
    assert_eq!(first, [(Op::Pong, 0), (Op::Ping, 0), (Op::Pong, 12345)]);
    assert!(left[..3].iter().all(|frame| frame.len() == 1), "each alone");
}

#[test]
fn a_pong_waits_for_no_more_than_the_one_transmit_that_is_being_written() {
    let mut node = lone();
    request(&mut node, 100_000);
    request(&mut node, 100_000);
    request(&mut node, 10);
    let (now, link) = (node.clocks(), node.link());
    let _written = node.peer().poll_transmit(now, link).expect("the first");
    node.receive(Header::new(Op::Ping), &[]);
    assert_eq!(frames(&mut node)[0][0].header.op, Op::Pong);
}

#[test]
fn disconnect_overtakes_data_but_cancels_do_not_overtake_their_calls() {
    let mut node = lone();
    let now = node.clocks();
    let data = Data::Borrowed(b"x");
    let key = node.peer().request(now.instant, ECHO, data, None).expect("up");
    node.peer().release(now, key);
    request(&mut node, 20_000);
    node.peer().shutdown(now, SECOND);
    let ops: Vec<Op> = frames(&mut node).concat().iter().map(|m| m.header.op).collect();
    assert_eq!(ops, [Op::Disconnect, Op::Request, Op::DisconnectServerMux, Op::Request]);
}

#[test]
fn nothing_of_one_mux_overtakes_and_its_numbers_leave_in_order() {
    let mut node = lone();
    let now = node.now;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let key = node.peer().open(now, TALK, TALK_CAPACITY, Data::Nil, None).expect("up");
        node.frames();
        node.receive_mux(Op::AckMux, key.mux_id(), 0, Flags::empty(), b"");
        streams.push(key);
    }
    // Sizes around every boundary, mixed between the streams.
    let sizes = [10, 20_000, 16_300, 10, 100_000];
    for (n, size) in sizes.into_iter().enumerate() {
        for (m, key) in streams.iter().enumerate() {
            let len = sizes[(n + m) % sizes.len()].max(size / 2);
            let data = Data::Owned(vec![n as u8; len].into());
            node.peer().send(*key, data).expect("a credit");
        }
    }
    for key in &streams {
        node.peer().close_input(*key);
    }
    let left = frames(&mut node).concat();
    assert_eq!(left.len(), 4 * 6);
    for key in &streams {
        let of_mux = left.iter().filter(|m| m.header.mux == key.mux_id());
        let seqs: Vec<u32> = of_mux.map(|m| m.header.seq).collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    }
}

#[test]
fn while_a_mux_has_a_large_message_waiting_its_later_ones_wait_and_others_pass() {
    let mut node = lone();
    let now = node.now;
    let key = node.peer().open(now, TALK, TALK_CAPACITY, Data::Nil, None).expect("up");
    node.frames();
    node.receive_mux(Op::AckMux, key.mux_id(), 0, Flags::empty(), b"");
    for len in [20_000, 10] {
        node.peer().send(key, Data::Owned(vec![7; len].into())).expect("a credit");
    }
    let other = request(&mut node, 10);
    let stream = key.mux_id();
    assert_eq!(muxes(&frames(&mut node)), [vec![other], vec![stream], vec![stream]]);
}

#[test]
fn large_messages_take_turns_by_mux_and_small_ones_go_between() {
    let mut node = lone();
    let now = node.now;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let key = node.peer().open(now, TALK, TALK_CAPACITY, Data::Nil, None).expect("up");
        node.frames();
        node.receive_mux(Op::AckMux, key.mux_id(), 0, Flags::empty(), b"");
        streams.push(key);
    }
    for key in &streams {
        for _ in 0..3 {
            node.peer().send(*key, Data::Owned(vec![7; 20_000].into())).expect("a credit");
        }
    }
    let [a, b] = [streams[0].mux_id(), streams[1].mux_id()];
    let (now, link) = (node.clocks(), node.link());
    let gridmux_core::outbox::Transmit::Large(first) =
        node.peer().poll_transmit(now, link).expect("a large one")
    else {
        panic!("large")
    };
    assert!(first.encoded_len() > 20_000);
    let small = request(&mut node, 10);
    assert_eq!(
        muxes(&frames(&mut node)),
        [vec![small], vec![b], vec![a], vec![b], vec![a], vec![b]]
    );
}

#[test]
fn large_messages_do_not_starve_behind_small_ones() {
    let mut node = lone();
    let large = request(&mut node, 20_000);
    for _ in 0..12 * MAX_PARTS {
        request(&mut node, 10);
    }
    let left = muxes(&frames(&mut node));
    assert_eq!(left.iter().position(|frame| frame == &[large]), Some(8), "after eight batches");
}
