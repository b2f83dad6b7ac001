//! The second door: connections that an HTTP server has upgraded.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::BytesMut;

use super::super::{Raw, TestGrid, spawn};
use crate::auth::SharedSecret;
use crate::builder::{BuildError, Builder};
use crate::driver::runtime::{BoxFuture, Connector, Listener, Runtime, Transport};
use crate::error::ConfigError;
use crate::handle::Grid;
use crate::payload::Payload;
use crate::route::Unary;
use crate::test_util::SECRET;
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
    let node = Builder::new(rt.clone(), name.clone())
        .peers([own])
        .auth(SharedSecret::new(SECRET).expect("long enough"))
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

fn builder<R: Runtime>(rt: &R, name: &str, peer: &str) -> Builder<R> {
    let secret = SharedSecret::new(SECRET).expect("long enough");
    Builder::new(rt.clone(), name.into()).peers([peer]).auth(secret)
}

/// The runtime's connector, set on purpose: something else does TLS.
struct Behind(Box<dyn Connector>);

impl Connector for Behind {
    fn connect(&self, name: &str) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        self.0.connect(name)
    }
}

pub async fn names_with_https_need_a_connector<R: Runtime>(rt: R) {
    let (plain, secure) = ("http://127.0.0.1:1", "https://127.0.0.1:2");
    let refused = |name: &str| Some(ConfigError::TlsWithoutConnector(name.to_owned()));
    for (own, peer) in [(plain, secure), (secure, plain)] {
        let built = builder(&rt, own, peer).build();
        let Err(BuildError::Config(error)) = built else { panic!("{own} {peer}: {built:?}") };
        assert_eq!(Some(&error), refused(secure).as_ref());
        assert!(error.to_string().contains(secure), "{error}");
        let built = builder(&rt, own, peer).connector(Behind(rt.connector())).build();
        let node = built.expect("something does TLS");
        node.add_peer("https://127.0.0.1:3").expect("for this one, too");
    }
    let node = builder(&rt, plain, "http://127.0.0.1:3").build().expect("good names");
    assert_eq!(node.add_peer(secure).err(), refused(secure));
}

pub async fn a_node_listens_only_if_everything_else_can_work<R: Runtime>(rt: R) {
    let taken = rt.bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has one").to_string();
    let (own, peer) = ("http://one:1", "http://two:1");
    // What is said of a node that cannot work for two reasons is what comes first.
    let bad = builder(&rt, own, "http://two:0").bind(&address).await;
    assert!(matches!(bad, Err(BuildError::Config(_))), "{bad:?}");
    let bound = builder(&rt, own, peer).bind(&address).await;
    let Err(error @ BuildError::Listen { .. }) = bound else { panic!("{bound:?}") };
    assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
    drop(taken);
    let node = builder(&rt, own, peer).bind(&address).await.expect("the port is free");
    assert_eq!(node.local_addr().map(|at| at.to_string()), Some(address));
}
