//! Reading frames.

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
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(socket: R) -> Self {
        Self { socket, buffer: BytesMut::new(), large: None }
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
            let mut payload = BytesMut::with_capacity(header.len);
            payload.extend_from_slice(&self.buffer[HEADER..]);
            self.buffer.clear();
            self.large = Some((header, payload));
        }
        Ok(None)
    }

    fn next_large(&mut self) -> Option<Frame> {
        let (header, payload) =
            self.large.take_if(|(header, payload)| payload.len() == header.len)?;
        Some(Frame { header, payload: payload.freeze() })
    }
}
