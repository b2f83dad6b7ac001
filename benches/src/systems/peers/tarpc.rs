//! tarpc over its serde transport on TCP, encoded as postcard. It has no streams.

use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use gridmux_tokio::Tokio;
use serde::{Serialize, de::DeserializeOwned};
use tarpc::server::{self, BaseChannel, Channel};
use tarpc::tokio_serde::{Deserializer, Serializer};
use tarpc::tokio_util::codec::LengthDelimitedCodec;
use tarpc::{client, context, serde_transport};
use tokio::net::{TcpListener, TcpStream};

use super::Task;
use crate::systems::System;
use crate::work::Client;

/// Calls that wait to be written, at either end: more than there are callers.
const BUFFER: usize = 1024;

#[tarpc::service]
trait Echo {
    async fn echo(payload: Bytes) -> Bytes;
}

#[derive(Clone, Copy)]
struct Handler;

impl Echo for Handler {
    async fn echo(self, _: context::Context, payload: Bytes) -> Bytes {
        payload
    }
}

/// A server and its client.
#[derive(Debug)]
pub struct Tarpc {
    runtime: Tokio,
    client: EchoClient,
    _server: Task,
}

impl Tarpc {
    /// Starts both on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If they cannot be connected.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let server = Task::spawn(serve(listener));
        let mut config = client::Config::default();
        config.pending_request_buffer = BUFFER;
        let transport = transport(TcpStream::connect(addr).await?)?;
        let client = EchoClient::new(config, transport).spawn();
        Ok(Self { runtime: Tokio::default(), client, _server: server })
    }
}

/// Serves one connection, each request on a task of its own.
async fn serve(listener: TcpListener) -> io::Result<()> {
    let (socket, _) = listener.accept().await?;
    let config = server::Config { pending_response_buffer: BUFFER };
    let requests = BaseChannel::new(config, transport(socket)?).execute(Handler.serve());
    requests
        .for_each(|response| async {
            tokio::spawn(response);
        })
        .await;
    Ok(())
}

type Transport<Item, SinkItem> = serde_transport::Transport<TcpStream, Item, SinkItem, Postcard>;

fn transport<Item, SinkItem>(socket: TcpStream) -> io::Result<Transport<Item, SinkItem>>
where
    Item: DeserializeOwned,
    SinkItem: Serialize,
{
    socket.set_nodelay(true)?;
    let framed = LengthDelimitedCodec::builder().new_framed(socket);
    Ok(serde_transport::new(framed, Postcard))
}

/// The encoding.
#[derive(Debug)]
struct Postcard;

impl<T: Serialize> Serializer<T> for Postcard {
    type Error = io::Error;

    fn serialize(self: Pin<&mut Self>, item: &T) -> io::Result<Bytes> {
        postcard::to_allocvec(item).map(Bytes::from).map_err(io::Error::other)
    }
}

impl<T: DeserializeOwned> Deserializer<T> for Postcard {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, bytes: &BytesMut) -> io::Result<T> {
        postcard::from_bytes(bytes).map_err(io::Error::other)
    }
}

impl System for Tarpc {
    type Runtime = Tokio;
    type Client = TarpcClient;

    fn runtime(&self) -> &Tokio {
        &self.runtime
    }

    fn client(&self) -> io::Result<TarpcClient> {
        Ok(TarpcClient(self.client.clone()))
    }

    async fn stop(self) {}
}

/// The calling side.
#[derive(Clone, Debug)]
pub struct TarpcClient(EchoClient);

impl Client for TarpcClient {
    async fn echo(&mut self, payload: Bytes) -> io::Result<Bytes> {
        self.0.echo(context::current(), payload).await.map_err(io::Error::other)
    }
}
