//! The calling side.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::AbortHandle;

use super::frame::{Kind, MAX_PAYLOAD, Mode};
use super::link::{Flush, Link};
use super::read::FrameReader;
use super::waiters::Waiters;
use crate::work::Ask;

/// A connection to a [`RawServer`](super::RawServer). Clones share it; the last one closes it.
#[derive(Debug, Clone)]
pub struct RawClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Arc<Link<Waiters>>,
    tasks: [AbortHandle; 2],
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl RawClient {
    /// Connects, and spawns the tasks that read and write.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(addr).await?;
        socket.set_nodelay(true)?;
        let (input, output) = socket.into_split();
        let link = Arc::new(Link::new(output, Waiters::default()));
        let writer = tokio::spawn(Arc::clone(&link).write());
        let reader = tokio::spawn(read(Arc::clone(&link), FrameReader::new(input)));
        let tasks = [writer.abort_handle(), reader.abort_handle()];
        Ok(Self { inner: Arc::new(Inner { link, tasks }) })
    }

    /// Sends a request when first polled, and resolves to its response. Dropping it forgets the
    /// call.
    pub fn call(&self, payload: Bytes) -> Call<'_> {
        Call { link: &self.inner.link, step: Step::New(payload) }
    }

    /// Opens a stream on which the server sends what is asked for.
    ///
    /// # Errors
    ///
    /// If the connection is lost.
    pub fn server_stream(&self, ask: Ask) -> io::Result<RawStream<'_>> {
        self.open(Mode::Server(ask))
    }

    /// Opens a stream whose only answer, after [`RawStream::finish`], is the server's
    /// [`Tally`](crate::work::Tally) of the items sent.
    ///
    /// # Errors
    ///
    /// If the connection is lost.
    pub fn client_stream(&self) -> io::Result<RawStream<'_>> {
        self.open(Mode::Client)
    }

    /// Opens a stream on which every item comes back.
    ///
    /// # Errors
    ///
    /// If the connection is lost.
    pub fn echo_stream(&self) -> io::Result<RawStream<'_>> {
        self.open(Mode::Echo)
    }

    /// How many calls and streams are open.
    pub fn open_calls(&self) -> usize {
        self.inner.link.side().len()
    }

    fn open(&self, mode: Mode) -> io::Result<RawStream<'_>> {
        let link = &*self.inner.link;
        let stream = RawStream { link, id: link.side().stream(), items: VecDeque::new() };
        link.send(Flush::Soon, |out| out.push_copy(Kind::Open, stream.id, &mode.encode()))?;
        Ok(stream)
    }
}

/// Reads until the connection is lost: the body of the reader task.
async fn read(link: Arc<Link<Waiters>>, mut reader: FrameReader<OwnedReadHalf>) {
    let mut wakers = Vec::new();
    loop {
        let received = match reader.fill().await {
            Ok(true) => deliver(&link, &mut reader, &mut wakers),
            Ok(false) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(error),
        };
        wakers.drain(..).for_each(Waker::wake);
        if let Err(error) = received {
            return link.close(error.kind());
        }
    }
}

/// Hands over all frames that have arrived, and collects whom to wake.
fn deliver(
    link: &Link<Waiters>,
    reader: &mut FrameReader<OwnedReadHalf>,
    wakers: &mut Vec<Waker>,
) -> io::Result<()> {
    let mut side = link.side();
    while let Some(frame) = reader.next()? {
        wakers.extend(side.deliver(frame));
    }
    Ok(())
}

/// A call: a future that resolves to the response, or to the error that ended the connection.
#[derive(Debug)]
#[must_use = "a call sends nothing until it is polled"]
pub struct Call<'a> {
    link: &'a Link<Waiters>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    New(Bytes),
    Waiting(u64),
    Over,
}

impl Call<'_> {
    fn start(&mut self, payload: Bytes, cx: &Context<'_>) -> io::Result<()> {
        if payload.len() > MAX_PAYLOAD {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let waker = cx.waker().clone();
        let mut side = self.link.side();
        let id = side.call(waker);
        let flush = if side.len() == 1 { Flush::Now } else { Flush::Soon };
        drop(side);
        // From here on, dropping the call frees its slot.
        self.step = Step::Waiting(id);
        self.link.send(flush, |out| out.push(Kind::Request, id, payload))
    }
}

impl Future for Call<'_> {
    type Output = io::Result<Bytes>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::New(payload) => {
                self.start(payload, cx)?;
                Poll::Pending
            }
            Step::Waiting(id) => {
                let result = self.link.side().poll_call(id, cx);
                if result.is_pending() {
                    self.step = Step::Waiting(id);
                }
                result
            }
            Step::Over => panic!("a call was polled after its end"),
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Step::Waiting(id) = self.step {
            self.link.side().remove(id);
        }
    }
}

/// One stream. Dropping it forgets what the server still sends.
#[derive(Debug)]
pub struct RawStream<'a> {
    link: &'a Link<Waiters>,
    id: u64,
    /// Items taken out of the connection's state already.
    items: VecDeque<Bytes>,
}

impl RawStream<'_> {
    /// Queues an item; it does not wait for the server to take it.
    ///
    /// # Errors
    ///
    /// If the connection is lost, or the item is larger than [`MAX_PAYLOAD`].
    pub fn send(&self, item: Bytes) -> io::Result<()> {
        if item.len() > MAX_PAYLOAD {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.push(Kind::Item, item)
    }

    /// Tells the server that no more items come.
    ///
    /// # Errors
    ///
    /// If the connection is lost.
    pub fn finish(&self) -> io::Result<()> {
        self.push(Kind::End, Bytes::new())
    }

    fn push(&self, kind: Kind, item: Bytes) -> io::Result<()> {
        self.link.send(Flush::Soon, |out| out.push(kind, self.id, item))
    }

    /// The next item from the server; `None` at the end.
    ///
    /// # Errors
    ///
    /// If the connection is lost.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.items.is_empty() {
            poll_fn(|cx| match self.link.side().inbox(self.id) {
                Some(inbox) => inbox.poll_take(cx, &mut self.items),
                None => Poll::Ready(Ok(false)),
            })
            .await?;
        }
        Ok(self.items.pop_front())
    }
}

impl Drop for RawStream<'_> {
    fn drop(&mut self) {
        self.link.side().remove(self.id);
    }
}
