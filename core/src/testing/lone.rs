//! One node whose only peer is the test.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Which;
use super::joint::whole_frame;
use crate::auth::StaticToken;
use crate::event::{Event, IncomingCall, LinkCommand, LinkId};
use crate::grid::GridState;
use crate::node::Node;
use crate::peer::Peer;
use crate::time::{Instant, Now};
use crate::wire::{
    Connect, ConnectResponse, Flags, Header, Message, MessageRef, Op, Timestamp, for_each_message,
};

/// The name that dials, and the one that is dialled.
const NAMES: [&str; 2] = ["http://127.0.0.1:9101", "http://127.0.0.1:9102"];

const TOKEN: &str = "secret-token";

/// One node, joined by frames to the test, which says and reads every message.
#[derive(Debug)]
pub struct Lone {
    /// The current moment.
    pub now: Instant,
    /// The node.
    pub grid: GridState,
    /// Events not yet taken by the test.
    pub events: Vec<Event>,
    /// Calls not yet taken by the test.
    pub calls: VecDeque<IncomingCall>,
    /// What the node wants done about its connection, not yet taken by the test.
    pub commands: VecDeque<LinkCommand>,
    other: &'static str,
    wall_start: Timestamp,
}

impl Lone {
    /// A node of this role, not started; `set_up` may change its settings.
    ///
    /// # Panics
    /// If the settings are refused.
    pub fn new(role: Which, set_up: impl FnOnce(&mut Node)) -> Self {
        let (own, other) = (NAMES[role.index()], NAMES[role.other().index()]);
        let now = Instant::from_millis(1000);
        let token = StaticToken::new(TOKEN).expect("a token");
        let mut node = Node::new(own, [7; 16], Arc::new(token));
        set_up(&mut node);
        let names = NAMES.map(String::from);
        let grid = GridState::new(Arc::new(node), &names, 1, 0, now).expect("the settings work");
        Self {
            now,
            grid,
            events: Vec::new(),
            calls: VecDeque::new(),
            commands: VecDeque::new(),
            other,
            wall_start: Timestamp { seconds: 1_795_230_600, nanos: 0 },
        }
    }

    /// A node of this role, its link up, and nothing said yet.
    ///
    /// # Panics
    /// If it does not connect.
    pub fn connected(role: Which, set_up: impl FnOnce(&mut Node)) -> Self {
        let mut node = Self::new(role, set_up);
        node.grid.start(node.clocks());
        match role {
            Which::Dialler => {
                let link = node.dialled();
                let now = node.clocks();
                node.peer().handle_upgraded(now, link);
                assert_eq!(node.sent()[0].header.op, Op::Connect);
                node.receive_response(true, "");
            }
            Which::Acceptor => {
                node.connect([9; 16]).expect("accepted");
                assert_eq!(node.sent()[0].header.op, Op::ConnectResponse);
            }
        }
        node.events.clear();
        node
    }

    /// Both clocks.
    pub fn clocks(&self) -> Now {
        let nanos = self.wall_start.to_unix_nanos() + i128::from(self.now.as_nanos());
        Now { instant: self.now, wall: Timestamp::from_unix_nanos(nanos) }
    }

    /// The machine of the only peer.
    ///
    /// # Panics
    /// If the test has removed it.
    pub fn peer(&mut self) -> &mut Peer {
        self.grid.peer_mut(self.other).expect("the other end is configured")
    }

    /// The current link.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn link(&mut self) -> LinkId {
        self.peer().link().expect("a link")
    }

    /// Takes the dial that the node has asked for.
    ///
    /// # Panics
    /// If the next command is another one.
    #[track_caller]
    pub fn dialled(&mut self) -> LinkId {
        self.collect();
        match self.commands.pop_front() {
            Some(LinkCommand::Dial { link }) => link,
            other => panic!("expected a dial, got {other:?}"),
        }
    }

    /// The Connect of a good peer with this instance id.
    pub fn hello(&self, id: [u8; 16]) -> Connect {
        let time = self.clocks().wall;
        Connect { id, host: self.other.into(), time, token: TOKEN.into() }
    }

    /// A good peer of this instance id connects.
    ///
    /// # Errors
    /// The reason of a refusal.
    pub fn connect(&mut self, id: [u8; 16]) -> Result<LinkId, String> {
        let (now, hello) = (self.clocks(), self.hello(id));
        let verdict = self.grid.handle_hello(now, &hello, now.instant);
        self.collect();
        verdict.map_err(|denial| denial.reason)
    }

    /// The other end answers our Connect.
    pub fn receive_response(&mut self, accepted: bool, reason: &str) {
        let body = ConnectResponse { id: [9; 16], accepted, rejected_reason: reason.into() };
        let mut payload = Vec::new();
        body.encode(&mut payload);
        self.receive(Header::new(Op::ConnectResponse), &payload);
    }

    /// The other end says this.
    pub fn receive(&mut self, header: Header, payload: &[u8]) {
        self.receive_frame(&frame(header, payload));
    }

    /// The other end says this about a mux: CRC set, no deadline.
    pub fn receive_mux(&mut self, op: Op, mux: u64, seq: u32, flags: Flags, payload: &[u8]) {
        let flags = flags | Flags::CRC;
        self.receive(Header { mux, seq, flags, ..Header::new(op) }, payload);
    }

    /// The other end sends this frame.
    pub fn receive_frame(&mut self, frame: &[u8]) {
        let (now, link) = (self.clocks(), self.link());
        self.peer().handle_frame(now, link, &Bytes::copy_from_slice(frame));
        self.collect();
    }

    /// Everything that the node sends now, a frame each.
    pub fn frames(&mut self) -> Vec<Bytes> {
        let mut frames = Vec::new();
        let now = self.clocks();
        while let Some(link) = self.peer().link() {
            let peer = self.peer();
            let Some(transmit) = peer.poll_transmit(now, link) else { break };
            frames.push(whole_frame(transmit, peer));
        }
        self.collect();
        frames
    }

    /// Everything that the node sends now, a message each.
    pub fn sent(&mut self) -> Vec<Message> {
        self.frames().iter().flat_map(|frame| messages(frame)).collect()
    }

    /// Lets `duration` pass, waking the node when it asks for it. What it sends waits.
    ///
    /// # Panics
    /// If it wants to be woken again and again at one moment.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        self.collect();
        let mut wakes = 0;
        loop {
            // Output that the test has not taken is not waited for.
            let next = self.grid.poll_timeout(self.now).map_or(until, |(at, _)| at);
            let next = if self.peer().has_transmit() && next <= self.now {
                self.now.after(Duration::from_millis(1))
            } else {
                next
            };
            if next >= until {
                break;
            }
            wakes = if next > self.now { 0 } else { wakes + 1 };
            assert!(wakes < 100, "the node spins: it wants to be woken now, for ever");
            self.now = self.now.max(next);
            self.wake();
        }
        self.now = until;
        self.wake();
    }

    /// Wakes the node, whether it has asked for it or not.
    pub fn wake(&mut self) {
        let now = self.clocks();
        self.grid.handle_timeout(now);
        self.collect();
    }

    /// Takes calls, events and commands out of the machine.
    pub fn collect(&mut self) {
        while let Some(call) = self.peer().poll_call() {
            self.calls.push_back(call);
        }
        while let Some(event) = self.peer().poll_event() {
            self.events.push(event);
        }
        while let Some(command) = self.peer().poll_command() {
            self.commands.push_back(command);
        }
        self.peer().check_invariants();
    }
}

/// A message as a frame of its own.
pub(super) fn frame(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    MessageRef { header, subroute: None, payload }.encode(&mut frame);
    frame
}

/// The messages of one frame.
pub(super) fn messages(frame: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    for_each_message(frame, usize::MAX, |message| messages.push(message.to_message()))
        .expect("what we send decodes");
    messages
}
