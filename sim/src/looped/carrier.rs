//! Transports, and the sockets that know what their bytes mean.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use gridmux_core::driver::runtime::{BoxFuture, Connector, Transport};
use gridmux_core::event::{LinkCommand, LinkId};
use gridmux_core::grid::GridState;
use gridmux_core::socket::Socket;
use gridmux_core::time::{Instant, Now};

/// The most that is read at a time where the loop reads by itself.
const READ_AT_ONCE: usize = 16 * 1024;

type Opening = BoxFuture<'static, io::Result<Box<dyn Transport>>>;

/// All transports of a node.
pub(super) struct Carriers {
    connector: Box<dyn Connector>,
    open: BTreeMap<u64, (Box<dyn Transport>, Socket)>,
    opening: Vec<(Arc<str>, LinkId, Opening)>,
    last_number: u64,
}

impl Carriers {
    pub(super) fn new(connector: Box<dyn Connector>) -> Self {
        Self { connector, open: BTreeMap::new(), opening: Vec::new(), last_number: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When to look at them again at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.open.values().filter_map(|(_, socket)| socket.poll_timeout()).min()
    }

    /// Takes a connection that has come in.
    pub(super) fn accept(&mut self, now: Now, grid: &mut GridState, transport: Box<dyn Transport>) {
        let socket = Socket::accepted(grid, now.instant, transport.remote_addr());
        self.insert(transport, socket);
    }

    fn insert(&mut self, transport: Box<dyn Transport>, mut socket: Socket) {
        self.last_number += 1;
        if manner(self.last_number) == Manner::Readiness {
            // It may be both: it would block otherwise.
            socket.handle_ready(true, true);
        }
        self.open.insert(self.last_number, (transport, socket));
    }

    /// Does what a peer wants.
    pub(super) fn obey(&mut self, now: Now, peer: Arc<str>, command: LinkCommand) {
        match command {
            LinkCommand::Dial { link } => {
                let opening = self.connector.connect(&peer);
                self.opening.push((peer, link, opening));
            }
            LinkCommand::Close { link, how, .. } => {
                self.opening.retain(|(name, number, _)| (name, *number) != (&peer, link));
                let mut sockets = self.open.values_mut().map(|(_, socket)| socket);
                if let Some(socket) = sockets.find(|socket| socket.link() == Some((&peer, link))) {
                    socket.close(now.instant, how);
                }
            }
            other => unreachable!("a command of a later version: {other:?}"),
        }
    }

    /// Goes on with what is being dialled; whether anything has come of it.
    pub(super) fn dial(&mut self, now: Now, grid: &mut GridState, cx: &mut Context<'_>) -> bool {
        let mut done = Vec::new();
        self.opening.retain_mut(|(peer, link, opening)| match opening.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(opened) => {
                done.push((peer.clone(), *link, opened));
                false
            }
        });
        let any = !done.is_empty();
        for (peer, link, opened) in done {
            match opened {
                Ok(transport) => {
                    let socket = Socket::dialled(grid, now, &peer, link);
                    self.insert(transport, socket);
                }
                Err(error) => grid.handle_dial_failed(now, &peer, link, error.into()),
            }
        }
        any
    }

    /// Moves bytes, there and back. What would block is looked at again when the task is woken.
    pub(super) fn transfer(
        &mut self,
        now: Now,
        grid: &mut GridState,
        woken: bool,
        cx: &mut Context<'_>,
    ) {
        for (number, (transport, socket)) in &mut self.open {
            match manner(*number) {
                Manner::Buffers => by_hand(transport, socket, now, grid, cx),
                Manner::Elsewhere => read_elsewhere(transport, socket, now, grid, cx),
                Manner::Readiness => {
                    socket.handle_ready(woken, woken);
                    socket.transfer(now, grid, &mut Bound { transport, cx });
                }
            }
        }
        // What is dropped is closed.
        self.open.retain(|_, (_, socket)| !socket.is_finished());
    }
}

/// How a loop can drive a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It tells the socket what is ready.
    Readiness,
    /// It gives the socket what was read elsewhere.
    Elsewhere,
    /// It reads into and writes from the buffers of the socket.
    Buffers,
}

/// Sockets take turns in how they are driven.
const fn manner(number: u64) -> Manner {
    match number % 3 {
        0 => Manner::Buffers,
        1 => Manner::Readiness,
        _ => Manner::Elsewhere,
    }
}

/// Reads and writes with the buffers of the socket.
fn by_hand(
    transport: &mut Box<dyn Transport>,
    socket: &mut Socket,
    now: Now,
    grid: &mut GridState,
    cx: &mut Context<'_>,
) {
    while socket.wants_read() {
        let buf = socket.read_buf();
        buf.reserve(1);
        match transport.poll_read(cx, buf) {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => socket.handle_eof(),
            Poll::Ready(Ok(bytes)) => socket.handle_read(now.instant, bytes),
            Poll::Ready(Err(error)) => socket.handle_failure(error.into()),
        }
        socket.drive(now, grid);
    }
    socket.drive(now, grid);
    while !socket.write_buf().is_empty() {
        match transport.poll_write(cx, socket.write_buf()) {
            Poll::Pending => break,
            Poll::Ready(Ok(bytes)) => socket.handle_written(now.instant, bytes),
            Poll::Ready(Err(error)) => socket.handle_failure(error.into()),
        }
        socket.drive(now, grid);
    }
}

/// Gives the socket what was read without it.
fn read_elsewhere(
    transport: &mut Box<dyn Transport>,
    socket: &mut Socket,
    now: Now,
    grid: &mut GridState,
    cx: &mut Context<'_>,
) {
    let mut bytes = BytesMut::with_capacity(READ_AT_ONCE);
    while socket.wants_read() {
        bytes.clear();
        match transport.poll_read(cx, &mut bytes) {
            Poll::Pending => break,
            Poll::Ready(Ok(_)) => socket.receive(now, grid, &bytes),
            Poll::Ready(Err(error)) => socket.handle_failure(error.into()),
        }
    }
    socket.drive(now, grid);
    let mut bound = Bound { transport, cx };
    while !socket.write_buf().is_empty() && socket.write_to(now.instant, &mut bound) {
        socket.drive(now, grid);
    }
}

/// A transport that does not block, for the time of one turn.
struct Bound<'a, 'b> {
    transport: &'a mut Box<dyn Transport>,
    cx: &'a mut Context<'b>,
}

fn unless_pending<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Bound<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut bytes = BytesMut::with_capacity(buf.len());
        let len = unless_pending(self.transport.poll_read(self.cx, &mut bytes))?;
        buf[..len].copy_from_slice(&bytes);
        Ok(len)
    }
}

impl Write for Bound<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        unless_pending(self.transport.poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        unless_pending(self.transport.poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
