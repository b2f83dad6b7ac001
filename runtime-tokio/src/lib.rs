//! gridmux on tokio.
#![forbid(unsafe_code)]

mod clock;
mod tcp;

use std::io;

use gridmux_core::driver::runtime::{BoxFuture, Clock, Connector, Listener, Runtime, Transport};
use tokio::runtime::Handle;

pub use gridmux_core::*;

pub use self::tcp::TcpTransport;

/// A node that runs on tokio; see [`gridmux_core::handle::Grid`].
pub type Grid = handle::Grid<Tokio>;

/// Settings of a [`Grid`]; see [`gridmux_core::builder::Builder`].
pub type Builder = builder::Builder<Tokio>;

/// The tokio runtime that was current when this was made.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Option<Handle>,
    clock: clock::TokioClock,
}

impl Default for Tokio {
    fn default() -> Self {
        Self { handle: Handle::try_current().ok(), clock: clock::TokioClock::new() }
    }
}

impl Clock for Tokio {
    fn instant(&self) -> time::Instant {
        self.clock.instant()
    }

    fn now(&self) -> time::Now {
        self.clock.now()
    }

    fn timer(&self) -> Box<dyn driver::runtime::Timer> {
        let _entered = self.handle.as_ref().map(Handle::enter);
        Box::new(clock::Alarm::new(self.clock))
    }
}

impl Runtime for Tokio {
    fn check(&self) -> io::Result<()> {
        match self.handle {
            Some(_) => Ok(()),
            None => Err(io::Error::other("not within a tokio runtime")),
        }
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        if let Some(handle) = &self.handle {
            handle.spawn(future);
        }
    }

    fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        self.check()?;
        let _entered = self.handle.as_ref().map(Handle::enter);
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
            let stream = tokio::net::TcpStream::connect(target).await?;
            Ok(Box::new(TcpTransport::new(stream)?) as Box<dyn Transport>)
        })
    }
}
