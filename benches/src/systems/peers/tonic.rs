//! tonic: gRPC over HTTP/2 on TCP. Its messages are prost's; the service is written by hand as
//! tonic's generator writes it, since that needs protoc.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::iter::repeat_n;
use std::net::Ipv4Addr;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{SinkExt, StreamExt, stream};
use gridmux_tokio::Tokio;
use tonic::body::Body;
use tonic::client::Grpc as GrpcClient;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{
    ClientStreamingService, Grpc, ServerStreamingService, StreamingService, UnaryService,
};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::Task;
use crate::systems::System;
use crate::work::{Ask, Checker, Client, Tally};

const ECHO: &str = "/gridmux.bench.Bench/Echo";
const SERVE: &str = "/gridmux.bench.Bench/Serve";
const COUNT: &str = "/gridmux.bench.Bench/Count";
const TALK: &str = "/gridmux.bench.Bench/Talk";

/// HTTP/2 windows that no workload has to wait for.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Every message here.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    data: Bytes,
}

type Codec = ProstCodec<Payload, Payload>;

/// A server and its client.
#[derive(Debug)]
pub struct Tonic {
    runtime: Tokio,
    client: TonicClient,
    _server: Task,
}

impl Tonic {
    /// Starts both on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If they cannot be connected.
    pub async fn start() -> io::Result<Self> {
        let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let addr = incoming.local_addr()?;
        let server = tonic::transport::Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .serve_with_incoming(Bench, incoming.with_nodelay(Some(true)));
        let server = Task::spawn(server);
        let channel = Endpoint::from_shared(format!("http://{addr}"))
            .map_err(io::Error::other)?
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect()
            .await
            .map_err(io::Error::other)?;
        let client = TonicClient { grpc: GrpcClient::new(channel) };
        Ok(Self { runtime: Tokio::default(), client, _server: server })
    }
}

/// The service.
#[derive(Clone, Copy, Debug)]
struct Bench;

impl Service<http::Request<Body>> for Bench {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(Codec::default());
            Ok(match request.uri().path() {
                ECHO => grpc.unary(Self, request).await,
                SERVE => grpc.server_streaming(Self, request).await,
                COUNT => grpc.client_streaming(Self, request).await,
                TALK => grpc.streaming(Self, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

impl UnaryService<Payload> for Bench {
    type Response = Payload;
    type Future = Ready<Result<Response<Payload>, Status>>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl ServerStreamingService<Payload> for Bench {
    type Response = Payload;
    type ResponseStream = stream::Map<
        stream::Iter<std::iter::RepeatN<Payload>>,
        fn(Payload) -> Result<Payload, Status>,
    >;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        ready(match Ask::decode(&request.get_ref().data) {
            Ok(ask) => {
                let item = Payload { data: ask.item() };
                let items = stream::iter(repeat_n(item, ask.items as usize));
                Ok(Response::new(items.map(Ok as fn(_) -> _)))
            }
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        })
    }
}

impl ClientStreamingService<Payload> for Bench {
    type Response = Payload;
    type Future = BoxFuture<Response<Payload>, Status>;

    fn call(&mut self, request: Request<Streaming<Payload>>) -> Self::Future {
        Box::pin(async {
            let mut tally = Tally::default();
            let mut items = request.into_inner();
            while let Some(item) = items.message().await? {
                tally.add(&item.data);
            }
            Ok(Response::new(Payload { data: Bytes::copy_from_slice(&tally.encode()) }))
        })
    }
}

impl StreamingService<Payload> for Bench {
    type Response = Payload;
    type ResponseStream = Streaming<Payload>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Payload>>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl System for Tonic {
    type Runtime = Tokio;
    type Client = TonicClient;

    fn runtime(&self) -> &Tokio {
        &self.runtime
    }

    fn client(&self) -> io::Result<TonicClient> {
        Ok(self.client.clone())
    }

    async fn stop(self) {}
}

/// The calling side.
#[derive(Clone, Debug)]
pub struct TonicClient {
    grpc: GrpcClient<Channel>,
}

impl TonicClient {
    async fn ready(&mut self) -> io::Result<&mut GrpcClient<Channel>> {
        self.grpc.ready().await.map_err(io::Error::other)?;
        Ok(&mut self.grpc)
    }
}

fn path(of: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(of)
}

fn request(data: Bytes) -> Request<Payload> {
    Request::new(Payload { data })
}

impl Client for TonicClient {
    async fn echo(&mut self, payload: Bytes) -> io::Result<Bytes> {
        let call = self.ready().await?.unary(request(payload), path(ECHO), Codec::default());
        let response: Response<Payload> = call.await.map_err(io::Error::other)?;
        Ok(response.into_inner().data)
    }

    async fn server_stream(&mut self, ask: Ask, check: &mut Checker) -> io::Result<()> {
        let request = request(Bytes::copy_from_slice(&ask.encode()));
        let call = self.ready().await?.server_streaming(request, path(SERVE), Codec::default());
        let mut items: Streaming<Payload> = call.await.map_err(io::Error::other)?.into_inner();
        while let Some(item) = items.message().await.map_err(io::Error::other)? {
            check.item(&item.data)?;
        }
        Ok(())
    }

    async fn client_stream(&mut self, items: u32, item: Bytes) -> io::Result<Bytes> {
        let items = stream::iter(repeat_n(Payload { data: item }, items as usize));
        let request = Request::new(items);
        let call = self.ready().await?.client_streaming(request, path(COUNT), Codec::default());
        let response: Response<Payload> = call.await.map_err(io::Error::other)?;
        Ok(response.into_inner().data)
    }

    async fn two_way(&mut self, items: u32, item: Bytes, check: &mut Checker) -> io::Result<()> {
        let (mut sender, outgoing) = futures::channel::mpsc::channel(1);
        let request = Request::new(outgoing);
        let call = self.ready().await?.streaming(request, path(TALK), Codec::default());
        let mut back: Streaming<Payload> = call.await.map_err(io::Error::other)?.into_inner();
        for _ in 0..items {
            let item = Payload { data: item.clone() };
            sender.send(item).await.map_err(io::Error::other)?;
            let item = back.message().await.map_err(io::Error::other)?;
            check.item(&item.ok_or(io::ErrorKind::UnexpectedEof)?.data)?;
        }
        drop(sender);
        match back.message().await.map_err(io::Error::other)? {
            Some(item) => check.item(&item.data),
            None => Ok(()),
        }
    }
}
