//! A peer that has proved who it is, and then keeps no rule: the protocol's bytes by hand.

use std::io::{self, ErrorKind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gridmux_core::route::Shape;
use gridmux_core::websocket::{Channel, Incoming, Role, UpgradeRequest};
use gridmux_core::wire::{
    Connect, ConnectResponse, Flags, Header, MessageRef, Op, Timestamp, for_each_message,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::attacks::Target;
use super::names::{LARGE, PANIC, PULL, SINK, SLOW, SOURCE, TOKEN, TYPED, address};

const MIB: usize = 1 << 20;

/// How much is written at a time.
const BATCH: usize = 64 << 10;

/// An attacker that was thrown out comes again after this long.
const AGAIN: Duration = Duration::from_millis(50);

/// The binary opcode of WebSocket, the last frame of its message.
const BINARY: u8 = 0x82;

/// One link to the node under attack.
struct Hostile {
    stream: TcpStream,
    channel: Channel,
}

impl Hostile {
    /// Dials and connects as an honest peer does.
    async fn dial(target: &Target) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address(&target.name)).await?;
        stream.write_all(&head(address(&target.name), TOKEN, now().to_unix_nanos())).await?;
        read_head(&mut stream).await?;
        let id = now().to_unix_nanos().to_be_bytes();
        let connect =
            Connect { id, host: target.hostile.clone(), time: now(), token: TOKEN.into() };
        let mut payload = Vec::new();
        connect.encode(&mut payload);
        stream.write_all(&masked(BINARY, &plain(Header::new(Op::Connect), &payload))).await?;
        let mut hostile = Self { stream, channel: Channel::new(Role::Client, 32 * MIB, 1) };
        hostile.read_until(|header| header.op == Op::ConnectResponse).await?;
        Ok(hostile)
    }

    /// Reads messages until `found` says that this is the one.
    async fn read_until(&mut self, found: impl Fn(Header) -> bool) -> io::Result<Header> {
        let wrong = |error: &dyn std::fmt::Display| {
            io::Error::new(ErrorKind::InvalidData, error.to_string())
        };
        loop {
            while let Some(incoming) = self.channel.poll_message().map_err(|error| wrong(&error))? {
                let Incoming::Message(frame) = incoming else {
                    return Err(ErrorKind::ConnectionReset.into());
                };
                let mut one = None;
                for_each_message(&frame, usize::MAX, |message| {
                    one = one.or(Some(message.header).filter(|header| found(*header)));
                })
                .map_err(|error| wrong(&error))?;
                if let Some(header) = one {
                    return Ok(header);
                }
            }
            if self.stream.read_buf(self.channel.read_buf()).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Writes what `more` appends, a batch at a time, as fast as the other end takes it.
    async fn flood(
        &mut self,
        target: &Target,
        mut more: impl FnMut(&mut Vec<u8>),
    ) -> io::Result<()> {
        let mut batch = Vec::new();
        while !target.is_over() {
            batch.clear();
            let mut count = 0;
            while batch.len() < BATCH {
                more(&mut batch);
                count += 1;
            }
            self.stream.write_all(&batch).await?;
            target.count(count);
        }
        Ok(())
    }

    /// Nothing more is written or read, and the connection stays.
    async fn hold(&self, target: &Target) {
        while !target.is_over() {
            sleep(AGAIN).await;
        }
    }
}

/// Does it again on a new link as often as the node ends the link.
async fn again_and_again(target: Target, attack: impl AsyncFn(Hostile, &Target) -> io::Result<()>) {
    while !target.is_over() {
        if let Ok(hostile) = Hostile::dial(&target).await {
            let _ = attack(hostile, &target).await;
        }
        sleep(AGAIN).await;
    }
}

pub(crate) async fn credits(target: Target) {
    again_and_again(target, async |mut hostile, target| {
        let (mut mux, mut seq) = (1, 0);
        hostile
            .flood(target, |batch| {
                // A stream that was ended for it is followed by another one.
                if seq % 100_000 == 0 {
                    (mux, seq) = (mux + 1, 0);
                    let flags = Flags::PAYLOAD_IS_ZERO;
                    let open = Header {
                        handler: SINK.info().handler,
                        ..about(Op::ConnectMux, mux, flags)
                    };
                    batch.extend(masked(BINARY, &plain(open, &[])));
                }
                seq += 1;
                let item = Header { seq, ..about(Op::MuxClientMsg, mux, Flags::PAYLOAD_IS_ZERO) };
                batch.extend(masked(BINARY, &plain(item, &[])));
            })
            .await
    })
    .await;
}

pub(crate) async fn callee_credits(target: Target) {
    again_and_again(target, async |mut hostile, target| {
        let info = SOURCE.info();
        assert!(matches!(info.shape, Shape::Stream { .. }), "a stream of the callee's items");
        hostile.stream.write_all(&request(PULL.info().handler, 1, &[])).await?;
        let opened = hostile.read_until(|header| header.op == Op::ConnectMux).await?;
        let ack = about(Op::AckMux, opened.mux, Flags::empty());
        hostile.stream.write_all(&masked(BINARY, &plain(ack, &[]))).await?;
        let mut seq = 0;
        hostile
            .flood(target, |batch| {
                seq += 1;
                let flags = Flags::PAYLOAD_IS_ZERO;
                let item = Header { seq, ..about(Op::MuxServerMsg, opened.mux, flags) };
                batch.extend(masked(BINARY, &plain(item, &[])));
            })
            .await
    })
    .await;
}

pub(crate) async fn slow_handlers(target: Target) {
    again_and_again(target, async |mut hostile, target| {
        let payload = vec![9; MIB];
        for mux in 1..=1000 {
            hostile.stream.write_all(&request(SLOW.info().handler, mux, &payload)).await?;
            target.count(1);
        }
        hostile.hold(target).await;
        Ok(())
    })
    .await;
}

pub(crate) async fn unread_answers(target: Target) {
    again_and_again(target, async |mut hostile, target| {
        for mux in 1..=1000 {
            hostile.stream.write_all(&request(LARGE.info().handler, mux, &[])).await?;
            target.count(1);
        }
        hostile.hold(target).await;
        Ok(())
    })
    .await;
}

pub(crate) async fn typed(target: Target) {
    again_and_again(target, async |mut hostile, target| {
        let lists = 16_000_000_u32;
        let mut payload = vec![0xdd];
        payload.extend_from_slice(&lists.to_be_bytes());
        payload.resize(payload.len() + lists as usize, 0x90);
        for mux in 1..=4 {
            hostile.stream.write_all(&request(TYPED.info().handler, mux, &payload)).await?;
            target.count(1);
        }
        hostile.hold(target).await;
        Ok(())
    })
    .await;
}

pub(crate) async fn merged(target: Target) {
    again_and_again(target, async |mut hostile, target| {
        let parts = 1_500_000;
        // The shortest message that means nothing to the node.
        let part = plain(Header { mux: 5, ..Header::new(Op::UnblockClMux) }, &[]);
        let mut frame = plain(Header { seq: parts, ..Header::new(Op::Merged) }, &[]);
        for _ in 0..parts {
            frame.extend([0xc4, part.len() as u8]);
            frame.extend_from_slice(&part);
        }
        let frame = masked(BINARY, &frame);
        while !target.is_over() {
            hostile.stream.write_all(&frame).await?;
            target.count(1);
        }
        Ok(())
    })
    .await;
}

pub(crate) async fn fragments(target: Target) {
    again_and_again(target, async |mut hostile, target| {
        // A binary message that begins and never ends.
        hostile.stream.write_all(&masked(0x02, &[])).await?;
        let fragment = masked(0, &[]);
        hostile.flood(target, |batch| batch.extend_from_slice(&fragment)).await
    })
    .await;
}

pub(crate) async fn pings(target: Target) {
    again_and_again(target, async |mut hostile, target| {
        let link = masked(BINARY, &plain(Header::new(Op::Ping), &[]));
        let websocket = masked(0x89, &[7; 100]);
        hostile
            .flood(target, |batch| {
                batch.extend_from_slice(&link);
                batch.extend_from_slice(&websocket);
            })
            .await
    })
    .await;
}

pub(crate) async fn unknown_muxes(target: Target) {
    again_and_again(target, async |mut hostile, target| {
        let mut mux = 1000;
        hostile
            .flood(target, |batch| {
                mux += 1;
                batch.extend(masked(
                    BINARY,
                    &plain(about(Op::MuxClientMsg, mux, Flags::empty()), &[]),
                ));
            })
            .await
    })
    .await;
}

pub(crate) async fn panics(target: Target) {
    again_and_again(target, async |mut hostile, target| {
        let (mut mux, handler) = (0, PANIC.info().handler);
        let mut dropped = Vec::with_capacity(BATCH);
        while !target.is_over() {
            let mut batch = Vec::new();
            for _ in 0..20 {
                mux += 1;
                batch.extend(request(handler, mux, &[]));
            }
            hostile.stream.write_all(&batch).await?;
            target.count(20);
            dropped.clear();
            if hostile.stream.read_buf(&mut dropped).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    })
    .await;
}

pub(crate) async fn rejected_reason(target: Target) {
    let refusal = ConnectResponse {
        id: [3; 16],
        accepted: false,
        rejected_reason: "no\r\n".repeat(4 * MIB - 100),
    };
    let mut payload = Vec::new();
    refusal.encode(&mut payload);
    let message = plain(Header::new(Op::ConnectResponse), &payload);
    let mut frame = vec![BINARY, 127];
    frame.extend_from_slice(&(message.len() as u64).to_be_bytes());
    frame.extend_from_slice(&message);
    let Ok(listener) = target.listener.try_clone() else { return };
    let _ = listener.set_nonblocking(true);
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    while !target.is_over() {
        let Ok(Ok((stream, _))) = timeout(AGAIN, listener.accept()).await else { continue };
        target.count(1);
        // The dialler may have gone before all of it has left.
        let _ = refuse(stream, &frame).await;
    }
}

async fn refuse(mut stream: TcpStream, frame: &[u8]) -> io::Result<()> {
    let head = read_head(&mut stream).await?;
    let parsed = UpgradeRequest::parse(&head);
    let Ok(Some((request, _))) = parsed else { return Err(ErrorKind::InvalidData.into()) };
    stream.write_all(&request.accept()).await?;
    stream.write_all(frame).await?;
    // Until the dialler has gone.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    Ok(())
}

/// The bytes up to an empty line.
async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// An upgrade request.
pub(crate) fn head(host: &str, token: &str, unix_nanos: i128) -> Vec<u8> {
    format!(
        "GET /minio/grid/v1 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Authorization: Bearer {token}\r\nX-Minio-Time: {unix_nanos}\r\n\r\n"
    )
    .into_bytes()
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_nanos(since.as_nanos() as i128)
}

fn about(op: Op, mux: u64, flags: Flags) -> Header {
    Header { mux, flags: flags | Flags::CRC, ..Header::new(op) }
}

fn request(handler: u8, mux: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header { handler, deadline_ms: 600_000, ..about(Op::Request, mux, Flags::EOF) };
    masked(BINARY, &plain(header, payload))
}

/// A message with exactly these flags.
fn plain(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    MessageRef { header, subroute: None, payload }.encode(&mut bytes);
    bytes
}

/// A WebSocket frame with a mask that changes nothing.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
