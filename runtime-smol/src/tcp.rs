//! Byte transports over smol's TCP.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use gridmux_core::driver::resolver::Resolver;
use gridmux_core::driver::runtime::{self, BoxFuture, Connector, Listener, Transport};
use gridmux_core::driver::tcp_progress::TcpProgress;
use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;
use socket2::SockRef;

/// Bytes of one read at most.
const READ: usize = 256 * 1024;

thread_local! {
    /// Where a read goes before its bytes are appended: smol reads into initialised memory, and to
    /// clear all of a buffer for each read would cost more than to copy what came.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One TCP connection.
#[derive(Debug)]
pub struct TcpTransport {
    stream: TcpStream,
    progress: TcpProgress,
}

impl TcpTransport {
    /// Takes a connection over: no Nagle, and a bound on what the system holds unsent.
    ///
    /// # Errors
    /// The system refuses an option: the connection is gone already.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        let socket = SockRef::from(&stream);
        socket.set_tcp_nodelay(true)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_notsent_lowat(runtime::UNSENT)?;
        let progress = TcpProgress::new(&stream);
        Ok(Self { stream, progress })
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.progress.on_written(bytes);
        }
        written
    }
}

fn read_into(
    buf: &mut BytesMut,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    let room = (buf.capacity() - buf.len()).min(READ);
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < room {
            scratch.resize(room, 0);
        }
        let len = ready!(read(&mut scratch[..room]))?;
        buf.extend_from_slice(&scratch[..len]);
        Poll::Ready(Ok(len))
    })
}

impl Transport for TcpTransport {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        read_into(buf, |scratch| Pin::new(&mut self.stream).poll_read(cx, scratch))
    }

    /// Without the reactor, whose threads need several system calls to tell of what they find.
    fn try_read(&mut self, buf: &mut BytesMut) -> Option<Poll<io::Result<usize>>> {
        let socket = SockRef::from(&self.stream);
        Some(read_into(buf, |scratch| match (&*socket).read(scratch) {
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Poll::Pending
            }
            read => Poll::Ready(read),
        }))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.count(written)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.count(written)
    }

    fn unsent(&self) -> Option<usize> {
        self.progress.unsent(&self.stream)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Plain TCP to the host and port of a node's name, whatever its scheme. Each has a [`Resolver`] of its own,
/// which its clones share.
#[derive(Clone, Debug, Default)]
pub struct TcpConnector {
    resolver: Resolver,
}

impl Connector for TcpConnector {
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        runtime::connect(&self.resolver, name, |address| async move {
            TcpTransport::new(TcpStream::connect(address).await?)
        })
    }
}

/// Accepts TCP connections.
#[derive(Debug)]
pub(crate) struct TcpListener {
    listener: Async<std::net::TcpListener>,
}

impl TcpListener {
    pub(crate) fn bind(address: &str) -> io::Result<Self> {
        // The standard library tries every address of the host, and takes the port over at once
        // from a node that was restarted; but it holds only 128 connections.
        let listener = std::net::TcpListener::bind(address)?;
        SockRef::from(&listener).listen(runtime::BACKLOG)?;
        Ok(Self { listener: Async::new(listener)? })
    }
}

impl Listener for TcpListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Transport>>> {
        loop {
            match self.listener.get_ref().accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.listener.poll_readable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
                Ok((stream, _)) => {
                    let stream = TcpStream::from(Async::new(stream)?);
                    let transport = TcpTransport::new(stream);
                    return Poll::Ready(transport.map(|transport| Box::new(transport) as _));
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.get_ref().local_addr()
    }
}
