//! Reading frames.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::frame::{HEADER, Header};

/// How much room a new read buffer has.
const BUFFER: usize = 256 << 10;

/// A read never gets less room than this.
const MIN_ROOM: usize = 16 << 10;

/// Payloads of at least this size are read into a buffer of their own.
const READ_IN_PLACE: usize = 64 << 10;

/// So many buffers of large payloads are kept to be used again, once nobody holds the payload:
/// faulting in new memory of this size took a quarter of the processor time.
const KEPT: usize = 8;

/// A frame as it was received.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) header: Header,
    pub(super) payload: Bytes,
}

/// Reads from a socket and takes the bytes apart.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    socket: R,
    buffer: BytesMut,
    /// The large payload that is being received.
    large: Option<(Header, BytesMut)>,
    /// What remains of the buffers of earlier large payloads: empty, and of the same memory.
    kept: VecDeque<BytesMut>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(socket: R) -> Self {
        Self { socket, buffer: BytesMut::new(), large: None, kept: VecDeque::new() }
    }

    /// Waits for more bytes; false at the end of the connection.
    pub(super) async fn fill(&mut self) -> io::Result<bool> {
        if let Some((header, payload)) = &mut self.large {
            let missing = header.len - payload.len();
            let n = self.socket.read_buf(&mut payload.limit(missing)).await?;
            return Ok(n > 0);
        }
        if self.buffer.capacity() - self.buffer.len() < MIN_ROOM {
            self.buffer.reserve(BUFFER);
        }
        Ok(self.socket.read_buf(&mut self.buffer).await? > 0)
    }

    /// The next frame, if all of it is there.
    #[inline]
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        if self.large.is_some() {
            return Ok(self.next_large());
        }
        let Some(header) = Header::decode(&self.buffer)? else { return Ok(None) };
        let whole = HEADER + header.len;
        if self.buffer.len() >= whole {
            self.buffer.advance(HEADER);
            let payload = self.buffer.split_to(header.len).freeze();
            return Ok(Some(Frame { header, payload }));
        }
        if header.len >= READ_IN_PLACE {
            let mut payload = self.large_buffer(header.len);
            payload.extend_from_slice(&self.buffer[HEADER..]);
            self.buffer.clear();
            self.large = Some((header, payload));
        }
        Ok(None)
    }

    fn large_buffer(&mut self, len: usize) -> BytesMut {
        let free = self.kept.iter_mut().position(|kept| kept.try_reclaim(len));
        free.and_then(|free| self.kept.remove(free)).unwrap_or_else(|| BytesMut::with_capacity(len))
    }

    fn next_large(&mut self) -> Option<Frame> {
        let (header, mut buffer) =
            self.large.take_if(|(header, payload)| payload.len() == header.len)?;
        let payload = buffer.split().freeze();
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(buffer);
        Some(Frame { header, payload })
    }
}
