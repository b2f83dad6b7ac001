//! The WebSocket channel in both roles: what comes does not depend on how it was cut into reads.

use arbitrary::Unstructured;
use gridmux_core::websocket::{Channel, Incoming, MAX_HEADER_LEN, Role, WebSocketError};

use super::pieces::{fill, pieces};

/// The most bytes of a message. Larger than what is read straight into memory of its own, since that
/// is a way of its own through the channel.
const LIMITS: [usize; 3] = [1 << 10, 70_000, 1 << 20];

/// The most that a read buffer may keep, in bytes.
const READ_BUFFER: usize = 256 * 1024;

/// All that a channel made of what it was given.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    incoming: Vec<Incoming>,
    error: Option<WebSocketError>,
    replies: Vec<Vec<u8>>,
    closed: bool,
}

/// Three bytes of settings, four of lengths of reads, then the stream of bytes.
pub fn websocket(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((role, limit, idles, steps)) = input.arbitrary::<(u8, u8, u8, [u8; 4])>() else {
        return;
    };
    let role = if role & 1 == 0 { Role::Server } else { Role::Client };
    let limit = LIMITS[usize::from(limit) % LIMITS.len()];
    let bytes = input.take_rest();

    let whole = outcome(role, limit, [bytes].into_iter(), false);
    let split = outcome(role, limit, pieces(bytes, &steps), idles & 1 == 1);
    assert_eq!(whole, split);
    for incoming in &whole.incoming {
        if let Incoming::Message(message) = incoming {
            assert!(message.len() <= limit, "a message over its limit");
            send_back(role, limit, message, &steps);
        }
    }
    let replied: usize = whole.replies.iter().map(Vec::len).sum();
    assert!(replied <= 2 * (MAX_HEADER_LEN + 125), "one pong and one close wait at most");
}

fn outcome<'a>(
    role: Role,
    limit: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
    idles: bool,
) -> Outcome {
    let mut channel = Channel::new(role, limit, 1);
    let (mut incoming, mut error) = (Vec::new(), None);
    for mut piece in pieces {
        while !piece.is_empty() && error.is_none() {
            fill(channel.read_buf(), &mut piece);
            error = drain(&mut channel, &mut incoming);
            assert!(channel.buffer_size() <= READ_BUFFER, "the read buffer");
            if idles {
                channel.idle();
            }
        }
    }
    let replies = std::iter::from_fn(|| channel.take_reply()).collect();
    Outcome { incoming, error, replies, closed: channel.is_close_received() }
}

fn drain(channel: &mut Channel, incoming: &mut Vec<Incoming>) -> Option<WebSocketError> {
    loop {
        match channel.poll_message() {
            Ok(Some(one)) => {
                let after_close = incoming.iter().any(|one| matches!(one, Incoming::Close(_)));
                assert!(!after_close, "nothing comes after the close");
                incoming.push(one);
            }
            Ok(None) => return None,
            Err(error) => {
                assert_eq!(channel.poll_message(), Err(error), "errors are final");
                return Some(error);
            }
        }
    }
}

/// A message that was received can be sent, and comes at the other end as it is.
fn send_back(role: Role, limit: usize, message: &[u8], steps: &[u8]) {
    let mut sender = Channel::new(role, limit, 7);
    let mut frame = vec![0; MAX_HEADER_LEN];
    frame.extend_from_slice(message);
    let start = sender.seal(&mut frame, MAX_HEADER_LEN);
    let other = if role == Role::Server { Role::Client } else { Role::Server };
    let received = outcome(other, limit, pieces(&frame[start..], steps), false);
    assert_eq!(received.error, None);
    assert!(matches!(&received.incoming[..], [Incoming::Message(again)] if again == message));
}
