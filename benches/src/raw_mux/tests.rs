use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::frame::{Batch, Kind};
use super::link::Side;
use super::read::FrameReader;
use super::waiters::{Inbox, Waiters};
use super::*;
use crate::work::{Ask, Tally};

const ASK: Ask = Ask { items: 1000, size: 513, fill: 7 };

/// Numbers that look random, and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }

    /// Mostly small, now and then of up to 100 KiB.
    fn payload(&mut self) -> Bytes {
        let limit = if self.below(4) == 0 { 100 << 10 } else { 1000 };
        (0..self.below(limit + 1)).map(|_| self.below(256) as u8).collect()
    }
}

async fn connect(handlers: Handlers) -> io::Result<(RawServer, RawClient)> {
    let server = RawServer::bind(handlers).await?;
    let client = RawClient::connect(server.addr()).await?;
    Ok((server, client))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_caller_gets_its_own_echo() {
    for handlers in [Handlers::Inline, Handlers::Tasks] {
        let (_server, client) = connect(handlers).await.unwrap();
        let mut callers = JoinSet::new();
        for caller in 0..50 {
            let client = client.clone();
            callers.spawn(async move {
                let mut numbers = Numbers(caller);
                for _ in 0..50 {
                    let payload = numbers.payload();
                    assert!(client.call(payload.clone()).await.unwrap() == payload);
                }
            });
        }
        while let Some(joined) = callers.join_next().await {
            joined.unwrap();
        }
        assert_eq!(client.open_calls(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_payloads_at_once() {
    for handlers in [Handlers::Inline, Handlers::Tasks] {
        let (_server, client) = connect(handlers).await.unwrap();
        let mut callers = JoinSet::new();
        for caller in 0..100_u8 {
            let client = client.clone();
            callers.spawn(async move {
                let payload = Bytes::from(vec![caller; (64 << 10) - 50 + usize::from(caller)]);
                assert!(client.call(payload.clone()).await.unwrap() == payload);
                let payload = Bytes::from(vec![caller; 1 << 20]);
                assert!(client.call(payload.clone()).await.unwrap() == payload);
            });
        }
        while let Some(joined) = callers.join_next().await {
            joined.unwrap();
        }
    }
}

#[tokio::test]
async fn too_large_a_payload_is_refused() {
    let (_server, client) = connect(Handlers::Inline).await.unwrap();
    let large = Bytes::from(vec![0; MAX_PAYLOAD + 1]);
    let refused = client.call(large.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    let stream = client.echo_stream().unwrap();
    assert_eq!(stream.send(large).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn streams() {
    for handlers in [Handlers::Inline, Handlers::Tasks] {
        let (_server, client) = connect(handlers).await.unwrap();

        let mut down = client.server_stream(ASK).unwrap();
        let mut up = client.client_stream().unwrap();
        let mut both = client.echo_stream().unwrap();
        let mut tally = Tally::default();
        for n in 0..100_u8 {
            tally.add(&[n; 500]);
            up.send(Bytes::from(vec![n; 500])).unwrap();
            both.send(Bytes::from(vec![n; 1000])).unwrap();
            assert_eq!(both.next().await.unwrap().unwrap(), vec![n; 1000]);
        }
        both.finish().unwrap();
        up.finish().unwrap();
        assert_eq!(both.next().await.unwrap(), None);
        assert_eq!(both.next().await.unwrap(), None);
        assert_eq!(up.next().await.unwrap().unwrap(), tally.encode()[..]);
        assert_eq!(up.next().await.unwrap(), None);
        for _ in 0..1000 {
            assert_eq!(down.next().await.unwrap().unwrap(), ASK.item());
        }
        assert_eq!(down.next().await.unwrap(), None);

        // A call finds its way between streams whose items nobody takes.
        let abandoned = client.server_stream(ASK).unwrap();
        assert_eq!(client.call(Bytes::from_static(b"between")).await.unwrap(), "between");
        assert_eq!(client.open_calls(), 4);
        drop((abandoned, down, up, both));
        assert_eq!(client.open_calls(), 0);
    }
}

/// A server that reads and never answers.
async fn silent() -> io::Result<(TcpListener, RawClient)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = RawClient::connect(listener.local_addr()?).await?;
    Ok((listener, client))
}

#[tokio::test]
async fn a_lost_connection_fails_all_that_wait() {
    let (listener, client) = silent().await.unwrap();
    let mut callers = JoinSet::new();
    for n in 0..20 {
        let client = client.clone();
        callers.spawn(async move {
            if n % 2 == 0 {
                return client.call(Bytes::from(vec![0; 100])).await.map(|_| ());
            }
            client.echo_stream()?.next().await.map(|_| ())
        });
    }
    while client.open_calls() < 20 {
        tokio::task::yield_now().await;
    }
    drop(listener.accept().await.unwrap());
    while let Some(joined) = callers.join_next().await {
        joined.unwrap().unwrap_err();
    }
    assert_eq!(client.open_calls(), 0);
    client.call(Bytes::new()).await.unwrap_err();
    client.client_stream().unwrap_err();
    assert_eq!(client.open_calls(), 0);
}

#[tokio::test]
async fn a_dropped_server_loses_its_connections() {
    let (server, client) = connect(Handlers::Tasks).await.unwrap();
    client.call(Bytes::new()).await.unwrap();
    let mut stream = client.echo_stream().unwrap();
    drop(server);
    stream.next().await.unwrap_err();
    drop(stream);
    client.call(Bytes::new()).await.unwrap_err();
}

#[tokio::test]
async fn nonsense_ends_the_connection() {
    let (listener, client) = silent().await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    peer.write_all(&[0xff; 20]).await.unwrap();
    let error = client.call(Bytes::new()).await.unwrap_err();
    assert!(
        matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::InvalidData),
        "{error}"
    );
}

#[tokio::test]
async fn a_dropped_client_ends_the_connection() {
    let (listener, client) = silent().await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    let other = client.clone();
    drop(client);
    other.client_stream().unwrap().send(Bytes::from_static(b"last")).unwrap();
    drop(other);
    let mut all = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), peer.read_to_end(&mut all))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_dropped_call_leaves_nothing() {
    let (_server, client) = connect(Handlers::Tasks).await.unwrap();
    drop(client.call(Bytes::from_static(b"never sent")));
    for round in 0..100 {
        let short = tokio::time::timeout(Duration::ZERO, client.call(Bytes::from(vec![1; 100])));
        let _ = short.await;
        assert_eq!(client.open_calls(), 0);
        // Its late response must not reach whoever has its slot now.
        assert_eq!(client.call(Bytes::from(vec![2; round])).await.unwrap(), vec![2; round]);
    }
}

#[tokio::test]
async fn a_lone_large_call_is_finished_by_the_writer() {
    let (listener, client) = silent().await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    let payload = Bytes::from(vec![9; 32 << 20]);
    let call = tokio::spawn(async move { client.call(payload).await });
    let mut left = (32 << 20) + frame::HEADER;
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        left -= peer.read(&mut buffer).await.unwrap();
    }
    drop(peer);
    call.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_lost_connection_wakes_inboxes_once() {
    let mut waiters = Waiters::default();
    let id = waiters.stream();
    let mut items = VecDeque::new();
    let polled = std::future::poll_fn(|cx| {
        let inbox: &mut Inbox = waiters.inbox(id).unwrap();
        assert!(inbox.poll_take(cx, &mut items).is_pending());
        let mut wakers = Vec::new();
        waiters.fail(&mut wakers);
        waiters.fail(&mut wakers);
        assert_eq!(wakers.len(), 1);
        waiters.inbox(id).unwrap().poll_take(cx, &mut items)
    });
    polled.await.unwrap_err();
    waiters.remove(id);
    waiters.remove(id);
    assert_eq!(waiters.len(), 0);
}

/// However the frames are cut into reads and writes, they come out whole.
#[tokio::test]
async fn frames_survive_any_cut() {
    let mut numbers = Numbers(1);
    let payloads: Vec<_> = (0..200).map(|_| numbers.payload()).collect();
    let (mut client, server) = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
        (client.await.unwrap(), listener.accept().await.unwrap().0)
    };
    let (input, output) = server.into_split();
    drop(input);
    let mut batch = Batch::default();
    for (call, payload) in payloads.iter().enumerate() {
        batch.push(Kind::Request, call as u64, payload.clone());
    }
    assert_eq!(batch.messages(), payloads.len());
    tokio::spawn(async move {
        while !batch.try_write(&output).unwrap() {
            output.writable().await.unwrap();
        }
    });
    let (mut cut, pieces) = tokio::io::duplex(3001);
    tokio::spawn(async move { tokio::io::copy(&mut client, &mut cut).await });
    let mut reader = FrameReader::new(pieces);
    let mut frames = Vec::new();
    while reader.fill().await.unwrap() {
        while let Some(frame) = reader.next().unwrap() {
            frames.push(frame);
        }
    }
    assert_eq!(frames.len(), payloads.len());
    for (call, (frame, payload)) in frames.iter().zip(&payloads).enumerate() {
        assert_eq!((frame.header.call, frame.header.kind), (call as u64, Kind::Request));
        assert!(frame.payload == payload);
    }
}
