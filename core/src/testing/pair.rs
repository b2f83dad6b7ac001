//! The two-sided harness.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};

use crate::auth::StaticToken;
use crate::connection::Connection;
use crate::error::LinkError;
use crate::event::{CloseHow, Event, IncomingCall, LinkCommand, LinkId};
use crate::grid::GridState;
use crate::limits::Limits;
use crate::link::{Accepting, Acceptor, check_connect, dials};
use crate::node::Node;
use crate::outbox::Transmit;
use crate::peer::Peer;
use crate::route::RouteTable;
use crate::time::{Instant, Now};
use crate::timings::Timings;
use crate::wire::Timestamp;

/// How the two sides are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Frames are handed over whole.
    Frames,
    /// Bytes through the WebSocket channel, at most so many at a time.
    Bytes(usize),
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The side that dials.
    Dialler,
    /// The side that is dialled.
    Acceptor,
}

impl Which {
    const BOTH: [Self; 2] = [Self::Dialler, Self::Acceptor];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Dialler => 0,
            Self::Acceptor => 1,
        }
    }
}

/// One node of a [`Pair`] and what it has told so far.
#[derive(Debug)]
pub struct End {
    /// The node, whose only peer is the other end.
    pub grid: GridState,
    /// Events not yet taken by the test.
    pub events: Vec<Event>,
    /// Calls not yet taken by the test.
    pub calls: VecDeque<IncomingCall>,
    /// Every frame that this end has sent, in order.
    pub sent: Vec<Bytes>,
    /// Reasons of all links that this end has closed.
    pub closed: Vec<LinkError>,
    /// Dial attempts that this end has begun, by time.
    pub dials: Vec<Instant>,
    other: String,
    /// What is subtracted from the common wall clock, for a clock that is slow, in nanoseconds.
    wall_offset: i128,
}

impl End {
    /// The machine of the other end.
    ///
    /// # Panics
    /// If the test has removed it.
    pub fn peer(&mut self) -> &mut Peer {
        self.grid.peer_mut(&self.other).expect("the other end is configured")
    }

    /// Takes the next call.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn call(&mut self) -> IncomingCall {
        self.calls.pop_front().expect("a call has come in")
    }

    /// Takes the events.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

/// What joins the two ends, and is gone when it is cut.
#[derive(Debug)]
struct Joint {
    links: [Option<LinkId>; 2],
    connections: [Option<Connection>; 2],
    acceptor: Option<Acceptor>,
    /// To the dialler, to the acceptor: what is under way, with its time of arrival.
    wires: [VecDeque<(Instant, Bytes)>; 2],
}

/// Two nodes and virtual time.
#[derive(Debug)]
pub struct Pair {
    /// The current moment.
    pub now: Instant,
    /// The two nodes.
    pub ends: [End; 2],
    /// How long everything is under way.
    pub latency: Duration,
    /// The sides whose arrivals are held back.
    pub held: [bool; 2],
    /// Whether dial attempts reach the other side; otherwise they hang.
    pub reachable: bool,
    mode: Mode,
    wall_start: Timestamp,
    joint: Option<Joint>,
    seed: u64,
}

/// Settings of a [`Pair`].
#[derive(Debug, Clone)]
pub struct PairBuilder {
    names: (String, String),
    mode: Mode,
    routes: RouteTable,
    limits: [Limits; 2],
    timings: Timings,
    tokens: [String; 2],
    seed: u64,
    first_generation: u32,
}

impl Default for PairBuilder {
    fn default() -> Self {
        Self {
            names: ("http://127.0.0.1:9101".into(), "http://127.0.0.1:9102".into()),
            mode: Mode::Frames,
            routes: RouteTable::default(),
            limits: [Limits::default(), Limits::default()],
            timings: Timings::default(),
            tokens: ["secret-token".into(), "secret-token".into()],
            seed: 1,
            first_generation: 0,
        }
    }
}

impl PairBuilder {
    /// How the two are joined; frames unless set.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The names, in any order: who dials follows from them.
    #[must_use]
    pub fn names(mut self, one: &str, other: &str) -> Self {
        self.names = (one.into(), other.into());
        self
    }

    /// What both ends serve.
    #[must_use]
    pub fn routes(mut self, routes: RouteTable) -> Self {
        self.routes = routes;
        self
    }

    /// The limits of one end.
    #[must_use]
    pub fn limits(mut self, which: Which, limits: Limits) -> Self {
        self.limits[which.index()] = limits;
        self
    }

    /// The timings of both ends.
    #[must_use]
    pub fn timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }

    /// The token that one end sends and accepts.
    #[must_use]
    pub fn token(mut self, which: Which, token: &str) -> Self {
        self.tokens[which.index()] = token.into();
        self
    }

    /// The seed of both ends.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Where the generations of mux ids begin.
    #[must_use]
    pub fn first_generation(mut self, generation: u32) -> Self {
        self.first_generation = generation;
        self
    }

    /// The two nodes, not started.
    ///
    /// # Panics
    /// If the settings are refused.
    pub fn build(self) -> Pair {
        let (one, other) = self.names.clone();
        let (dialler, acceptor) = if dials(&one, &other) { (one, other) } else { (other, one) };
        let now = Instant::from_millis(1000);
        let names = [dialler.clone(), acceptor.clone()];
        let end = |which: Which, own: &str, other: &str| {
            let index = which.index();
            let token = StaticToken::new(self.tokens[index].clone()).expect("a token");
            let mut node = Node::new(own, [index as u8 + 1; 16], Arc::new(token));
            node.routes = self.routes.clone();
            node.limits = self.limits[index].clone();
            node.timings = self.timings.clone();
            let seed = self.seed.wrapping_mul(2).wrapping_add(index as u64);
            let grid = GridState::new(Arc::new(node), &names, seed, self.first_generation, now);
            End {
                grid: grid.expect("the settings work"),
                events: Vec::new(),
                calls: VecDeque::new(),
                sent: Vec::new(),
                closed: Vec::new(),
                dials: Vec::new(),
                other: other.into(),
                wall_offset: 0,
            }
        };
        Pair {
            now,
            ends: [
                end(Which::Dialler, &dialler, &acceptor),
                end(Which::Acceptor, &acceptor, &dialler),
            ],
            latency: Duration::ZERO,
            held: [false; 2],
            reachable: true,
            mode: self.mode,
            wall_start: Timestamp { seconds: 1_795_230_600, nanos: 0 },
            joint: None,
            seed: self.seed,
        }
    }

    /// The two nodes, connected.
    ///
    /// # Panics
    /// If they do not connect.
    pub fn connected(self) -> Pair {
        let mut pair = self.build();
        pair.start();
        pair.drive();
        assert!(pair.is_connected(), "{:?}", pair.ends.each_ref().map(|end| &end.closed));
        for end in &mut pair.ends {
            end.events.clear();
        }
        pair
    }
}

impl Pair {
    /// Settings to begin with.
    pub fn builder() -> PairBuilder {
        PairBuilder::default()
    }

    /// The side that dials.
    pub fn dialler(&mut self) -> &mut End {
        &mut self.ends[0]
    }

    /// The side that is dialled.
    pub fn acceptor(&mut self) -> &mut End {
        &mut self.ends[1]
    }

    /// One of the two.
    pub fn end(&mut self, which: Which) -> &mut End {
        &mut self.ends[which.index()]
    }

    /// Moves one end's wall clock, in seconds.
    pub fn shift_wall(&mut self, which: Which, seconds: i64) {
        self.ends[which.index()].wall_offset = i128::from(seconds) * 1_000_000_000;
    }

    /// Sets what the wall clock shows now.
    pub fn set_wall(&mut self, wall: Timestamp) {
        let nanos = wall.to_unix_nanos() - i128::from(self.now.as_nanos());
        self.wall_start = Timestamp::from_unix_nanos(nanos);
    }

    /// Both clocks of one end.
    pub fn clocks(&self, which: Which) -> Now {
        let nanos = self.wall_start.to_unix_nanos()
            + i128::from(self.now.as_nanos())
            + self.ends[which.index()].wall_offset;
        Now { instant: self.now, wall: Timestamp::from_unix_nanos(nanos) }
    }

    /// Opens both start gates.
    pub fn start(&mut self) {
        for which in Which::BOTH {
            let now = self.clocks(which);
            self.end(which).grid.start(now);
        }
    }

    /// Whether both ends are connected.
    pub fn is_connected(&mut self) -> bool {
        self.ends.iter_mut().all(|end| end.peer().state() == crate::link::LinkState::Connected)
    }

    /// Cuts the connection: both ends see it at once.
    pub fn cut(&mut self) {
        let Some(mut joint) = self.joint.take() else { return };
        for which in Which::BOTH {
            let now = self.clocks(which);
            let error = LinkError::Transport("cut".into());
            let end = &mut self.ends[which.index()];
            match joint.connections[which.index()].take() {
                Some(mut connection) => {
                    connection.handle_failure(error);
                    connection.exchange(now, end.peer());
                }
                None => {
                    if let Some(link) = joint.links[which.index()] {
                        end.peer().handle_link_down(now, link, error, false);
                    }
                }
            }
        }
        self.drive();
    }

    /// Hands `frame` to one end as if the other had sent it.
    ///
    /// # Panics
    /// If there is no link.
    pub fn inject(&mut self, to: Which, frame: &[u8]) {
        let now = self.clocks(to);
        let end = self.end(to);
        let link = end.peer().link().expect("a link");
        end.peer().handle_frame(now, link, &Bytes::copy_from_slice(frame));
        self.drive();
    }

    /// Lets everything happen that can happen at this moment.
    ///
    /// # Panics
    /// If it never comes to rest.
    pub fn drive(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the pair never comes to rest");
    }

    /// Lets `duration` pass, stopping at every arrival and wake-up.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        self.drive();
        while let Some(next) = self.next_moment().filter(|at| *at <= until) {
            self.now = self.now.max(next);
            self.wake();
            self.drive();
        }
        self.now = until;
        self.wake();
        self.drive();
    }

    /// Lets `duration` pass at once, as for processes that were stopped.
    pub fn jump(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        self.drive();
        self.wake();
        self.drive();
    }

    /// The next arrival or wake-up.
    fn next_moment(&self) -> Option<Instant> {
        let mut moments = Vec::new();
        for which in Which::BOTH {
            let end = &self.ends[which.index()];
            moments.extend(end.grid.poll_timeout(self.now).map(|(at, _)| at));
            let Some(joint) = &self.joint else { continue };
            let connection = joint.connections[which.index()].as_ref();
            moments.extend(connection.and_then(Connection::poll_timeout));
            if which == Which::Acceptor {
                moments.extend(joint.acceptor.as_ref().map(Acceptor::poll_timeout));
            }
            if !self.held[which.index()] {
                moments.extend(joint.wires[which.index()].front().map(|(at, _)| *at));
            }
        }
        moments.into_iter().min()
    }

    fn wake(&mut self) {
        for which in Which::BOTH {
            let now = self.clocks(which);
            self.end(which).grid.handle_timeout(now);
            let index = which.index();
            let Some(joint) = &mut self.joint else { continue };
            if let Some(connection) = &mut joint.connections[index] {
                connection.handle_timeout(now.instant);
                connection.exchange(now, self.ends[index].peer());
            }
            if which == Which::Acceptor
                && let Some(acceptor) = &mut joint.acceptor
                && let Accepting::Finished(error) = acceptor.handle_timeout(now.instant)
            {
                self.ends[index].closed.push(error);
                self.joint = None;
            }
        }
    }

    fn step(&mut self) -> bool {
        let mut progress = false;
        for which in Which::BOTH {
            progress |= self.collect(which);
            progress |= self.transmit(which);
            progress |= self.arrive(which);
        }
        progress
    }

    /// Takes an end's outputs.
    fn collect(&mut self, which: Which) -> bool {
        let mut progress = false;
        let end = self.end(which);
        while let Some(call) = end.peer().poll_call() {
            end.calls.push_back(call);
            progress = true;
        }
        while let Some(event) = end.peer().poll_event() {
            end.events.push(event);
            progress = true;
        }
        end.peer().check_invariants();
        while let Some(command) = self.end(which).peer().poll_command() {
            self.obey(which, command);
            progress = true;
        }
        progress
    }

    fn obey(&mut self, which: Which, command: LinkCommand) {
        let now = self.clocks(which);
        match command {
            LinkCommand::Dial { link } => {
                let at = self.now;
                self.end(which).dials.push(at);
                if self.reachable {
                    self.connect(link, now);
                }
            }
            LinkCommand::Close { link, how, reason } => {
                self.end(which).closed.push(reason);
                self.close(which, link, how, now);
            }
        }
    }

    fn connect(&mut self, link: LinkId, now: Now) {
        self.cut();
        let mut joint = Joint {
            links: [Some(link), None],
            connections: [None, None],
            acceptor: None,
            wires: Default::default(),
        };
        match self.mode {
            Mode::Frames => {
                self.joint = Some(joint);
                self.dialler().peer().handle_upgraded(now, link);
            }
            Mode::Bytes(_) => {
                let end = &self.ends[0];
                let connection =
                    Connection::dialled(end.grid.node(), &end.other, link, self.seed, now);
                joint.connections[0] = Some(connection.expect("the settings can be sent"));
                joint.acceptor = Some(self.ends[1].grid.accept(now.instant));
                self.joint = Some(joint);
            }
        }
    }

    fn close(&mut self, which: Which, link: LinkId, how: CloseHow, now: Now) {
        let index = which.index();
        let Some(joint) = &mut self.joint else {
            // The other end is gone already: there is nothing to close.
            let error = LinkError::ClosedByPeer;
            return self.ends[index].peer().handle_link_down(now, link, error, false);
        };
        if joint.links[index] != Some(link) {
            return;
        }
        if let Some(connection) = &mut joint.connections[index] {
            connection.close(now.instant, how);
            if how != CloseHow::Abort {
                return;
            }
        }
        joint.connections[index] = None;
        joint.links[index] = None;
        self.cut();
        let error = LinkError::ShutDown;
        self.ends[index].peer().handle_link_down(now, link, error, false);
    }

    /// Moves what an end has to send onto the wire.
    fn transmit(&mut self, which: Which) -> bool {
        let now = self.clocks(which);
        let arrival = self.now.after(self.latency);
        let index = which.index();
        let Some(joint) = &mut self.joint else { return false };
        let end = &mut self.ends[index];
        let wire = &mut joint.wires[which.other().index()];
        if self.mode == Mode::Frames {
            let Some(link) = joint.links[index] else { return false };
            let Some(transmit) = end.peer().poll_transmit(now, link) else { return false };
            let frame = match transmit {
                Transmit::Frame { buf, start, .. } => {
                    let frame = Bytes::copy_from_slice(&buf[start..]);
                    end.peer().recycle(buf);
                    frame
                }
                Transmit::Large(large) => {
                    let mut frame = Vec::new();
                    large.encode(&mut frame);
                    frame.into()
                }
            };
            end.sent.push(frame.clone());
            wire.push_back((arrival, frame));
            return true;
        }
        let Mode::Bytes(chunk) = self.mode else { return false };
        if let Some(connection) = &mut joint.connections[index] {
            connection.exchange(now, end.peer());
            let bytes = connection.write_buf();
            let len = bytes.len().min(chunk);
            wire.extend((len > 0).then(|| (arrival, Bytes::copy_from_slice(&bytes[..len]))));
            connection.handle_written(now.instant, len);
            let finished = connection.is_finished();
            if finished {
                self.hang_up(which);
            }
            return finished || len > 0;
        }
        if which == Which::Acceptor
            && let Some(acceptor) = &mut joint.acceptor
        {
            let bytes = acceptor.write_buf();
            let len = bytes.len().min(chunk);
            wire.extend((len > 0).then(|| (arrival, Bytes::copy_from_slice(&bytes[..len]))));
            acceptor.handle_written(len);
            return len > 0;
        }
        false
    }

    /// One end's transport is closed: the other sees the end of the stream behind what is under way.
    fn hang_up(&mut self, which: Which) {
        let now = self.clocks(which.other());
        let Some(mut joint) = self.joint.take() else { return };
        let other = which.other().index();
        let Some(mut connection) = joint.connections[other].take() else { return };
        for (_, bytes) in joint.wires[other].drain(..) {
            connection.read_buf().put_slice(&bytes);
            connection.handle_read(now.instant, bytes.len());
        }
        connection.handle_eof();
        connection.exchange(now, self.ends[other].peer());
    }

    /// Hands the next arrival to an end.
    fn arrive(&mut self, which: Which) -> bool {
        let index = which.index();
        let now = self.clocks(which);
        if self.held[index] {
            return false;
        }
        let Some(joint) = &mut self.joint else { return false };
        let Some((_, bytes)) = joint.wires[index].pop_front_if(|(at, _)| *at <= now.instant) else {
            return false;
        };
        if self.mode == Mode::Frames {
            self.arrive_frame(which, now, &bytes);
        } else if let Some(connection) = &mut joint.connections[index] {
            connection.read_buf().put_slice(&bytes);
            connection.handle_read(now.instant, bytes.len());
            loop {
                connection.exchange(now, self.ends[index].peer());
                if !connection.decode_more() {
                    break;
                }
            }
        } else if let Some(acceptor) = &mut joint.acceptor {
            acceptor.read_buf().put_slice(&bytes);
            let outcome = acceptor.handle_read(now, &self.ends[index].grid);
            self.arrive_hello(now, outcome);
        }
        true
    }

    fn arrive_frame(&mut self, which: Which, now: Now, frame: &Bytes) {
        let index = which.index();
        let Some(joint) = &mut self.joint else { return };
        let end = &mut self.ends[index];
        if let Some(link) = joint.links[index] {
            return end.peer().handle_frame(now, link, frame);
        }
        let node = end.grid.node().clone();
        let known = end.other.clone();
        let verdict = check_connect(&node, now, frame, |name| name == known)
            .and_then(|hello| end.peer().handle_hello(now, &hello));
        match verdict {
            Ok(link) => joint.links[index] = Some(link),
            Err(reason) => {
                end.closed.push(LinkError::Refused(reason.clone()));
                let refusal = Bytes::from(Peer::refusal(node.instance, &reason));
                end.sent.push(refusal.clone());
                joint.wires[which.other().index()].push_back((now.instant, refusal));
            }
        }
    }

    fn arrive_hello(&mut self, now: Now, outcome: Accepting) {
        let Some(joint) = &mut self.joint else { return };
        let Some(acceptor) = &mut joint.acceptor else { return };
        match outcome {
            Accepting::Pending => {}
            Accepting::Hello(hello) => match self.ends[1].grid.handle_hello(now, &hello) {
                Ok(link) => {
                    joint.links[1] = Some(link);
                    if let Some(acceptor) = joint.acceptor.take() {
                        let connection = acceptor.accept(now.instant, link);
                        joint.connections[1] = Some(connection.expect("greeted"));
                    }
                }
                Err(reason) => {
                    let outcome = acceptor.refuse(&reason);
                    self.arrive_hello(now, outcome);
                }
            },
            Accepting::Finished(error) => self.ends[1].closed.push(error),
        }
    }
}
