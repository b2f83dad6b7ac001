//! Bytes and queues: WebSocket frames, merged messages, buffers, partial writes.

use std::io::IoSlice;

use bytes::Bytes;
use gridmux_core::connection::Connection;
use gridmux_core::outbox::Data;
use gridmux_core::planted::Bug;
use gridmux_core::testing::{Lone, Mode};
use gridmux_core::websocket::{Channel, Incoming, Role};
use gridmux_core::wire::{
    Flags, Header, MERGE_HEADER_LEN, Op, write_merge_header, write_part_header,
};

use super::link_support::{SECOND, TALK, accepted, builder, encoded, sealed};
use super::{lone, opened, queued_request, request_frame, shows};

/// Gives a channel bytes in pieces of at most `piece`; the messages in them.
fn feed(channel: &mut Channel, mut bytes: &[u8], piece: usize) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let buf = channel.read_buf();
        let len = bytes.len().min(piece).min(buf.capacity() - buf.len());
        buf.extend_from_slice(&bytes[..len]);
        bytes = &bytes[len..];
        while let Ok(Some(Incoming::Message(message))) = channel.poll_message() {
            messages.push(message);
        }
    }
    messages
}

#[test]
fn a_large_message_arrives_in_pieces_in_memory_of_its_own() {
    let payload: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    let scene = || {
        let mut client = Channel::new(Role::Client, 1 << 20, 1);
        let mut server = Channel::new(Role::Server, 1 << 20, 2);
        let frame = sealed(&mut client, &payload);
        let messages = feed(&mut server, &frame, 7777);
        (messages[0] == payload, server.buffer_size() < payload.len())
    };
    shows(Bug::MaskOffsetForgotten, scene, (true, true), (false, true));
}

#[test]
fn the_memory_of_a_huge_message_is_given_back() {
    let huge = vec![7; 900_000];
    let scene = || {
        let mut client = Channel::new(Role::Client, 1 << 20, 1);
        let mut server = Channel::new(Role::Server, 1 << 20, 2);
        feed(&mut server, &sealed(&mut client, &huge), 7777);
        let next = sealed(&mut client, &huge[..100_000]);
        feed(&mut server, &next[..5_000], 7777);
        server.read_buf().capacity() <= 100_000
    };
    shows(Bug::HugeMessageKept, scene, true, false);
}

#[test]
fn a_length_that_is_claimed_reserves_little() {
    let scene = || {
        let mut client = Channel::new(Role::Client, 1 << 20, 1);
        feed(&mut client, &[0x82, 127, 0, 0, 0, 0, 0, 8, 0, 0, 7, 7, 7], 100);
        client.read_buf().capacity() <= 64 << 10
    };
    shows(Bug::ClaimedLengthReserved, scene, true, false);
}

#[test]
fn a_ping_may_come_between_fragments() {
    let scene = || {
        let mut client = Channel::new(Role::Client, 1 << 20, 1);
        feed(&mut client, &[0x02, 1, b'a', 0x89, 0, 0x80, 1, b'b'], 100)
    };
    shows(Bug::PingEndsFragments, scene, vec![Bytes::from_static(b"ab")], vec![]);
}

#[test]
fn what_comes_right_behind_the_head_is_read() {
    let scene = || {
        let channel = Channel::new(Role::Client, 1 << 20, 1);
        channel.with_leftover(&[0x82, 1, b'a']).poll_message()
    };
    let message = Incoming::Message(Bytes::from_static(b"a"));
    shows(Bug::LeftoverLost, scene, Ok(Some(message)), Ok(None));
}

#[test]
fn a_read_buffer_has_an_end() {
    let frames = [0x82, 2, b'a', b'b'].repeat(1 << 20);
    let scene = || {
        let mut client = Channel::new(Role::Client, 1 << 20, 1);
        feed(&mut client, &frames, usize::MAX);
        client.buffer_size() <= 256 << 10
    };
    shows(Bug::ReadBufferUnbounded, scene, true, false);
}

#[test]
fn what_follows_a_disconnect_in_one_frame_is_heard() {
    let scene = || {
        let mut node = lone();
        let mut frame = vec![0; MERGE_HEADER_LEN];
        write_merge_header(&mut frame, 2);
        let header = Header { mux: 9, flags: Flags::CRC, ..Header::new(Op::DisconnectServerMux) };
        for part in [encoded(header, b""), request_frame(5, 0)] {
            write_part_header(part.len(), &mut frame);
            frame.extend_from_slice(&part);
        }
        node.receive_frame(&frame);
        node.calls.len()
    };
    shows(Bug::TailLostAfterClose, scene, 1, 0);
}

#[test]
fn a_large_item_follows_the_smaller_ones_of_its_stream() {
    let scene = || {
        let mut node = lone();
        let stream = opened(&mut node, TALK);
        // So many batches pass that it is the turn of a large message.
        for _ in 0..8 {
            queued_request(&mut node, 10_000);
        }
        for len in [10_001, 20_000] {
            let item = Data::Owned(vec![7; len].into());
            node.peer().send(stream, item).expect("a credit");
        }
        let sent = node.sent().into_iter();
        let items = sent.filter(|message| message.header.op == Op::MuxClientMsg);
        items.map(|item| item.payload.len()).collect::<Vec<_>>()
    };
    shows(Bug::LargeOvertakesSmall, scene, vec![10_001, 20_000], vec![20_000, 10_001]);
}

fn read(connection: &mut Connection, node: &Lone, bytes: &[u8]) {
    connection.read_buf().extend_from_slice(bytes);
    connection.handle_read(node.now, bytes.len());
}

/// What there is to write at once.
fn unwritten(connection: &mut Connection) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let count = connection.write_bufs(&mut slices);
    slices[..count].iter().flat_map(|slice| slice.iter()).copied().collect()
}

#[test]
fn all_frames_of_one_read_are_handled() {
    let scene = || {
        let (mut node, mut client, mut connection) = accepted(|_| {});
        let frames = (0..100).flat_map(|mux| sealed(&mut client, &request_frame(mux, 0)));
        let frames: Vec<u8> = frames.collect();
        read(&mut connection, &node, &frames);
        loop {
            let clocks = node.clocks();
            connection.exchange(clocks, node.peer());
            if !connection.decode_more() {
                break;
            }
        }
        node.collect();
        node.calls.len()
    };
    shows(Bug::DecodeMoreForgotten, scene, 100, 64);
}

#[test]
fn what_is_reported_as_never_sent_is_not_sent_before_the_close_frame() {
    let scene = || {
        let (mut node, mut client, mut connection) = accepted(|_| {});
        let call = queued_request(&mut node, 1);
        let clocks = node.clocks();
        connection.exchange(clocks, node.peer());
        assert!(connection.has_fetched());
        client.close(1000.into(), "");
        let close = client.take_reply().expect("a close frame");
        read(&mut connection, &node, &close);
        connection.exchange(clocks, node.peer());
        let error = node.peer().take_response(call).expect("failed").expect_err("failed");
        assert!(!error.may_have_run());
        // The first byte of a close frame, or of a message.
        connection.write_buf()[0]
    };
    shows(Bug::TakenBackIsSent, scene, 0x88, 0x82);
}

#[test]
fn a_pong_waits_for_the_frame_that_is_being_written_and_not_for_its_followers() {
    let scene = || {
        let (mut node, mut client, mut connection) = accepted(|_| {});
        for _ in 0..=4 * 51 {
            queued_request(&mut node, 1);
        }
        let (now, clocks) = (node.now, node.clocks());
        connection.exchange(clocks, node.peer());
        let mut bytes = Vec::new();
        let write = |connection: &mut Connection, bytes: &mut Vec<u8>, most: usize| {
            let waiting = unwritten(connection);
            let taken = waiting.len().min(most);
            bytes.extend_from_slice(&waiting[..taken]);
            connection.handle_written(now, taken);
        };
        let frame = connection.write_buf().len();
        write(&mut connection, &mut bytes, frame + 1);
        let ping = encoded(Header { flags: Flags::CRC, ..Header::new(Op::Ping) }, &[]);
        let ping = sealed(&mut client, &ping);
        read(&mut connection, &node, &ping);
        connection.exchange(clocks, node.peer());
        write(&mut connection, &mut bytes, usize::MAX);
        let lens: Vec<_> = feed(&mut client, &bytes, 7777).iter().map(Bytes::len).collect();
        lens.iter().position(|len| *len < 100)
    };
    shows(Bug::PongBehindData, scene, Some(2), None);
}

#[test]
fn of_frames_that_are_written_together_those_that_are_not_begun_are_taken_back() {
    let scene = || {
        let (mut node, mut client, mut connection) = accepted(|_| {});
        let calls: Vec<_> = (0..4 * 51).map(|_| queued_request(&mut node, 1)).collect();
        let clocks = node.clocks();
        connection.exchange(clocks, node.peer());
        let frame = connection.write_buf().len();
        assert_eq!(unwritten(&mut connection).len(), 4 * frame, "four full frames");
        connection.handle_written(node.now, frame + 1);
        client.close(1000.into(), "");
        let close = client.take_reply().expect("a close frame");
        read(&mut connection, &node, &close);
        connection.exchange(clocks, node.peer());
        let may_have_run = calls.iter().filter(|call| {
            let error = node.peer().take_response(**call).expect("failed").expect_err("failed");
            error.may_have_run()
        });
        assert_eq!(may_have_run.count(), 2 * 51);
        // What is left of the second frame, then the close frame.
        let rest = unwritten(&mut connection).len();
        connection.handle_written(node.now, rest);
        ((rest + 1) / frame, connection.write_buf().first().copied())
    };
    // In frames: the one that was begun, or all.
    shows(Bug::TakenBackIsSent, scene, (1, Some(0x88)), (3, Some(0x88)));
}

#[test]
fn partial_writes_are_resumed_where_they_stopped() {
    let scene = || {
        let mut pair = builder().mode(Mode::Bytes(5)).build();
        pair.start();
        pair.advance(10 * SECOND);
        pair.is_connected()
    };
    shows(Bug::PartialWriteSkipsByte, scene, true, false);
}

#[test]
fn partial_writes_of_several_frames_are_resumed_where_they_stopped() {
    let scene = || {
        let (mut node, mut client, mut connection) = accepted(|_| {});
        for _ in 0..2 * 51 {
            queued_request(&mut node, 1);
        }
        let (now, clocks) = (node.now, node.clocks());
        connection.exchange(clocks, node.peer());
        let all = unwritten(&mut connection);
        let mut bytes = Vec::new();
        // Within the first frame, and over the end of it.
        for part in [3, all.len() / 2, usize::MAX] {
            let waiting = unwritten(&mut connection);
            let taken = waiting.len().min(part);
            bytes.extend_from_slice(&waiting[..taken]);
            connection.handle_written(now, taken);
        }
        (bytes == all, feed(&mut client, &bytes, 7777).len())
    };
    shows(Bug::PartialWriteSkipsByte, scene, (true, 2), (false, 1));
}
