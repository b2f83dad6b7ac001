//! How much of what was written to a TCP socket the other end has: Linux tells.

#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::AsFd;

/// Counts what was written to a socket, and asks the system how much of it has arrived: what
/// [`Transport::unsent`](super::runtime::Transport::unsent) of a TCP transport is made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpProgress {
    written: u64,
    /// Bytes that the other end had acknowledged before the first of those.
    before: u64,
}

impl TcpProgress {
    /// A socket to which this transport has not written yet.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn new(socket: &impl AsFd) -> Self {
        Self { written: 0, before: acknowledged(socket).unwrap_or_default() }
    }

    /// The system has taken this many bytes.
    pub const fn on_written(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    /// Bytes that the system has taken and the other end's has not acknowledged; `None` if the system
    /// does not tell. One system call.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn unsent(&self, socket: &impl AsFd) -> Option<usize> {
        let arrived = acknowledged(socket)?.saturating_sub(self.before);
        usize::try_from(self.written.saturating_sub(arrived)).ok()
    }

    /// This system does not tell.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub fn new<T>(_socket: &T) -> Self {
        Self::default()
    }

    /// This system does not tell.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub fn unsent<T>(&self, _socket: &T) -> Option<usize> {
        None
    }
}

/// `tcpi_bytes_acked` of `struct tcp_info`: the 16th of its words of 64 bits, in Linux since 4.1.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn acknowledged(socket: &impl AsFd) -> Option<u64> {
    const BYTES_ACKED: usize = 15;
    let info = nix::sys::socket::getsockopt(socket, tcp_info::TcpInfo).ok()?;
    Some(info[BYTES_ACKED])
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod tcp_info {
    use nix::{getsockopt_impl, libc, sockopt_impl};

    sockopt_impl!(TcpInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u64; 17]);
}
