//! Byte transports over tokio's TCP.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use gridmux_core::driver::runtime::{Listener, Transport};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Bytes that the system may hold unsent: what a link ping waits behind.
const UNSENT: u32 = 128 * 1024;

/// One TCP connection.
#[derive(Debug)]
pub struct TcpTransport {
    stream: TcpStream,
}

impl TcpTransport {
    /// Takes a connection over: no Nagle, and a bound on what the system holds unsent.
    ///
    /// # Errors
    /// The system refuses an option: the connection is gone already.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)?;
        Ok(Self { stream })
    }
}

impl Transport for TcpTransport {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[derive(Debug)]
pub(crate) struct TcpListener {
    listener: tokio::net::TcpListener,
}

impl TcpListener {
    pub(crate) fn bind(address: &str) -> io::Result<Self> {
        let mut last = None;
        for address in address.to_socket_addrs()? {
            match Self::bind_one(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("the address names no host")))
    }

    fn bind_one(address: SocketAddr) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
            SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
        };
        // A restarted node takes its port over at once.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { listener: socket.listen(1024)? })
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
