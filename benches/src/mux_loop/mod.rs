//! Two nodes back to back without I/O: what the machines alone cost.
//!
//! [`MuxLoop`] hands over [frames](Frames), or [bytes](Bytes) through the WebSocket layer of each
//! node. Time stands still but for [`MuxLoop::pass`].

mod shapes;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use gridmux_core::auth::StaticToken;
use gridmux_core::event::LinkCommand;
use gridmux_core::grid::GridState;
use gridmux_core::link::dials;
use gridmux_core::mux::{IncomingKey, OutgoingKey, Received};
use gridmux_core::node::Node;
use gridmux_core::outbox::Data;
use gridmux_core::payload::Payload;
use gridmux_core::peer::Peer;
use gridmux_core::route::{RouteInfo, Shape};
use gridmux_core::time::{Instant, Now};
use gridmux_core::wire::Timestamp;

pub use self::shapes::StreamShape;
pub use self::wire::{Bytes, Frames, Wire};

/// The handler that answers single requests.
const ECHO: RouteInfo = route(1, "echo", Shape::Single);

/// The handler of streams whose items come back. Those of [`MuxLoop::open_streams`] stay open.
const TALK: RouteInfo = route(2, "talk", Shape::Stream { in_capacity: 64, out_capacity: 64 });

const fn route(handler: u8, name: &'static str, shape: Shape) -> RouteInfo {
    RouteInfo { handler, subroute: None, name, shape, run_to_end: false }
}

/// One node, and how it hands over what it has to send.
#[derive(Debug)]
pub struct End<W> {
    grid: GridState,
    /// The name of the other.
    other: &'static str,
    wire: W,
}

impl<W> End<W> {
    /// The node as the other one's machine.
    fn peer(&mut self) -> &mut Peer {
        self.grid.peer_mut(self.other).expect("the nodes know each other")
    }
}

/// A stream that stays open.
#[derive(Clone, Copy, Debug)]
struct Open {
    caller: OutgoingKey,
    callee: IncomingKey,
}

/// Two connected nodes.
#[derive(Debug)]
pub struct MuxLoop<W> {
    now: Now,
    caller: End<W>,
    callee: End<W>,
    open: Vec<Open>,
    /// Calls that are being made; empty in between, kept for its memory.
    calls: Vec<OutgoingKey>,
    served: Vec<IncomingKey>,
}

impl<W: Wire> Default for MuxLoop<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: Wire> MuxLoop<W> {
    /// Connects the two.
    ///
    /// # Panics
    /// If the machines do not connect: a bug. So do all other methods if an answer is missing.
    pub fn new() -> Self {
        let names = ["http://127.0.0.1:9101", "http://127.0.0.1:9102"];
        let (caller, callee) =
            if dials(names[0], names[1]) { (names[0], names[1]) } else { (names[1], names[0]) };
        let now = Now {
            instant: Instant::from_millis(1000),
            wall: Timestamp { seconds: 1_800_000_000, nanos: 0 },
        };
        let (mut dialler, mut acceptor) =
            (node(caller, names, now, 1), node(callee, names, now, 2));
        let command = dialler.peer_mut(callee).and_then(Peer::poll_command);
        let Some(LinkCommand::Dial { link }) = command else { panic!("the caller dials") };
        let (wire, other_wire) = W::connect(now, (&mut dialler, callee, link), &mut acceptor);
        let mut this = Self {
            now,
            caller: End { grid: dialler, other: callee, wire },
            callee: End { grid: acceptor, other: caller, wire: other_wire },
            open: Vec::new(),
            calls: Vec::new(),
            served: Vec::new(),
        };
        this.there_and_back();
        assert!(this.caller.peer().check_open().is_ok(), "the nodes are connected");
        this
    }

    /// Calls that are made at once, answered and taken: `payload` there and back.
    pub fn round_trips(&mut self, payload: &[u8], calls: usize) {
        self.round_trips_into(payload, calls, |answer| assert_eq!(answer.len(), payload.len()));
    }

    /// As [`Self::round_trips`]; `take` is given each answer.
    pub fn round_trips_into(
        &mut self,
        payload: &[u8],
        calls: usize,
        mut take: impl FnMut(Payload),
    ) {
        let now = self.now;
        for _ in 0..calls {
            let data = Data::Borrowed(payload);
            let key = self.caller.peer().request(now.instant, ECHO.target(), data, None);
            self.calls.push(key.expect("within the limits"));
        }
        self.there();
        let callee = self.callee.peer();
        while let Some(call) = callee.poll_call() {
            callee.respond(now, call.key, Ok(call.payload.into()));
        }
        self.back();
        let caller = self.caller.peer();
        for key in self.calls.drain(..) {
            match caller.take_response(key) {
                Some(Ok(answer)) => take(answer),
                other => panic!("a call is not answered: {other:?}"),
            }
        }
        self.drain_events();
    }

    /// Opens streams that stay open; how many are live at the callee then.
    pub fn open_streams(&mut self, streams: usize) -> usize {
        let now = self.now.instant;
        for _ in 0..streams {
            let opened = self.caller.peer().open(now, TALK.target(), (64, 64), Data::Nil, None);
            let caller = opened.expect("within the limits");
            self.there();
            let call = self.callee.peer().poll_call().expect("the stream is opened");
            self.open.push(Open { caller, callee: call.key });
            self.back();
        }
        self.drain_events();
        self.callee.peer().stats(now).incoming_streams
    }

    /// Sends an item on each of these streams, by number, all at once; each comes back and is
    /// taken. They are some of those that [`Self::open_streams`] has opened, none twice.
    pub fn echo_on(&mut self, streams: &[usize], item: &[u8]) {
        for &stream in streams {
            let key = self.open[stream].caller;
            let sent = self.caller.peer().send(key, Data::Borrowed(item));
            sent.expect("there is a credit");
        }
        self.there();
        let callee = self.callee.peer();
        for &stream in streams {
            let key = self.open[stream].callee;
            let Received::Item(item) = callee.take_input(key) else { panic!("an item came") };
            callee.serve_item(key, Data::Owned(item)).expect("there is a credit");
        }
        self.back();
        let caller = self.caller.peer();
        for &stream in streams {
            let Received::Item(back) = caller.receive(self.open[stream].caller) else {
                panic!("the item came back")
            };
            assert_eq!(back.len(), item.len());
        }
        // The credits.
        self.there();
        self.drain_events();
    }

    /// Time goes by, at most a second at once: what is due is done, pings among it.
    pub fn pass(&mut self, time: Duration) {
        self.now.instant = self.now.instant.after(time);
        self.now.wall = self.now.wall.saturating_add(time);
        let now = self.now;
        let mut due = false;
        for end in [&mut self.caller, &mut self.callee] {
            if end.peer().is_due(now.instant) {
                end.peer().handle_timeout(now);
                due = true;
            }
        }
        if due {
            self.there_and_back();
        }
    }

    /// Whether nothing of any call is left at either end.
    pub fn is_quiescent(&mut self) -> bool {
        self.caller.peer().is_quiescent() && self.callee.peer().is_quiescent()
    }

    /// The caller and the callee, to be dropped apart: what each of them holds shows then.
    pub fn into_ends(self) -> (End<W>, End<W>) {
        (self.caller, self.callee)
    }

    fn there(&mut self) {
        W::transfer(self.now, &mut self.caller, &mut self.callee);
    }

    fn back(&mut self) {
        W::transfer(self.now, &mut self.callee, &mut self.caller);
    }

    /// Until neither has anything to send: an answer may be answered.
    fn there_and_back(&mut self) {
        for _ in 0..3 {
            self.there();
            self.back();
        }
        self.drain_events();
    }

    fn drain_events(&mut self) {
        while self.caller.peer().poll_event().is_some() {}
        while self.callee.peer().poll_event().is_some() {}
    }
}

fn node(own: &str, names: [&str; 2], now: Now, seed: u64) -> GridState {
    let token = StaticToken::new("bench-token").expect("a token");
    let mut node = Node::new(own, [seed as u8; 16], Arc::new(token));
    for route in [ECHO, TALK].into_iter().chain(StreamShape::ALL.map(StreamShape::route)) {
        node.routes.insert(route).expect("a free handler");
    }
    let names = names.map(str::to_owned);
    let grid = GridState::new(Arc::new(node), &names, seed, 0, now.instant);
    let mut grid = grid.expect("the settings are good");
    grid.start(now);
    grid
}
