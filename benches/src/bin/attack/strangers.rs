//! Attackers without a token, at addresses of their own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use gridmux_core::wire::{Connect, Header, MessageRef, Op};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, sleep, timeout};

use super::attacks::Target;
use super::hostile::{head, masked, now};
use super::names::{TOKEN, address};

/// After this long a connection that was closed is made again.
const AGAIN: Duration = Duration::from_millis(50);

/// Connects from an address of the loopback that is not that of honest nodes.
async fn connect(target: &Target, from: usize) -> io::Result<TcpStream> {
    let to: SocketAddr = address(&target.name).parse().map_err(io::Error::other)?;
    let socket = TcpSocket::new_v4()?;
    // Not every system has more than one address of the loopback.
    let own = Ipv4Addr::new(127, 0, 9, 1 + (from % 250) as u8);
    let _ = socket.bind((own, 0).into());
    let stream = socket.connect(to).await?;
    target.count(1);
    Ok(stream)
}

/// Waits until the node closes it.
async fn hold(stream: &mut TcpStream) {
    let mut dropped = [0; 1024];
    while stream.read(&mut dropped).await.is_ok_and(|read| read > 0) {}
}

/// That many connections at a time from `addresses`, each of which says `first` and waits to be closed.
async fn keep_open(target: Target, count: usize, addresses: usize, first: &'static [u8]) {
    let each = (0..count).map(|at| {
        let target = target.clone();
        tokio::spawn(async move {
            while !target.is_over() {
                if let Ok(mut stream) = connect(&target, at % addresses).await {
                    let _ = stream.write_all(first).await;
                    hold(&mut stream).await;
                }
                sleep(AGAIN).await;
            }
        })
    });
    wait(each.collect()).await;
}

async fn wait(tasks: Vec<tokio::task::JoinHandle<()>>) {
    for task in tasks {
        let _ = task.await;
    }
}

pub(crate) async fn idle(target: Target) {
    keep_open(target, 256, 1, b"").await;
}

pub(crate) async fn descriptors(target: Target) {
    keep_open(target, 200, 20, b"").await;
}

pub(crate) async fn half_open(target: Target) {
    keep_open(target, 2000, 40, b"GET /minio/grid/v1 HTTP/1.1\r\nHost: node\r\n").await;
}

pub(crate) async fn new_ones(target: Target) {
    let mut ticks = interval(Duration::from_secs(1) / 64);
    let mut at = 0;
    while !target.is_over() {
        ticks.tick().await;
        at += 1;
        let target = target.clone();
        tokio::spawn(async move {
            if let Ok(mut stream) = connect(&target, at % 8).await {
                hold(&mut stream).await;
            }
        });
    }
}

pub(crate) async fn slow_heads(target: Target) {
    let each = (0..200).map(|at| {
        let target = target.clone();
        tokio::spawn(async move {
            let head = head("node", "token", now().to_unix_nanos());
            while !target.is_over() {
                if let Ok(mut stream) = connect(&target, at % 20).await {
                    for byte in &head {
                        if stream.write_all(&[*byte]).await.is_err() {
                            break;
                        }
                        sleep(AGAIN).await;
                    }
                }
                sleep(AGAIN).await;
            }
        })
    });
    wait(each.collect()).await;
}

/// Requests that are refused, as fast as they are, from eight addresses. `request` makes the `n`th.
async fn requests(target: Target, request: impl Fn(u64) -> Vec<u8> + Copy + Send + 'static) {
    let each = (0..8).map(|at: u64| {
        let target = target.clone();
        tokio::spawn(async move {
            let mut number = at << 32;
            while !target.is_over() {
                number += 1;
                if let Ok(mut stream) = connect(&target, at as usize).await {
                    let _ = stream.write_all(&request(number)).await;
                    let _ = timeout(Duration::from_secs(5), hold(&mut stream)).await;
                }
            }
        })
    });
    wait(each.collect()).await;
}

pub(crate) async fn times(target: Target) {
    let long_ago = 1_000_000_000_000_000_000;
    requests(target, move |n| head("node", TOKEN, long_ago + i128::from(n) * 1_000_000_007)).await;
}

pub(crate) async fn bad_tokens(target: Target) {
    requests(target, |n| head("node", &format!("token-{n}"), now().to_unix_nanos())).await;
}

/// A head that is accepted, since the token in it is right, and a Connect of a node that nothing is known of.
pub(crate) async fn unknown_hosts(target: Target) {
    requests(target, |n| {
        let host = format!("http://{n}.example\n{}", "x".repeat(40 << 10));
        let connect = Connect { id: [5; 16], host, time: now(), token: TOKEN.into() };
        let mut payload = Vec::new();
        connect.encode(&mut payload);
        let mut message = Vec::new();
        let header = Header::new(Op::Connect);
        MessageRef { header, subroute: None, payload: &payload }.encode(&mut message);
        let mut bytes = head("node", TOKEN, now().to_unix_nanos());
        bytes.extend(masked(0x82, &message));
        bytes
    })
    .await;
}
