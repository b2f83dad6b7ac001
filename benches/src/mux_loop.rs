//! Two nodes back to back without I/O: what the machines alone cost.

use std::sync::Arc;

use bytes::Bytes;
use gridmux_core::auth::StaticToken;
use gridmux_core::event::{LinkCommand, LinkId};
use gridmux_core::link::{check_connect, dials};
use gridmux_core::mux::{OutgoingKey, Target};
use gridmux_core::node::Node;
use gridmux_core::outbox::{Data, Transmit};
use gridmux_core::peer::{Inbound, Peer};
use gridmux_core::route::{RouteInfo, RouteTable, Shape};
use gridmux_core::time::{Instant, Now};
use gridmux_core::wire::Timestamp;

/// The handler that answers single requests.
pub const ECHO: Target = Target { handler: 1, subroute: None };

/// The handler of two-way streams, 64 items each way.
pub const TALK: Target = Target { handler: 2, subroute: None };

/// One node and the frame that it is about to hand over.
#[derive(Debug)]
struct End {
    peer: Peer,
    link: LinkId,
    inbound: Inbound,
}

/// Two connected machines; time stands still unless it is moved.
#[derive(Debug)]
pub struct MuxLoop {
    now: Now,
    caller: End,
    callee: End,
    frame: Vec<u8>,
}

impl Default for MuxLoop {
    fn default() -> Self {
        Self::new()
    }
}

impl MuxLoop {
    /// Connects the two.
    ///
    /// # Panics
    /// If the machines do not connect: a bug.
    pub fn new() -> Self {
        let names = ["http://127.0.0.1:9101", "http://127.0.0.1:9102"];
        let (caller, callee) =
            if dials(names[0], names[1]) { (names[0], names[1]) } else { (names[1], names[0]) };
        let now = Now {
            instant: Instant::from_millis(1000),
            wall: Timestamp { seconds: 1_800_000_000, nanos: 0 },
        };
        let machine = |own: &str, other: &str, seed: u64| {
            let token = StaticToken::new("bench-token").expect("a token");
            let mut node = Node::new(own, [seed as u8; 16], Arc::new(token));
            node.routes = routes();
            Peer::new(Arc::new(node), other, seed, 0, now.instant)
        };
        let (mut dialler, mut acceptor) = (machine(caller, callee, 1), machine(callee, caller, 2));
        dialler.start(now);
        acceptor.start(now);
        let Some(LinkCommand::Dial { link }) = dialler.poll_command() else {
            panic!("the caller dials")
        };
        dialler.handle_upgraded(now, link);
        let connect = take_frame(&mut dialler, now, link);
        let hello = check_connect(acceptor.node(), now, &connect, |_| true).expect("a Connect");
        let accepted = acceptor.handle_hello(now, &hello).expect("accepted");
        let response = take_frame(&mut acceptor, now, accepted);
        dialler.handle_frame(now, link, &response);
        let end = |peer, link| End { peer, link, inbound: Inbound::new() };
        let mut this = Self {
            now,
            caller: end(dialler, link),
            callee: end(acceptor, accepted),
            frame: Vec::new(),
        };
        this.drain_events();
        this
    }

    /// Calls that are made at once, answered and taken: `payload` there and back.
    pub fn round_trips(&mut self, payload: &[u8], keys: &mut Vec<OutgoingKey>, calls: usize) {
        for _ in 0..calls {
            let data = Data::Borrowed(payload);
            let key = self.caller.peer.request(self.now.instant, ECHO, data, None);
            keys.extend(key.ok());
        }
        transfer(self.now, &mut self.caller, &mut self.callee, &mut self.frame);
        while let Some(call) = self.callee.peer.poll_call() {
            let payload = call.payload.into();
            self.callee.peer.respond(self.now, call.key, Ok(payload));
        }
        transfer(self.now, &mut self.callee, &mut self.caller, &mut self.frame);
        for key in keys.drain(..) {
            let response = self.caller.peer.take_response(key);
            assert!(matches!(response, Some(Ok(_))), "every call is answered");
        }
        self.drain_events();
    }

    /// Opens streams that stay open; returns how many are live at the callee.
    pub fn open_streams(&mut self, streams: usize) -> usize {
        for _ in 0..streams {
            let opened = self.caller.peer.open(self.now.instant, TALK, (64, 64), Data::Nil, None);
            assert!(opened.is_ok(), "within the limits");
            transfer(self.now, &mut self.caller, &mut self.callee, &mut self.frame);
            while self.callee.peer.poll_call().is_some() {}
            transfer(self.now, &mut self.callee, &mut self.caller, &mut self.frame);
        }
        self.drain_events();
        self.callee.peer.stats(self.now.instant).incoming_streams
    }

    fn drain_events(&mut self) {
        while self.caller.peer.poll_event().is_some() {}
        while self.callee.peer.poll_event().is_some() {}
    }
}

fn routes() -> RouteTable {
    let mut routes = RouteTable::new();
    let two_way = Shape::Stream { in_capacity: 64, out_capacity: 64 };
    for (target, name, shape) in [(ECHO, "echo", Shape::Single), (TALK, "talk", two_way)] {
        let handler = target.handler;
        let route = RouteInfo { handler, subroute: None, name, shape, run_to_end: false };
        routes.insert(route).expect("a free handler");
    }
    routes
}

fn take_frame(peer: &mut Peer, now: Now, link: LinkId) -> Bytes {
    match peer.poll_transmit(now, link) {
        Some(Transmit::Frame { buf, start, .. }) => Bytes::copy_from_slice(&buf[start..]),
        _ => panic!("a handshake message is due"),
    }
}

/// Hands over all frames, decoded as a connection decodes them.
fn transfer(now: Now, from: &mut End, to: &mut End, scratch: &mut Vec<u8>) {
    let max = to.peer.node().limits.message;
    while let Some(transmit) = from.peer.poll_transmit(now, from.link) {
        match transmit {
            Transmit::Frame { buf, start, .. } => {
                to.inbound.add_bytes((buf.len() - start) as u64);
                to.inbound.add_slice(&buf[start..], max);
                from.peer.recycle(buf);
            }
            Transmit::Large(large) => {
                scratch.clear();
                large.encode(scratch);
                to.inbound.add_slice(scratch, max);
            }
        }
        to.peer.handle_inbound(now, to.link, &mut to.inbound);
    }
}
