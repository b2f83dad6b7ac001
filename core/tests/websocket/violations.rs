//! Each rule of RFC 6455 that a peer can break, by name.

use crate::support::{
    BINARY, CLOSE, CONTINUE, FIN, MASK, PING, PONG, TEXT, bare_frame, client, feed, frame, header,
    message, server,
};
use gridmux_core::websocket::{Channel, CloseCode, WebSocketError};

/// The error, which must be the same at once and byte by byte, and follow what came before.
fn error_after(make: fn() -> Channel, before: &[u8], bytes: &[u8]) -> Option<WebSocketError> {
    let all = [before, bytes].concat();
    let (incoming, error) = feed(&mut make(), [&all[..]]);
    assert_eq!(feed(&mut make(), all.chunks(1)), (incoming, error));
    if let Some(error) = error {
        let is_size = matches!(error, WebSocketError::TooLarge { .. });
        let code = if is_size { CloseCode::Size } else { CloseCode::Protocol };
        assert_eq!(error.close_code(), code);
    }
    error
}

fn error_of(bytes: &[u8]) -> Option<WebSocketError> {
    error_after(server, b"", bytes)
}

#[test]
fn reserved_bits() {
    for bit in [0x40, 0x20, 0x10] {
        for opcode in [BINARY, TEXT, PING] {
            let bytes = frame(FIN | bit | opcode, b"x");
            assert_eq!(error_of(&bytes), Some(WebSocketError::ReservedBits));
        }
    }
}

#[test]
fn unknown_opcodes() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for fin in [0, FIN] {
            let bytes = frame(fin | opcode, b"x");
            assert_eq!(error_of(&bytes), Some(WebSocketError::UnknownOpcode(opcode)));
        }
    }
}

#[test]
fn fragmented_control_frames() {
    for opcode in [CLOSE, PING, PONG] {
        assert_eq!(error_of(&frame(opcode, b"x")), Some(WebSocketError::FragmentedControl));
    }
}

#[test]
fn long_control_frames() {
    for opcode in [CLOSE, PING, PONG] {
        for len in [126, 65_536] {
            let bytes = frame(FIN | opcode, &vec![3; len]);
            assert_eq!(error_of(&bytes), Some(WebSocketError::LongControl));
        }
    }
    assert_eq!(error_of(&frame(FIN | PING, &[0; 125])), None);
}

#[test]
fn a_data_frame_inside_a_fragmented_message() {
    for first in [BINARY, TEXT] {
        for second in [BINARY, TEXT, FIN | BINARY, FIN | TEXT] {
            let error = error_after(server, &frame(first, b"a"), &frame(second, b"b"));
            assert_eq!(error, Some(WebSocketError::InterleavedMessage));
        }
    }
}

#[test]
fn a_continuation_of_nothing() {
    for fin in [0, FIN] {
        let bytes = frame(fin | CONTINUE, b"x");
        assert_eq!(error_of(&bytes), Some(WebSocketError::StrayContinuation));
        let whole = frame(FIN | BINARY, b"a");
        let error = error_after(server, &whole, &bytes);
        assert_eq!(error, Some(WebSocketError::StrayContinuation));
        let text = [frame(TEXT, b"a"), frame(FIN | CONTINUE, b"b")].concat();
        let error = error_after(server, &text, &bytes);
        assert_eq!(error, Some(WebSocketError::StrayContinuation));
    }
}

#[test]
fn an_unmasked_frame_from_the_dialler() {
    for opcode in [BINARY, TEXT, PING, CLOSE] {
        let bytes = bare_frame(FIN | opcode, b"");
        assert_eq!(error_of(&bytes), Some(WebSocketError::NotMasked));
    }
}

#[test]
fn a_masked_frame_from_the_acceptor() {
    for opcode in [BINARY, TEXT, PING, CLOSE] {
        let error = error_after(client, b"", &frame(FIN | opcode, b""));
        assert_eq!(error, Some(WebSocketError::Masked));
    }
}

#[test]
fn lengths_in_a_longer_form_than_needed() {
    for len in [0u16, 1, 125] {
        let bytes = [&[FIN | BINARY, 0x80 | 126][..], &len.to_be_bytes(), &MASK].concat();
        assert_eq!(error_of(&bytes), Some(WebSocketError::NonMinimalLength));
    }
    for len in [0u64, 125, 126, 65_535] {
        let bytes = [&[FIN | BINARY, 0x80 | 127][..], &len.to_be_bytes(), &MASK].concat();
        assert_eq!(error_of(&bytes), Some(WebSocketError::NonMinimalLength));
    }
}

#[test]
fn lengths_with_the_top_bit() {
    for len in [1 << 63, u64::MAX] {
        let bytes = header(FIN | BINARY, len, Some(MASK));
        assert_eq!(error_of(&bytes), Some(WebSocketError::LengthTopBit));
    }
}

#[test]
fn a_close_of_one_byte() {
    assert_eq!(error_of(&frame(FIN | CLOSE, b"x")), Some(WebSocketError::ShortClose));
}

#[test]
fn close_codes_that_must_not_be_sent() {
    for code in [0, 999, 1005, 1006, 1015, 5000, u16::MAX] {
        let bytes = frame(FIN | CLOSE, &code.to_be_bytes());
        assert_eq!(error_of(&bytes), Some(WebSocketError::BadCloseCode(code)));
    }
    for code in [1000, 1001, 1011, 1014, 3000, 4999u16] {
        assert_eq!(error_of(&frame(FIN | CLOSE, &code.to_be_bytes())), None);
    }
}

#[test]
fn more_than_a_thousand_small_fragments_of_one_message() {
    let too_many = Some(WebSocketError::TooManyFragments { limit: 1024 });
    for (opcode, piece, error) in [
        (BINARY, &[][..], too_many),
        (TEXT, &[], too_many),
        (BINARY, &[7; 1023], too_many),
        (BINARY, &[7; 1024], None),
    ] {
        let mut bytes = frame(opcode, piece);
        (1..1024).for_each(|_| bytes.extend(frame(CONTINUE, piece)));
        let (incoming, end) = feed(&mut server(), [&bytes[..]]);
        assert_eq!((incoming, end), (vec![], None), "as many as there may be");
        let last = frame(FIN | CONTINUE, piece);
        let (incoming, end) = feed(&mut server(), [&bytes[..], &last]);
        assert_eq!((incoming.len(), end), (usize::from(error.is_none()), error));
    }
    // Each message has as many of its own.
    let mut bytes = frame(BINARY, b"a");
    (0..1000).for_each(|_| bytes.extend(frame(CONTINUE, b"")));
    bytes.extend(frame(FIN | CONTINUE, b"b"));
    let (incoming, end) = feed(&mut server(), [&bytes[..], &bytes]);
    assert_eq!((incoming, end), (vec![message(b"ab"), message(b"ab")], None));
}

#[test]
fn messages_before_the_violation_are_given_and_none_after_it() {
    let mut bytes = frame(FIN | BINARY, b"before");
    bytes.extend(frame(FIN | CONTINUE, b"wrong"));
    bytes.extend(frame(FIN | BINARY, b"behind"));
    let mut channel = server();
    let expected = (vec![message(b"before")], Some(WebSocketError::StrayContinuation));
    assert_eq!(feed(&mut channel, [&bytes[..]]), expected);
    let again = (vec![], Some(WebSocketError::StrayContinuation));
    assert_eq!(feed(&mut channel, [&frame(FIN | BINARY, b"later")[..]]), again);
}
