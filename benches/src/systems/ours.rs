//! Two gridmux nodes in one process, joined over loopback.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use gridmux_core::auth::SharedSecret;
use gridmux_core::driver::runtime::{BoxFuture, Connector, Runtime, Transport};
use gridmux_core::error::CallError;
use gridmux_core::handle::{Context, Grid, Input, Output, PeerHandle};
use gridmux_core::link::dials;
use gridmux_core::payload::{NoPayload, Payload};
use gridmux_core::route::{ClientStream, ServerStream, TwoWay, Unary};

use super::System;
use crate::work::{Ask, Checker, Client, Tally};

/// An echo whose handler is a task.
const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");

/// An echo whose handler runs inline.
const ECHO_INLINE: Unary<Payload, Payload> = Unary::new(2, "echo-inline");

/// Room for all items of a stream and its end: the peers' windows have it, too.
const CAPACITY: u32 = 16;

const SERVE: ServerStream<Payload, Payload> = ServerStream::new(3, "serve").out_capacity(CAPACITY);
const COUNT: ClientStream<NoPayload, Payload, Payload> =
    ClientStream::new(4, "count").in_capacity(CAPACITY);

/// A stream whose items come back.
pub const TALK: TwoWay<NoPayload, Payload, Payload> =
    TwoWay::new(5, "talk").in_capacity(CAPACITY).out_capacity(CAPACITY);

/// Which echo is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handlers {
    /// Its handler is a task of its own.
    Tasks,
    /// Its handler is a function that runs on the link's task.
    Inline,
}

/// Two nodes that run on `R`.
#[derive(Debug)]
pub struct Ours<R: Runtime> {
    runtime: R,
    caller: Grid<R>,
    callee: Grid<R>,
    handlers: Handlers,
}

impl<R: Runtime> Ours<R> {
    /// Starts both nodes and waits for the link between them.
    ///
    /// # Errors
    ///
    /// If they cannot be started, or find no link.
    pub async fn start(runtime: R, handlers: Handlers) -> io::Result<Self> {
        let this = Self::build(runtime, handlers).await?;
        this.link().await?;
        Ok(this)
    }

    /// Both nodes, which do not dial before [`Self::link`].
    ///
    /// # Errors
    ///
    /// If they cannot be built.
    pub async fn build(runtime: R, handlers: Handlers) -> io::Result<Self> {
        let names = ["http://one:9000", "http://two:9000"];
        let (caller, callee) =
            if dials(names[0], names[1]) { (names[0], names[1]) } else { (names[1], names[0]) };
        let secret = SharedSecret::new("the secret of a bench").map_err(io::Error::other)?;
        let builder =
            |name| Grid::builder_on(runtime.clone(), name).peers(names).auth(secret.clone());
        let callee = serve(builder(callee)).bind("127.0.0.1:0").await.map_err(io::Error::other)?;
        let addr = callee.local_addr().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let connector = ToAddr { connector: runtime.connector(), name: format!("http://{addr}") };
        let caller = builder(caller).connector(connector).start_gate().build();
        Ok(Self { caller: caller.map_err(io::Error::other)?, runtime, callee, handlers })
    }

    /// Has the caller dial, and waits for the link.
    ///
    /// # Errors
    ///
    /// If there is none within ten seconds.
    pub async fn link(&self) -> io::Result<()> {
        self.caller.start();
        self.caller.connected(Duration::from_secs(10)).await.map_err(io::Error::other)
    }

    /// The callee, as the caller holds it.
    ///
    /// # Errors
    ///
    /// None: the callee is a peer of the caller.
    pub fn peer(&self) -> io::Result<PeerHandle> {
        self.caller.peer(self.callee.name()).map_err(io::Error::other)
    }
}

impl<R: Runtime> System for Ours<R> {
    type Runtime = R;
    type Client = OurClient;

    fn runtime(&self) -> &R {
        &self.runtime
    }

    fn client(&self) -> io::Result<OurClient> {
        let echo = match self.handlers {
            Handlers::Tasks => ECHO,
            Handlers::Inline => ECHO_INLINE,
        };
        Ok(OurClient { peer: self.peer()?, echo })
    }

    async fn stop(self) {
        self.caller.shutdown(Duration::ZERO).await;
        self.callee.shutdown(Duration::ZERO).await;
    }
}

fn serve<R: Runtime>(
    builder: gridmux_core::builder::Builder<R>,
) -> gridmux_core::builder::Builder<R> {
    builder
        .serve(ECHO, |payload, _: Context| async { Ok::<_, Infallible>(payload) })
        .serve_inline(ECHO_INLINE, |payload, _: &Context| Ok::<_, Infallible>(payload))
        .serve_stream(SERVE, |ask: Payload, mut output: Output<Payload>, _| async move {
            let ask = Ask::decode(&ask).map_err(|error| error.to_string())?;
            let item = Payload::from(ask.item());
            for _ in 0..ask.items {
                output.send(item.clone()).await.map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(())
        })
        .serve_input(COUNT, |_, mut input: Input<Payload>, _| async move {
            let mut tally = Tally::default();
            while let Some(item) = input.try_next().await.map_err(|error| error.to_string())? {
                tally.add(&item);
            }
            Ok::<_, String>(Payload::from(tally.encode().to_vec()))
        })
        .serve_two_way(
            TALK,
            |_, mut input: Input<Payload>, mut output: Output<Payload>, _| async move {
                while let Some(item) = input.try_next().await.map_err(|error| error.to_string())? {
                    output.send(item).await.map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            },
        )
}

/// The callee, and which of its echoes is called.
#[derive(Clone, Debug)]
pub struct OurClient {
    peer: PeerHandle,
    echo: Unary<Payload, Payload>,
}

impl Client for OurClient {
    async fn echo(&mut self, payload: Bytes) -> io::Result<Bytes> {
        let payload = Payload::from(payload);
        Ok(self.peer.call(self.echo, &payload).await.map_err(failed)?.into_bytes())
    }

    async fn server_stream(&mut self, ask: Ask, check: &mut Checker) -> io::Result<()> {
        let request = Payload::from(ask.encode().to_vec());
        let mut items = self.peer.open(SERVE, &request).await.map_err(failed)?;
        while let Some(item) = items.try_next().await.map_err(failed)? {
            check.item(&item)?;
        }
        Ok(())
    }

    async fn client_stream(&mut self, items: u32, item: Bytes) -> io::Result<Bytes> {
        let item = Payload::from(item);
        let mut call = self.peer.open(COUNT, &NoPayload).await.map_err(failed)?;
        for _ in 0..items {
            call.send(item.clone()).await.map_err(failed)?;
        }
        Ok(call.finish().await.map_err(failed)?.into_bytes())
    }

    async fn two_way(&mut self, items: u32, item: Bytes, check: &mut Checker) -> io::Result<()> {
        let item = Payload::from(item);
        let (mut sender, mut receiver) = self.peer.open(TALK, &NoPayload).await.map_err(failed)?;
        for _ in 0..items {
            sender.send(item.clone()).await.map_err(failed)?;
            let back = receiver.try_next().await.map_err(failed)?;
            check.item(&back.ok_or(io::ErrorKind::UnexpectedEof)?)?;
        }
        sender.close();
        match receiver.try_next().await.map_err(failed)? {
            Some(item) => check.item(&item),
            None => Ok(()),
        }
    }
}

fn failed(error: CallError) -> io::Error {
    io::Error::other(error)
}

/// Connects to one address, whoever is asked for: the listener's port is not known when the nodes
/// are named.
struct ToAddr {
    connector: Box<dyn Connector>,
    name: String,
}

impl Connector for ToAddr {
    fn connect(&self, _: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        self.connector.connect(&self.name)
    }
}
