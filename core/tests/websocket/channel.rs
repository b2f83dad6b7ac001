//! The channel by itself: splits, limits, memory, replies.

use crate::support::{
    BINARY, CLOSE, CONTINUE, FIN, LIMIT, MASK, PING, PONG, TEXT, bare_frame, client, feed, frame,
    header, message, outcome, pattern, sealed, server,
};
use bytes::Bytes;
use gridmux_core::websocket::{
    Channel, CloseCode, DIRECT_READ_LEN, Incoming, MAX_HEADER_LEN, Role, WebSocketError,
};

const KIB: usize = 1024;

/// A little of everything, and what it must come to.
fn conversation(large: usize) -> (Vec<u8>, Vec<Incoming>) {
    let payload = pattern(large);
    let third = large / 3;
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for len in [0, 1, 125, 126, 300] {
        bytes.extend(frame(FIN | BINARY, &pattern(len)));
        expected.push(message(&pattern(len)));
    }
    bytes.extend(frame(FIN | PING, b"first"));
    bytes.extend(frame(BINARY, &payload[..third]));
    bytes.extend(frame(FIN | PING, b"second"));
    bytes.extend(frame(CONTINUE, b""));
    bytes.extend(frame(FIN | CONTINUE, &payload[third..]));
    expected.push(message(&payload));
    bytes.extend(frame(TEXT, b"not ours"));
    bytes.extend(frame(FIN | PONG, b""));
    bytes.extend(frame(FIN | CONTINUE, b" at all"));
    bytes.extend(frame(FIN | BINARY, &payload));
    expected.push(message(&payload));
    bytes.extend(frame(FIN | BINARY, b"last"));
    expected.push(message(b"last"));
    bytes.extend(frame(FIN | CLOSE, &[0x03, 0xe9, b'x']));
    expected.push(Incoming::Close(Some(1001)));
    bytes.extend(frame(FIN | BINARY, b"after the close"));
    (bytes, expected)
}

#[test]
fn any_split_in_two_gives_the_same_events() {
    let (bytes, expected) = conversation(400);
    let replies =
        [bare_frame(FIN | PONG, b"second"), bare_frame(FIN | CLOSE, &1001u16.to_be_bytes())];
    for at in 0..=bytes.len() {
        let (first, second) = bytes.split_at(at);
        let outcome = outcome(&mut server(), [first, second]);
        assert_eq!(outcome.incoming, expected, "split at {at}");
        assert_eq!(outcome.error, None);
        assert_eq!(outcome.replies, replies);
    }
}

#[test]
fn byte_by_byte_gives_the_same_events() {
    for large in [400, 3 * DIRECT_READ_LEN + 100] {
        let (bytes, expected) = conversation(large);
        let (incoming, error) = feed(&mut server(), bytes.chunks(1));
        assert_eq!((incoming, error), (expected, None));
    }
}

#[test]
fn odd_pieces_of_large_frames_give_the_same_events() {
    let (bytes, expected) = conversation(3 * DIRECT_READ_LEN + 100);
    for piece in [13, 1_000, 4_097, 65_536, 100_003, bytes.len()] {
        let (incoming, error) = feed(&mut server(), bytes.chunks(piece));
        assert!(incoming == expected, "pieces of {piece}");
        assert_eq!(error, None);
    }
}

#[test]
fn bytes_left_over_by_the_upgrade_come_first() {
    let (bytes, expected) = conversation(100_000);
    let (leftover, rest) = bytes.split_at(70_000);
    let mut channel = server().with_leftover(leftover);
    let mut incoming = Vec::new();
    while let Some(event) = channel.poll_message().unwrap() {
        incoming.push(event);
    }
    incoming.extend(feed(&mut channel, [rest]).0);
    assert_eq!(incoming, expected);
}

#[test]
fn the_limit_holds_for_lone_and_fragmented_and_text_messages() {
    for limit in [100, DIRECT_READ_LEN, 3 * DIRECT_READ_LEN] {
        for (len, fits) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
            let payload = pattern(len);
            let half = len / 2;
            let lone = frame(FIN | BINARY, &payload);
            let two =
                [frame(BINARY, &payload[..half]), frame(FIN | CONTINUE, &payload[half..])].concat();
            for bytes in [lone, two] {
                let mut channel = Channel::new(Role::Server, limit, 1);
                let (incoming, error) = feed(&mut channel, [&bytes[..]]);
                assert_eq!(incoming.len(), usize::from(fits));
                let too_large = WebSocketError::TooLarge { size: len as u64, limit };
                assert_eq!(error, (!fits).then_some(too_large));
            }
            let mut channel = Channel::new(Role::Server, limit, 1);
            let (_, error) = feed(&mut channel, [&frame(FIN | TEXT, &payload)[..]]);
            assert_eq!(error.is_none(), fits);
        }
    }
}

#[test]
fn the_limit_can_be_raised_after_the_first_message() {
    let mut channel = Channel::new(Role::Server, 10, 1);
    assert_eq!(feed(&mut channel, [&frame(FIN | BINARY, &[1; 10])[..]]).1, None);
    channel.set_max_message(20);
    assert_eq!(feed(&mut channel, [&frame(FIN | BINARY, &[1; 20])[..]]).1, None);
    let error = WebSocketError::TooLarge { size: 21, limit: 20 };
    assert_eq!(error.close_code(), CloseCode::Size);
    assert_eq!(feed(&mut channel, [&frame(FIN | BINARY, &[1; 21])[..]]).1, Some(error));
}

#[test]
fn a_claimed_length_reserves_nothing_of_note() {
    let mut channel = Channel::new(Role::Server, 16 << 20, 1);
    let claim = header(FIN | BINARY, 16 << 20, Some(MASK));
    assert_eq!(feed(&mut channel, [&claim[..]]), (vec![], None));
    assert!(channel.read_buf().capacity() <= 32 * KIB);

    for claimed in [(16 << 20) + 1, 1 << 62, u64::MAX >> 1] {
        let mut channel = Channel::new(Role::Server, 16 << 20, 1);
        let claim = header(FIN | BINARY, claimed, Some(MASK));
        let error = WebSocketError::TooLarge { size: claimed, limit: 16 << 20 };
        assert_eq!(feed(&mut channel, [&claim[..]]), (vec![], Some(error)));
        assert!(channel.read_buf().capacity() <= 8 * KIB);
    }
    // No overflow when fragments add up either.
    let mut channel = Channel::new(Role::Server, usize::MAX, 1);
    let mut bytes = frame(BINARY, b"x");
    bytes.extend(header(FIN | CONTINUE, u64::MAX >> 1, Some(MASK)));
    assert_eq!(feed(&mut channel, [&bytes[..]]), (vec![], None));
    assert!(channel.read_buf().capacity() <= 32 * KIB);
}

#[test]
fn memory_follows_the_bytes_that_have_come() {
    let mut channel = Channel::new(Role::Server, 16 << 20, 1);
    let bytes = frame(FIN | BINARY, &pattern(1_000_000));
    let mut come = 0;
    for piece in bytes[..999_000].chunks(1_000) {
        feed(&mut channel, [piece]);
        come += piece.len();
        let capacity = channel.read_buf().capacity();
        assert!(capacity <= (2 * come + 4 * KIB).max(32 * KIB), "{capacity} for {come}");
        assert!(capacity <= 1_001_000);
    }
    assert_eq!(feed(&mut channel, [&bytes[999_000..]]).0, [message(&pattern(1_000_000))]);
}

#[test]
fn small_messages_are_slices_and_large_ones_have_memory_of_their_own() {
    let mut channel = server();
    let mut bytes = frame(FIN | BINARY, &[1; 100]);
    bytes.extend(frame(FIN | BINARY, &[2; 200]));
    bytes.extend(frame(FIN | BINARY, &[3; DIRECT_READ_LEN + 1]));
    bytes.extend(frame(FIN | BINARY, &[4; 100]));
    let (incoming, _) = feed(&mut channel, [&bytes[..]]);
    let [Incoming::Message(first), Incoming::Message(second), Incoming::Message(large), _] =
        &incoming[..]
    else {
        panic!("four messages, not {}", incoming.len());
    };
    let distance = |a: &Bytes, b: &Bytes| (b.as_ptr() as usize).wrapping_sub(a.as_ptr() as usize);
    assert_eq!(distance(first, second), 100 + 8);
    // Where it would be as a slice: behind its header.
    assert_ne!(distance(second, large), 200 + 14);
    assert!(!first.is_unique());
    assert_eq!(incoming[3], message(&[4; 100]));
}

#[test]
fn the_buffer_is_used_again_when_nobody_holds_a_part_of_it() {
    let mut channel = server();
    let bytes = frame(FIN | BINARY, &[1; 560]);
    feed(&mut channel, [&bytes[..]]);
    let place = channel.read_buf().as_ptr();
    for _ in 0..100 {
        feed(&mut channel, [&bytes[..]]);
        assert_eq!(channel.read_buf().as_ptr(), place);
    }
    let (held, _) = feed(&mut channel, [&bytes[..]]);
    for _ in 0..100 {
        feed(&mut channel, [&bytes[..]]);
    }
    assert_eq!(held, [message(&[1; 560])]);
}

/// A large message that a channel gives for these bytes, and where it lies.
fn large_message(channel: &mut Channel, bytes: &[u8]) -> (Bytes, *const u8) {
    match feed(channel, [bytes]).0.pop() {
        Some(Incoming::Message(message)) => (message.clone(), message.as_ptr()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_memory_of_a_large_message_is_used_again_when_nobody_holds_it() {
    let mut channel = server();
    let bytes = |fill| frame(FIN | BINARY, &[fill; 600 * KIB]);
    let (held, place) = large_message(&mut channel, &bytes(1));
    let (other, elsewhere) = large_message(&mut channel, &bytes(2));
    assert_ne!(place, elsewhere, "it is held");
    drop(other.slice(5..6));
    drop(other);
    let shorter = frame(FIN | BINARY, &[3; 500 * KIB]);
    assert_eq!(large_message(&mut channel, &shorter).1, elsewhere, "a little shorter");
    let (much_shorter, its_place) =
        large_message(&mut channel, &frame(FIN | BINARY, &[4; 300 * KIB]));
    assert_ne!(its_place, elsewhere, "it would hold too much");
    assert!(held[..] == [1; 600 * KIB] && much_shorter[..] == [4; 300 * KIB]);
}

/// Whether a channel has room for a large message before a byte of it has come.
fn has_room(channel: &mut Channel) -> bool {
    let header = header(FIN | BINARY, 600 * KIB as u64, Some(MASK));
    feed(channel, [&header[..]]);
    channel.read_buf().capacity() >= 600 * KIB
}

#[test]
fn the_memory_of_large_messages_is_given_back_when_there_are_none() {
    let large = frame(FIN | BINARY, &[1; 600 * KIB]);
    let small = frame(FIN | BINARY, &[2; 100]);
    let after = |small_ones: usize, idle: bool| {
        let mut channel = server();
        feed(&mut channel, [&large[..]]);
        for _ in 0..small_ones {
            feed(&mut channel, [&small[..]]);
        }
        if idle {
            channel.idle();
        }
        has_room(&mut channel)
    };
    assert!(after(100, false));
    assert!(!after(1_100, false), "the link does something else");
    assert!(!after(0, true), "the link idles");
}

#[test]
fn no_more_than_a_few_megabytes_are_kept_of_large_messages() {
    let mut channel = server();
    let bytes = frame(FIN | BINARY, &[1; 600 * KIB]);
    let all: Vec<_> = (0..8).map(|_| large_message(&mut channel, &bytes).0).collect();
    let kept = |all: &[Bytes]| all.iter().map(|one| !one.is_unique()).collect::<Vec<_>>();
    // Six of 600 KiB are less than 4 MiB; the oldest are forgotten.
    assert_eq!(kept(&all), [false, false, true, true, true, true, true, true]);
    channel.idle();
    assert_eq!(kept(&all), [false; 8]);
}

#[test]
fn the_buffer_grows_under_load_and_shrinks_after_it() {
    let mut channel = server();
    assert_eq!(channel.buffer_size(), 0);
    let bytes: Vec<u8> = frame(FIN | BINARY, &[1; 560]).repeat(2_000);
    feed(&mut channel, [&bytes[..]]);
    assert_eq!(channel.read_buf().capacity(), 256 * KIB);
    assert_eq!(channel.buffer_size(), 256 * KIB);

    // One message at a time from now on: it shrinks without being told.
    for _ in 0..200 {
        feed(&mut channel, [&bytes[..568]]);
    }
    assert_eq!(channel.read_buf().capacity(), 8 * KIB);
}

#[test]
fn an_idle_link_keeps_no_buffer() {
    let mut channel = server();
    let bytes: Vec<u8> = frame(FIN | BINARY, &[1; 560]).repeat(2_000);
    feed(&mut channel, [&bytes[..]]);
    channel.idle();
    assert_eq!(channel.buffer_size(), 0);
    assert_eq!(channel.read_buf().capacity(), 8 * KIB);

    // With a part of a frame in it, it keeps about that.
    feed(&mut channel, [&bytes[..], &bytes[..300]]);
    channel.idle();
    assert!(channel.buffer_size() <= 8 * KIB);
    assert_eq!(feed(&mut channel, [&bytes[300..568]]).0, [message(&[1; 560])]);
}

/// Ledger L4.
#[test]
fn one_huge_message_leaves_no_huge_buffer() {
    let mut channel = server();
    for len in [3 << 20, 60_000] {
        let bytes = frame(FIN | BINARY, &pattern(len));
        assert_eq!(feed(&mut channel, [&bytes[..]]).0.len(), 1);
        for _ in 0..200 {
            feed(&mut channel, [&frame(FIN | BINARY, b"small")[..]]);
        }
        assert_eq!(channel.read_buf().capacity(), 8 * KIB);
        assert_eq!(channel.buffer_size(), 8 * KIB);
    }
}

#[test]
fn large_messages_alone_do_not_grow_the_read_buffer() {
    let mut channel = server();
    let bytes = frame(FIN | BINARY, &pattern(200_000));
    for _ in 0..50 {
        assert_eq!(feed(&mut channel, [&bytes[..]]).0.len(), 1);
    }
    assert!(channel.buffer_size() <= 16 * KIB);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let run = |seed| {
        let mut channel = Channel::new(Role::Client, LIMIT, seed);
        let mut bytes = sealed(&mut channel, b"one");
        feed(&mut channel, [&bare_frame(FIN | PING, b"?")[..]]);
        bytes.extend(channel.take_reply().unwrap());
        bytes.extend(sealed(&mut channel, &pattern(70_000)));
        channel.close(CloseCode::Normal, "bye");
        bytes.extend(channel.take_reply().unwrap());
        bytes
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn each_frame_has_a_mask_of_its_own() {
    let mut channel = client();
    let mask = |bytes: Vec<u8>| bytes[2..6].to_vec();
    assert_ne!(mask(sealed(&mut channel, b"x")), mask(sealed(&mut channel, b"x")));
}

#[test]
fn sealing_works_with_more_exact_and_too_little_room() {
    for room in [0, 1, 2, 4, 6, 13, MAX_HEADER_LEN, 100] {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let mut buf = vec![0; room];
            buf.extend(pattern(len));
            let start = server().seal(&mut buf, room);
            assert_eq!(buf[start..], bare_frame(FIN | BINARY, &pattern(len)), "{room} {len}");
        }
    }
    let mut buf = vec![1, 2];
    let start = server().seal(&mut buf, 1_000);
    assert_eq!(buf[start..], [FIN | BINARY, 0]);
}

#[test]
fn a_flood_of_pings_leaves_one_pong() {
    let mut channel = server();
    let pings: Vec<u8> =
        (0..100_000u32).flat_map(|number| frame(FIN | PING, &number.to_be_bytes())).collect();
    let outcome = outcome(&mut channel, [&pings[..]]);
    assert_eq!(outcome.replies, [bare_frame(FIN | PONG, &99_999u32.to_be_bytes())]);
}

#[test]
fn replies_are_masked_by_the_dialler() {
    let mut channel = client();
    feed(&mut channel, [&bare_frame(FIN | PING, &[9; 125])[..]]);
    let reply = channel.take_reply().unwrap();
    assert_eq!(reply[..2], [FIN | PONG, 0x80 | 125]);
    let unmasked: Vec<u8> =
        reply[6..].iter().zip(reply[2..6].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    assert_eq!(unmasked, [9; 125]);
}

#[test]
fn close_is_sent_once_and_nothing_after_it() {
    let mut channel = server();
    channel.close(CloseCode::Normal, "first");
    channel.close(CloseCode::Error, "second");
    assert!(!channel.is_close_sent());
    let expected = bare_frame(FIN | CLOSE, &[&1000u16.to_be_bytes()[..], b"first"].concat());
    assert_eq!(channel.take_reply(), Some(expected));
    assert!(channel.is_close_sent());
    // Neither a pong nor a second close, and messages still come until the peer's close.
    let mut bytes = frame(FIN | PING, b"?");
    bytes.extend(frame(FIN | BINARY, b"on its way"));
    bytes.extend(frame(FIN | CLOSE, &1000u16.to_be_bytes()));
    let outcome = outcome(&mut channel, [&bytes[..]]);
    assert_eq!(outcome.incoming, [message(b"on its way"), Incoming::Close(Some(1000))]);
    assert!(outcome.replies.is_empty());
}

#[test]
fn a_close_crossing_ours_is_answered_by_ours() {
    let mut channel = server();
    channel.close(CloseCode::Away, "");
    let outcome = outcome(&mut channel, [&frame(FIN | CLOSE, &1000u16.to_be_bytes())[..]]);
    assert_eq!(outcome.replies, [bare_frame(FIN | CLOSE, &1001u16.to_be_bytes())]);
}

#[test]
fn a_long_reason_is_cut_between_characters_and_a_forbidden_code_left_out() {
    let mut channel = server();
    channel.close(CloseCode::Policy, &"é".repeat(100));
    let reply = channel.take_reply().unwrap();
    assert_eq!(reply.len(), 2 + 2 + 122);
    assert!(std::str::from_utf8(&reply[4..]).is_ok());

    let mut channel = server();
    channel.close(CloseCode::Abnormal, "nothing");
    assert_eq!(channel.take_reply(), Some(bare_frame(FIN | CLOSE, b"")));
}

#[test]
fn debug_output_shows_no_payload() {
    let mut channel = server();
    feed(&mut channel, [&frame(FIN | BINARY, b"secret-token")[..10]]);
    let text = format!("{channel:?}");
    assert!(text.contains("received: 10"), "{text}");
}
