//! Who is at the other end: an acceptor takes no token that is not for it, and a dialler no answer of
//! another node than the one it has dialled.

use std::sync::Arc;
use std::time::Duration;

use gridmux_core::auth::{Auth, Issue, SharedSecret, StaticToken};
use gridmux_core::connection::Connection;
use gridmux_core::error::LinkError;
use gridmux_core::event::{LinkCommand, LinkId};
use gridmux_core::grid::GridState;
use gridmux_core::link::{Accepting, Acceptor, LinkState, dials};
use gridmux_core::node::{DEFAULT_ROUTE, Node};
use gridmux_core::peer::Peer;
use gridmux_core::socket::Socket;
use gridmux_core::time::{Instant, Now};
use gridmux_core::websocket::{Channel, ClientUpgrade, MAX_HEADER_LEN, Role, UpgradeRequest};
use gridmux_core::wire::{Connect, ConnectResponse, Header, MessageRef, Op, Timestamp};

const SECRET: &str = "a secret of at least 16 bytes";
const NOW: Now =
    Now { instant: Instant::from_millis(1), wall: Timestamp { seconds: 1_800_000_000, nanos: 0 } };

fn secret() -> Arc<dyn Auth> {
    Arc::new(SharedSecret::new(SECRET).expect("long enough"))
}

fn fixed() -> Arc<dyn Auth> {
    Arc::new(StaticToken::new("the-token").expect("it fits a header"))
}

fn started(own: &str, peers: &[&str], instance: u8, auth: Arc<dyn Auth>) -> GridState {
    let names: Vec<_> = [own].iter().chain(peers).map(ToString::to_string).collect();
    let node = Arc::new(Node::new(own, [instance; 16], auth));
    let seed = u64::from(instance);
    let mut grid = GridState::new(node, &names, seed, 0, Instant::ZERO).expect("good settings");
    grid.start(NOW);
    grid
}

/// A node, and two others that it dials.
fn names() -> [String; 3] {
    let own = "http://10.0.0.1:9000".to_owned();
    let mut dialled = (2..).map(|n| format!("http://10.0.0.{n}:9000")).filter(|to| dials(&own, to));
    let mut next = || dialled.next().expect("it dials half of them");
    [own.clone(), next(), next()]
}

// ---- tokens at a real acceptor ----

/// A token of any node for any other.
fn token(issuer: &str, target: &str, route: &str, nonce: u8, ago: i64) -> String {
    let now = Timestamp { seconds: NOW.wall.seconds - ago, nanos: 0 };
    secret().issue(Issue::new(issuer, target, route, [nonce; 16], now))
}

/// The status of the upgrade.
fn upgrade(acceptor: &mut Acceptor, grid: &GridState, token: &str) -> (u16, String) {
    let nanos = NOW.wall.to_unix_nanos();
    let (_, request) = ClientUpgrade::new("10.0.0.2:9000", DEFAULT_ROUTE, token, nanos, [7; 16])
        .expect("sendable");
    acceptor.read_buf().extend_from_slice(&request);
    let outcome = acceptor.handle_read(NOW, grid);
    let answer = String::from_utf8(acceptor.write_buf().to_vec()).expect("HTTP");
    acceptor.handle_written(answer.len());
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    assert_eq!(outcome == Accepting::Pending, status == 101, "{answer}");
    (status, answer)
}

/// Why a Connect is refused.
fn connect(
    acceptor: &mut Acceptor,
    grid: &GridState,
    host: &str,
    token: String,
) -> Result<(), String> {
    let mut payload = Vec::new();
    Connect { id: [9; 16], host: host.into(), time: NOW.wall, token }.encode(&mut payload);
    let mut frame = vec![0; MAX_HEADER_LEN];
    MessageRef { header: Header::new(Op::Connect), subroute: None, payload: &payload }
        .encode(&mut frame);
    let start = Channel::new(Role::Client, 1 << 20, 5).seal(&mut frame, MAX_HEADER_LEN);
    acceptor.read_buf().extend_from_slice(&frame[start..]);
    match acceptor.handle_read(NOW, grid) {
        Accepting::Hello(_) => Ok(()),
        Accepting::Finished(LinkError::Refused(denial)) => Err(denial.reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_acceptor_takes_a_token_once_and_only_one_that_is_for_it() {
    let [dialler, own, third] = names();
    let mut grid = started(&own, &[&dialler], 2, secret());
    let route = DEFAULT_ROUTE;
    let old = "v1.aHR0cDovL2E6MQ.1800000300.AAAA".to_owned();
    let wrong = [
        (
            token(&dialler, &third, route, 1, 0),
            format!("the token is for {third}, this node is {own}"),
        ),
        (token(&dialler, &own, "/minio/grid/lock/v1", 2, 0), "the token is for the route".into()),
        (token(&dialler, &own, route, 3, 360), "the token expired 0 s ago".into()),
        (token(&dialler, &own, route, 4, -301), "the token expires 1 s too late".into()),
        (token(&dialler, &own, route, 5, 0) + "A", "the token is malformed".into()),
        (format!("v2.{}", "x".repeat(5000)), "the token is malformed".into()),
        (old, "the token is of version 1".into()),
    ];
    for (wrong, reason) in wrong {
        let (status, answer) = upgrade(&mut grid.accept(NOW.instant), &grid, &wrong);
        assert!(status == 403 && answer.contains(&reason), "{answer}");
    }
    // The same in Connect, behind a good upgrade each time.
    let mut nonce = 100;
    let mut upgraded = |grid: &mut GridState| {
        nonce += 1;
        let mut acceptor = grid.accept(NOW.instant);
        let good = token(&dialler, &own, route, nonce, 0);
        assert_eq!(upgrade(&mut acceptor, grid, &good).0, 101);
        (acceptor, good)
    };
    let (mut acceptor, seen) = upgraded(&mut grid);
    let wrong = [
        (token(&dialler, &third, route, 11, 0), format!("the token is for {third}")),
        (token(&third, &own, route, 12, 0), format!("that of {third}, and {dialler} shows it")),
        (token(&dialler, &own, "/other", 13, 0), "the token is for the route".into()),
        (token(&dialler, &own, route, 14, 400), "the token expired".into()),
        (seen.clone(), "the token was shown before".into()),
    ];
    for (wrong, reason) in wrong {
        let refused = connect(&mut acceptor, &grid, &dialler, wrong).expect_err("refused");
        assert!(refused.starts_with("auth token: ") && refused.contains(&reason), "{refused}");
        acceptor = upgraded(&mut grid).0;
    }
    assert_eq!(
        connect(&mut acceptor, &grid, &dialler, token(&dialler, &own, route, 20, 0)),
        Ok(())
    );
    let (status, answer) = upgrade(&mut grid.accept(NOW.instant), &grid, &seen);
    assert!(status == 403 && answer.contains("the token was shown before"), "{answer}");
}

#[test]
fn each_token_of_an_attempt_is_one_of_its_own() {
    let [own, peer, _] = names();
    let mut grid = started(&own, &[&peer], 1, secret());
    let mut seen = std::collections::BTreeSet::new();
    let mut now = NOW;
    for _ in 0..5 {
        let mut acceptor = started(&peer, &[&own], 2, secret());
        let (mut dialled, link) = dial(&mut grid, now, &peer);
        let request = String::from_utf8(dialled.write_buf().to_vec()).expect("HTTP");
        let (_, bearer) = request.split_once("Bearer ").expect("it has a token");
        assert!(seen.insert(bearer.lines().next().expect("a line").to_owned()));
        // Connect's token is of use to an acceptor that has seen that of the upgrade.
        let mut accepted = Socket::accepted(&mut acceptor, now.instant, None);
        pump(now, (&mut dialled, &mut grid), (&mut accepted, &mut acceptor));
        assert_eq!(grid.peer(&peer).map(Peer::state), Some(LinkState::Connected));
        let lost = LinkError::ClosedByPeer;
        let peer = grid.peer_mut(&peer).expect("it is there");
        peer.handle_link_down(now, link, lost, 0);
        now.instant = now.instant.after(Duration::from_secs(2));
        grid.handle_timeout(now);
    }
}

// ---- who answers ----

/// The connection that the node wants to have with this peer.
fn dial(grid: &mut GridState, now: Now, peer: &str) -> (Socket, LinkId) {
    let machine = grid.peer_mut(peer).expect("it is there");
    while let Some(command) = machine.poll_command() {
        if let LinkCommand::Dial { link } = command {
            return (Socket::dialled(grid, now, peer, link), link);
        }
    }
    panic!("{peer} is not dialled");
}

/// Moves bytes between two sockets until there are none.
fn pump(
    now: Now,
    (dialled, dialler): (&mut Socket, &mut GridState),
    (accepted, acceptor): (&mut Socket, &mut GridState),
) {
    for _ in 0..20 {
        dialled.drive(now, dialler);
        accepted.drive(now, acceptor);
        let (mut there, mut back) = (Vec::new(), Vec::new());
        dialled.write_to(now.instant, &mut there);
        accepted.write_to(now.instant, &mut back);
        if !there.is_empty() {
            accepted.read_from(now.instant, &mut &there[..]);
        }
        if !back.is_empty() {
            dialled.read_from(now.instant, &mut &back[..]);
        }
    }
}

fn failure(grid: &GridState, peer: &str) -> String {
    let peer = grid.peer(peer).expect("it is there");
    assert_eq!(peer.state(), LinkState::ConnectionError);
    peer.last_failure().expect("a reason").to_string()
}

#[test]
fn an_address_that_has_become_another_nodes_is_refused_with_both_names() {
    let [own, gone, there] = names();
    let refused = |auth: fn() -> Arc<dyn Auth>| {
        let mut dialler = started(&own, &[&gone], 1, auth());
        let mut acceptor = started(&there, &[&own], 2, auth());
        let (mut dialled, _) = dial(&mut dialler, NOW, &gone);
        let mut accepted = Socket::accepted(&mut acceptor, NOW.instant, None);
        pump(NOW, (&mut dialled, &mut dialler), (&mut accepted, &mut acceptor));
        assert_ne!(acceptor.peer(&own).map(Peer::state), Some(LinkState::Connected));
        failure(&dialler, &gone)
    };
    let reason = refused(secret);
    assert!(reason.contains(&format!("the token is for {gone}, this node is {there}")), "{reason}");
    // A token that says nothing: the answer of the upgrade does.
    let reason = refused(fixed);
    assert_eq!(reason, format!("upgrade: {there} answers at the address of {gone}"));
}

/// A connection that a server has upgraded that does not say who it is, as those of MinIO.
fn upgraded_by_a_server(dialled: &mut Socket, grid: &mut GridState) -> Socket {
    let mut request = Vec::new();
    dialled.write_to(NOW.instant, &mut request);
    let (parsed, _) = UpgradeRequest::parse(&request).expect("HTTP").expect("all of it");
    dialled.read_from(NOW.instant, &mut &parsed.accept()[..]);
    // A socket has no door for it: one of its own makes the same of the request.
    let mut accepted = Socket::accepted(grid, NOW.instant, None);
    accepted.read_from(NOW.instant, &mut &request[..]);
    accepted.drive(NOW, grid);
    let answer = accepted.write_buf().len();
    accepted.handle_written(NOW.instant, answer);
    accepted
}

#[test]
fn one_process_is_not_the_peer_of_two_names() {
    let [own, gone, there] = names();
    let mut dialler = started(&own, &[&gone, &there], 1, fixed());
    let mut acceptor = started(&there, &[&own], 2, fixed());

    let (mut first, _) = dial(&mut dialler, NOW, &there);
    let mut accepted = upgraded_by_a_server(&mut first, &mut acceptor);
    pump(NOW, (&mut first, &mut dialler), (&mut accepted, &mut acceptor));
    assert_eq!(dialler.peer(&there).and_then(Peer::process), Some([2; 16]));

    // The same process answers at the other address.
    let (mut second, _) = dial(&mut dialler, NOW, &gone);
    let mut accepted = upgraded_by_a_server(&mut second, &mut acceptor);
    pump(NOW, (&mut second, &mut dialler), (&mut accepted, &mut acceptor));
    assert_eq!(
        failure(&dialler, &gone),
        format!("the process that answers for {gone} is that of {there}")
    );
    let refused = dialler.peer(&gone).expect("it is there");
    assert_eq!(refused.stats(NOW.instant).messages_in, 0, "it never was a link");
    // Each attempt may cost the acceptor its link with this node: they are rare.
    let again = refused.next_alarm().expect("it is dialled again");
    assert!(again.since(NOW.instant) >= Duration::from_secs(10));
    let up = dialler.peer(&there).expect("it is there");
    assert_eq!(up.state(), LinkState::Connected, "the first link stays");

    // With that link gone for a while, the process is taken for the peer that it answers as.
    let link = up.link().expect("it is up");
    let peer = dialler.peer_mut(&there).expect("it is there");
    peer.handle_link_down(NOW, link, LinkError::ClosedByPeer, 0);
    let mut claim = |seconds: u64| {
        dialler.claim_process(NOW.instant.after(Duration::from_secs(seconds)), [2; 16], &gone)
    };
    assert_eq!(&*claim(1).expect_err("it was E until now"), &*there);
    assert_eq!(claim(31), Ok(()));
}

#[test]
fn a_process_that_is_a_peer_is_not_accepted_under_another_name() {
    let own = "http://10.0.0.1:9000";
    let mut diallers = (2..).map(|n| format!("http://10.0.0.{n}:9000")).filter(|by| dials(by, own));
    let [one, other] = [(); 2].map(|()| diallers.next().expect("half of them do"));
    let mut grid = started(own, &[&one, &other], 1, fixed());
    let hello = |host: &str, id: u8| Connect {
        id: [id; 16],
        host: host.into(),
        time: NOW.wall,
        token: "the-token".into(),
    };
    grid.handle_hello(NOW, &hello(&one, 9), NOW.instant).expect("accepted");
    grid.handle_hello(NOW, &hello(&one, 9), NOW.instant).expect("it connects anew");
    let refused = grid.handle_hello(NOW, &hello(&other, 9), NOW.instant).expect_err("refused");
    assert_eq!(refused.reason, format!("the process of {other} is connected as {one} already"));
    let refused = grid.handle_hello(NOW, &hello(&other, 1), NOW.instant).expect_err("refused");
    assert_eq!(refused.reason, format!("the process of {other} is connected as {own} already"));
    grid.handle_hello(NOW, &hello(&other, 8), NOW.instant).expect("another process");
}

#[test]
fn nothing_of_a_refused_answer_reaches_the_peer() {
    let [own, peer, _] = names();
    let mut grid = started(&own, &[&peer], 1, fixed());
    let LinkCommand::Dial { link } = grid.peer_mut(&peer).unwrap().poll_command().unwrap() else {
        panic!("it is dialled")
    };
    let node = grid.node().clone();
    let mut connection = Connection::dialled(&node, &peer, link, 1, NOW).expect("sendable");
    let request = connection.write_buf().to_vec();
    connection.handle_written(NOW.instant, request.len());
    let (parsed, _) = UpgradeRequest::parse(&request).expect("HTTP").expect("all of it");
    // The 101, the ConnectResponse and a request come in one read.
    let mut bytes = parsed.accept();
    let mut payload = Vec::new();
    ConnectResponse { id: [2; 16], accepted: true, rejected_reason: String::new() }
        .encode(&mut payload);
    let mut server = Channel::new(Role::Server, 1 << 20, 1);
    for (op, payload) in [(Op::ConnectResponse, &*payload), (Op::Request, b"hello")] {
        let mut frame = vec![0; MAX_HEADER_LEN];
        let header = Header { handler: 1, ..Header::new(op) };
        MessageRef { header, subroute: None, payload }.encode(&mut frame);
        let start = server.seal(&mut frame, MAX_HEADER_LEN);
        bytes.extend_from_slice(&frame[start..]);
    }
    connection.read_buf().extend_from_slice(&bytes);
    connection.handle_read(NOW.instant, bytes.len());
    assert_eq!(connection.answered_by(), Some([2; 16]));
    assert_eq!(connection.answered_by(), None, "it is told once");
    connection.refuse(LinkError::SameProcess { name: peer.clone(), other: "x".into() });
    connection.exchange(NOW, grid.peer_mut(&peer).unwrap());
    let peer = grid.peer_mut(&peer).unwrap();
    assert_eq!(peer.state(), LinkState::ConnectionError);
    assert_eq!(peer.stats(NOW.instant).messages_in, 0);
    assert!(peer.poll_call().is_none());
    assert!(matches!(peer.last_failure(), Some(LinkError::SameProcess { .. })));
}

#[test]
fn an_accepted_answer_names_the_process_and_a_refusal_none() {
    let [own, peer, _] = names();
    let answered = |id: u8, accepted: bool| {
        let mut grid = started(&own, &[&peer], 1, fixed());
        let LinkCommand::Dial { link } = grid.peer_mut(&peer).unwrap().poll_command().unwrap()
        else {
            panic!("it is dialled")
        };
        let node = grid.node().clone();
        let mut connection = Connection::dialled(&node, &peer, link, 1, NOW).expect("sendable");
        let request = connection.write_buf().to_vec();
        let (parsed, _) = UpgradeRequest::parse(&request).expect("HTTP").expect("all of it");
        let mut bytes = parsed.accept_as(&peer);
        let mut payload = Vec::new();
        ConnectResponse { id: [id; 16], accepted, rejected_reason: "no".into() }
            .encode(&mut payload);
        let mut frame = vec![0; MAX_HEADER_LEN];
        MessageRef { header: Header::new(Op::ConnectResponse), subroute: None, payload: &payload }
            .encode(&mut frame);
        let start = Channel::new(Role::Server, 1 << 20, 1).seal(&mut frame, MAX_HEADER_LEN);
        bytes.extend_from_slice(&frame[start..]);
        connection.read_buf().extend_from_slice(&bytes);
        connection.handle_read(NOW.instant, bytes.len());
        connection.answered_by()
    };
    assert_eq!(answered(2, true), Some([2; 16]));
    assert_eq!(answered(2, false), None);
}

#[test]
fn the_acceptor_says_its_name_in_the_answer_of_the_upgrade() {
    let [own, peer, _] = names();
    let mut grid = started(&peer, &[&own], 2, fixed());
    let (status, answer) = upgrade(&mut grid.accept(NOW.instant), &grid, "the-token");
    assert_eq!(status, 101);
    assert!(answer.contains(&format!("\r\nX-Gridmux-Node: {peer}\r\n")), "{answer}");
    let (status, answer) = upgrade(&mut grid.accept(NOW.instant), &grid, "another");
    assert_eq!(status, 403);
    assert!(!answer.contains("X-Gridmux-Node"), "strangers are not told: {answer}");
}
