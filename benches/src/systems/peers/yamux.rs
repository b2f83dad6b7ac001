//! yamux over TCP, a stream for each call: what libp2p does. Messages have a length before them;
//! a call's first byte says what it is.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use gridmux_tokio::Tokio;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, ConnectionError, Mode, Stream};

use super::Task;
use crate::systems::System;
use crate::work::{Ask, Checker, Client, Tally};

const ECHO: u8 = 1;
const SERVE: u8 = 2;
const COUNT: u8 = 3;
const TALK: u8 = 4;

/// Messages up to this size are copied behind their length, so that both leave in one frame.
const ONE_FRAME: usize = 16 << 10;

/// Yamux reads and writes a frame's header and its body apart: buffered, that is one system call.
type Socket = BufReader<BufWriter<Compat<TcpStream>>>;

/// A server and its client.
#[derive(Debug)]
pub struct Yamux {
    runtime: Tokio,
    client: YamuxClient,
    _tasks: [Task; 2],
}

impl Yamux {
    /// Starts both on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If they cannot be connected.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let socket = TcpStream::connect(listener.local_addr()?).await?;
        let (accepted, _) = listener.accept().await?;
        let (open, asked) = mpsc::unbounded_channel();
        let client = run(connection(socket, Mode::Client)?, Some(asked));
        let server = run(connection(accepted, Mode::Server)?, None);
        let tasks = [Task::spawn(client), Task::spawn(server)];
        Ok(Self { runtime: Tokio::default(), client: YamuxClient { open }, _tasks: tasks })
    }
}

fn connection(socket: TcpStream, mode: Mode) -> io::Result<Connection<Socket>> {
    socket.set_nodelay(true)?;
    let socket = BufReader::new(BufWriter::new(socket.compat()));
    Ok(Connection::new(socket, Config::default(), mode))
}

/// Who wants a stream.
type Asked = mpsc::UnboundedReceiver<oneshot::Sender<Stream>>;

/// Drives one end of the connection: gives streams to whoever asks, and serves those that come in.
async fn run(mut connection: Connection<Socket>, mut asked: Option<Asked>) {
    let mut waiting = None;
    while let Ok(stream) = poll_fn(|cx| {
        poll_open(&mut connection, &mut asked, &mut waiting, cx)?;
        connection.poll_next_inbound(cx).map(|next| next.unwrap_or(Err(ConnectionError::Closed)))
    })
    .await
    {
        tokio::spawn(serve(stream));
    }
}

/// Opens as many streams as are asked for and may be opened now.
fn poll_open(
    connection: &mut Connection<Socket>,
    asked: &mut Option<Asked>,
    waiting: &mut Option<oneshot::Sender<Stream>>,
    cx: &mut Context<'_>,
) -> Result<(), ConnectionError> {
    let Some(asked) = asked else { return Ok(()) };
    loop {
        if waiting.is_none() {
            match asked.poll_recv(cx) {
                Poll::Ready(next @ Some(_)) => *waiting = next,
                Poll::Ready(None) => return Err(ConnectionError::Closed),
                Poll::Pending => return Ok(()),
            }
        }
        match connection.poll_new_outbound(cx)? {
            Poll::Ready(stream) => {
                if let Some(waiting) = waiting.take() {
                    // Whoever has given up waiting drops the stream.
                    let _ = waiting.send(stream);
                }
            }
            Poll::Pending => return Ok(()),
        }
    }
}

/// Serves one call. Where the stream fails, nobody waits for the rest.
async fn serve(mut stream: Stream) -> io::Result<()> {
    let mut kind = [0];
    stream.read_exact(&mut kind).await?;
    match kind[0] {
        ECHO => {
            let payload = receive(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            send(&mut stream, None, &payload).await?;
        }
        SERVE => {
            let ask = receive(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let ask = Ask::decode(&ask)?;
            let item = ask.item();
            for _ in 0..ask.items {
                send(&mut stream, None, &item).await?;
            }
        }
        COUNT => {
            let mut tally = Tally::default();
            while let Some(item) = receive(&mut stream).await? {
                tally.add(&item);
            }
            send(&mut stream, None, &tally.encode()).await?;
        }
        TALK => {
            while let Some(item) = receive(&mut stream).await? {
                send(&mut stream, None, &item).await?;
            }
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    stream.close().await
}

/// Sends a message, behind the kind of the call if it is its first.
async fn send(stream: &mut Stream, kind: Option<u8>, message: &[u8]) -> io::Result<()> {
    let len = (message.len() as u32).to_le_bytes();
    let (copied, rest) = message.split_at(message.len().min(ONE_FRAME));
    let mut frame = Vec::with_capacity(5 + copied.len());
    frame.extend(kind);
    frame.extend_from_slice(&len);
    frame.extend_from_slice(copied);
    stream.write_all(&frame).await?;
    stream.write_all(rest).await
}

/// The next message; `None` at the end of the stream.
async fn receive(stream: &mut Stream) -> io::Result<Option<Bytes>> {
    let mut len = [0; 4];
    match stream.read(&mut len).await? {
        0 => return Ok(None),
        read => stream.read_exact(&mut len[read..]).await?,
    }
    let mut message = vec![0; u32::from_le_bytes(len) as usize];
    stream.read_exact(&mut message).await?;
    Ok(Some(message.into()))
}

impl System for Yamux {
    type Runtime = Tokio;
    type Client = YamuxClient;

    fn runtime(&self) -> &Tokio {
        &self.runtime
    }

    fn client(&self) -> io::Result<YamuxClient> {
        Ok(self.client.clone())
    }

    async fn stop(self) {}
}

/// The calling side.
#[derive(Clone, Debug)]
pub struct YamuxClient {
    open: mpsc::UnboundedSender<oneshot::Sender<Stream>>,
}

impl YamuxClient {
    async fn open(&self) -> io::Result<Stream> {
        let (sender, stream) = oneshot::channel();
        self.open.send(sender).map_err(|_| io::ErrorKind::ConnectionReset)?;
        stream.await.map_err(|_| io::ErrorKind::ConnectionReset.into())
    }
}

impl Client for YamuxClient {
    async fn echo(&mut self, payload: Bytes) -> io::Result<Bytes> {
        let mut stream = self.open().await?;
        send(&mut stream, Some(ECHO), &payload).await?;
        Ok(receive(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?)
    }

    async fn server_stream(&mut self, ask: Ask, check: &mut Checker) -> io::Result<()> {
        let mut stream = self.open().await?;
        send(&mut stream, Some(SERVE), &ask.encode()).await?;
        while let Some(item) = receive(&mut stream).await? {
            check.item(&item)?;
        }
        Ok(())
    }

    async fn client_stream(&mut self, items: u32, item: Bytes) -> io::Result<Bytes> {
        let mut stream = self.open().await?;
        for number in 0..items {
            send(&mut stream, (number == 0).then_some(COUNT), &item).await?;
        }
        stream.close().await?;
        Ok(receive(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?)
    }

    async fn two_way(&mut self, items: u32, item: Bytes, check: &mut Checker) -> io::Result<()> {
        let mut stream = self.open().await?;
        for number in 0..items {
            send(&mut stream, (number == 0).then_some(TALK), &item).await?;
            check.item(&receive(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?)?;
        }
        stream.close().await?;
        match receive(&mut stream).await? {
            Some(item) => check.item(&item),
            None => Ok(()),
        }
    }
}
