//! One connection of a peer: whole messages, and whatever else it likes to write.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use gridmux_core::driver::runtime::Transport as _;
use gridmux_core::websocket::{Channel, CloseCode, Incoming, MAX_HEADER_LEN, Role};

use crate::census::FaultId;
use crate::world::{End, SimRuntime, SimTransport};

/// The first byte of a frame: opcodes, and the bit of the last fragment.
const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const PING: u8 = 9;
const FINAL: u8 = 0x80;

/// The longest message that is read.
const LONGEST: usize = 64 << 20;

pub(super) struct Line {
    runtime: SimRuntime,
    transport: SimTransport,
    channel: Channel,
    out: BytesMut,
    /// Bytes that the network has taken.
    pub(super) written: u64,
    /// Where in what is written a fault ends, which is felt once the other end has read that.
    marks: Vec<(u64, FaultId)>,
    over: bool,
}

impl Line {
    pub(super) fn new(runtime: &SimRuntime, transport: SimTransport, role: Role) -> Self {
        Self {
            runtime: runtime.clone(),
            transport,
            channel: Channel::new(role, LONGEST, 1),
            out: BytesMut::new(),
            written: 0,
            marks: Vec::new(),
            over: false,
        }
    }

    /// The node at the other end.
    pub(super) fn other(&self) -> usize {
        let mut world = self.runtime.shared.world();
        world.network.conn(self.transport.conn).node(self.transport.end.other())
    }

    // ---- writing ----

    /// Bytes as they are, behind what waits.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A message, behind what waits.
    pub(super) fn push(&mut self, message: &[u8]) {
        self.push_part(message, usize::MAX);
    }

    /// The first so many bytes of a message's frame, or all.
    pub(super) fn push_part(&mut self, message: &[u8], most: usize) {
        let mut frame = vec![0; MAX_HEADER_LEN];
        frame.extend_from_slice(message);
        let start = self.channel.seal(&mut frame, MAX_HEADER_LEN);
        let frame = &frame[start..];
        self.out.extend_from_slice(&frame[..most.min(frame.len())]);
    }

    /// A message in three fragments, with a WebSocket ping between each two.
    pub(super) fn push_in_fragments(&mut self, message: &[u8]) {
        let third = message.len().div_ceil(3).max(1);
        let mut parts = message.chunks(third).peekable();
        let mut opcode = BINARY;
        while let Some(part) = parts.next() {
            let is_last = parts.peek().is_none();
            self.push_raw(if is_last { FINAL | opcode } else { opcode }, part);
            opcode = CONTINUATION;
            if !is_last {
                self.push_raw(FINAL | PING, b"still here?");
            }
        }
    }

    /// A frame that begins with this byte, of any length.
    fn push_raw(&mut self, first: u8, payload: &[u8]) {
        let masks = self.transport.end == End::Dialler;
        let masked = if masks { 0x80 } else { 0 };
        self.out.extend_from_slice(&[first]);
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(len @ ..126), _) => self.out.extend_from_slice(&[masked | len]),
            (_, Ok(len)) => {
                self.out.extend_from_slice(&[masked | 126]);
                self.out.extend_from_slice(&len.to_be_bytes());
            }
            _ => {
                self.out.extend_from_slice(&[masked | 127]);
                self.out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        if masks {
            // A mask of zeros leaves the payload as it is.
            self.out.extend_from_slice(&[0; 4]);
        }
        self.out.extend_from_slice(payload);
    }

    /// A frame of another kind, which may claim to be longer than it is.
    pub(super) fn push_frame(&mut self, opcode: u8, payload: &[u8], claims: Option<u64>) {
        let masks = self.transport.end == End::Dialler;
        let masked = if masks { 0x80 } else { 0 };
        let len = u8::try_from(payload.len().min(125)).unwrap_or(125);
        self.out.extend_from_slice(&[0x80 | opcode]);
        match claims {
            Some(claims) => {
                self.out.extend_from_slice(&[masked | 127]);
                self.out.extend_from_slice(&claims.to_be_bytes());
            }
            None => self.out.extend_from_slice(&[masked | len]),
        }
        if masks {
            // A mask of zeros leaves the payload as it is.
            self.out.extend_from_slice(&[0; 4]);
        }
        self.out.extend_from_slice(&payload[..len.into()]);
    }

    /// A close frame, behind what waits.
    pub(super) fn push_close(&mut self) {
        self.channel.close(CloseCode::Normal, "");
        self.push_replies();
    }

    /// Up to here a fault goes.
    pub(super) fn mark(&mut self, fault: FaultId) {
        self.runtime.shared.world().census.fired(fault);
        self.marks.push((self.written + self.out.len() as u64, fault));
    }

    /// Ready once all that waits is with the network.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.push_replies();
        while !self.out.is_empty() {
            let count = ready!(self.transport.poll_write(cx, &self.out))?;
            self.written += count as u64;
            self.out.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.push_bytes(bytes);
        self.flush().await
    }

    pub(super) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.push(message);
        self.flush().await
    }

    /// Ends what is written, and waits until the other end is gone, too.
    pub(super) async fn finish(&mut self) {
        let _ = poll_fn(|cx| self.transport.poll_close(cx)).await;
        self.wait_for_end().await;
    }

    fn push_replies(&mut self) {
        while let Some(reply) = self.channel.take_reply() {
            self.out.extend_from_slice(&reply);
        }
    }

    // ---- reading ----

    /// The next message; `None` once the connection is over.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.feel();
        while !self.over {
            match self.channel.poll_message() {
                Ok(Some(Incoming::Message(message))) => return Poll::Ready(Some(message)),
                Ok(Some(Incoming::Close(_))) | Err(_) => {
                    // The answer to a close is a courtesy.
                    let _ = self.poll_flush(cx);
                    self.over = true;
                }
                Ok(None) => match ready!(self.transport.poll_read(cx, self.channel.read_buf())) {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => self.over = true,
                },
            }
        }
        Poll::Ready(None)
    }

    pub(super) async fn receive(&mut self) -> Option<Bytes> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// Reads until `parse` has come to something, which says how many bytes it was; the bytes
    /// behind belong to the messages. `None` if the connection ends first.
    pub(super) async fn read_head<T: Head>(
        &mut self,
        mut parse: impl FnMut(&[u8]) -> Option<Result<T, ()>>,
    ) -> Option<Result<T::Value, ()>> {
        let mut head = BytesMut::new();
        loop {
            match parse(&head) {
                Some(Ok(read)) => {
                    let (value, len) = read.split();
                    self.channel.read_buf().extend_from_slice(&head[len..]);
                    return Some(Ok(value));
                }
                Some(Err(())) => return Some(Err(())),
                None => {}
            }
            head.reserve(4096);
            let read = poll_fn(|cx| self.transport.poll_read(cx, &mut head)).await;
            if !matches!(read, Ok(1..)) {
                return None;
            }
        }
    }

    /// Waits until the other end is gone, whatever comes.
    pub(super) async fn wait_for_end(&mut self) {
        let mut rubbish = BytesMut::new();
        loop {
            self.feel();
            rubbish.clear();
            rubbish.reserve(4096);
            let read = poll_fn(|cx| self.transport.poll_read(cx, &mut rubbish)).await;
            if !matches!(read, Ok(1..)) {
                return;
            }
        }
    }

    /// Says which faults the other end has read by now.
    fn feel(&mut self) {
        if self.marks.is_empty() {
            return;
        }
        let mut world = self.runtime.shared.world();
        let Some(taken) = world.network.taken(self.transport.conn, self.transport.end) else {
            return;
        };
        self.marks.retain(|(offset, fault)| {
            let felt = *offset <= taken;
            if felt {
                world.census.felt(*fault);
            }
            !felt
        });
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.feel();
    }
}

/// What the head of a connection was read as.
pub(super) trait Head {
    /// All but the length.
    type Value;
    /// It, and the bytes it had.
    fn split(self) -> (Self::Value, usize);
}

impl Head for usize {
    type Value = ();

    fn split(self) -> ((), usize) {
        ((), self)
    }
}

impl<T> Head for (T, usize) {
    type Value = T;

    fn split(self) -> (T, usize) {
        self
    }
}
