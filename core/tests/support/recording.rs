//! What a recorded link says about the two nodes that made it.

use std::collections::VecDeque;
use std::time::Duration;

use gridmux_core::outbox::Data;
use gridmux_core::route::{RouteInfo, RouteTable, Shape};
use gridmux_core::wire::{Flags, Message, Op};

use super::messages::unpack;
use super::vectors::{Entry, Event};

/// One recorded message.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: usize,
    pub message: Message,
}

/// Whether the caller of a mux sends this.
pub fn from_caller(op: Op) -> bool {
    use Op::{ConnectMux, DisconnectServerMux, MuxClientMsg, Ping, Request, UnblockSrvMux};
    matches!(op, Request | ConnectMux | MuxClientMsg | UnblockSrvMux | Ping | DisconnectServerMux)
}

/// Whether this is an item of a stream, either way.
pub fn is_item(message: &Message) -> bool {
    let end = Flags::EOF | Flags::PAYLOAD_IS_ERR;
    matches!(message.header.op, Op::MuxServerMsg | Op::MuxClientMsg)
        && !message.header.flags.intersects(end)
}

pub fn is_final(message: &Message) -> bool {
    message.header.op == Op::MuxServerMsg && !is_item(message)
}

pub fn is_opening(message: &Message) -> bool {
    matches!(message.header.op, Op::Request | Op::ConnectMux)
}

pub fn data(message: &Message) -> Data<'_> {
    if message.is_nil() { Data::Nil } else { Data::Borrowed(&message.payload) }
}

/// The recorded Go node's default, which it applies where its application sets none.
pub const DEFAULT_DEADLINE_MS: u32 = 60_000;

/// What the application asked for: the Go node has rounded it down.
pub fn timeout(ms: u32) -> Option<Duration> {
    let whole = Duration::from_millis(ms.into());
    (ms > 0 && ms != DEFAULT_DEADLINE_MS).then(|| whole + Duration::from_micros(600))
}

/// What the recorded handlers were registered with.
pub fn capacities(message: &Message) -> (u32, u32) {
    let input = match message.header.handler {
        _ if message.header.flags.contains(Flags::EOF) => 0,
        17 => 1,
        15 => 2,
        12 => 10,
        _ => 5,
    };
    (input, 10)
}

pub fn has(queue: &VecDeque<Line>, mux: u64, op: Op) -> bool {
    queue.iter().any(|line| line.message.header.mux == mux && line.message.header.op == op)
}

pub fn same(one: &Message, other: &Message) -> bool {
    (one.header.op, one.header.mux) == (other.header.op, other.header.mux)
}

pub fn first(entries: &[Entry], op: Op) -> Message {
    let messages = entries.iter().filter_map(|entry| entry.event.message());
    let bytes = messages.map(|message| &message.bytes);
    bytes.flat_map(|bytes| unpack(bytes)).find(|m| m.header.op == op).expect("in every file")
}

/// From the Host header of the dialler's upgrade, with the scheme of its own name.
pub fn acceptor_name(entries: &[Entry], dialler: &str) -> String {
    let scheme = dialler.split("://").next().unwrap_or_default();
    let host = entries.iter().find_map(|entry| match &entry.event {
        Event::Http(head) => head.lines().find_map(|line| line.strip_prefix("Host: ")),
        _ => None,
    });
    format!("{scheme}://{}", host.expect("a Host header"))
}

/// The routes of the recorded side: what it did not refuse.
pub fn served(recorded: &[Line], heard: &[Line]) -> RouteTable {
    let mut routes = RouteTable::new();
    let refused = |mux| {
        recorded
            .iter()
            .any(|l| l.message.header.op == Op::MuxConnectError && l.message.header.mux == mux)
    };
    for Line { message, .. } in heard {
        if !is_opening(message) || refused(message.header.mux) {
            continue;
        }
        let (in_capacity, out_capacity) = capacities(message);
        let shape = match message.header.op {
            Op::Request => Shape::Single,
            _ => Shape::Stream { in_capacity, out_capacity },
        };
        let (handler, subroute) = (message.header.handler, message.subroute);
        let route = RouteInfo { handler, subroute, name: "recorded", shape, run_to_end: false };
        // A route that is there already is the same one.
        let _ = routes.insert(route);
    }
    routes
}
