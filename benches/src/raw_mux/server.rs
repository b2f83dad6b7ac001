//! The answering side.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::frame::{Batch, Kind, Mode, invalid};
use super::link::{Flush, Link, Side};
use super::read::{Frame, FrameReader};
use super::waiters::Inbox;
use crate::work::Tally;

/// How the server runs what answers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handlers {
    /// Within the task that reads the connection.
    Inline,
    /// Each call and each stream as a task of its own.
    Tasks,
}

/// A server that sends every request back as its response, until it is dropped.
#[derive(Debug)]
pub struct RawServer {
    addr: SocketAddr,
    accept: AbortHandle,
}

impl RawServer {
    /// Listens on a free port of the loopback address.
    ///
    /// # Errors
    ///
    /// If there is no such port.
    pub async fn bind(handlers: Handlers) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let accept = tokio::spawn(accept(listener, handlers)).abort_handle();
        Ok(Self { addr, accept })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn accept(listener: TcpListener, handlers: Handlers) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(serve(socket, handlers));
                }
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A client never has so many calls and streams open.
const MAX_SLOTS: usize = 1 << 20;

/// The streams of a connection. The lower half of an id is the client's slot, which finds the
/// stream without hashing.
#[derive(Debug)]
struct Streams<T>(Vec<Option<(u64, T)>>);

impl<T> Default for Streams<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Streams<T> {
    fn insert(&mut self, id: u64, stream: T) -> io::Result<()> {
        let slot = id as u32 as usize;
        if slot >= MAX_SLOTS {
            return Err(invalid("too many streams"));
        }
        if slot >= self.0.len() {
            self.0.resize_with(slot + 1, || None);
        }
        self.0[slot] = Some((id, stream));
        Ok(())
    }

    #[inline]
    fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        let (found, stream) = self.0.get_mut(id as u32 as usize)?.as_mut()?;
        (*found == id).then_some(stream)
    }

    fn remove(&mut self, id: u64) -> Option<T> {
        let slot = self.0.get_mut(id as u32 as usize)?;
        Some(slot.take_if(|(found, _)| *found == id)?.1)
    }
}

/// Items that wait for the task of their stream.
type Inboxes = Streams<Inbox>;

impl Side for Inboxes {
    fn fail(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.0.iter_mut().flatten().filter_map(|(_, inbox)| inbox.fail()));
    }
}

/// Serves one connection until it is lost.
async fn serve(socket: TcpStream, handlers: Handlers) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let (input, output) = socket.into_split();
    let link = Arc::new(Link::new(output, Inboxes::default()));
    let mut writer = JoinSet::new();
    writer.spawn(Arc::clone(&link).write());
    let reader = FrameReader::new(input);
    let ended = match handlers {
        Handlers::Inline => serve_inline(&link, reader).await,
        Handlers::Tasks => serve_with_tasks(&link, reader).await,
    };
    link.close(io::ErrorKind::ConnectionReset);
    ended
}

/// Answers within the reader: all that one read brought becomes one batch.
async fn serve_inline(
    link: &Link<Inboxes>,
    mut reader: FrameReader<OwnedReadHalf>,
) -> io::Result<()> {
    let mut streams = Streams::default();
    while reader.fill().await? {
        let answered = link.send(Flush::Now, |out| {
            loop {
                match reader.next() {
                    Ok(Some(frame)) => match answer(frame, &mut streams, out) {
                        Ok(()) => {}
                        Err(error) => break Err(error),
                    },
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            }
        })?;
        answered?;
    }
    Ok(())
}

/// A stream that is served inline: what it does, and what has come.
type InlineStream = (Mode, Tally);

fn answer(frame: Frame, streams: &mut Streams<InlineStream>, out: &mut Batch) -> io::Result<()> {
    let call = frame.header.call;
    match frame.header.kind {
        Kind::Request => out.push(Kind::Response, call, frame.payload),
        Kind::Response => return Err(invalid("a response to a server")),
        Kind::Open => match Mode::decode(&frame.payload)? {
            Mode::Server(ask) => {
                let item = ask.item();
                for _ in 0..ask.items {
                    out.push(Kind::Item, call, item.clone());
                }
                out.push_copy(Kind::End, call, &[]);
            }
            mode => streams.insert(call, (mode, Tally::default()))?,
        },
        Kind::Item => match streams.get_mut(call) {
            Some((Mode::Echo, _)) => out.push(Kind::Item, call, frame.payload),
            Some((_, tally)) => tally.add(&frame.payload),
            None => {}
        },
        Kind::End => match streams.remove(call) {
            Some((Mode::Client, tally)) => {
                out.push_copy(Kind::Response, call, &tally.encode());
            }
            Some(_) => out.push_copy(Kind::End, call, &[]),
            None => {}
        },
    }
    Ok(())
}

/// Answers every call and serves every stream in a task of its own.
async fn serve_with_tasks(
    link: &Arc<Link<Inboxes>>,
    mut reader: FrameReader<OwnedReadHalf>,
) -> io::Result<()> {
    let mut frames = Vec::new();
    let mut wakers = Vec::new();
    let mut calls = Vec::new();
    let mut streams = Vec::new();
    while reader.fill().await? {
        while let Some(frame) = reader.next()? {
            frames.push(frame);
        }
        let flush = if frames.len() > 1 { Flush::Soon } else { Flush::Now };
        let mut inboxes = link.side();
        for Frame { header, payload } in frames.drain(..) {
            match header.kind {
                Kind::Request => calls.push((header.call, payload)),
                Kind::Response => return Err(invalid("a response to a server")),
                Kind::Open => {
                    streams.push((header.call, Mode::decode(&payload)?));
                    inboxes.insert(header.call, Inbox::default())?;
                }
                Kind::Item | Kind::End => {
                    if let Some(inbox) = inboxes.get_mut(header.call) {
                        wakers.extend(inbox.deliver(header.kind, payload));
                    }
                }
            }
        }
        drop(inboxes);
        for (call, payload) in calls.drain(..) {
            tokio::spawn(respond(Arc::clone(link), call, payload, flush));
        }
        for (call, mode) in streams.drain(..) {
            tokio::spawn(serve_stream(Arc::clone(link), call, mode));
        }
        wakers.drain(..).for_each(Waker::wake);
    }
    Ok(())
}

/// The handler of a call.
async fn respond(link: Arc<Link<Inboxes>>, call: u64, payload: Bytes, flush: Flush) {
    // Where the connection is lost, nobody waits for the response.
    let _ = link.send(flush, |out| out.push(Kind::Response, call, payload));
}

/// The handler of a stream.
async fn serve_stream(link: Arc<Link<Inboxes>>, call: u64, mode: Mode) {
    let send =
        |kind, payload| link.send(Flush::Soon, |out: &mut Batch| out.push(kind, call, payload));
    let served = async {
        match mode {
            Mode::Server(ask) => {
                let item = ask.item();
                for _ in 0..ask.items {
                    send(Kind::Item, item.clone())?;
                }
                send(Kind::End, Bytes::new())
            }
            Mode::Client | Mode::Echo => {
                let mut tally = Tally::default();
                let mut items = VecDeque::new();
                while take_items(&link, call, &mut items).await? {
                    for item in items.drain(..) {
                        match mode {
                            Mode::Echo => send(Kind::Item, item)?,
                            _ => tally.add(&item),
                        }
                    }
                }
                if mode == Mode::Echo {
                    return send(Kind::End, Bytes::new());
                }
                send(Kind::Response, Bytes::copy_from_slice(&tally.encode()))
            }
        }
    };
    // Where the connection is lost, nobody waits for the rest.
    let _: io::Result<()> = served.await;
    link.side().remove(call);
}

async fn take_items(
    link: &Link<Inboxes>,
    call: u64,
    items: &mut VecDeque<Bytes>,
) -> io::Result<bool> {
    poll_fn(|cx| match link.side().get_mut(call) {
        Some(inbox) => inbox.poll_take(cx, items),
        None => Poll::Ready(Ok(false)),
    })
    .await
}
