//! One node and a test that plays the other, frame by frame, in virtual time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gridmux_core::auth::StaticToken;
use gridmux_core::error::{CallError, CancelReason, LinkError};
use gridmux_core::event::{Event, IncomingCall, LinkCommand, LinkId};
use gridmux_core::grid::GridState;
use gridmux_core::link::{LinkState, check_connect};
use gridmux_core::mux::{IncomingKey, OutgoingKey, Received, Target};
use gridmux_core::node::Node;
use gridmux_core::outbox::{Data, Transmit};
use gridmux_core::peer::Peer;
use gridmux_core::route::{RouteInfo, RouteTable, Shape};
use gridmux_core::time::{Instant, Now};
use gridmux_core::wire::{
    Connect, ConnectResponse, Flags, Header, Message, MessageRef, Op, Timestamp,
};

use super::messages::{Edit, line, message, opening, unpack};

pub const DIALLER: &str = "http://127.0.0.1:9101";
pub const ACCEPTOR: &str = "http://127.0.0.1:9102";
const WALL: Timestamp = Timestamp { seconds: 1_795_230_600, nanos: 0 };
pub const TOKEN: &str = "secret-token";

/// The routes that the recorded Go node has, and some that tests need.
pub fn routes() -> RouteTable {
    let stream = |in_capacity, out_capacity| Shape::Stream { in_capacity, out_capacity };
    let mut routes = RouteTable::new();
    for (handler, shape) in [
        (1, Shape::Single),
        (2, Shape::Single),
        (3, Shape::Single),
        (6, Shape::Single),
        (10, stream(0, 1)),
        (11, stream(5, 5)),
        (12, stream(10, 2)),
        (13, stream(0, 1)),
        (14, stream(0, 3)),
        (15, stream(2, 2)),
        (17, stream(1, 1)),
    ] {
        let route = RouteInfo { handler, subroute: None, name: "test", shape, run_to_end: false };
        routes.insert(route).expect("a route");
    }
    routes
}

/// A node of this name.
pub fn node(name: &str, instance: [u8; 16]) -> Node {
    let token = StaticToken::new(TOKEN).expect("a token");
    let mut node = Node::new(name, instance, Arc::new(token));
    node.routes = routes();
    node
}

/// The node, and what it has done so far.
#[derive(Debug)]
pub struct Solo {
    pub grid: GridState,
    pub now: Instant,
    pub wall: Timestamp,
    pub link: Option<LinkId>,
    /// Messages that the node has sent and the test has not looked at.
    pub sent: Vec<Message>,
    pub events: Vec<Event>,
    pub calls: VecDeque<IncomingCall>,
    pub closed: Vec<LinkError>,
    /// While set, nothing that the node has to send is taken.
    pub stalled: bool,
    other: String,
}

impl Solo {
    /// A started node that is not connected.
    pub fn new(node: Node, other: &str, first_generation: u32) -> Self {
        let now = Instant::from_millis(1000);
        Self::new_at(node, other, first_generation, now, WALL)
    }

    /// The same, with the clocks as given.
    pub fn new_at(
        node: Node,
        other: &str,
        first_generation: u32,
        now: Instant,
        wall: Timestamp,
    ) -> Self {
        let names = [node.name.clone(), other.to_owned()];
        let grid = GridState::new(Arc::new(node), &names, 7, first_generation, now);
        let mut solo = Self {
            grid: grid.expect("the settings work"),
            now,
            wall,
            link: None,
            sent: Vec::new(),
            events: Vec::new(),
            calls: VecDeque::new(),
            closed: Vec::new(),
            stalled: false,
            other: other.into(),
        };
        solo.grid.start(solo.clocks());
        solo.pump();
        solo
    }

    /// The side that is dialled, connected.
    pub fn acceptor() -> Self {
        Self::acceptor_with(|_| {})
    }

    /// The same, with settings of the test's own.
    pub fn acceptor_with(change: impl FnOnce(&mut Node)) -> Self {
        let mut node = node(ACCEPTOR, [2; 16]);
        change(&mut node);
        let mut solo = Self::new(node, DIALLER, 0);
        solo.reconnect();
        solo
    }

    /// Dials in again: the link before is replaced.
    pub fn reconnect(&mut self) {
        self.link = None;
        self.feed(&connect(DIALLER, [1; 16], self.wall));
        let answer = std::mem::take(&mut self.sent);
        assert_eq!(
            answer.iter().map(line).collect::<Vec<_>>(),
            ["ConnectResponse mux=0 seq=0 accepted, no text"]
        );
        self.events.clear();
    }

    /// The side that dials, connected.
    pub fn dialler() -> Self {
        Self::dialler_from(0, |_| {})
    }

    /// The same, with the generation that mux ids begin with and settings of the test's own.
    pub fn dialler_from(first_generation: u32, change: impl FnOnce(&mut Node)) -> Self {
        let mut node = node(DIALLER, [1; 16]);
        change(&mut node);
        let mut solo = Self::new(node, ACCEPTOR, first_generation);
        solo.answer_connect();
        solo
    }

    /// Plays the acceptor that takes the connection.
    pub fn answer_connect(&mut self) {
        assert_eq!(self.sent.pop().map(|m| m.header.op), Some(Op::Connect));
        self.feed(&connect_response([2; 16]));
        assert_eq!(self.peer().state(), LinkState::Connected);
        self.sent.clear();
        self.events.clear();
    }

    /// The connection breaks.
    pub fn cut(&mut self) {
        let now = self.clocks();
        let link = self.link.take().expect("a link");
        let error = LinkError::Transport("cut".into());
        self.peer().handle_link_down(now, link, error, 0);
        self.pump();
    }

    pub fn clocks(&self) -> Now {
        Now { instant: self.now, wall: self.wall }
    }

    pub fn peer(&mut self) -> &mut Peer {
        self.grid.peer_mut(&self.other).expect("the other node is configured")
    }

    /// Takes the next call.
    #[track_caller]
    pub fn call(&mut self) -> IncomingCall {
        self.calls.pop_front().expect("a call has come in")
    }

    /// A single request of ours.
    #[track_caller]
    pub fn request(&mut self, payload: &[u8], timeout: Option<Duration>) -> OutgoingKey {
        let (now, target) = (self.now, Target { handler: 1, subroute: None });
        let key = self.peer().request(now, target, Data::Borrowed(payload), timeout);
        self.pump();
        key.expect("connected")
    }

    /// A stream of ours with these capacities.
    #[track_caller]
    pub fn open(&mut self, capacities: (u32, u32), timeout: Option<Duration>) -> OutgoingKey {
        let (now, target) = (self.now, Target { handler: 11, subroute: None });
        let key = self.peer().open(now, target, capacities, Data::Nil, timeout);
        self.pump();
        key.expect("connected")
    }

    /// The same, acked, and nothing of it left to look at.
    #[track_caller]
    pub fn open_acked(&mut self, capacities: (u32, u32), timeout: Option<Duration>) -> OutgoingKey {
        let key = self.open(capacities, timeout);
        self.give(&message(Op::AckMux, key.mux_id(), 0));
        self.sent.clear();
        self.events.clear();
        key
    }

    /// Takes what a stream of ours has to read.
    pub fn receive(&mut self, key: OutgoingKey) -> Received<CallError> {
        let received = self.peer().receive(key);
        self.pump();
        received
    }

    /// Serves a stream that the other node opens on this handler, and forgets the ack.
    #[track_caller]
    pub fn serve(&mut self, mux: u64, handler: u8) -> IncomingKey {
        self.give(&opening(Op::ConnectMux, mux, handler, b""));
        self.sent.clear();
        self.call().key
    }

    /// Takes the input of a stream that is served.
    pub fn take_input(&mut self, key: IncomingKey) -> Received<CancelReason> {
        let received = self.peer().take_input(key);
        self.pump();
        received
    }

    /// The handler returns.
    pub fn finish(&mut self, key: IncomingKey, end: Result<(), &str>) {
        let now = self.clocks();
        self.peer().finish(now, key, end.map_err(str::to_owned));
        self.pump();
    }

    /// The handler of a cancelled call has been dropped.
    pub fn gone(&mut self, key: IncomingKey) {
        let now = self.clocks();
        self.peer().handler_gone(now, key);
    }

    /// Answers a single request.
    pub fn respond(&mut self, key: IncomingKey, result: Result<&[u8], &str>) {
        let now = self.clocks();
        self.peer().respond(now, key, result.map(Data::Borrowed));
        self.pump();
    }

    /// Lets go of a call of ours.
    pub fn release(&mut self, key: OutgoingKey) {
        let now = self.clocks();
        self.peer().release(now, key);
        self.pump();
    }

    /// One message from the other node.
    pub fn give(&mut self, message: &Message) {
        self.feed(&message.bytes());
    }

    /// One frame from the other node.
    pub fn feed(&mut self, frame: &[u8]) {
        let now = self.clocks();
        let frame = Bytes::copy_from_slice(frame);
        match self.link {
            Some(link) => self.peer().handle_frame(now, link, &frame),
            None => self.hello(now, &frame),
        }
        self.pump();
    }

    fn hello(&mut self, now: Now, frame: &Bytes) {
        let node = self.grid.node().clone();
        let other = self.other.clone();
        let verdict = check_connect(&node, now, frame, None, |name| name == other)
            .and_then(|hello| self.grid.handle_hello(now, &hello, now.instant));
        match verdict {
            Ok(link) => self.link = Some(link),
            Err(reason) => {
                self.closed.push(LinkError::Refused(reason.clone()));
                self.sent.extend(unpack(&Peer::refusal(node.instance, &reason)));
            }
        }
    }

    /// Takes everything that the node has to say.
    pub fn pump(&mut self) {
        let now = self.clocks();
        loop {
            let peer = self.grid.peer_mut(&self.other).expect("the other node is configured");
            while let Some(call) = peer.poll_call() {
                self.calls.push_back(call);
            }
            while let Some(event) = peer.poll_event() {
                self.events.push(event);
            }
            peer.check_invariants();
            while let Some(command) = peer.poll_command() {
                match command {
                    LinkCommand::Dial { link } => {
                        self.link = Some(link);
                        peer.handle_upgraded(now, link);
                    }
                    LinkCommand::Close { link, reason, .. } => {
                        self.closed.push(reason);
                        if self.link == Some(link) {
                            self.link = None;
                        }
                    }
                    _ => {}
                }
            }
            let Some(link) = self.link.filter(|_| !self.stalled) else { return };
            match peer.poll_transmit(now, link) {
                None => return,
                Some(Transmit::Frame { buf, start, .. }) => {
                    self.sent.extend(unpack(&buf[start..]));
                    peer.recycle(buf);
                }
                Some(Transmit::Large(large)) => {
                    let mut frame = Vec::new();
                    large.encode(&mut frame);
                    self.sent.extend(unpack(&frame));
                }
            }
        }
    }

    /// Takes what the node has sent, as lines.
    pub fn said(&mut self) -> Vec<String> {
        self.pump();
        std::mem::take(&mut self.sent).iter().map(line).collect()
    }

    /// The same, of the muxes alone: link pings come and go.
    pub fn said_of_muxes(&mut self) -> Vec<String> {
        self.pump();
        let sent = std::mem::take(&mut self.sent);
        sent.iter().filter(|m| m.header.mux != 0).map(line).collect()
    }

    /// Whether the node told of this.
    pub fn saw(&mut self, event: Event) -> bool {
        self.pump();
        let at = self.events.iter().position(|e| *e == event);
        at.map(|at| self.events.remove(at)).is_some()
    }

    /// Lets time pass, stopping whenever the node wants to be woken. Link pings are answered.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        self.pump();
        if self.stalled {
            // Output that is pending means "now" for as long as nobody takes it.
            return self.jump_to(until);
        }
        while let Some(next) = self.next_wake().filter(|at| *at <= until) {
            self.jump_to(next.max(self.now));
        }
        self.jump_to(until);
    }

    /// When the node wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        self.grid.poll_timeout(self.now).map(|(at, _)| at)
    }

    /// Moves the clocks and wakes the node once. Link pings stay unanswered.
    pub fn jump_without_answer(&mut self, at: Instant) {
        let wall = self.wall.to_unix_nanos() + i128::from(at.as_nanos() - self.now.as_nanos());
        self.now = at;
        self.wall = Timestamp::from_unix_nanos(wall);
        let now = self.clocks();
        self.grid.handle_timeout(now);
        self.pump();
    }

    /// Moves the clocks and wakes the node once. Link pings are answered.
    pub fn jump_to(&mut self, at: Instant) {
        self.jump_without_answer(at);
        let pings: Vec<_> = self.sent.extract_if(.., |m| is_link_ping(m)).collect();
        for ping in pings {
            let time = gridmux_core::wire::Ping::decode(&ping.payload).expect("a ping").time;
            let mut payload = Vec::new();
            gridmux_core::wire::Pong { not_found: false, error: None, time }.encode(&mut payload);
            let header = Header { op: Op::Pong, flags: Flags::CRC, ..ping.header };
            self.give(&Message { header, subroute: None, payload: payload.into() });
        }
    }
}

fn is_link_ping(message: &Message) -> bool {
    message.header.op == Op::Ping && message.header.mux == 0
}

/// The Connect of a node.
pub fn connect(host: &str, id: [u8; 16], time: Timestamp) -> Vec<u8> {
    let mut payload = Vec::new();
    Connect { id, host: host.into(), time, token: TOKEN.into() }.encode(&mut payload);
    let mut frame = Vec::new();
    let header = Header::new(Op::Connect);
    MessageRef { header, subroute: None, payload: &payload }.encode(&mut frame);
    frame
}

/// The ConnectResponse that accepts.
pub fn connect_response(id: [u8; 16]) -> Vec<u8> {
    let mut payload = Vec::new();
    ConnectResponse { id, accepted: true, rejected_reason: String::new() }.encode(&mut payload);
    let mut frame = Vec::new();
    let header = Header::new(Op::ConnectResponse);
    MessageRef { header, subroute: None, payload: &payload }.encode(&mut frame);
    frame
}
