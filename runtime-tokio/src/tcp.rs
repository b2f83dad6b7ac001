//! Byte transports over tokio's TCP.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use gridmux_core::driver::resolver::Resolver;
use gridmux_core::driver::runtime::{self, BoxFuture, Connector, Listener, Transport};
use gridmux_core::driver::tcp_progress::TcpProgress;
use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

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

impl Transport for TcpTransport {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, buf)
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
        Pin::new(&mut self.stream).poll_shutdown(cx)
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
    listener: tokio::net::TcpListener,
}

impl TcpListener {
    pub(crate) fn bind(address: &str) -> io::Result<Self> {
        // The standard library tries every address of the host, and takes the port over at once
        // from a node that was restarted; but it holds only 128 connections.
        let listener = std::net::TcpListener::bind(address)?;
        SockRef::from(&listener).listen(runtime::BACKLOG)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: tokio::net::TcpListener::from_std(listener)? })
    }
}

impl Listener for TcpListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Transport>>> {
        let (stream, _) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(TcpTransport::new(stream).map(|transport| Box::new(transport) as _))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
