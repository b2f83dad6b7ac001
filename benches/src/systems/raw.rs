//! The raw multiplexer.

use std::io;

use bytes::Bytes;
use gridmux_tokio::Tokio;

use super::System;
use crate::raw_mux::{Handlers, RawClient, RawServer};
use crate::work::{Ask, Checker, Client};

/// A server and its client.
#[derive(Debug)]
pub struct Raw {
    runtime: Tokio,
    client: RawClient,
    _server: RawServer,
}

impl Raw {
    /// Starts both on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If they cannot be connected.
    pub async fn start(handlers: Handlers) -> io::Result<Self> {
        let server = RawServer::bind(handlers).await?;
        let client = RawClient::connect(server.addr()).await?;
        Ok(Self { runtime: Tokio::default(), client, _server: server })
    }
}

impl System for Raw {
    type Runtime = Tokio;
    type Client = RawClient;

    fn runtime(&self) -> &Tokio {
        &self.runtime
    }

    fn client(&self) -> io::Result<RawClient> {
        Ok(self.client.clone())
    }

    async fn stop(self) {}
}

impl Client for RawClient {
    async fn echo(&mut self, payload: Bytes) -> io::Result<Bytes> {
        self.call(payload).await
    }

    async fn server_stream(&mut self, ask: Ask, check: &mut Checker) -> io::Result<()> {
        let mut stream = Self::server_stream(self, ask)?;
        while let Some(item) = stream.next().await? {
            check.item(&item)?;
        }
        Ok(())
    }

    async fn client_stream(&mut self, items: u32, item: Bytes) -> io::Result<Bytes> {
        let mut stream = Self::client_stream(self)?;
        for _ in 0..items {
            stream.send(item.clone())?;
        }
        stream.finish()?;
        stream.next().await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    async fn two_way(&mut self, items: u32, item: Bytes, check: &mut Checker) -> io::Result<()> {
        let mut stream = self.echo_stream()?;
        for _ in 0..items {
            stream.send(item.clone())?;
            let back = stream.next().await?;
            check.item(&back.ok_or(io::ErrorKind::UnexpectedEof)?)?;
        }
        stream.finish()?;
        match stream.next().await? {
            Some(item) => check.item(&item),
            None => Ok(()),
        }
    }
}
