//! What the tests of links share: routes, calls, and a look at the wire.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its share of this module")]

use std::time::Duration;

use gridmux_core::connection::Connection;
use gridmux_core::error::CallError;
use gridmux_core::event::IncomingCall;
use gridmux_core::limits::Limits;
use gridmux_core::link::Accepting;
use gridmux_core::mux::{IncomingKey, OutgoingKey, Received, Refusal, Target};
use gridmux_core::outbox::Data;
use gridmux_core::payload::Payload;
use gridmux_core::route::{RouteInfo, RouteTable, Shape};
use gridmux_core::testing::{Lone, Mode, Pair, PairBuilder, Which};
use gridmux_core::websocket::{Channel, Role};
use gridmux_core::wire::{Header, Message, MessageRef, Op, SubrouteId, for_each_message};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MS: Duration = Duration::from_millis(1);

/// A single request.
pub const ECHO: Target = Target { handler: 1, subroute: None };
/// A stream without input, 5 items out.
pub const LIST: Target = Target { handler: 7, subroute: None };
pub const LIST_CAPACITY: (u32, u32) = (0, 5);
/// A stream, 5 items in and 5 out.
pub const TALK: Target = Target { handler: 11, subroute: None };
pub const TALK_CAPACITY: (u32, u32) = (5, 5);

/// A single request under a subroute.
pub fn sub() -> Target {
    Target { handler: 1, subroute: Some(SubrouteId::new(1, &["disk", "1"])) }
}

pub fn routes() -> RouteTable {
    let mut routes = RouteTable::new();
    let mut insert = |target: Target, name, shape| {
        let Target { handler, subroute } = target;
        let route = RouteInfo { handler, subroute, name, shape, run_to_end: false };
        routes.insert(route).expect("a route");
    };
    let stream = |(in_capacity, out_capacity)| Shape::Stream { in_capacity, out_capacity };
    insert(ECHO, "echo", Shape::Single);
    insert(sub(), "echo of disk 1", Shape::Single);
    insert(LIST, "list", stream(LIST_CAPACITY));
    insert(TALK, "talk", stream(TALK_CAPACITY));
    routes
}

pub fn builder() -> PairBuilder {
    Pair::builder().routes(routes())
}

pub fn in_bytes() -> PairBuilder {
    builder().mode(Mode::Bytes(usize::MAX))
}

/// Begins a request of 60 s.
#[track_caller]
pub fn request(pair: &mut Pair, from: Which, payload: &[u8]) -> OutgoingKey {
    try_request(pair, from, payload).expect("a call can be made")
}

pub fn try_request(pair: &mut Pair, from: Which, payload: &[u8]) -> Result<OutgoingKey, Refusal> {
    let now = pair.now;
    let data = Data::Owned(payload.to_vec().into());
    pair.end(from).peer().request(now, ECHO, data, None)
}

/// The error that a call fails with at once.
#[track_caller]
pub fn refused(pair: &mut Pair, from: Which) -> CallError {
    match try_request(pair, from, b"x") {
        Err(Refusal::Failed(error)) => error,
        other => panic!("expected a failure, got {other:?}"),
    }
}

/// Opens a stream of [`TALK`] without a deadline.
#[track_caller]
pub fn talk(pair: &mut Pair, from: Which) -> OutgoingKey {
    let now = pair.now;
    let peer = pair.end(from).peer();
    peer.open(now, TALK, TALK_CAPACITY, Data::Nil, None).expect("a stream can be opened")
}

/// Opens a stream of [`LIST`] without a deadline.
#[track_caller]
pub fn list(pair: &mut Pair, from: Which) -> OutgoingKey {
    let now = pair.now;
    let peer = pair.end(from).peer();
    peer.open(now, LIST, LIST_CAPACITY, Data::Nil, None).expect("a stream can be opened")
}

/// Takes the next call of an end, which must have come.
#[track_caller]
pub fn served(pair: &mut Pair, at: Which) -> IncomingCall {
    pair.drive();
    pair.end(at).call()
}

pub fn respond(pair: &mut Pair, at: Which, key: IncomingKey, payload: &[u8]) {
    let now = pair.clocks(at);
    let data = Data::Owned(payload.to_vec().into());
    pair.end(at).peer().respond(now, key, Ok(data));
    pair.drive();
}

/// A cancelled handler is gone.
pub fn gone(pair: &mut Pair, at: Which, key: IncomingKey) {
    let now = pair.clocks(at);
    pair.end(at).peer().handler_gone(now, key);
    pair.drive();
}

pub fn finish(pair: &mut Pair, at: Which, key: IncomingKey, end: Result<(), &str>) {
    let now = pair.clocks(at);
    pair.end(at).peer().finish(now, key, end.map_err(String::from));
    pair.drive();
}

pub fn release(pair: &mut Pair, at: Which, key: OutgoingKey) {
    let now = pair.clocks(at);
    pair.end(at).peer().release(now, key);
    pair.drive();
}

pub fn outcome(pair: &mut Pair, at: Which, key: OutgoingKey) -> Option<Result<Payload, CallError>> {
    pair.end(at).peer().take_response(key)
}

/// A call from one end is answered by the other.
#[track_caller]
pub fn round_trip(pair: &mut Pair, from: Which) {
    let key = request(pair, from, b"hello");
    let call = served(pair, from.other());
    assert_eq!(call.payload.as_slice(), b"hello");
    respond(pair, from.other(), call.key, b"world");
    let response = outcome(pair, from, key).expect("answered").expect("well");
    assert_eq!(response.as_slice(), b"world");
}

/// All items of a stream that have come, and what follows them.
pub fn drain(pair: &mut Pair, at: Which, key: OutgoingKey) -> (Vec<Vec<u8>>, Received<CallError>) {
    let mut items = Vec::new();
    loop {
        match pair.end(at).peer().receive(key) {
            Received::Item(item) => items.push(item.to_vec()),
            end => return (items, end),
        }
    }
}

/// The messages of frames, in order.
pub fn messages<'a>(frames: impl IntoIterator<Item = &'a bytes::Bytes>) -> Vec<Message> {
    let mut messages = Vec::new();
    for frame in frames {
        for_each_message(frame, usize::MAX, |message| messages.push(message.to_message()))
            .expect("what a node sends decodes");
    }
    messages
}

/// The ops that an end has sent since the test last cleared `sent`.
pub fn ops(pair: &mut Pair, which: Which) -> Vec<Op> {
    messages(&pair.end(which).sent).iter().map(|message| message.header.op).collect()
}

/// A message as it is on the wire.
pub fn encoded(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    MessageRef { header, subroute: None, payload }.encode(&mut frame);
    frame
}

/// A message of the client as a frame.
pub fn sealed(client: &mut Channel, payload: &[u8]) -> Vec<u8> {
    let mut frame = payload.to_vec();
    let start = client.seal(&mut frame, 0);
    frame[start..].to_vec()
}

/// A node, a connection that it has accepted, and the test at the other end.
pub fn accepted(change: impl FnOnce(&mut Limits)) -> (Lone, Channel, Connection) {
    let mut node = Lone::new(Which::Acceptor, |node| {
        node.routes = routes();
        change(&mut node.limits);
    });
    node.grid.start(node.clocks());
    let mut client = Channel::new(Role::Client, 1 << 20, 1);
    let mut payload = Vec::new();
    node.hello([10; 16]).encode(&mut payload);
    let connect = sealed(&mut client, &encoded(Header::new(Op::Connect), &payload));
    let (now, clocks) = (node.now, node.clocks());
    let mut acceptor = node.grid.accept_upgraded(now, &[]);
    acceptor.read_buf().extend_from_slice(&connect);
    let Accepting::Hello(hello) = acceptor.handle_read(clocks, &node.grid) else {
        panic!("a good Connect");
    };
    let link = node.grid.handle_hello(clocks, &hello, acceptor.came()).expect("accepted");
    let mut connection = acceptor.accept(now, link).expect("greeted");
    connection.exchange(clocks, node.peer());
    let answer = connection.write_buf().len();
    connection.handle_written(now, answer);
    (node, client, connection)
}
