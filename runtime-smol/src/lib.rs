//! gridmux on smol, and so on async-std, whose tasks run on the same reactor.
#![forbid(unsafe_code)]

mod clock;
mod tcp;

use std::io;

use gridmux_core::driver::runtime::{BoxFuture, Clock, Connector, Listener, Runtime, Transport};

pub use gridmux_core::*;

pub use self::tcp::TcpTransport;

/// A node that runs on smol; see [`gridmux_core::handle::Grid`].
pub type Grid = handle::Grid<Smol>;

/// Settings of a [`Grid`]; see [`gridmux_core::builder::Builder`].
pub type Builder = builder::Builder<Smol>;

/// smol's global executor and the reactor of async-io.
#[derive(Clone, Debug)]
pub struct Smol {
    clock: clock::SmolClock,
}

impl Default for Smol {
    fn default() -> Self {
        Self { clock: clock::SmolClock::new() }
    }
}

impl Clock for Smol {
    fn instant(&self) -> time::Instant {
        self.clock.instant()
    }

    fn now(&self) -> time::Now {
        self.clock.now()
    }

    fn timer(&self) -> Box<dyn driver::runtime::Timer> {
        Box::new(clock::Alarm::new(self.clock.clone()))
    }
}

impl Runtime for Smol {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        smol::spawn(future).detach();
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(tcp::TcpListener::bind(address)?))
    }

    fn connector(&self) -> Box<dyn Connector> {
        Box::new(TcpConnector)
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(bytes)
    }
}

/// Plain TCP to the host and port of a node's name.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let target = node::dial_target(name);
        Box::pin(async move {
            let target = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
            let stream = smol::net::TcpStream::connect(target).await?;
            Ok(Box::new(TcpTransport::new(stream)?) as Box<dyn Transport>)
        })
    }
}
