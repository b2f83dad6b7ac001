use super::*;
use crate::wire::{Flags, Op, for_each_message};

fn owner(mux: u64) -> Owner {
    Owner { side: Side::Caller, mux }
}

fn push(outbox: &mut Outbox, mux: u64, seq: u32, len: usize) -> Position {
    let header =
        Header { mux, seq, deadline_ms: 0, handler: 0, op: Op::MuxClientMsg, flags: Flags::CRC };
    let payload = Bytes::from(vec![7; len]);
    outbox.push(owner(mux), header, None, Data::Owned(payload), Class::Data)
}

/// Everything that leaves, as (mux, seq), one inner list a frame.
fn frames(outbox: &mut Outbox) -> Vec<Vec<(u64, u32)>> {
    let mut frames = Vec::new();
    while let Some(transmit) = outbox.poll(|_, _| {}) {
        let frame = match transmit {
            Transmit::Frame { buf, start, .. } => buf[start..].to_vec(),
            Transmit::Large(large) => {
                let mut buf = Vec::new();
                large.encode(&mut buf);
                assert_eq!(buf.len(), large.encoded_len());
                buf
            }
        };
        let mut messages = Vec::new();
        for_each_message(&frame, usize::MAX, |m| messages.push((m.header.mux, m.header.seq)))
            .expect("what we encode decodes");
        frames.push(messages);
        outbox.check_invariants();
    }
    assert!(outbox.is_empty());
    assert_eq!(outbox.data_bytes(), 0);
    frames
}

#[test]
fn a_lone_message_leaves_without_a_merge_header() {
    let mut outbox = Outbox::new();
    push(&mut outbox, 1, 0, 10);
    let Some(Transmit::Frame { buf, start, .. }) = outbox.poll(|_, _| {}) else {
        panic!("one frame")
    };
    assert!(start >= FRAME_ROOM);
    let decoded = MessageRef::decode(&buf[start..]).expect("one whole message");
    assert_eq!(decoded.message.header.op, Op::MuxClientMsg);
}

#[test]
fn at_most_51_messages_and_16_kib_travel_together_in_order() {
    let mut outbox = Outbox::new();
    for seq in 0..120 {
        push(&mut outbox, 1, seq, 10);
    }
    let left = frames(&mut outbox);
    assert_eq!(left.iter().map(Vec::len).collect::<Vec<_>>(), [51, 51, 18]);
    assert_eq!(left.concat(), (0..120).map(|seq| (1, seq)).collect::<Vec<_>>());

    for seq in 0..4 {
        push(&mut outbox, 1, seq, 6000);
    }
    assert_eq!(frames(&mut outbox), [vec![(1, 0), (1, 1)], vec![(1, 2), (1, 3)]]);
}

#[test]
fn a_batch_is_full_when_nothing_can_join_it() {
    let mut outbox = Outbox::new();
    for seq in 0..50 {
        push(&mut outbox, 1, seq, 10);
    }
    assert!(!outbox.is_full(), "there is room for one");
    push(&mut outbox, 1, 50, 10);
    assert!(outbox.is_full(), "of 51");
    assert_eq!(frames(&mut outbox).len(), 1);
    for seq in 0..2 {
        assert!(!outbox.is_full());
        push(&mut outbox, 1, seq, 10_000);
    }
    assert!(outbox.is_full(), "another one has been begun");
}

#[test]
fn a_message_of_just_16_kib_travels_in_a_batch_and_one_byte_more_alone() {
    let header = Header {
        mux: 1,
        seq: 0,
        deadline_ms: 0,
        handler: 0,
        op: Op::MuxClientMsg,
        flags: Flags::empty(),
    };
    let overhead = MessageRef { header, subroute: None, payload: &[0; 1000] }.encoded_len() - 1000;
    for (len, large) in [(BATCH_LIMIT - overhead, false), (BATCH_LIMIT - overhead + 1, true)] {
        let mut outbox = Outbox::new();
        let data = Data::Owned(vec![0; len].into());
        let position = outbox.push(owner(1), header, None, data, Class::Data);
        assert_eq!(matches!(position, Position::Lane(_)), large, "{len}");
    }
}

#[test]
fn nothing_of_one_mux_overtakes_a_large_message_of_it() {
    let mut outbox = Outbox::new();
    push(&mut outbox, 1, 0, 20_000);
    push(&mut outbox, 1, 1, 10);
    push(&mut outbox, 2, 0, 10);
    push(&mut outbox, 1, 2, 20_000);
    push(&mut outbox, 1, 3, 10);
    assert_eq!(
        frames(&mut outbox),
        [vec![(2, 0)], vec![(1, 0)], vec![(1, 1)], vec![(1, 2)], vec![(1, 3)]]
    );
}

#[test]
fn a_large_message_does_not_overtake_the_batches_of_its_mux_when_its_turn_comes() {
    let mut outbox = Outbox::new();
    for mux in 2..14 {
        push(&mut outbox, mux, 0, 16_000);
    }
    push(&mut outbox, 1, 0, 10);
    push(&mut outbox, 1, 1, 20_000);
    let order = frames(&mut outbox).concat();
    let at = |m| order.iter().position(|x| *x == m).expect("left");
    assert!(at((1, 0)) < at((1, 1)));
}

#[test]
fn large_messages_take_turns_by_mux_and_pass_after_eight_batches() {
    let mut outbox = Outbox::new();
    for seq in 0..3 {
        push(&mut outbox, 1, seq, 20_000);
    }
    push(&mut outbox, 2, 0, 20_000);
    for mux in 10..30 {
        push(&mut outbox, mux, 0, 16_000);
    }
    let left: Vec<u64> = frames(&mut outbox).concat().iter().map(|m| m.0).collect();
    let large: Vec<(usize, u64)> =
        left.iter().copied().enumerate().filter(|(_, mux)| *mux < 10).collect();
    assert_eq!(large, [(8, 1), (17, 2), (22, 1), (23, 1)]);
}

#[test]
fn control_overtakes_and_leaves_alone() {
    let mut outbox = Outbox::new();
    push(&mut outbox, 1, 0, 10);
    push(&mut outbox, 1, 1, 20_000);
    let header =
        Header { mux: 0, seq: 0, deadline_ms: 0, handler: 0, op: Op::Ping, flags: Flags::empty() };
    let ping = |seq| MessageRef { header: Header { seq, ..header }, subroute: None, payload: &[] };
    outbox.control().set_ping(&ping(1));
    outbox.control().set_ping(&ping(2));
    assert_eq!(frames(&mut outbox), [vec![(0, 2)], vec![(1, 0)], vec![(1, 1)]]);
}

#[test]
fn whether_a_message_has_left_is_known_to_the_byte() {
    let mut outbox = Outbox::new();
    let small = push(&mut outbox, 1, 0, 10);
    let large = push(&mut outbox, 2, 0, 20_000);
    assert!(!outbox.has_left(small, 0));
    let _ = outbox.poll(|_, _| {});
    assert!(outbox.has_left(small, 0));
    assert!(!outbox.has_left(small, 1), "handed out, not a byte written");
    assert!(!outbox.has_left(large, 0));
    let mut left = None;
    let _ = outbox.poll(|o, position| left = Some((o, position)));
    let Some((left, large)) = left else { panic!("told of the large message") };
    assert_eq!(left, owner(2));
    assert!(outbox.has_left(large, 0));
    assert!(!outbox.has_left(large, 1));
    assert!(outbox.has_left(small, 1), "the one before was written");
}

#[test]
fn full_batches_may_leave_with_the_one_before() {
    let mut outbox = Outbox::new();
    let at: Vec<_> = (0..4 * 51).map(|seq| push(&mut outbox, 1, seq, 10)).collect();
    push(&mut outbox, 1, 4 * 51, 10);
    assert!(outbox.poll_full().is_none(), "it follows nothing");
    assert!(outbox.poll(|_, _| {}).is_some());
    for _ in 0..3 {
        assert!(outbox.poll_full().is_some());
    }
    assert!(outbox.poll_full().is_none(), "the last one is not full");
    let left = |untouched| at.iter().filter(|at| outbox.has_left(**at, untouched)).count();
    assert_eq!([0, 1, 3, 4].map(left), [4 * 51, 3 * 51, 51, 0], "as many as were begun");
    outbox.check_invariants();
    assert_eq!(frames(&mut outbox), [vec![(1, 4 * 51)]]);
}

#[test]
fn what_overtakes_and_large_messages_do_not_wait_for_full_batches() {
    let fill = |outbox: &mut Outbox| {
        (0..3 * 51).for_each(|seq| _ = push(outbox, 1, seq, 10));
        assert!(outbox.poll(|_, _| {}).is_some());
    };
    let mut outbox = Outbox::new();
    fill(&mut outbox);
    push(&mut outbox, 2, 0, 20_000);
    assert!(outbox.poll_full().is_none(), "a large message has its turn to wait for");
    let mut outbox = Outbox::new();
    fill(&mut outbox);
    let header =
        Header { mux: 0, seq: 0, deadline_ms: 0, handler: 0, op: Op::Ping, flags: Flags::empty() };
    outbox.control().set_ping(&MessageRef { header, subroute: None, payload: &[] });
    assert!(outbox.poll_full().is_none(), "a ping overtakes");
}

#[test]
fn a_large_message_has_left_though_a_later_one_of_its_mux_is_untouched() {
    let mut outbox = Outbox::new();
    push(&mut outbox, 1, 0, 20_000);
    push(&mut outbox, 1, 1, 20_000);
    let mut opener = None;
    let _ = outbox.poll(|_, position| opener = Some(position));
    let _ = outbox.poll(|_, _| {});
    assert!(outbox.has_left(opener.expect("left"), 1), "only the second is untouched");
}

#[test]
fn a_discarded_lane_leaves_nothing() {
    let mut outbox = Outbox::new();
    push(&mut outbox, 1, 0, 20_000);
    push(&mut outbox, 1, 1, 20);
    push(&mut outbox, 2, 0, 20_000);
    outbox.discard_lane(owner(1));
    assert_eq!(frames(&mut outbox), [vec![(2, 0)]]);
}

#[test]
fn batch_numbers_go_on_after_a_lost_link() {
    let mut outbox = Outbox::new();
    let before = push(&mut outbox, 1, 0, 10);
    outbox.clear();
    let after = push(&mut outbox, 1, 0, 10);
    assert_ne!(before, after);
    assert_eq!(frames(&mut outbox).len(), 1);
}
