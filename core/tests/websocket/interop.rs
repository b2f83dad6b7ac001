//! The channel against `tungstenite`'s `WebSocket`, in both roles.

use crate::support::{End, LIMIT, feed, message, pattern, pipe, sealed};
use gridmux_core::websocket::{Channel, CloseCode, Incoming, Role};
use tungstenite::error::Error;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{CloseFrame, WebSocket};
use tungstenite::{Message, protocol};

const SIZES: [usize; 10] = [0, 1, 125, 126, 127, 560, 65_535, 65_536, 65_537, 1 << 20];

/// Ours and theirs, at the two ends of a pipe.
struct Pair {
    ours: Channel,
    near: End,
    theirs: WebSocket<End>,
}

impl Pair {
    fn new(role: Role) -> Self {
        let (near, far) = pipe();
        let other = match role {
            Role::Client => protocol::Role::Server,
            Role::Server => protocol::Role::Client,
        };
        let theirs = WebSocket::from_raw_socket(far, other, None);
        Self { ours: Channel::new(role, LIMIT, 3), near, theirs }
    }

    fn both() -> [Self; 2] {
        [Self::new(Role::Client), Self::new(Role::Server)]
    }

    /// What ours makes of all that theirs has written.
    fn receive(&mut self) -> Vec<Incoming> {
        let bytes = self.near.drain();
        let (incoming, error) = feed(&mut self.ours, [&bytes[..]]);
        assert_eq!(error, None);
        incoming
    }

    fn send(&mut self, payload: &[u8]) {
        let frame = sealed(&mut self.ours, payload);
        self.near.send(&frame);
    }

    fn send_replies(&mut self) {
        while let Some(reply) = self.ours.take_reply() {
            self.near.send(&reply);
        }
    }
}

#[test]
fn messages_of_every_header_form_arrive_both_ways() {
    for mut pair in Pair::both() {
        for size in SIZES {
            let payload = pattern(size);
            pair.theirs.send(Message::binary(payload.clone())).unwrap();
            assert_eq!(pair.receive(), [message(&payload)], "to us, {size} bytes");
            pair.send(&payload);
            assert_eq!(pair.theirs.read().unwrap(), Message::binary(payload), "from us, {size}");
        }
    }
}

#[test]
fn many_messages_in_one_read_keep_their_order() {
    for mut pair in Pair::both() {
        let payloads: Vec<_> = (0..500).map(|at| pattern(at * 3)).collect();
        for payload in &payloads {
            pair.theirs.send(Message::binary(payload.clone())).unwrap();
            pair.send(payload);
        }
        let expected: Vec<_> = payloads.iter().map(|payload| message(payload)).collect();
        assert_eq!(pair.receive(), expected);
        for payload in payloads {
            assert_eq!(pair.theirs.read().unwrap(), Message::binary(payload));
        }
    }
}

#[test]
fn fragments_with_pings_between_them_make_one_message() {
    for mut pair in Pair::both() {
        let payload = pattern(200_000);
        let fragments =
            [&payload[..10], &payload[10..10], &payload[10..150_000], &payload[150_000..]];
        for (at, fragment) in fragments.iter().enumerate() {
            let opcode = if at == 0 { Data::Binary } else { Data::Continue };
            let frame = Frame::message(fragment.to_vec(), OpCode::Data(opcode), at == 3);
            pair.theirs.send(Message::Frame(frame)).unwrap();
            pair.theirs.send(Message::Ping(vec![at as u8; 125].into())).unwrap();
        }
        assert_eq!(pair.receive(), [message(&payload)]);
        // Only the newest ping is answered.
        pair.send_replies();
        assert_eq!(pair.theirs.read().unwrap(), Message::Pong(vec![3; 125].into()));
        assert!(matches!(pair.theirs.read(), Err(Error::Io(_))));
    }
}

#[test]
fn text_and_pongs_are_ignored() {
    for mut pair in Pair::both() {
        pair.theirs.send(Message::text("x".repeat(100_000))).unwrap();
        pair.theirs.send(Message::Pong(b"unasked".to_vec().into())).unwrap();
        pair.theirs.send(Message::binary(b"data".to_vec())).unwrap();
        assert_eq!(pair.receive(), [message(b"data")]);
        assert_eq!(pair.ours.take_reply(), None);
    }
}

#[test]
fn a_close_by_the_peer_is_answered_with_its_code() {
    for mut pair in Pair::both() {
        let close = CloseFrame { code: CloseCode::Away, reason: "moving".into() };
        pair.theirs.close(Some(close)).unwrap();
        assert_eq!(pair.receive(), [Incoming::Close(Some(1001))]);
        assert!(pair.ours.is_close_received() && !pair.ours.is_close_sent());
        pair.send_replies();
        assert!(pair.ours.is_close_sent());
        assert!(matches!(pair.theirs.read(), Ok(Message::Close(Some(frame)))
            if frame.code == CloseCode::Away));
        // The client waits for the server to end the connection; the server may end it now.
        assert!(matches!(pair.theirs.read(), Err(Error::ConnectionClosed | Error::Io(_))));
    }
}

#[test]
fn a_close_by_us_is_answered_by_the_peer() {
    for mut pair in Pair::both() {
        pair.ours.close(CloseCode::Normal, "done");
        pair.send_replies();
        let Ok(Message::Close(Some(frame))) = pair.theirs.read() else { panic!("no close") };
        assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Normal, "done"));
        let _ = pair.theirs.read();
        assert_eq!(pair.receive(), [Incoming::Close(Some(1000))]);
        assert!(pair.ours.is_close_received() && pair.ours.is_close_sent());
        assert_eq!(pair.ours.take_reply(), None);
    }
}

#[test]
fn a_close_without_a_code_is_answered_without_one() {
    for mut pair in Pair::both() {
        pair.theirs.close(None).unwrap();
        assert_eq!(pair.receive(), [Incoming::Close(None)]);
        pair.send_replies();
        assert!(matches!(pair.theirs.read(), Ok(Message::Close(None))));
    }
}
