//! A connection in memory: two bounded pipes of bytes.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};

use crate::driver::runtime::Transport;
use crate::handle::{lock, set};

/// What one direction holds at most; then its writer waits for the reader.
const CAPACITY: usize = 64 * 1024;

/// Both ends of a new connection.
pub(super) fn duplex() -> (PipeTransport, PipeTransport) {
    let (there, back) = (Arc::<Pipe>::default(), Arc::<Pipe>::default());
    let one = PipeTransport { input: back.clone(), output: there.clone() };
    (one, PipeTransport { input: there, output: back })
}

/// One end. Dropped, the other end reads what is there and then the end of the stream, and cannot
/// write any more.
#[derive(Debug)]
pub(super) struct PipeTransport {
    input: Arc<Pipe>,
    output: Arc<Pipe>,
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe(Mutex<Flow>);

#[derive(Debug, Default)]
struct Flow {
    bytes: BytesMut,
    /// The writer is done or gone.
    ended: bool,
    /// The reader is gone.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    /// Changes something, then wakes both sides if that concerns them.
    fn change(&self, change: impl FnOnce(&mut Flow)) {
        let mut flow = lock(&self.0);
        change(&mut flow);
        let woken = [flow.reader.take(), flow.writer.take()];
        drop(flow);
        woken.into_iter().flatten().for_each(Waker::wake);
    }

    /// Whoever gives no waker is not woken, nor by what it gave before.
    fn read(&self, waker: Option<&Waker>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        let mut flow = lock(&self.0);
        let len = flow.bytes.len().min(buf.capacity() - buf.len());
        if len == 0 && !flow.ended {
            let former = match waker {
                Some(waker) => set(&mut flow.reader, waker),
                None => flow.reader.take(),
            };
            drop((flow, former));
            return Poll::Pending;
        }
        buf.extend_from_slice(&flow.bytes[..len]);
        flow.bytes.advance(len);
        let writer = flow.writer.take();
        drop(flow);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(len))
    }

    fn poll_write(&self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut flow = lock(&self.0);
        if flow.ended || flow.unread {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY - flow.bytes.len();
        if room == 0 && bufs.iter().any(|buf| !buf.is_empty()) {
            let former = set(&mut flow.writer, cx.waker());
            drop((flow, former));
            return Poll::Pending;
        }
        let mut len = 0;
        for buf in bufs {
            let part = buf.len().min(room - len);
            flow.bytes.extend_from_slice(&buf[..part]);
            len += part;
        }
        let reader = flow.reader.take();
        drop(flow);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(len))
    }
}

impl Transport for PipeTransport {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.input.read(Some(cx.waker()), buf)
    }

    fn try_read(&mut self, buf: &mut BytesMut) -> Option<Poll<io::Result<usize>>> {
        Some(self.input.read(None, buf))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.output.poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.output.poll_write(cx, bufs)
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.change(|flow| flow.ended = true);
        Poll::Ready(Ok(()))
    }
}

impl Drop for PipeTransport {
    fn drop(&mut self) {
        self.output.change(|flow| flow.ended = true);
        self.input.change(|flow| flow.unread = true);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(end: &mut PipeTransport, cx: &mut Context<'_>, room: usize) -> Poll<Vec<u8>> {
        let mut buf = BytesMut::with_capacity(room);
        end.poll_read(cx, &mut buf).map(|len| {
            assert_eq!(len.expect("no error"), buf.len());
            buf.to_vec()
        })
    }

    fn error(polled: Poll<io::Result<usize>>) -> Option<io::ErrorKind> {
        match polled {
            Poll::Ready(Err(error)) => Some(error.kind()),
            _ => None,
        }
    }

    #[test]
    fn a_full_pipe_takes_no_more_until_its_reader_has_read() {
        let woken = Arc::<Woken>::default();
        let waker = woken.clone().into();
        let mut cx = Context::from_waker(&waker);
        let (mut one, mut other) = duplex();
        let large = vec![7; CAPACITY + 1];
        assert!(matches!(one.poll_write(&mut cx, &large), Poll::Ready(Ok(CAPACITY))));
        assert!(one.poll_write(&mut cx, &[8]).is_pending());
        assert!(matches!(other.poll_write(&mut cx, &[9]), Poll::Ready(Ok(1))), "the other way");
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        assert_eq!(read(&mut other, &mut cx, 1000), Poll::Ready(vec![7; 1000]));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(matches!(one.poll_write(&mut cx, &large), Poll::Ready(Ok(1000))));
    }

    #[test]
    fn several_pieces_are_written_as_far_as_there_is_room() {
        let mut cx = Context::from_waker(Waker::noop());
        let (mut one, mut other) = duplex();
        let pieces = [&[1][..], &[2; CAPACITY - 3], &[3; 5]].map(IoSlice::new);
        let written = one.poll_write_vectored(&mut cx, &pieces);
        assert!(matches!(written, Poll::Ready(Ok(CAPACITY))));
        assert!(one.poll_write_vectored(&mut cx, &pieces).is_pending());
        let expected = [&[1][..], &[2; CAPACITY - 3], &[3; 2]].concat();
        assert_eq!(read(&mut other, &mut cx, CAPACITY), Poll::Ready(expected));
    }

    #[test]
    fn a_reader_that_waits_is_woken_by_bytes_and_by_the_end() {
        let woken = Arc::<Woken>::default();
        let waker = woken.clone().into();
        let mut cx = Context::from_waker(&waker);
        let (mut one, mut other) = duplex();
        assert!(read(&mut other, &mut cx, 10).is_pending());
        assert!(matches!(one.poll_write(&mut cx, b"ab"), Poll::Ready(Ok(2))));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(read(&mut other, &mut cx, 10), Poll::Ready(b"ab".to_vec()));
        assert!(read(&mut other, &mut cx, 10).is_pending());
        assert!(one.poll_close(&mut cx).is_ready());
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert_eq!(read(&mut other, &mut cx, 10), Poll::Ready(Vec::new()));
        assert_eq!(error(one.poll_write(&mut cx, b"c")), Some(io::ErrorKind::BrokenPipe));
        assert!(matches!(other.poll_write(&mut cx, b"d"), Poll::Ready(Ok(1))), "half open");
        assert_eq!(read(&mut one, &mut cx, 10), Poll::Ready(b"d".to_vec()));
    }

    #[test]
    fn what_was_written_before_an_end_was_dropped_can_be_read() {
        let woken = Arc::<Woken>::default();
        let waker = woken.clone().into();
        let mut cx = Context::from_waker(&waker);
        let (mut one, mut other) = duplex();
        assert!(matches!(one.poll_write(&mut cx, b"ab"), Poll::Ready(Ok(2))));
        while other.poll_write(&mut cx, &[7; 1000]).is_ready() {}
        drop(one);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "the writer");
        assert_eq!(error(other.poll_write(&mut cx, b"c")), Some(io::ErrorKind::BrokenPipe));
        assert_eq!(read(&mut other, &mut cx, 10), Poll::Ready(b"ab".to_vec()));
        assert_eq!(read(&mut other, &mut cx, 10), Poll::Ready(Vec::new()));
    }
}
