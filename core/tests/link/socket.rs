//! Sockets between two whole nodes, over a pipe of bytes: what a loop of one's own relies on.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut;
use gridmux_core::auth::SharedSecret;
use gridmux_core::error::LinkError;
use gridmux_core::event::{Event, LinkCommand, LinkId};
use gridmux_core::grid::GridState;
use gridmux_core::limits::Limits;
use gridmux_core::link::{LinkState, dials};
use gridmux_core::mux::OutgoingKey;
use gridmux_core::node::Node;
use gridmux_core::outbox::Data;
use gridmux_core::payload::Payload;
use gridmux_core::peer::{Peer, WakeReason};
use gridmux_core::route::Unary;
use gridmux_core::socket::Socket;
use gridmux_core::time::{Instant, Now};
use gridmux_core::timings::Timings;
use gridmux_core::wire::{
    Header, MERGE_HEADER_LEN, MessageRef, Op, Timestamp, part_header_len, write_merge_header,
    write_part_header,
};

const ECHO: Unary<Payload, Payload> = Unary::new(1, "echo");
const SECOND: Duration = Duration::from_secs(1);

/// A node and the name of its only peer.
struct Side {
    grid: GridState,
    other: String,
}

impl Side {
    fn new(own: &str, other: &str, instance: u8) -> Self {
        let secret = SharedSecret::new("a secret of at least 16 bytes").expect("long enough");
        let mut node = Node::new(own, [instance; 16], Arc::new(secret));
        node.routes.insert(ECHO.info()).expect("a route");
        let names = [own.to_owned(), other.to_owned()];
        let grid = GridState::new(Arc::new(node), &names, instance.into(), 0, Instant::ZERO);
        Self { grid: grid.expect("a node"), other: other.to_owned() }
    }

    fn peer(&mut self) -> &mut Peer {
        self.grid.peer_mut(&self.other).expect("the other one")
    }

    /// Serves echoes; the link that is to be dialled, if one is.
    fn turn(&mut self, now: Now) -> Option<LinkId> {
        self.grid.handle_timeout(now);
        let peer = self.peer();
        while let Some(call) = peer.poll_call() {
            peer.respond(now, call.key, Ok(call.payload.into()));
        }
        while peer.poll_event().is_some() {}
        let mut dial = None;
        while let Some((name, command)) = self.grid.poll_command() {
            assert_eq!(*name, *self.other);
            match command {
                LinkCommand::Dial { link } => dial = Some(link),
                LinkCommand::Close { .. } => {}
                other => panic!("unknown: {other:?}"),
            }
        }
        dial
    }

    fn ask(&mut self, now: Now, payload: &'static [u8]) -> OutgoingKey {
        let data = Data::Owned(payload.into());
        self.peer().request(now.instant, ECHO.info().target(), data, None).expect("a link")
    }
}

/// The node that dials and the one that is dialled, each with a socket of the same connection.
struct Scene {
    now: Now,
    dialler: Side,
    acceptor: Side,
    sockets: [Socket; 2],
}

impl Scene {
    /// TCP stands, and no byte has been sent.
    fn new() -> Self {
        let mut names = ["http://10.0.0.1:9000", "http://10.0.0.2:9000"];
        if !dials(names[0], names[1]) {
            names.reverse();
        }
        let wall = Timestamp { seconds: 1_800_000_000, nanos: 0 };
        let now = Now { instant: Instant::from_millis(1), wall };
        let mut dialler = Side::new(names[0], names[1], 1);
        let mut acceptor = Side::new(names[1], names[0], 2);
        dialler.grid.start(now);
        acceptor.grid.start(now);
        let sockets = connect(now, &mut dialler, &mut acceptor);
        Self { now, dialler, acceptor, sockets }
    }

    fn connected() -> Self {
        let mut scene = Self::new();
        scene.settle(usize::MAX);
        assert_eq!(scene.dialler.peer().state(), LinkState::Connected);
        assert_eq!(scene.acceptor.peer().state(), LinkState::Connected);
        scene
    }

    fn drive(&mut self) {
        let [dialled, accepted] = &mut self.sockets;
        dialled.drive(self.now, &mut self.dialler.grid);
        accepted.drive(self.now, &mut self.acceptor.grid);
    }

    /// Carries bytes in pieces of this size and serves calls until nothing moves.
    fn settle(&mut self, size: usize) {
        loop {
            self.drive();
            assert_eq!(self.dialler.turn(self.now), None);
            assert_eq!(self.acceptor.turn(self.now), None);
            self.drive();
            let [dialled, accepted] = &mut self.sockets;
            if carry(self.now, size, dialled, accepted) + carry(self.now, size, accepted, dialled)
                == 0
            {
                return;
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant = self.now.instant.after(time);
    }
}

fn connect(now: Now, dialler: &mut Side, acceptor: &mut Side) -> [Socket; 2] {
    let link = dialler.turn(now).expect("it is to dial");
    let accepted = Socket::accepted(&mut acceptor.grid, now.instant, None);
    [Socket::dialled(&mut dialler.grid, now, &dialler.other, link), accepted]
}

/// Carries a piece from one socket to the other one; how long it is.
fn carry(now: Now, size: usize, from: &mut Socket, to: &mut Socket) -> usize {
    let mut piece = Vec::new();
    let mut pipe = (&mut piece).limit(size);
    from.write_to(now.instant, &mut (&mut pipe).writer());
    let mut left = &piece[..];
    while !left.is_empty() && to.read_from(now.instant, &mut left) {}
    piece.len()
}

#[test]
fn two_nodes_connect_and_call_each_other_in_pieces_of_any_size() {
    for size in [1, 7, 1000, usize::MAX] {
        let mut scene = Scene::new();
        scene.settle(size);
        let there = scene.dialler.ask(scene.now, b"there");
        let back = scene.acceptor.ask(scene.now, &[7; 20_000]);
        scene.settle(size);
        let there = scene.dialler.peer().take_response(there).expect("an answer");
        let back = scene.acceptor.peer().take_response(back).expect("an answer");
        assert_eq!(there.expect("an echo").as_slice(), b"there");
        assert_eq!(back.expect("an echo").as_slice(), [7; 20_000]);
    }
}

/// Takes so many bytes until it would block, and gives those that there are.
#[derive(Default)]
struct Narrow {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    room: usize,
    reads: u32,
}

impl Read for Narrow {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.incoming.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = buf.len().min(self.incoming.len()).min(1000);
        buf[..len].copy_from_slice(&self.incoming[..len]);
        self.incoming.drain(..len);
        Ok(len)
    }
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.room);
        if len == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= len;
        self.outgoing.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_transfer_uses_a_transport_only_while_it_is_ready() {
    let mut scene = Scene::connected();
    let now = scene.now;
    let key = scene.dialler.ask(now, &[7; 20_000]);
    let [dialled, accepted] = &mut scene.sockets;
    let mut near = Narrow { room: 15_000, ..Narrow::default() };
    dialled.transfer(now, &mut scene.dialler.grid, &mut near);
    assert!(near.outgoing.is_empty() && near.reads == 0, "it has not become ready");

    dialled.handle_ready(false, true);
    dialled.transfer(now, &mut scene.dialler.grid, &mut near);
    assert_eq!(near.outgoing.len(), 15_000, "until it would block");
    near.room = 1 << 20;
    dialled.transfer(now, &mut scene.dialler.grid, &mut near);
    assert_eq!(near.outgoing.len(), 15_000, "nobody has said that it is ready again");
    dialled.handle_ready(false, true);
    dialled.transfer(now, &mut scene.dialler.grid, &mut near);

    let mut far = Narrow { room: 1 << 20, incoming: near.outgoing, ..Narrow::default() };
    accepted.handle_ready(true, true);
    let mut turns = 0;
    while accepted.poll_timeout() == Some(Instant::ZERO) {
        accepted.transfer(now, &mut scene.acceptor.grid, &mut far);
        turns += 1;
        assert_eq!(far.reads, turns, "once a turn");
    }
    assert!(turns > 20 && far.incoming.is_empty());
    assert_eq!(scene.acceptor.turn(now), None);
    accepted.transfer(now, &mut scene.acceptor.grid, &mut far);
    assert_eq!(far.reads, turns, "it would have blocked");

    near = Narrow { incoming: far.outgoing, ..Narrow::default() };
    dialled.handle_ready(true, false);
    while dialled.poll_timeout() == Some(Instant::ZERO) {
        dialled.transfer(now, &mut scene.dialler.grid, &mut near);
    }
    let echo = scene.dialler.peer().take_response(key).expect("an answer");
    assert_eq!(echo.expect("an echo").as_slice(), [7; 20_000]);
}

/// A message that is encoded in this number of bytes.
fn message(len: usize) -> Vec<u8> {
    let encode = |payload: usize| {
        let header = Header { mux: 1, ..Header::new(Op::MuxClientMsg) };
        let mut bytes = Vec::new();
        MessageRef { header, subroute: None, payload: &vec![7; payload] }.encode(&mut bytes);
        bytes
    };
    let overhead = encode(len).len() - len;
    let bytes = encode(len - overhead);
    assert_eq!(bytes.len(), len);
    bytes
}

/// A WebSocket frame with a merged message of `len` bytes, the first part of which has `first`.
fn merged(first: usize, len: usize, is_masked: bool) -> Vec<u8> {
    let mut frame = vec![0x82, if is_masked { 0xff } else { 0x7f }];
    frame.extend_from_slice(&(len as u64).to_be_bytes());
    // A mask that changes nothing.
    frame.extend_from_slice(if is_masked { &[0; 4] } else { &[] });
    let begin = frame.len();
    frame.resize(begin + MERGE_HEADER_LEN, 0);
    write_merge_header(&mut frame[begin..], 2);
    write_part_header(first, &mut frame);
    frame.extend_from_slice(&message(first));
    let left = len - (frame.len() - begin);
    let second = left - part_header_len(left);
    write_part_header(second, &mut frame);
    frame.extend_from_slice(&message(second));
    assert_eq!(frame.len() - begin, len);
    frame
}

#[test]
fn a_merged_message_may_be_64_kib_longer_than_the_longest_part_at_both_ends_and_no_more() {
    let limit = Limits::default().message;
    for end in [0, 1] {
        for (len, passes) in [(limit + (64 << 10), true), (limit + (64 << 10) + 1, false)] {
            let mut scene = Scene::connected();
            let frame = merged(limit, len, end == 1);
            let side = if end == 0 { &mut scene.dialler } else { &mut scene.acceptor };
            scene.sockets[end].receive(scene.now, &mut side.grid, &frame);
            let is_up = side.peer().state() == LinkState::Connected;
            assert_eq!(is_up, passes, "{len} bytes at end {end}");
            let code = close_code(scene.sockets[end].write_buf());
            assert_eq!(code, (!passes).then_some(1009), "{len} bytes at end {end}");
        }
    }
}

/// The code of the close frame, "message too big" or another, that is to be written.
fn close_code(bytes: &[u8]) -> Option<u16> {
    match *bytes {
        [.., 0x88, 0x82, a, b, _, _, high, low] => Some(u16::from_be_bytes([high ^ a, low ^ b])),
        [.., 0x88, 0x02, high, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

#[test]
fn a_socket_knows_its_peer_once_that_has_proved_who_it_is() {
    let mut scene = Scene::new();
    assert!(scene.sockets[0].link().is_some());
    assert_eq!(scene.sockets[1].link(), None);
    scene.settle(usize::MAX);
    let link = scene.acceptor.peer().link().expect("a link");
    assert_eq!(scene.sockets[1].link(), Some((&*scene.acceptor.other, link)));
}

#[test]
fn what_is_refused_is_told_why_and_finished_a_second_later() {
    let mut scene = Scene::new();
    let stranger = &mut scene.sockets[1];
    let mut request = &b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n"[..];
    assert!(stranger.read_from(scene.now.instant, &mut request));
    stranger.drive(scene.now, &mut scene.acceptor.grid);
    assert!(stranger.write_buf().starts_with(b"HTTP/1.1 4"));
    assert_eq!(stranger.poll_timeout(), Some(scene.now.instant.after(SECOND)));
    scene.pass(SECOND);
    scene.drive();
    assert!(scene.sockets[1].is_finished());
}

#[test]
fn what_is_received_is_read_and_driven_to_its_end_and_nothing_is_the_end() {
    let mut scene = Scene::connected();
    let key = scene.dialler.ask(scene.now, &[7; 300_000]);
    let (mut calls, mut bytes) = (0, Vec::new());
    let [dialled, accepted] = &mut scene.sockets;
    loop {
        dialled.drive(scene.now, &mut scene.dialler.grid);
        if dialled.write_buf().is_empty() {
            break;
        }
        dialled.write_to(scene.now.instant, &mut bytes);
    }
    assert!(bytes.len() > 300_000, "more than one read takes");
    accepted.receive(scene.now, &mut scene.acceptor.grid, &bytes);
    while let Some(call) = scene.acceptor.peer().poll_call() {
        assert_eq!(call.payload.as_slice(), [7; 300_000]);
        calls += 1;
    }
    assert_eq!(calls, 1, "it is with the peer already");
    dialled.receive(scene.now, &mut scene.dialler.grid, &[]);
    assert!(dialled.is_finished());
    assert!(scene.dialler.peer().take_response(key).expect("an end").is_err());
    dialled.receive(scene.now, &mut scene.dialler.grid, b"late");
    assert!(dialled.is_finished());
}

#[test]
fn who_says_nothing_is_refused_in_time() {
    let mut scene = Scene::new();
    let until = scene.sockets[1].poll_timeout().expect("a time limit");
    assert_eq!(until.since(scene.now.instant), Timings::default().acceptor_request);
    scene.now.instant = until;
    scene.drive();
    assert!(scene.sockets[1].poll_timeout() > Some(until), "it is on its way out");
    scene.pass(SECOND);
    scene.drive();
    assert!(scene.sockets[1].is_finished());
}

#[test]
fn a_lost_connection_fails_its_calls_and_is_dialled_anew() {
    let mut scene = Scene::connected();
    let key = scene.dialler.ask(scene.now, b"lost");
    scene.drive();
    scene.sockets.iter_mut().for_each(Socket::handle_eof);
    scene.drive();
    assert!(scene.sockets.iter().all(Socket::is_finished));
    assert!(scene.dialler.peer().take_response(key).expect("an end").is_err());
    scene.pass(10 * SECOND);
    scene.sockets = connect(scene.now, &mut scene.dialler, &mut scene.acceptor);
    scene.settle(usize::MAX);
    assert_eq!(scene.acceptor.grid.stats(scene.now.instant).reconnects, 1);
}

#[test]
fn a_transport_that_cannot_be_made_is_a_failed_dial() {
    let mut scene = Scene::new();
    scene.sockets[0].handle_failure(LinkError::Transport("refused".into()));
    scene.drive();
    assert!(scene.sockets[0].is_finished());
    let failure = scene.dialler.peer().last_failure();
    assert_eq!(failure, Some(&LinkError::Transport("refused".into())));
    let next = scene.dialler.grid.poll_timeout(scene.now.instant).map(|(_, reason)| reason);
    assert_eq!(next, Some(WakeReason::Output), "the state has changed");
    scene.dialler.turn(scene.now);
    let next = scene.dialler.grid.poll_timeout(scene.now.instant).map(|(_, reason)| reason);
    assert_eq!(next, Some(WakeReason::Dial));
}

#[test]
fn a_connection_that_its_peer_has_given_up_is_finished_without_being_told() {
    let mut scene = Scene::connected();
    let node = scene.dialler.grid.node().clone();
    // The same process connects anew: it has found the first connection broken.
    let mut again = Side::new(&node.name, &scene.dialler.other, 1);
    again.grid.start(scene.now);
    let [dialled, accepted] = connect(scene.now, &mut again, &mut scene.acceptor);
    let [_, former] = std::mem::replace(&mut scene.sockets, [dialled, accepted]);
    scene.dialler = again;
    scene.settle(usize::MAX);
    let mut former = former;
    assert!(!former.is_finished());
    former.drive(scene.now, &mut scene.acceptor.grid);
    assert!(former.is_finished());
    assert_eq!(scene.acceptor.peer().state(), LinkState::Connected);
}

#[test]
fn the_socket_of_a_removed_peer_is_finished() {
    let mut scene = Scene::connected();
    let name = scene.acceptor.other.clone();
    scene.acceptor.grid.remove_peer(&name, scene.now).expect("a peer");
    let [_, accepted] = &mut scene.sockets;
    accepted.drive(scene.now, &mut scene.acceptor.grid);
    assert!(accepted.is_finished());
}

#[test]
fn what_waits_behind_an_unwritten_pong_is_nothing_to_wake_up_for() {
    let mut scene = Scene::connected();
    let [_, accepted] = &mut scene.sockets;
    let mut ping = &[0x89, 0x80, 0, 0, 0, 0][..];
    accepted.read_from(scene.now.instant, &mut ping);
    accepted.drive(scene.now, &mut scene.acceptor.grid);
    assert!(!accepted.write_buf().is_empty(), "the pong, which the transport does not take");
    let key = scene.acceptor.ask(scene.now, b"behind it");
    scene.drive();
    let (at, reason) = scene.acceptor.grid.poll_timeout(scene.now.instant).expect("a timer");
    assert!(at > scene.now.instant, "{reason:?}");
    scene.settle(usize::MAX);
    assert!(scene.acceptor.peer().take_response(key).is_some());
}

#[test]
fn a_shutdown_ends_both_sockets_in_good_order() {
    let mut scene = Scene::connected();
    scene.acceptor.grid.shutdown(scene.now, SECOND);
    let mut drained = false;
    for _ in 0..10 {
        scene.drive();
        while let Some(event) = scene.acceptor.peer().poll_event() {
            drained |= event == Event::Drained;
        }
        while let Some(command) = scene.acceptor.peer().poll_command() {
            let LinkCommand::Close { how, .. } = command else { panic!("{command:?}") };
            scene.sockets[1].close(scene.now.instant, how);
        }
        let [dialled, accepted] = &mut scene.sockets;
        carry(scene.now, usize::MAX, accepted, dialled);
        carry(scene.now, usize::MAX, dialled, accepted);
        // Whoever is finished closes, and that is what the other one reads.
        if dialled.is_finished() {
            accepted.handle_eof();
        }
    }
    assert!(drained);
    assert!(scene.sockets.iter().all(Socket::is_finished));
    assert_eq!(scene.dialler.peer().last_failure(), Some(&LinkError::ClosedByPeer));
}

#[test]
fn of_sockets_that_have_not_proved_who_they_are_the_oldest_makes_room() {
    let mut scene = Scene::new();
    let limit = scene.acceptor.grid.node().limits.unauthenticated;
    let remote = |n: usize| Some(([10, 0, 1, u8::try_from(n % 200).expect("small")], 1).into());
    // One is in: that of the node that has not been heard yet.
    let mut strangers: Vec<_> = (0..limit - 1)
        .map(|n| Socket::accepted(&mut scene.acceptor.grid, scene.now.instant, remote(n)))
        .collect();
    let left = |strangers: &mut Vec<Socket>, scene: &mut Scene| {
        let (now, grid) = (scene.now, &mut scene.acceptor.grid);
        strangers.iter_mut().for_each(|socket| socket.drive(now, grid));
        strangers.retain(|socket| !socket.is_finished());
        strangers.len()
    };
    assert_eq!(left(&mut strangers, &mut scene), limit - 1, "all of them");
    strangers.push(Socket::accepted(&mut scene.acceptor.grid, scene.now.instant, remote(500)));
    assert_eq!(left(&mut strangers, &mut scene), limit - 1, "one had to leave");
    scene.settle(usize::MAX);
    assert_eq!(scene.acceptor.peer().state(), LinkState::Connected);
    assert_eq!(scene.dialler.peer().state(), LinkState::Connected);
    // It counts no more.
    strangers.push(Socket::accepted(&mut scene.acceptor.grid, scene.now.instant, remote(501)));
    assert_eq!(left(&mut strangers, &mut scene), limit, "there is room for one again");
    // Nor do those that are gone.
    strangers[0].handle_eof();
    assert_eq!(left(&mut strangers, &mut scene), limit - 1);
    strangers.push(Socket::accepted(&mut scene.acceptor.grid, scene.now.instant, remote(502)));
    assert_eq!(left(&mut strangers, &mut scene), limit);
}
