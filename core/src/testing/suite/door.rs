//! The second door: connections that an HTTP server has upgraded.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::BytesMut;

use super::super::{Raw, TestGrid, spawn};
use crate::driver::runtime::{Listener, Runtime, Transport};
use crate::handle::Grid;
use crate::payload::Payload;
use crate::route::Unary;
use crate::websocket::UpgradeRequest;

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");

/// An HTTP server that upgrades by itself and hands over what it has read beyond the request.
async fn serve_http<R: Runtime>(
    mut listener: Box<dyn Listener>,
    grid: Grid<R>,
    read_more: bool,
) -> io::Result<()> {
    loop {
        let mut transport = std::future::poll_fn(|cx| listener.poll_accept(cx)).await?;
        let mut head = BytesMut::new();
        let (request, len) = loop {
            read(&mut *transport, &mut head).await?;
            if let Ok(Some(parsed)) = UpgradeRequest::parse(&head) {
                break parsed;
            }
        };
        let answer = request.accept();
        let mut rest = &answer[..];
        while !rest.is_empty() {
            let written = std::future::poll_fn(|cx| transport.poll_write(cx, rest)).await?;
            rest = &rest[written..];
        }
        // A server that reads ahead has the whole Connect already, and nothing more will come.
        while read_more && head.len() < len + 60 {
            read(&mut *transport, &mut head).await?;
        }
        grid.accept_upgraded(transport, &head[len..]);
    }
}

async fn read(transport: &mut dyn Transport, buf: &mut BytesMut) -> io::Result<()> {
    buf.reserve(4096);
    match std::future::poll_fn(|cx| transport.poll_read(cx, buf)).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn through_the_door<R: Runtime>(rt: &R, read_more: bool) {
    let grid = TestGrid::new(rt, 1, |_, builder| {
        builder.serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
    });
    // The name that the other one dials is that of the HTTP server; it must be the one to dial.
    let (own, listener, name) = loop {
        let listener = rt.bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let name = format!("http://{address}");
        if crate::link::dials(&grid.names()[0], &name) {
            break (grid.names()[0].clone(), listener, name);
        }
    };
    let node = crate::builder::Builder::new(rt.clone(), name.clone())
        .peers([own])
        .auth(crate::auth::SharedSecret::new(crate::test_util::SECRET).expect("long enough"))
        .serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
        .build()
        .expect("good settings");
    rt.spawn({
        let node = node.clone();
        async move {
            let _ = serve_http(listener, node, read_more).await;
        }
    });
    let peer = grid.node(0).add_peer(&name).expect("a new name");
    peer.connected(Duration::from_secs(2)).await.expect("it connects at once");
    let request = Payload::from(vec![7; 100_000]);
    assert_eq!(peer.call(ECHO, &request).await, Ok(request.clone()));
    let back = node.peer(&grid.names()[0]).expect("it knows it");
    assert_eq!(back.call(ECHO, &request).await, Ok(request));
}

pub async fn an_upgraded_connection_can_be_handed_over<R: Runtime>(rt: R) {
    through_the_door(&rt, false).await;
}

pub async fn what_the_server_has_read_beyond_the_request_is_not_lost<R: Runtime>(rt: R) {
    through_the_door(&rt, true).await;
}

pub async fn a_raw_connection_can_be_handed_over<R: Runtime>(rt: R) {
    let grid = TestGrid::new(&rt, 1, |_, builder| builder);
    let mut listener = rt.bind("127.0.0.1:0").expect("a free port");
    let name = format!("http://{}", listener.local_addr().expect("it has one"));
    let node = grid.node(0).clone();
    let serving = spawn(&rt, async move {
        let accepted = std::future::poll_fn(|cx| listener.poll_accept(cx)).await;
        node.accept(accepted.expect("accepted"));
    });
    let mut raw = Raw::connect(&rt, &name).await;
    serving.await;
    let refused = raw.upgrade(&name, "no token", 0).await.expect_err("refused");
    assert!(refused.contains("403"), "{refused}");
}
