//! Whoever breaks the rules gets a clear error, is logged once, and harms nobody else.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt;

use super::super::{Logs, Raw, TestGrid, eventually, spawn};
use crate::auth::SharedSecret;
use crate::builder::Builder;
use crate::driver::runtime::{Listener, Runtime, Transport};
use crate::driver::time::sleep;
use crate::error::CallError;
use crate::link::{LinkState, dials};
use crate::payload::Payload;
use crate::route::Unary;
use crate::timings::Timings;
use crate::wire::Timestamp;

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const MINUTES_10: Duration = Duration::from_secs(600);

/// Two good nodes, and the name of a third that dials the second one.
struct Scene<R: Runtime> {
    grid: TestGrid<R>,
    node: String,
    stranger: String,
    logs: Logs,
}

fn scene<R: Runtime>(rt: &R, timings: Timings) -> Scene<R> {
    let logs = Logs::listen();
    let grid = TestGrid::new(rt, 2, move |_, builder: Builder<R>| {
        builder
            .timings(timings.clone())
            .serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
    });
    let node = grid.names()[1].clone();
    let names = (1..).map(|n| format!("http://stranger:{n}"));
    let stranger = names.into_iter().find(|name| dials(name, &node)).expect("half of them do");
    grid.node(1).add_peer(&stranger).expect("a new name");
    Scene { grid, node, stranger, logs }
}

impl<R: Runtime> Scene<R> {
    async fn good(rt: &R) -> Self {
        let scene = scene(rt, TestGrid::<R>::timings());
        scene.settled().await;
        scene
    }

    async fn settled(&self) {
        let minute = Duration::from_secs(60);
        for (of, to) in [(0, 1), (1, 0)] {
            self.grid.peer(of, to).connected(minute).await.expect("they connect");
        }
    }

    /// The good nodes have noticed nothing.
    async fn nobody_else_noticed(&self) {
        for (of, to) in [(0, 1), (1, 0)] {
            let peer = self.grid.peer(of, to);
            assert_eq!(peer.call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
            assert_eq!(peer.stats().reconnects, 0);
        }
        assert!(self.logs.problems(&self.grid.names()[0], "").is_empty());
    }

    fn logged_once(&self, text: &str) {
        let lines = self.logs.problems(&self.node, text);
        assert_eq!(lines.len(), 1, "{text}: {lines:?}");
    }

    /// A hello that a node with this clock would send.
    fn hello(&self, wall: Timestamp) -> Vec<u8> {
        Raw::hello(&self.stranger, [9; 16], Raw::token(&self.stranger, wall), wall)
    }

    async fn upgraded(&self, rt: &R) -> Raw {
        let wall = rt.now().wall;
        let mut raw = Raw::connect(rt, &self.node).await;
        let token = Raw::token(&self.stranger, wall);
        raw.upgrade(&self.node, &token, wall.to_unix_nanos()).await.expect("upgraded");
        raw
    }
}

pub async fn garbage_on_the_port_is_refused<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let mut raw = Raw::connect(&rt, &scene.node).await;
    raw.write(b"\x16\x03\x01\x02\x00 not HTTP at all\r\n\r\n").await.expect("written");
    let answer = String::from_utf8_lossy(&raw.read_to_end().await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    scene.logged_once("400");
    scene.nobody_else_noticed().await;
}

pub async fn an_http_request_that_is_no_upgrade_is_told_so<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let mut raw = Raw::connect(&rt, &scene.node).await;
    raw.write(b"GET /minio/grid/v1 HTTP/1.1\r\nHost: here\r\n\r\n").await.expect("written");
    let answer = String::from_utf8_lossy(&raw.read_to_end().await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    scene.logged_once("426");
    scene.nobody_else_noticed().await;
}

pub async fn a_wrong_token_is_refused_in_the_upgrade<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let mut raw = Raw::connect(&rt, &scene.node).await;
    let nanos = rt.now().wall.to_unix_nanos();
    let refused = raw.upgrade(&scene.node, "v1.guess", nanos).await.expect_err("refused");
    assert!(refused.contains("403") && refused.contains("token"), "{refused}");
    scene.logged_once("403");
    scene.nobody_else_noticed().await;
}

pub async fn a_wrong_token_is_refused_in_the_connect<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let mut raw = scene.upgraded(&rt).await;
    let wall = rt.now().wall;
    let hello = Raw::hello(&scene.stranger, [9; 16], "v1.guess".into(), wall);
    let refused = raw.greet(&hello).await.expect_err("refused");
    assert!(refused.starts_with("auth token: "), "{refused}");
    assert!(!refused.contains("guess"));
    scene.logged_once("auth token");
    assert!(scene.logs.problems(&scene.node, "guess").is_empty(), "tokens are not logged");
    scene.nobody_else_noticed().await;
}

/// Both sides of a node with another secret say so once, however often it tries.
pub async fn a_node_with_another_secret_is_told_and_both_log_it_once<R: Runtime>(rt: R) {
    let logs = Logs::listen();
    let grid = TestGrid::new(&rt, 2, |index, builder| match index {
        0 => builder.auth(SharedSecret::new("another secret altogether").expect("long enough")),
        _ => builder,
    });
    let peer = grid.peer(0, 1);
    let mut states = peer.watch();
    let mut attempts = 0;
    while attempts < 5 {
        attempts += usize::from(states.changed().await == Some(LinkState::ConnectionError));
    }
    for name in grid.names() {
        let lines = logs.problems(name, "");
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        assert!(lines[0].text.contains("the same secret"), "{lines:?}");
    }
    let refused = peer.call(ECHO, &Payload::NIL).await;
    assert_eq!(refused, Err(CallError::Disconnected { may_have_run: false }));
}

pub async fn an_unknown_name_is_refused<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let mut raw = scene.upgraded(&rt).await;
    let wall = rt.now().wall;
    let token = Raw::token("http://nobody:1", wall);
    let refused = raw.greet(&Raw::hello("http://nobody:1", [9; 16], token, wall)).await;
    assert_eq!(refused, Err("unknown incoming host: http://nobody:1".into()));
    scene.logged_once("http://nobody:1");
    scene.logged_once("claimed=http://nobody:1");
    scene.nobody_else_noticed().await;
}

/// The refusals of one address are one line a minute, whatever it says, and it forges none.
pub async fn refusals_whose_texts_change_are_logged_once_of_each_kind<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let wall = rt.now().wall;
    for n in 1..=20 {
        let mut raw = Raw::connect(&rt, &scene.node).await;
        let late = wall.saturating_add(MINUTES_10 * (1 + n)).to_unix_nanos();
        let token = Raw::token(&scene.stranger, wall);
        raw.upgrade(&scene.node, &token, late).await.expect_err("refused");

        let mut raw = scene.upgraded(&rt).await;
        let name = format!("http://nobody:{n}\nERROR forged\u{1b}[31m{}", "x".repeat(10_000));
        let token = Raw::token(&name, wall);
        let refused = raw.greet(&Raw::hello(&name, [9; 16], token, wall)).await;
        assert!(refused.expect_err("refused").len() < 300);
    }
    let lines = scene.logs.problems(&scene.node, "an incoming connection failed");
    assert_eq!(lines.len(), 2, "{lines:?}");
    scene.logged_once("the clocks differ");
    scene.logged_once("unknown incoming host");
    for line in &lines {
        assert!(line.text.len() < 800 && !line.text.contains(char::is_control), "{line:?}");
        let has_address = Raw::connect(&rt, &scene.node).await.has_address();
        assert_eq!(line.text.contains("remote=127.0.0.1:"), has_address, "{line:?}");
    }
    scene.nobody_else_noticed().await;
}

/// Gives connections that say nothing, and between any two the error of a process without descriptors.
struct Exhausted {
    accepted: usize,
    left: Arc<AtomicUsize>,
}

impl Listener for Exhausted {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Transport>>> {
        if self.left.load(Ordering::Acquire) == 0 {
            return Poll::Pending;
        }
        self.left.fetch_sub(1, Ordering::AcqRel);
        self.accepted += 1;
        cx.waker().wake_by_ref();
        match self.accepted % 2 {
            0 => Poll::Ready(Ok(Box::new(Gone))),
            _ => Poll::Ready(Err(io::Error::other("no descriptors left, for now"))),
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 1).into())
    }
}

/// A connection whose other end has gone.
struct Gone;

impl Transport for Gone {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut BytesMut) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

pub async fn a_node_without_descriptors_now_and_then_says_so_once<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let left = Arc::new(AtomicUsize::new(12));
    let listener = Exhausted { accepted: 0, left: left.clone() };
    scene.grid.node(1).listen_on(Box::new(listener)).expect("it has an address");
    eventually(&rt, "all are accepted", || left.load(Ordering::Acquire) == 0).await;
    scene.logged_once("cannot accept connections");
    scene.nobody_else_noticed().await;
}

pub async fn a_name_that_is_to_be_dialled_may_not_dial<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let dialled = (1..).map(|n| format!("http://other:{n}")).find(|name| dials(&scene.node, name));
    let dialled = dialled.expect("half of them are");
    scene.grid.node(1).add_peer(&dialled).expect("a new name");
    let mut raw = scene.upgraded(&rt).await;
    let wall = rt.now().wall;
    let hello = Raw::hello(&dialled, [9; 16], Raw::token(&dialled, wall), wall);
    let refused = raw.greet(&hello).await.expect_err("refused");
    assert!(refused.contains("is to be dialled"), "{refused}");
    scene.grid.node(1).remove_peer(&dialled).expect("it is there");
    scene.nobody_else_noticed().await;
}

pub async fn a_wrong_clock_is_refused_in_the_upgrade_and_in_the_connect<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let (now, late) = (rt.now().wall, rt.now().wall.saturating_add(MINUTES_10));
    let mut raw = Raw::connect(&rt, &scene.node).await;
    let token = Raw::token(&scene.stranger, now);
    let later = late.saturating_add(MINUTES_10).to_unix_nanos();
    let refused = raw.upgrade(&scene.node, &token, later).await.expect_err("refused");
    assert!(refused.contains("the clocks differ") && refused.contains("900 s"), "{refused}");
    let mut raw = Raw::connect(&rt, &scene.node).await;
    raw.upgrade(&scene.node, &token, late.to_unix_nanos()).await.expect("Connect will say so");
    let mut raw = scene.upgraded(&rt).await;
    let refused = raw.greet(&scene.hello(late)).await.expect_err("refused");
    assert!(refused.contains("the clocks differ by") && refused.contains("300 s"), "{refused}");
    scene.logged_once("the clocks differ");
    scene.nobody_else_noticed().await;
}

pub async fn a_first_message_that_is_no_connect_is_refused<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    for message in [&b"no message at all"[..], b"\x97\x00\x00\x00\x00\x03\x00\xc4\x00"] {
        let mut raw = scene.upgraded(&rt).await;
        let refused = raw.greet(message).await.expect_err("refused");
        assert!(refused.contains("first message") || refused.contains("expected Connect"));
        assert_eq!(raw.receive().await, None);
    }
    scene.nobody_else_noticed().await;
}

pub async fn a_first_message_too_long_is_cut_off<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let mut raw = scene.upgraded(&rt).await;
    // A header that claims 65,537 bytes; nothing of them needs to come.
    raw.write(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4]).await.expect("written");
    assert_eq!(raw.receive().await, None);
    eventually(&rt, "it is logged", || {
        !scene.logs.problems(&scene.node, "an incoming connection failed").is_empty()
    })
    .await;
    scene.logged_once("websocket");
    scene.nobody_else_noticed().await;
}

pub async fn a_message_over_the_limit_drops_the_link<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let mut raw = Raw::join(&rt, &scene.node, &scene.stranger, 9).await;
    let peer = scene.grid.node(1).peer(&scene.stranger).expect("known");
    peer.connected(Duration::from_secs(20)).await.expect("joined");
    raw.write(&[0x82, 0xff, 0, 0, 0, 0, 2, 0, 0, 0, 1, 2, 3, 4]).await.expect("written");
    assert_eq!(raw.receive().await, None);
    eventually(&rt, "it is dropped", || peer.state() == LinkState::ConnectionError).await;
    scene.logged_once("link lost");
    scene.nobody_else_noticed().await;
}

pub async fn a_message_that_does_not_parse_drops_the_link<R: Runtime>(rt: R) {
    let scene = Scene::good(&rt).await;
    let mut raw = Raw::join(&rt, &scene.node, &scene.stranger, 9).await;
    let peer = scene.grid.node(1).peer(&scene.stranger).expect("known");
    peer.connected(Duration::from_secs(20)).await.expect("joined");
    raw.send(b"no message at all").await.expect("written");
    assert_eq!(raw.receive().await, None);
    eventually(&rt, "it is dropped", || peer.state() == LinkState::ConnectionError).await;
    scene.logged_once("malformed message");
    scene.nobody_else_noticed().await;
}

pub async fn a_peer_that_never_reads_is_dropped_and_holds_nobody_up<R: Runtime>(rt: R) {
    let write_stall = Duration::from_millis(300);
    let scene = scene(&rt, Timings { write_stall, ..TestGrid::<R>::timings() });
    scene.settled().await;
    let _raw = Raw::join(&rt, &scene.node, &scene.stranger, 9).await;
    let peer = scene.grid.node(1).peer(&scene.stranger).expect("known");
    peer.connected(Duration::from_secs(20)).await.expect("joined");
    let calls = [(); 4].map(|()| {
        let peer = peer.clone();
        spawn(&rt, async move { peer.call(ECHO, &Payload::from(vec![7; 15 << 20])).await })
    });
    let mut calls = std::pin::pin!(futures::future::join_all(calls));
    // Meanwhile the others are served as ever.
    let served = async {
        loop {
            let other = scene.grid.peer(0, 1);
            assert_eq!(other.call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
            if let Some(outcomes) = (&mut calls).now_or_never() {
                return outcomes;
            }
        }
    };
    for outcome in served.await {
        assert!(matches!(outcome, Err(CallError::Disconnected { .. })), "{outcome:?}");
    }
    scene.logged_once("a write makes no progress");
    assert_eq!(peer.stats().queued_bytes, 0);
    scene.nobody_else_noticed().await;
}

/// An acceptor that waits for a handshake for a moment only, in which the good ones are done even
/// on a busy machine.
fn impatient<R: Runtime>() -> Timings {
    let acceptor_handshake = Duration::from_millis(500);
    Timings { acceptor_handshake, ..TestGrid::<R>::timings() }
}

pub async fn a_silent_connection_is_closed_in_time<R: Runtime>(rt: R) {
    let scene = scene(&rt, impatient::<R>());
    scene.settled().await;
    let mut raw = Raw::connect(&rt, &scene.node).await;
    assert!(raw.read_to_end().await.is_empty());
    scene.logged_once("timed out");
    scene.nobody_else_noticed().await;
}

pub async fn who_sends_pings_for_ever_has_no_more_time_than_the_silent<R: Runtime>(rt: R) {
    let scene = scene(&rt, impatient::<R>());
    scene.settled().await;
    let mut raw = scene.upgraded(&rt).await;
    let pings = [0x89, 0x80, 1, 2, 3, 4].repeat(1000);
    while raw.write(&pings).await.is_ok() {
        sleep(&rt, Duration::from_micros(100)).await;
    }
    scene.logged_once("timed out");
    scene.nobody_else_noticed().await;
}
