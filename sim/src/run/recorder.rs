//! Watches the network of a run: decodes what passes, keeps the lives of connections, and finds
//! the points of the protocol that faults wait for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::cancels::Cancels;
use super::credits::{Credits, opened};
use super::flow::Flow;
use super::intake::Intakes;
use super::meal::Meal;
use super::pulse::{Answer, Pulse};
use crate::app::{self, CallMark};
use crate::census::FaultId;
use crate::effects::WireWatch;
use crate::monitor::{Body, Conduct, Kind, Message, Monitor, Op, Role, Seen, Settings};
use crate::oracle::{
    ConnectionLife, DialAttempt, Hoard, Intake, LinkPing, Mark, Missed, Needless, Silence, Stall,
    Standstill, Stream,
};
use crate::script::{NodeKind, Point, Script};
use crate::trace::{Brief, Event, Happening};
use crate::world::{ConnId, Cue, Damage, Dial, End, Ending, Hits, Observer, Placed};

/// So many bytes of what an end has written are kept.
const KEPT: usize = 64 << 10;

/// What a point leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// Damage to the bytes there.
    Damage(Damage, FaultId),
    /// Whoever runs the world does something.
    Cue(Cue),
}

#[derive(Debug)]
struct Waiting {
    /// The line of a script.
    line: Option<usize>,
    point: Point,
    seen: u64,
    then: Then,
}

/// A connection: its monitor's number for it, and what was counted on it, by the end that sends.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    number: u64,
    written: [u64; 2],
    /// Where the last whole message ends.
    whole: [u64; 2],
    /// Where the ConnectResponse that accepts ends.
    agreed: Option<u64>,
    taken: [u64; 2],
    frames: [u64; 2],
}

#[derive(Default)]
pub(crate) struct Record {
    /// A monitor would like to know which nodes have nothing more to write.
    in_doubt: bool,
    pub(crate) lives: Vec<ConnectionLife>,
    pub(crate) dials: Vec<DialAttempt>,
    lines: Vec<Line>,
    /// Who dials whom, and the monitor of that.
    pub(crate) monitors: BTreeMap<[usize; 2], Monitor>,
    kinds: Vec<NodeKind>,
    secure: bool,
    waiting: Vec<Waiting>,
    pub(crate) trace: Option<Vec<Event>>,
    /// Where frames that are under way end, and their numbers; only for the trace.
    under_way: BTreeMap<(ConnId, End), VecDeque<(u64, u64)>>,
    arrived: BTreeMap<(ConnId, End), u64>,
    pub(crate) messages: u64,
    pub(crate) watch: WireWatch,
    /// By connection.
    pulses: Vec<Pulse>,
    /// By connection.
    cancels: Vec<Cancels>,
    /// By connection.
    flows: Vec<Flow>,
    /// By connection and the end that reads.
    meals: Vec<[Meal; 2]>,
    pub(crate) hoards: Vec<Hoard>,
    /// By connection.
    intakes: Vec<Intakes>,
    /// What ours have written, if that is kept, by connection and end.
    kept: Option<BTreeMap<(ConnId, End), Vec<u8>>>,
    pub(crate) pings: Vec<LinkPing>,
    pub(crate) silences: Vec<Silence>,
    pub(crate) stalls: Vec<Stall>,
    /// Connections that were let go of since this was looked at last, with the ends that did.
    dropped: Vec<(ConnId, End)>,
    points: Vec<(usize, u64)>,
    /// Calls whose cancel has left in the same message as the call itself.
    pub(crate) stillborn: Vec<CallMark>,
    credits: Credits,
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

fn settings(kinds: &[NodeKind], nodes: [usize; 2], secure: bool) -> Settings {
    let conduct = nodes.map(|node| match kinds[node] {
        NodeKind::Ours | NodeKind::Loop => Conduct::Ours,
        NodeKind::Go => Conduct::Go,
        NodeKind::Hostile(_) => Conduct::Hostile,
    });
    let capacities = app::capacities();
    let base_crc = !secure;
    Settings { conduct, base_crc, capacities: [capacities.clone(), capacities], ..Settings::new() }
}

impl Recorder {
    /// `keeps` the beginnings of what nodes of ours write.
    pub(crate) fn new(script: &Script, traced: bool, keeps: bool) -> Self {
        let recorder = Self::default();
        let mut record = recorder.record();
        record.trace = traced.then(Vec::new);
        record.kept = keeps.then(BTreeMap::new);
        record.kinds = script.nodes.clone();
        record.secure = script.secure;
        drop(record);
        recorder
    }

    pub(crate) fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a point.
    pub(crate) fn wait_for(&self, line: usize, point: Point, then: Then) {
        // Deeds say themselves when they come.
        let line = matches!(then, Then::Damage(..)).then_some(line);
        self.record().waiting.push(Waiting { line, point, seen: 0, then });
    }

    /// The lines whose points have come since this was asked last.
    pub(crate) fn take_points(&self) -> Vec<(usize, u64)> {
        std::mem::take(&mut self.record().points)
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

    /// The connections that were let go of since this was asked last, with the ends that did.
    pub(crate) fn take_dropped(&self) -> Vec<(ConnId, End)> {
        std::mem::take(&mut self.record().dropped)
    }

    /// Whether a connection has become a link, and all that has come to an end is what was sent.
    pub(crate) fn is_orderly_link(&self, conn: ConnId, end: End) -> bool {
        let record = self.record();
        let as_sent = !record.meals[conn.0 as usize][end as usize].is_falsified();
        as_sent && record.lives[conn.0 as usize].accepted_at.is_some()
    }

    /// A node has given up a connection because it missed a sign of life.
    pub(crate) fn given_up(&self, now: Mark, conn: ConnId, end: End, missed: Missed) {
        let mut record = self.record();
        let way = record.way(conn, end);
        let silence = record.pulses[conn.0 as usize].given_up(now, end as usize, way, missed);
        record.silences.extend(silence);
    }

    /// A node has given up a link because its writes stood still.
    pub(crate) fn stalled(&self, at: u64, conn: ConnId, end: End) {
        let mut record = self.record();
        let way = record.way(conn, end);
        if record.lives[conn.0 as usize].accepted_at.is_some() {
            let stall = record.flows[conn.0 as usize].given_up(at, end as usize, way);
            record.stalls.extend(stall);
        }
    }

    /// Whether a monitor would like to know now who has [flushed](Self::flushed).
    pub(crate) fn take_doubt(&self) -> bool {
        std::mem::take(&mut self.record().in_doubt)
    }

    /// A node has handled all that came to this end, and written all that it had.
    pub(crate) fn flushed(&self, at: u64, conn: ConnId, end: End) {
        let mut record = self.record();
        let nodes = record.lives[conn.0 as usize].nodes;
        let line = record.lines[conn.0 as usize];
        if line.written[end as usize] != line.whole[end as usize] {
            // In the middle of a message.
            return;
        }
        if let Some(monitor) = record.monitors.get_mut(&nodes) {
            monitor.flushed(line.number, role(end));
        }
        let answer = record.pulses[conn.0 as usize].flushed(at, end as usize);
        record.ping(conn, end, answer);
    }
}

impl Record {
    fn monitor(&mut self, conn: ConnId) -> Option<(&mut Monitor, u64)> {
        let nodes = self.lives[conn.0 as usize].nodes;
        let number = self.lines[conn.0 as usize].number;
        self.monitors.get_mut(&nodes).map(|monitor| (monitor, number))
    }

    /// A node's own number, and its peer's.
    fn way(&self, conn: ConnId, end: End) -> [usize; 2] {
        let nodes = self.lives[conn.0 as usize].nodes;
        [nodes[end as usize], nodes[end.other() as usize]]
    }

    fn keep(&mut self, conn: ConnId, end: End, bytes: &[u8]) {
        let [node, _] = self.way(conn, end);
        let Some(kept) = self.kept.as_mut().filter(|_| self.kinds[node] == NodeKind::Ours) else {
            return;
        };
        let kept = kept.entry((conn, end)).or_default();
        let room = KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The beginnings of what nodes of ours have written, if they were kept.
    pub(crate) fn streams(&mut self) -> Vec<Stream> {
        let kept = self.kept.take().unwrap_or_default();
        let stream = |((conn, end), bytes)| {
            let [node, peer] = self.way(conn, end);
            let (connection, dialled) = (conn.0 as usize, end == End::Dialler);
            Stream { node, peer, connection, dialled, bytes }
        };
        kept.into_iter().map(stream).collect()
    }

    /// What the ends of nodes with our core have taken in, by connection.
    pub(crate) fn intakes(&self) -> Vec<Intake> {
        let ends = self.intakes.iter().enumerate().flat_map(|(number, intakes)| {
            let [one, other] = self.lives[number].nodes;
            [intakes.of(0, [one, other]), intakes.of(1, [other, one])]
        });
        let ours = |kind| matches!(kind, NodeKind::Ours | NodeKind::Loop);
        ends.filter(|intake| ours(self.kinds[intake.node])).collect()
    }

    /// What ours have sent for calls that were cancelled.
    pub(crate) fn needless(&self) -> Vec<Needless> {
        let connections = self.cancels.iter().enumerate();
        let ends = connections.flat_map(|(number, cancels)| {
            let [one, other] = self.lives[number].nodes;
            [(cancels, 0, [one, other]), (cancels, 1, [other, one])]
        });
        let ours = ends.filter(|(_, _, [node, _])| self.kinds[*node] == NodeKind::Ours);
        ours.flat_map(|(cancels, end, way)| cancels.needless(end, way)).collect()
    }

    /// The times in which nodes of ours wanted to write on their links and nothing moved.
    pub(crate) fn standstills(&self) -> Vec<Standstill> {
        let links = self.flows.iter().enumerate();
        let links = links.filter(|(number, _)| self.lives[*number].accepted_at.is_some());
        let ends = links.flat_map(|(number, flow)| {
            let [one, other] = self.lives[number].nodes;
            [(flow, 0, [one, other]), (flow, 1, [other, one])]
        });
        let ours = ends.filter(|(_, _, [node, _])| self.kinds[*node] == NodeKind::Ours);
        ours.flat_map(|(flow, end, way)| flow.stood(end, way)).collect()
    }

    /// The credits that callers of ours have given back, by call and time.
    pub(crate) fn credits(&self) -> Vec<(CallMark, u64)> {
        self.credits.given().to_vec()
    }

    /// What an end has done about a ping, if it has.
    fn ping(&mut self, conn: ConnId, end: End, answer: Option<Answer>) {
        let way = self.way(conn, end);
        if way.iter().all(|node| self.kinds[*node] == NodeKind::Ours) {
            self.pings.extend(answer.map(|answer| answer.of(way)));
        }
    }

    fn seen(&mut self, at: u64, conn: ConnId, end: End, seen: &Seen, hits: &mut Hits) {
        let nodes = self.lives[conn.0 as usize].nodes;
        let way = (nodes[end as usize], nodes[end.other() as usize]);
        self.lines[conn.0 as usize].whole[end as usize] = seen.end;
        if !matches!(seen.kind, Kind::Control(_)) {
            // Which may stand between the fragments of a message.
            self.meals[conn.0 as usize][end.other() as usize].comes(seen.end);
        }
        let number = self.lines[conn.0 as usize].frames[end as usize];
        self.lines[conn.0 as usize].frames[end as usize] += 1;
        if let Kind::Message(message) = &seen.kind {
            self.messages += message.each().len() as u64;
            self.stillborn.extend(stillborn(message.each()));
            if matches!(self.kinds[way.0], NodeKind::Ours | NodeKind::Loop) {
                self.credits.wrote(at, conn, end, message.each());
            }
            if let (End::Acceptor, Some(accepted)) = (end, answer(message)) {
                let life = &mut self.lives[conn.0 as usize];
                let when = if accepted { &mut life.accepted_at } else { &mut life.refused_at };
                when.get_or_insert(at);
                if accepted {
                    self.lines[conn.0 as usize].agreed.get_or_insert(seen.end);
                }
            }
        }
        self.watch.wrote(at, conn.0 as usize, end, seen);
        self.intakes[conn.0 as usize].wrote(end as usize, seen);
        self.cancels[conn.0 as usize].wrote(end as usize, seen);
        let answer = self.pulses[conn.0 as usize].wrote(at, end as usize, seen);
        self.ping(conn, end, answer);
        self.waiting.retain_mut(|waiting| waiting.goes_on(way, seen, hits));
        if let Some(trace) = &mut self.trace {
            let messages = briefs(&seen.kind);
            let bytes = seen.end - seen.start;
            let what = Happening::FrameSent { conn, end, number, bytes, messages };
            trace.push(Event { at, what });
            self.under_way.entry((conn, end)).or_default().push_back((seen.end, number));
        }
    }
}

impl Waiting {
    /// Whether the point has not come yet.
    fn goes_on(&mut self, way: (usize, usize), seen: &Seen, hits: &mut Hits) -> bool {
        if (self.point.from, self.point.to) != way {
            return true;
        }
        self.seen += matches(&seen.kind, &self.point.op);
        if self.seen < self.point.nth {
            return true;
        }
        match self.then {
            Then::Damage(damage, fault) => {
                let byte = self.point.byte.min(seen.end - seen.start);
                let offset = seen.start + byte;
                hits.place.push(Placed { offset, damage, fault: Some(fault) });
            }
            Then::Cue(cue) => hits.cues.push(cue),
        }
        hits.points.extend(self.line);
        false
    }
}

impl Observer for Recorder {
    fn dialled(&mut self, dial: Dial) -> usize {
        let mut record = self.record();
        let Dial { at, from, life, to, clock } = dial;
        record.dials.push(DialAttempt { from, life, to, at, clock, over: None });
        record.dials.len() - 1
    }

    fn dial_over(&mut self, number: usize, at: u64) {
        if let Some(dial) = self.record().dials.get_mut(number) {
            dial.over = Some(at);
        }
    }

    fn connected(&mut self, at: u64, conn: ConnId, nodes: [usize; 2], lives: [u64; 2]) {
        let mut guard = self.record();
        let record = &mut *guard;
        let (opened_at, broken_at) = (at, [None; 2]);
        record.lives.push(ConnectionLife {
            nodes,
            lives,
            opened_at,
            accepted_at: None,
            agreed_at: None,
            refused_at: None,
            broken_at,
        });
        let (kinds, secure) = (&record.kinds, record.secure);
        let monitor = record
            .monitors
            .entry(nodes)
            .or_insert_with(|| Monitor::new(settings(kinds, nodes, secure)));
        record.watch.connect();
        record.pulses.push(Pulse::default());
        record.cancels.push(Cancels::default());
        record.flows.push(Flow::default());
        record.meals.push(Default::default());
        record.intakes.push(Intakes::default());
        record.lines.push(Line { number: monitor.connect(), ..Line::default() });
        if let Some(trace) = &mut record.trace {
            trace.push(Event { at, what: Happening::Connected { conn, nodes } });
        }
    }

    fn wrote(&mut self, at: u64, conn: ConnId, end: End, bytes: &[u8], hits: &mut Hits) {
        let mut record = self.record();
        record.lines[conn.0 as usize].written[end as usize] += bytes.len() as u64;
        record.keep(conn, end, bytes);
        record.pulses[conn.0 as usize].writes(at, end as usize, bytes.len() as u64);
        record.cancels[conn.0 as usize].writes(at, end as usize, bytes.len() as u64);
        record.flows[conn.0 as usize].moves(at, end as usize);
        let mut all = Vec::new();
        if let Some((monitor, number)) = record.monitor(conn) {
            monitor.written(number, role(end), bytes, |seen| all.push(seen.clone()));
        }
        for seen in &all {
            record.seen(at, conn, end, seen, hits);
        }
        record.points.extend(hits.points.drain(..).map(|line| (line, at)));
    }

    fn asks(&mut self, conn: ConnId, end: End, room: u64) {
        self.record().intakes[conn.0 as usize].asks(end as usize, room);
    }

    fn taken(&mut self, at: u64, clock: u64, conn: ConnId, end: End, bytes: u64) {
        let mut record = self.record();
        let by = end.other();
        let taken = &mut record.lines[conn.0 as usize].taken[by as usize];
        *taken += bytes;
        let offset = *taken;
        let agreed = record.lines[conn.0 as usize].agreed;
        if end == End::Dialler && agreed.is_some_and(|agreed| agreed <= offset) {
            record.lives[conn.0 as usize].agreed_at.get_or_insert(at);
        }
        record.meals[conn.0 as usize][by.other() as usize].taken(offset);
        record.intakes[conn.0 as usize].taken(end as usize, offset);
        record.cancels[conn.0 as usize].taken(at, end as usize, offset);
        record.flows[conn.0 as usize].hears(at, end as usize);
        record.pulses[conn.0 as usize].taken(Mark { at, clock }, end as usize, offset);
        if let Some((monitor, number)) = record.monitor(conn) {
            monitor.delivered(number, role(by), offset);
            let in_doubt = monitor.is_in_doubt(number);
            record.in_doubt |= in_doubt;
        }
    }

    fn offered(&mut self, at: u64, conn: ConnId, end: End, room: u64) {
        let mut record = self.record();
        let [node, peer] = record.way(conn, end);
        let hoard = record.meals[conn.0 as usize][end as usize].offered(room);
        if let (Some(bound), NodeKind::Ours) = (hoard, record.kinds[node]) {
            record.hoards.push(Hoard { at, node, peer, room, bound });
        }
    }

    fn falsified(&mut self, conn: ConnId, end: End) {
        let mut record = self.record();
        record.pulses[conn.0 as usize].falsified(end as usize);
        record.cancels[conn.0 as usize].falsified(end as usize);
        record.meals[conn.0 as usize][end as usize].falsified();
        record.intakes[conn.0 as usize].falsified(end as usize);
        if let Some((monitor, number)) = record.monitor(conn) {
            monitor.distrust(number, role(end.other()));
        }
    }

    fn arrived(&mut self, at: u64, conn: ConnId, end: End, bytes: &[u8]) {
        let mut guard = self.record();
        let record = &mut *guard;
        let by = end.other();
        record.watch.arrived(conn.0 as usize, by, bytes.len() as u64);
        let Some(trace) = &mut record.trace else { return };
        let arrived = record.arrived.entry((conn, by)).or_default();
        *arrived += bytes.len() as u64;
        let under_way = record.under_way.entry((conn, by)).or_default();
        while let Some((_, number)) = under_way.pop_front_if(|(end, _)| *end <= *arrived) {
            trace.push(Event { at, what: Happening::FrameArrived { conn, end: by, number } });
        }
    }

    fn moved(&mut self, at: u64, conn: ConnId, end: End) {
        self.record().flows[conn.0 as usize].moves(at, end as usize);
    }

    fn wants(&mut self, at: u64, conn: ConnId, end: End, wants: bool) {
        self.record().flows[conn.0 as usize].wants(at, end as usize, wants);
    }

    fn ended(&mut self, at: u64, conn: ConnId, end: End, how: Ending) {
        let mut record = self.record();
        record.flows[conn.0 as usize].ends(at, end as usize);
        record.pulses[conn.0 as usize].ends(end as usize);
        let life = &mut record.lives[conn.0 as usize];
        if how != Ending::Finished {
            life.broken_at[end as usize].get_or_insert(at);
        }
        if how == Ending::Dropped {
            record.dropped.push((conn, end));
        }
        let life = &record.lives[conn.0 as usize];
        if life.broken_at.iter().all(Option::is_some)
            && let Some((monitor, number)) = record.monitor(conn)
        {
            monitor.closed(number);
        }
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

/// The calls that are opened and cancelled by messages that travel together.
fn stillborn(messages: &[Message]) -> impl Iterator<Item = CallMark> {
    messages.iter().enumerate().filter_map(move |(place, message)| {
        let is_cancel = |one: &Message| one.op == Op::DisconnectServerMux && one.mux == message.mux;
        opened(message).filter(|_| messages[place..].iter().any(is_cancel))
    })
}

/// Whether this accepts a connection or refuses it, if it is an answer to a Connect.
fn answer(message: &Message) -> Option<bool> {
    match message.body.as_deref() {
        Some(Body::ConnectResponse { accepted, .. }) => Some(*accepted),
        _ => None,
    }
}

/// How many messages of this op a frame carries.
fn matches(kind: &Kind, op: &str) -> u64 {
    match kind {
        Kind::Head(_) => u64::from(op == "Head"),
        Kind::Message(message) if op == "Any" => message.each().len() as u64,
        Kind::Message(message) => {
            let merged = u64::from(message.op == Op::Merged && op == "Merged");
            let parts =
                message.each().iter().filter(|part| part.op.name() == op && part.op != Op::Merged);
            merged + parts.count() as u64
        }
        Kind::Control(_) | Kind::Text | Kind::Broken(_) => 0,
    }
}

fn briefs(kind: &Kind) -> Vec<Brief> {
    let other = |op| vec![Brief { op, mux: 0, seq: 0, flags: 0, handler: 0, payload: 0 }];
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
