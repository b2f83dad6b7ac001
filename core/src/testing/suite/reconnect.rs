//! Links that come and go.

use std::convert::Infallible;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{join_all, pending};
use futures::{FutureExt, StreamExt};

use super::super::{Logs, TestGrid, eventually};
use super::{pair, server};
use crate::builder::Builder;
use crate::driver::runtime::Runtime;
use crate::error::{CallError, ConfigError, LinkError};
use crate::link::LinkState;
use crate::payload::{NoPayload, Payload};
use crate::route::Unary;

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const HANG: Unary<NoPayload, NoPayload> = Unary::new(2, "hang");

fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    builder
        .serve(ECHO, |request, _| async move { Ok::<_, Infallible>(request) })
        .serve(HANG, |_, _| pending::<Result<NoPayload, Infallible>>())
}

async fn answers<R: Runtime>(grid: &TestGrid<R>, of: usize, index: usize) {
    let request = Payload::from(vec![7]);
    let call = grid.peer(of, index).call(ECHO, &request).wait_for_link(Duration::from_secs(20));
    assert_eq!(call.await, Ok(Payload::from(vec![7])));
}

/// Kills and restarts one of two nodes while calls are open at the other.
async fn survives_a_restart<R: Runtime>(rt: &R, caller: usize, killed: usize) {
    let mut grid = TestGrid::new(rt, 2, |_, builder| serve(builder));
    grid.connected().await;
    let peer = grid.peer(caller, killed);
    let calls = (0..10).map(|_| peer.call(HANG, &NoPayload)).map(Box::pin);
    let mut calls: Vec<_> = calls.collect();
    assert!(calls.iter_mut().all(|call| call.now_or_never().is_none()));
    let callee = grid.peer(killed, caller);
    eventually(rt, "all are served", || callee.stats().incoming_requests == 10).await;
    grid.kill(killed);
    for outcome in join_all(calls).await {
        assert_eq!(outcome, Err(CallError::Disconnected { may_have_run: true }));
    }
    let down = peer.call(ECHO, &Payload::NIL).await;
    assert_eq!(down, Err(CallError::Disconnected { may_have_run: false }));
    grid.restart(killed).await;
    answers(&grid, caller, killed).await;
    answers(&grid, killed, caller).await;
    assert!(peer.stats().reconnects >= 1);
    assert_eq!(peer.stats().outgoing_requests, 0);
}

pub async fn the_dialler_finds_a_restarted_acceptor<R: Runtime>(rt: R) {
    survives_a_restart(&rt, 0, 1).await;
}

pub async fn a_restarted_dialler_connects_again<R: Runtime>(rt: R) {
    survives_a_restart(&rt, 1, 0).await;
}

pub async fn a_cut_link_comes_back_again_and_again<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    for _ in 0..5 {
        let made = server(&grid).stats().reconnects;
        grid.cut(0, 1);
        let peer = server(&grid);
        eventually(&rt, "the link is down", || peer.state() != LinkState::Connected).await;
        grid.heal(0, 1);
        answers(&grid, 0, 1).await;
        assert_eq!(peer.stats().reconnects, made + 1);
    }
}

pub async fn a_lost_node_does_not_concern_the_others<R: Runtime>(rt: R) {
    let mut grid = TestGrid::new(&rt, 3, |_, builder| serve(builder));
    grid.connected().await;
    let peer = grid.peer(0, 1);
    let mut call = peer.call(HANG, &NoPayload);
    assert!((&mut call).now_or_never().is_none());
    grid.kill(2);
    answers(&grid, 0, 1).await;
    grid.restart(2).await;
    grid.connected().await;
    assert!((&mut call).now_or_never().is_none(), "it was not touched");
    assert_eq!(peer.stats().reconnects, 0);
}

/// Two processes with one name: the newest keeps the link, the other is told and is quiet.
pub async fn a_second_process_of_one_name_takes_the_link_over_and_keeps_it<R: Runtime>(rt: R) {
    let logs = Logs::listen();
    let grid = TestGrid::new(&rt, 2, |_, builder| serve(builder));
    grid.connected().await;
    let acceptor = grid.peer(1, 0);
    let first = grid.peer(0, 1);
    let mut open = first.call(HANG, &NoPayload);
    assert!((&mut open).now_or_never().is_none());
    eventually(&rt, "it is served", || acceptor.stats().incoming_requests == 1).await;
    let twin = grid.twin(0);
    let second = twin.peer(&grid.names()[1]).expect("they know each other");
    second.connected(Duration::from_secs(20)).await.expect("it takes over");
    assert_eq!(open.await, Err(CallError::Disconnected { may_have_run: true }), "once");
    // The first one tries again, is refused, and then rests for ten seconds.
    let name = grid.names()[0].clone();
    eventually(&rt, "it is told", || !logs.problems(&name, "another process").is_empty()).await;
    let reconnects = acceptor.stats().reconnects;
    assert_eq!(reconnects, 1);
    for _ in 0..20 {
        assert_eq!(second.call(ECHO, &Payload::NIL).await, Ok(Payload::NIL));
    }
    assert_eq!(acceptor.stats().reconnects, reconnects, "the link is stable");
    assert_eq!(logs.problems(&name, "another process").len(), 1);
    let refused = first.call(ECHO, &Payload::NIL).await;
    assert_eq!(refused, Err(CallError::Disconnected { may_have_run: false }));
}

pub async fn a_closed_start_gate_lets_nobody_through<R: Runtime>(rt: R) {
    let listener = rt.bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one");
    let gated = format!("http://{address}");
    let grid = TestGrid::new(&rt, 1, |_, builder| serve(builder));
    let own = grid.names()[0].clone();
    let peer = grid.node(0).add_peer(&gated).expect("a new name");
    let node = serve(Builder::new(rt.clone(), gated.clone()))
        .peers([own.clone()])
        .auth(crate::auth::SharedSecret::new(crate::test_util::SECRET).expect("long enough"))
        .timings(TestGrid::<R>::timings())
        .start_gate()
        .build()
        .expect("good settings");
    node.listen_on(listener).expect("it has an address");
    let back = node.peer(&own).expect("it knows it");
    let mut raw = super::super::Raw::connect(&rt, &gated).await;
    let refused = raw.upgrade(&gated, "any", 0).await.expect_err("refused");
    assert!(refused.contains("503"), "{refused}");
    assert_eq!(back.state(), LinkState::Unconnected);
    assert_ne!(peer.state(), LinkState::Connected);
    node.start();
    peer.connected(Duration::from_secs(20)).await.expect("the gate is open");
    assert_eq!(peer.call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
}

pub async fn a_peer_can_be_added_and_removed_while_the_grid_runs<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let other = TestGrid::new(&rt, 1, |_, builder| serve(builder));
    let (name, new) = (grid.names()[0].clone(), other.names()[0].clone());
    let peer = grid.node(0).add_peer(&new).expect("a new name");
    other.node(0).add_peer(&name).expect("a new name");
    peer.connected(Duration::from_secs(20)).await.expect("it connects");
    assert_eq!(peer.call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
    let taken = grid.node(0).add_peer(&new).map(|_| ());
    assert_eq!(taken, Err(ConfigError::NameTaken(new.clone())));
    let own = grid.node(0).add_peer(&name).map(|_| ());
    assert_eq!(own, Err(ConfigError::OwnName(name.clone())));
    assert_eq!(grid.node(0).peer(&name).err(), Some(ConfigError::OwnName(name.clone())));
    assert_eq!(grid.node(0).remove_peer(&name), Err(ConfigError::OwnName(name.clone())));

    let mut call = peer.call(HANG, &NoPayload);
    assert!((&mut call).now_or_never().is_none());
    let callee = other.node(0).peer(&name).expect("it knows it");
    eventually(&rt, "it is served", || callee.stats().incoming_requests == 1).await;
    grid.node(0).remove_peer(&new).expect("it is there");
    assert_eq!(call.await, Err(CallError::PeerRemoved { may_have_run: true }));
    let gone = peer.call(ECHO, &Payload::NIL).await;
    assert_eq!(gone, Err(CallError::PeerRemoved { may_have_run: false }));
    let unknown = grid.node(0).remove_peer(&new);
    assert_eq!(unknown, Err(ConfigError::UnknownPeer(new.clone())));
    eventually(&rt, "it is shut", || peer.state() == LinkState::Shutdown).await;
    answers(&grid, 0, 1).await;

    let again = grid.node(0).add_peer(&new).expect("its name is free");
    again.connected(Duration::from_secs(20)).await.expect("it connects");
    assert_eq!(again.call(ECHO, &Payload::EMPTY).await, Ok(Payload::EMPTY));
}

pub async fn every_change_of_the_state_can_be_watched<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let mut states = server(&grid).watch();
    assert_eq!(states.changed().await, Some(LinkState::Connected));
    assert!(states.changed().now_or_never().is_none());
    grid.cut(0, 1);
    let down = states.changed().await;
    assert!(matches!(down, Some(LinkState::ConnectionError | LinkState::Connecting)), "{down:?}");
    grid.heal(0, 1);
    while states.changed().await != Some(LinkState::Connected) {}
    grid.node(0).shutdown(Duration::ZERO).await;
    while states.next().await != Some(LinkState::Shutdown) {}
    assert_eq!(states.next().await, None);
    let (told, mut seen) = mpsc::unbounded();
    let mut late = server(&grid).watch();
    rt.spawn(async move { told.unbounded_send(late.changed().await).expect("the test waits") });
    assert_eq!(seen.next().await, Some(Some(LinkState::Shutdown)));
}

pub async fn why_there_is_no_link_is_known_to_everyone_who_asks<R: Runtime>(rt: R) {
    let grid = pair(&rt, serve).await;
    let peer = server(&grid);
    assert_eq!(peer.last_error(), None);
    let mut states = peer.watch();
    assert_eq!(states.changed().await, Some(LinkState::Connected));
    assert_eq!(states.last_error(), None);
    grid.cut(0, 1);
    while states.changed().await != Some(LinkState::ConnectionError) {}
    let error = states.last_error().expect("the link was lost").clone();
    assert!(!error.to_string().is_empty());
    assert!(peer.last_error().is_some());
    let missing = grid.node(0).connected(Duration::from_millis(20)).await.expect_err("it is cut");
    let (name, error) = &missing.peers[0];
    assert_eq!(*name, grid.names()[1]);
    let error = error.as_ref().expect("attempts have failed");
    assert_eq!(missing.to_string(), format!("not connected to {name} ({error})"));
    // The side that is dialled knows why it lost the link, too.
    let back = grid.peer(1, 0);
    eventually(&rt, "it is lost there", || back.last_error().is_some()).await;

    grid.heal(0, 1);
    while states.changed().await != Some(LinkState::Connected) {}
    assert_eq!((states.last_error(), peer.last_error()), (None, None));
    let stranger = grid.node(0).add_peer("http://stranger:9000").expect("a new name");
    let alone = grid.node(0).connected(Duration::ZERO).await.expect_err("there is no such node");
    if stranger.last_error().is_none() {
        assert!(alone.to_string().contains("stranger"), "{alone}");
    }
    grid.node(0).shutdown(Duration::ZERO).await;
    assert_eq!(peer.last_error(), Some(LinkError::ShutDown));
}
