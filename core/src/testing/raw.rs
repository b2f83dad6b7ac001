//! The protocol by hand over a real connection: a client that need not behave.

use std::io;

use bytes::{Buf, Bytes, BytesMut};

use crate::auth::{Auth, SharedSecret};
use crate::driver::runtime::{Runtime, Transport};
use crate::link::link_message;
use crate::node::{DEFAULT_ROUTE, authority};
use crate::websocket::{Channel, ClientUpgrade, Incoming, MAX_HEADER_LEN, Role};
use crate::wire::{Connect, ConnectResponse, MessageRef, Op, Timestamp};

/// One connection to a node, with nothing said yet.
pub struct Raw {
    transport: Box<dyn Transport>,
    channel: Channel,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw").finish_non_exhaustive()
    }
}

impl Raw {
    /// Opens a connection to the node of this name.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn connect<R: Runtime>(runtime: &R, node: &str) -> Self {
        let transport = runtime.connector().connect(node).await.expect("the node listens");
        Self::new(transport)
    }

    /// A connection that has been opened otherwise.
    pub fn new(transport: Box<dyn Transport>) -> Self {
        Self { transport, channel: Channel::new(Role::Client, 32 << 20, 1) }
    }

    /// Whether the two ends have addresses, as they have on sockets and not in memory.
    pub fn has_address(&self) -> bool {
        self.transport.remote_addr().is_some()
    }

    /// A good token for a node of this name.
    ///
    /// # Panics
    /// Never.
    pub fn token(name: &str, now: Timestamp) -> String {
        SharedSecret::new(crate::test_util::SECRET).expect("long enough").issue(name, now)
    }

    /// Writes these bytes as they are.
    ///
    /// # Errors
    /// The node has closed.
    pub async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = std::future::poll_fn(|cx| self.transport.poll_write(cx, bytes)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Everything that the node sends until it closes.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = BytesMut::new();
        loop {
            all.reserve(1024);
            let read = std::future::poll_fn(|cx| self.transport.poll_read(cx, &mut all)).await;
            if !matches!(read, Ok(1..)) {
                return all.into();
            }
        }
    }

    /// Asks for the upgrade.
    ///
    /// # Errors
    /// The status and the reason of the refusal.
    ///
    /// # Panics
    /// If the node answers with anything but HTTP.
    pub async fn upgrade(&mut self, node: &str, token: &str, nanos: i128) -> Result<(), String> {
        let host = authority(node).expect("a node's name");
        let (upgrade, request) =
            ClientUpgrade::new(host, DEFAULT_ROUTE, token, nanos, [7; 16]).expect("good input");
        self.write(&request).await.map_err(|error| error.to_string())?;
        let mut head = BytesMut::new();
        loop {
            head.reserve(1024);
            let read = std::future::poll_fn(|cx| self.transport.poll_read(cx, &mut head)).await;
            let answer = match read {
                Ok(1..) => upgrade.handle(&head),
                Ok(0) | Err(_) => Err(upgrade.handle_end(&head)),
            };
            match answer {
                Ok(None) => {}
                Ok(Some(len)) => {
                    head.advance(len);
                    self.channel.read_buf().extend_from_slice(&head);
                    return Ok(());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Sends one message, in a frame of its own.
    ///
    /// # Errors
    /// The node has closed.
    pub async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let mut frame = vec![0; MAX_HEADER_LEN];
        frame.extend_from_slice(message);
        let start = self.channel.seal(&mut frame, MAX_HEADER_LEN);
        self.write(&frame[start..]).await
    }

    /// The next message; `None` once the node has closed.
    pub async fn receive(&mut self) -> Option<Bytes> {
        loop {
            match self.channel.poll_message() {
                Ok(Some(Incoming::Message(message))) => return Some(message),
                Ok(Some(Incoming::Close(_))) | Err(_) => return None,
                Ok(None) => {}
            }
            let buf = self.channel.read_buf();
            let read = std::future::poll_fn(|cx| self.transport.poll_read(cx, buf)).await;
            if !matches!(read, Ok(1..)) {
                return None;
            }
        }
    }

    /// The Connect of a node of this name, encoded.
    pub fn hello(name: &str, instance: [u8; 16], token: String, time: Timestamp) -> Vec<u8> {
        let mut payload = Vec::new();
        Connect { id: instance, host: name.into(), time, token }.encode(&mut payload);
        let mut message = Vec::new();
        link_message(Op::Connect, &payload).encode(&mut message);
        message
    }

    /// Says who it is, after the upgrade.
    ///
    /// # Errors
    /// The reason of the refusal, or that the node has closed.
    pub async fn greet(&mut self, hello: &[u8]) -> Result<(), String> {
        self.send(hello).await.map_err(|error| error.to_string())?;
        let answer = self.receive().await.ok_or("closed")?;
        let decoded = MessageRef::decode(&answer).map_err(|error| error.to_string())?;
        let response = ConnectResponse::decode(decoded.message.payload);
        let response = response.map_err(|error| error.to_string())?;
        if response.accepted { Ok(()) } else { Err(response.rejected_reason) }
    }

    /// Connects as the node `name` in all order.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn join<R: Runtime>(runtime: &R, node: &str, name: &str, instance: u8) -> Self {
        let mut raw = Self::connect(runtime, node).await;
        let wall = runtime.now().wall;
        let token = Self::token(name, wall);
        raw.upgrade(node, &token, wall.to_unix_nanos()).await.expect("upgraded");
        let hello = Self::hello(name, [instance; 16], token, wall);
        raw.greet(&hello).await.expect("accepted");
        raw
    }
}
