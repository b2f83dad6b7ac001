//! Who takes part.

use std::fmt;
use std::io;
use std::time::Duration;

use clap::ValueEnum;
use gridmux_core::driver::runtime::BoxFuture;
use gridmux_smol::Smol;
use gridmux_tokio::Tokio;

use super::BesideLarge;
use crate::load::{Rate, closed_loop_on};
use crate::raw_mux;
use crate::systems::{Handlers, Ours, Raw, System, Tarpc, Tonic, Yamux};
use crate::work::{Worker, Workload};

/// One of the systems that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Contender {
    /// gridmux on tokio, a task for each handler.
    Ours,
    /// gridmux on tokio, handlers on the link's task; it has no streams.
    OursInline,
    /// The raw multiplexer, which answers within its reader.
    Raw,
    /// The raw multiplexer, a task for each handler.
    RawTasks,
    /// gRPC over HTTP/2.
    Tonic,
    /// RPC over TCP; it has no streams.
    Tarpc,
    /// A stream for each call.
    Yamux,
    /// gridmux on smol, a task for each handler.
    Smol,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Contender {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ours,
        Self::OursInline,
        Self::Raw,
        Self::RawTasks,
        Self::Tonic,
        Self::Tarpc,
        Self::Yamux,
        Self::Smol,
    ];

    /// Its name, in tables and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursInline => "ours-inline",
            Self::Raw => "raw",
            Self::RawTasks => "raw-tasks",
            Self::Tonic => "tonic",
            Self::Tarpc => "tarpc",
            Self::Yamux => "yamux",
            Self::Smol => "smol",
        }
    }

    /// Whether it can do this work at all.
    pub const fn can(self, workload: &Workload) -> bool {
        !(workload.is_stream() && matches!(self, Self::OursInline | Self::Tarpc))
    }

    /// Starts both of its ends.
    ///
    /// # Errors
    ///
    /// If they cannot be connected.
    pub async fn start(self) -> io::Result<Box<dyn Running>> {
        Ok(match self {
            Self::Ours => Box::new(Ours::start(Tokio::default(), Handlers::Tasks).await?),
            Self::OursInline => Box::new(Ours::start(Tokio::default(), Handlers::Inline).await?),
            Self::Smol => Box::new(Ours::start(Smol::default(), Handlers::Tasks).await?),
            Self::Raw => Box::new(Raw::start(raw_mux::Handlers::Inline).await?),
            Self::RawTasks => Box::new(Raw::start(raw_mux::Handlers::Tasks).await?),
            Self::Tonic => Box::new(Tonic::start().await?),
            Self::Tarpc => Box::new(Tarpc::start().await?),
            Self::Yamux => Box::new(Yamux::start().await?),
        })
    }
}

/// A system whose both ends are connected.
pub trait Running: Send + Sync {
    /// Has the callers of a workload call for so long.
    ///
    /// # Errors
    ///
    /// If a call fails, or its answer is wrong.
    fn run<'a>(
        &'a self,
        workload: &'a Workload,
        duration: Duration,
    ) -> BoxFuture<'a, io::Result<Rate>>;

    /// Has small calls and large ones made apart and then together, for so long each.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    fn beside_large(&self, duration: Duration) -> BoxFuture<'_, io::Result<BesideLarge>>;

    /// Ends both sides.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

impl<S: System> Running for S {
    fn run<'a>(
        &'a self,
        workload: &'a Workload,
        duration: Duration,
    ) -> BoxFuture<'a, io::Result<Rate>> {
        Box::pin(async move {
            let workers = Worker::all(&self.client()?, workload);
            let rate = closed_loop_on(self.runtime(), workers, duration).await;
            // A measurement in which a call failed is none.
            if rate.failed > 0 {
                let Workload { name, callers, .. } = workload;
                let failed = rate.failed;
                return Err(io::Error::other(format!("{name}: {failed} of {callers} failed")));
            }
            Ok(rate)
        })
    }

    fn beside_large(&self, duration: Duration) -> BoxFuture<'_, io::Result<BesideLarge>> {
        Box::pin(BesideLarge::measure(self, duration))
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(System::stop(*self))
    }
}
