//! Watches the network of a run: decodes what passes, keeps the lives of connections, and finds
//! the points of the protocol that faults wait for.

use std::sync::{Arc, Mutex, PoisonError};

use crate::census::FaultId;
use crate::monitor::{Kind, Message, Op, Role, Seen, Tap};
use crate::script::Point;
use crate::trace::{Brief, Event, Happening};
use crate::world::{ConnId, Damage, End, Ending, Hits, Observer, Placed};

/// A connection, as the network has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLife {
    /// Who has dialled, who has accepted.
    pub nodes: [usize; 2],
    /// When it was made, in simulated nanoseconds.
    pub opened_at: u64,
    /// When each end, the dialler's first, closed it, dropped it or was told that it is broken.
    pub over_at: [Option<u64>; 2],
}

/// What a point leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// Damage to the bytes there.
    Damage(Damage, FaultId),
    /// Whoever runs the world does something.
    Cue(u64),
}

#[derive(Debug)]
struct Waiting {
    point: Point,
    seen: u64,
    then: Then,
}

/// One direction of one connection.
#[derive(Debug)]
struct Direction {
    sent: Tap,
    arrived: Tap,
    /// Frames that have left, and come.
    frames: [u64; 2],
}

impl Direction {
    fn new(role: Role) -> Self {
        Self { sent: Tap::new(role), arrived: Tap::new(role), frames: [0; 2] }
    }
}

/// A dial attempt: who, whom, when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Who dials.
    pub from: usize,
    /// Who is dialled.
    pub to: usize,
    /// Simulated nanoseconds.
    pub at: u64,
}

#[derive(Default)]
pub(crate) struct Record {
    pub(crate) lives: Vec<ConnectionLife>,
    pub(crate) dials: Vec<Dial>,
    directions: Vec<[Direction; 2]>,
    waiting: Vec<Waiting>,
    pub(crate) trace: Option<Vec<Event>>,
    /// Used again and again.
    seen: Vec<Seen>,
}

/// The record of a run, which the network writes and the run reads.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Record>>);

const fn role(end: End) -> Role {
    match end {
        End::Dialler => Role::Dialler,
        End::Acceptor => Role::Acceptor,
    }
}

impl Recorder {
    pub(crate) fn new(traced: bool) -> Self {
        let recorder = Self::default();
        recorder.record().trace = traced.then(Vec::new);
        recorder
    }

    pub(crate) fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a point.
    pub(crate) fn wait_for(&self, point: Point, then: Then) {
        self.record().waiting.push(Waiting { point, seen: 0, then });
    }

    /// Waits for nothing any more.
    pub(crate) fn forget_points(&self) {
        self.record().waiting.clear();
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, at: u64, what: Happening) {
        if let Some(trace) = &mut self.record().trace {
            trace.push(Event { at, what });
        }
    }
}

impl Record {
    fn frames_sent(&mut self, at: u64, conn: ConnId, end: End, hits: &mut Hits) {
        let nodes = self.lives[conn.0 as usize].nodes;
        let (from, to) = (nodes[end as usize], nodes[end.other() as usize]);
        for seen in std::mem::take(&mut self.seen) {
            let number = self.count_frame(conn, end, 0);
            self.waiting.retain_mut(|waiting| {
                let on_way = waiting.point.from == from && waiting.point.to == to;
                if !on_way {
                    return true;
                }
                waiting.seen += matches(&seen.kind, &waiting.point.op);
                if waiting.seen < waiting.point.nth {
                    return true;
                }
                match waiting.then {
                    Then::Damage(damage, fault) => {
                        let byte = waiting.point.byte.min(seen.end - seen.start);
                        let fault = Some(fault);
                        hits.place.push(Placed { offset: seen.start + byte, damage, fault });
                    }
                    Then::Cue(number) => hits.cues.push(number),
                }
                false
            });
            if let Some(trace) = &mut self.trace {
                let messages = briefs(&seen.kind);
                let bytes = seen.end - seen.start;
                let what = Happening::FrameSent { conn, end, number, bytes, messages };
                trace.push(Event { at, what });
            }
        }
    }

    fn count_frame(&mut self, conn: ConnId, end: End, which: usize) -> u64 {
        let frames = &mut self.directions[conn.0 as usize][end as usize].frames[which];
        *frames += 1;
        *frames - 1
    }
}

impl Observer for Recorder {
    fn dialled(&mut self, at: u64, from: usize, to: usize) {
        self.record().dials.push(Dial { from, to, at });
    }

    fn connected(&mut self, at: u64, conn: ConnId, nodes: [usize; 2]) {
        let mut record = self.record();
        record.lives.push(ConnectionLife { nodes, opened_at: at, over_at: [None; 2] });
        let directions = End::BOTH.map(|end| Direction::new(role(end)));
        record.directions.push(directions);
        if let Some(trace) = &mut record.trace {
            trace.push(Event { at, what: Happening::Connected { conn, nodes } });
        }
    }

    fn wrote(&mut self, at: u64, conn: ConnId, end: End, bytes: &[u8], hits: &mut Hits) {
        let mut guard = self.record();
        let record = &mut *guard;
        let mut seen = std::mem::take(&mut record.seen);
        seen.clear();
        record.directions[conn.0 as usize][end as usize].sent.feed(bytes, &mut seen);
        record.seen = seen;
        record.frames_sent(at, conn, end, hits);
    }

    fn arrived(&mut self, at: u64, conn: ConnId, end: End, bytes: &[u8]) {
        let mut guard = self.record();
        let record = &mut *guard;
        let by = end.other();
        let mut seen = std::mem::take(&mut record.seen);
        seen.clear();
        record.directions[conn.0 as usize][by as usize].arrived.feed(bytes, &mut seen);
        for _ in seen.drain(..) {
            let number = record.count_frame(conn, by, 1);
            if let Some(trace) = &mut record.trace {
                let what = Happening::FrameArrived { conn, end: by, number };
                trace.push(Event { at, what });
            }
        }
        record.seen = seen;
    }

    fn ended(&mut self, at: u64, conn: ConnId, end: End, how: Ending) {
        let mut record = self.record();
        record.lives[conn.0 as usize].over_at[end as usize].get_or_insert(at);
        if let Some(trace) = &mut record.trace {
            let how = match how {
                Ending::Finished => "finished",
                Ending::Dropped => "dropped",
                Ending::Broken => "broken",
            };
            trace.push(Event { at, what: Happening::Ended { conn, end, how } });
        }
    }
}

/// How many messages of this op a frame carries.
fn matches(kind: &Kind, op: &str) -> u64 {
    match kind {
        Kind::Head(_) => u64::from(op == "Head"),
        Kind::Message(message) if op == "Any" => message.each().len() as u64,
        Kind::Message(message) => {
            let merged = u64::from(message.op == Op::Merged && op == "Merged");
            let parts = message.each().iter().filter(|part| part.op.name() == op && part.op != Op::Merged);
            merged + parts.count() as u64
        }
        Kind::Control(_) | Kind::Text | Kind::Broken(_) => 0,
    }
}

fn briefs(kind: &Kind) -> Vec<Brief> {
    let other = |op| {
        vec![Brief { op, mux: 0, seq: 0, flags: 0, handler: 0, payload: 0 }]
    };
    let brief = |message: &Message| Brief {
        op: message.op.name(),
        mux: message.mux,
        seq: message.seq,
        flags: message.flags,
        handler: message.handler,
        payload: u32::try_from(message.payload.len).unwrap_or(u32::MAX),
    };
    match kind {
        Kind::Head(_) => other("Head"),
        Kind::Control(8) => other("Close"),
        Kind::Control(_) => other("Control"),
        Kind::Text => other("Text"),
        Kind::Broken(_) => other("Broken"),
        Kind::Message(message) => message.each().iter().map(brief).collect(),
    }
}
