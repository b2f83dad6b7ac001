//! What the tests of the WebSocket layer share: a pipe in memory, frames by hand, feeding in pieces.
#![allow(unreachable_pub, reason = "the modules of this test see it all")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;

use bytes::Bytes;
use gridmux_core::websocket::{Channel, Incoming, MAX_HEADER_LEN, Role, WebSocketError};

pub const LIMIT: usize = 4 << 20;

pub const FIN: u8 = 0x80;
pub const CONTINUE: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// What a server's channel accepts: the mask of all frames made by [`frame`].
pub const MASK: [u8; 4] = [0x5a, 0xa5, 0x01, 0xfe];

pub fn server() -> Channel {
    Channel::new(Role::Server, LIMIT, 1)
}

pub fn client() -> Channel {
    Channel::new(Role::Client, LIMIT, 1)
}

/// `len` bytes that differ from place to place.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// A frame header with the length in its shortest form.
pub fn header(first: u8, len: u64, mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match len {
        0..=125 => bytes.push(masked | len as u8),
        126..=0xffff => {
            bytes.push(masked | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend_from_slice(&len.to_be_bytes());
        }
    }
    bytes.extend(mask.into_iter().flatten());
    bytes
}

/// A masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64, Some(MASK));
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// An unmasked frame.
pub fn bare_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64, None);
    bytes.extend_from_slice(payload);
    bytes
}

/// A message, sealed by the channel, as it goes to the transport.
pub fn sealed(channel: &mut Channel, payload: &[u8]) -> Vec<u8> {
    let mut buf = vec![0xee; MAX_HEADER_LEN];
    buf.extend_from_slice(payload);
    let start = channel.seal(&mut buf, MAX_HEADER_LEN);
    buf.split_off(start)
}

/// All that a channel made of what it was fed.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub incoming: Vec<Incoming>,
    pub error: Option<WebSocketError>,
    pub replies: Vec<Vec<u8>>,
}

/// Feeds each piece as one read would, or as several if it is larger than the spare capacity.
pub fn feed<'a>(
    channel: &mut Channel,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Incoming>, Option<WebSocketError>) {
    let mut incoming = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let buf = channel.read_buf();
            let count = piece.len().min(buf.capacity() - buf.len());
            assert!(count > 0, "a read needs room");
            buf.extend_from_slice(&piece[..count]);
            piece = &piece[count..];
            loop {
                match channel.poll_message() {
                    Ok(Some(event)) => incoming.push(event),
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(channel.poll_message(), Err(error), "errors are final");
                        return (incoming, Some(error));
                    }
                }
            }
        }
    }
    (incoming, None)
}

/// The same, with the replies that are pending at the end.
pub fn outcome<'a>(channel: &mut Channel, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (incoming, error) = feed(channel, pieces);
    let replies = std::iter::from_fn(|| channel.take_reply()).collect();
    Outcome { incoming, error, replies }
}

pub fn message(payload: &[u8]) -> Incoming {
    Incoming::Message(Bytes::copy_from_slice(payload))
}

/// One end of a two-way pipe in memory. Reading an empty one would block.
#[derive(Debug, Clone, Default)]
pub struct End {
    incoming: Rc<RefCell<VecDeque<u8>>>,
    outgoing: Rc<RefCell<VecDeque<u8>>>,
}

pub fn pipe() -> (End, End) {
    let near = End::default();
    let far = End { incoming: Rc::clone(&near.outgoing), outgoing: Rc::clone(&near.incoming) };
    (near, far)
}

impl End {
    /// All that has come.
    pub fn drain(&self) -> Vec<u8> {
        self.incoming.borrow_mut().drain(..).collect()
    }

    pub fn send(&self, bytes: &[u8]) {
        self.outgoing.borrow_mut().extend(bytes);
    }
}

impl Read for End {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut incoming = self.incoming.borrow_mut();
        if incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = buf.len().min(incoming.len());
        for (slot, byte) in buf.iter_mut().zip(incoming.drain(..count)) {
            *slot = byte;
        }
        Ok(count)
    }
}

impl Write for End {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
