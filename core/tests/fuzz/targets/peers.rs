//! Two nodes with small limits, what their applications do, and messages that neither has sent.
//!
//! Whatever a peer says as long as it is well formed, and whatever an application asks for: the machines
//! stay consistent, come to rest, and queue no more than their limits add up to.

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use gridmux_core::limits::Limits;
use gridmux_core::mux::{IncomingKey, OutgoingKey, Received};
use gridmux_core::outbox::Data;
use gridmux_core::route::{RouteInfo, RouteTable, Shape};
use gridmux_core::testing::{Pair, Which};
use gridmux_core::wire::{
    Flags, Header, MERGE_HEADER_LEN, MessageRef, MuxConnectError, Op, Ping, Pong, Timestamp,
    for_each_message, write_merge_header, write_part_header,
};

/// Handler, input and output capacity; the first serves single requests.
const ROUTES: [(u8, Option<(u32, u32)>); 5] =
    [(1, None), (2, Some((0, 1))), (3, Some((1, 1))), (4, Some((5, 2))), (5, Some((20, 20)))];

/// The lengths of payloads, in bytes.
const LENGTHS: [usize; 8] = [0, 0, 1, 4, 100, 400, 900, 2000];

const MESSAGE: usize = 1024;
const QUEUED: usize = 4096;
const REPLIES: usize = 1024;
const ANSWERS: usize = 2048;
const RECEIVED: usize = 8192;
const MUXES: usize = 8;

/// The most bytes that may wait for a transport that takes none, and then leave: what the send limit
/// admits with its room for one message more, the replies of the core, a response and an error text for
/// each call that may run, a credit, an ack, an end and a cancel for each call and each credit, and
/// what was handed out before.
const WAITING: usize = QUEUED + 2 * MESSAGE + 2 * REPLIES + MUXES * (MESSAGE + 500) + ANSWERS;

/// Turns in which two nodes come to rest after one step, at the most.
const TURNS: u64 = 20_000;

/// The most steps of one input: the time of each is limited.
const STEPS: usize = 400;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// An application does something with the call that `pick` chooses.
    Act { from_dialler: bool, act: Act, pick: u8, len: u8 },
    /// A node is given messages that the other has not sent.
    Say(Said),
    /// The same, with the parts in one message.
    SayMerged(Vec<Said>),
    /// Time passes, in units of a millisecond or of a second.
    Pass { millis: u16 },
    /// What a node sends is not taken, or is again.
    Hold { dialler: bool, held: bool },
    /// The connection is lost.
    Cut,
    /// One node leaves in good order.
    ShutDown { dialler: bool },
}

/// What an application does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Request,
    Open,
    Send,
    CloseInput,
    Receive,
    TakeResponse,
    Cancel,
    Release,
    Respond,
    RespondError,
    ServeItem,
    TakeInput,
    DropInput,
    Finish,
    FinishError,
    HandlerGone,
}

const ACTS: [Act; 16] = [
    Act::Request,
    Act::Open,
    Act::Send,
    Act::CloseInput,
    Act::Receive,
    Act::TakeResponse,
    Act::Cancel,
    Act::Release,
    Act::Respond,
    Act::RespondError,
    Act::ServeItem,
    Act::TakeInput,
    Act::DropInput,
    Act::Finish,
    Act::FinishError,
    Act::HandlerGone,
];

/// A message by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    pub to_dialler: bool,
    pub times: u8,
    /// 0 is none; otherwise one of those that were seen on this link, or a small number.
    pub mux: u8,
    /// Grows by one each time; 255 is what follows on the last one that was said of this call.
    pub seq: u8,
    pub deadline: u8,
    pub handler: u8,
    pub op: u8,
    pub flags: u8,
    /// One of [`LENGTHS`], where the op has no payload of the protocol's own.
    pub len: u8,
}

impl Said {
    /// What [`Step`]'s reading takes for this message, for a corpus.
    pub fn to_bytes(self) -> Vec<u8> {
        let Self { to_dialler, times, mux, seq, deadline, handler, op, flags, len } = self;
        vec![1, to_dialler.into(), times, mux, seq, deadline, handler, op, flags, len]
    }
}

/// The bytes by which an application of the acceptor does something with its newest call.
pub fn act(act: &str) -> Vec<u8> {
    let at = ACTS.iter().position(|one| format!("{one:?}") == act).expect("an act");
    vec![2, 0, at as u8, 0, 6]
}

/// The bytes after which nothing that the acceptor sends is taken.
pub fn hold() -> Vec<u8> {
    vec![6, 0, 1]
}

impl Arbitrary<'_> for Said {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let to_dialler = u.arbitrary::<u8>()? & 1 == 1;
        let [times, mux, seq, deadline, handler, op, flags, len] = u.arbitrary()?;
        Ok(Self { to_dialler, times, mux, seq, deadline, handler, op, flags, len })
    }
}

impl Arbitrary<'_> for Step {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? % 8 {
            0 | 1 => Self::Say(u.arbitrary()?),
            2 | 3 => Self::Act {
                from_dialler: u.arbitrary()?,
                act: ACTS[usize::from(u.arbitrary::<u8>()?) % ACTS.len()],
                pick: u.arbitrary()?,
                len: u.arbitrary()?,
            },
            4 => {
                let count = u.arbitrary::<u8>()? % 8;
                Self::SayMerged((0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?)
            }
            5 => Self::Pass { millis: u.arbitrary()? },
            6 => Self::Hold { dialler: u.arbitrary()?, held: u.arbitrary()? },
            _ if u.arbitrary::<u8>()? > 40 => Self::Pass { millis: 1 },
            _ if u.arbitrary()? => Self::Cut,
            _ => Self::ShutDown { dialler: u.arbitrary()? },
        })
    }
}

/// Steps until the bytes end.
pub fn peers(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut run = Run::new();
    for _ in 0..STEPS {
        let Ok(step) = input.arbitrary() else { break };
        run.step(step);
    }
    run.conclude();
}

struct Run {
    pair: Pair,
    callers: [Vec<OutgoingKey>; 2],
    callees: [Vec<IncomingKey>; 2],
    /// The ids of calls that each end has opened, as they were seen on the wire.
    seen: [Vec<u64>; 2],
    /// The next sequence number of each call about which something was said to an end.
    said: BTreeMap<(bool, u64), u32>,
    /// The ends from which nothing is taken.
    held: [bool; 2],
}

impl Run {
    fn new() -> Self {
        let limits = Limits {
            message: MESSAGE,
            queued_bytes: QUEUED,
            reply_bytes: REPLIES,
            answer_bytes: ANSWERS,
            received_bytes: RECEIVED,
            incoming_muxes: MUXES,
            outgoing_muxes: MUXES,
            ..Limits::default()
        };
        let mut pair = Pair::builder()
            .routes(routes())
            .limits(Which::Dialler, limits.clone())
            .limits(Which::Acceptor, limits)
            .connected();
        pair.patience = TURNS;
        Self {
            pair,
            callers: Default::default(),
            callees: Default::default(),
            seen: Default::default(),
            said: BTreeMap::new(),
            held: [false; 2],
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Act { from_dialler, act, pick, len } => {
                self.act(which(from_dialler), act, pick.into(), len);
                self.pair.drive();
            }
            Step::Say(said) => {
                for time in 0..=said.times {
                    let frame = self.encode(said, time);
                    self.inject(which(said.to_dialler), &frame);
                }
            }
            Step::SayMerged(all) => self.say_merged(&all),
            Step::Pass { millis } => self.pass(millis),
            Step::Hold { dialler, held } => self.hold(which(dialler), held),
            Step::Cut => self.pair.cut(),
            Step::ShutDown { dialler } => {
                self.pair.shutdown(which(dialler), Duration::from_secs(1));
            }
        }
        self.collect();
    }

    fn act(&mut self, which: Which, act: Act, pick: usize, len: u8) {
        let now = self.pair.clocks(which);
        let payload = vec![0x5a; length(len)];
        let data = Data::Borrowed(&payload);
        let at = index(which);
        let caller = choose(&self.callers[at], pick);
        let callee = choose(&self.callees[at], pick);
        let peer = self.pair.end(which).peer();
        let (handler, capacities) = ROUTES[pick % ROUTES.len()];
        let target = RouteInfo { handler, ..route(capacities) }.target();
        let timeout = [None, Some(Duration::from_millis(30)), Some(Duration::from_secs(20))];
        let timeout = timeout[usize::from(len >> 4) % timeout.len()];
        match (act, caller, callee) {
            (Act::Request, ..) => {
                if let Ok(key) = peer.request(now.instant, target, data, timeout) {
                    self.callers[at].push(key);
                }
            }
            (Act::Open, ..) => {
                let capacities = capacities.unwrap_or((3, 3));
                if let Ok(key) = peer.open(now.instant, target, capacities, data, timeout) {
                    self.callers[at].push(key);
                }
            }
            (Act::Send, Some(key), _) => drop(peer.send(key, data)),
            (Act::CloseInput, Some(key), _) => peer.close_input(key),
            (Act::Receive, Some(key), _) => while let Received::Item(_) = peer.receive(key) {},
            (Act::TakeResponse, Some(key), _) => drop(peer.take_response(key)),
            (Act::Cancel, Some(key), _) => peer.cancel(now, key),
            (Act::Release, Some(key), _) => peer.release(now, key),
            (Act::Respond, _, Some(key)) => peer.respond(now, key, Ok(data)),
            (Act::RespondError, _, Some(key)) => peer.respond(now, key, Err(&text(len))),
            (Act::ServeItem, _, Some(key)) => drop(peer.serve_item(key, data)),
            (Act::TakeInput, _, Some(key)) => while let Received::Item(_) = peer.take_input(key) {},
            (Act::DropInput, _, Some(key)) => peer.drop_input(key),
            (Act::Finish, _, Some(key)) => peer.finish(now, key, Ok(())),
            (Act::FinishError, _, Some(key)) => peer.finish(now, key, Err(text(len))),
            (Act::HandlerGone, _, Some(key)) => peer.handler_gone(now, key),
            _ => {}
        }
    }

    /// The bytes of a message.
    fn encode(&mut self, said: Said, time: u8) -> Vec<u8> {
        let to = which(said.to_dialler);
        let op = Op::from_u8(said.op % 20);
        // An op of the caller's side is about the calls of who sends it.
        let owner = match op {
            Op::AckMux | Op::MuxServerMsg | Op::UnblockClMux | Op::Response | Op::Pong => to,
            Op::MuxConnectError | Op::DisconnectClientMux => to,
            _ => to.other(),
        };
        let mux = match said.mux {
            0 => 0,
            small @ 1..32 => small.into(),
            pick => choose(&self.seen[index(owner)], pick.into()).unwrap_or(pick.into()),
        };
        let deadline_ms = [0, 1, 500, 20_000, u32::MAX][usize::from(said.deadline) % 5];
        let flags = Flags::from_bits_retain(said.flags) | Flags::CRC;
        let next = self.said.entry((said.to_dialler, mux)).or_default();
        let seq = if said.seq == u8::MAX { *next } else { u32::from(said.seq) + u32::from(time) };
        *next = seq.wrapping_add(1);
        let header = Header { mux, seq, deadline_ms, handler: said.handler % 7, op, flags };
        let mut payload = Vec::new();
        let ours = said.len & 0x10 == 0;
        match op {
            Op::Pong if ours => {
                let error = (said.len & 1 == 1).then(|| text(said.len));
                let time = self.pair.clocks(to).wall;
                Pong { not_found: said.len & 2 == 2, error, time }.encode(&mut payload);
            }
            Op::Ping if ours => Ping { time: Timestamp::ZERO }.encode(&mut payload),
            Op::MuxConnectError if ours => {
                MuxConnectError { error: text(said.len) }.encode(&mut payload);
            }
            _ => payload.resize(length(said.len), 0xa5),
        }
        let mut frame = Vec::new();
        MessageRef { header, subroute: None, payload: &payload }.encode(&mut frame);
        frame
    }

    fn say_merged(&mut self, all: &[Said]) {
        let Some(first) = all.first() else { return };
        let mut frame = vec![0; MERGE_HEADER_LEN];
        write_merge_header(&mut frame, all.len() as u8);
        for said in all {
            let part = self.encode(Said { to_dialler: first.to_dialler, ..*said }, 0);
            write_part_header(part.len(), &mut frame);
            frame.extend_from_slice(&part);
        }
        for _ in 0..=first.times % 16 {
            self.inject(which(first.to_dialler), &frame);
        }
    }

    fn inject(&mut self, to: Which, frame: &[u8]) {
        if self.pair.end(to).peer().link().is_some() {
            self.pair.inject(to, frame);
        }
    }

    fn pass(&mut self, millis: u16) {
        let duration = if millis & 0x8000 == 0 {
            Duration::from_millis(u64::from(millis) % 100)
        } else {
            Duration::from_millis(u64::from(millis & 0x7fff))
        };
        self.pair.advance(duration);
    }

    /// From now on nothing that a node sends leaves it, or all that has waited leaves at once.
    fn hold(&mut self, which: Which, held: bool) {
        let at = index(which);
        if std::mem::replace(&mut self.held[at], held) == held {
            return;
        }
        self.pair.drive();
        self.note();
        self.pair.room[at] = if held { 0 } else { usize::MAX };
        if held {
            return;
        }
        // What the other end answers is held back: otherwise it could ask for more of this one.
        self.pair.held[index(which.other())] = true;
        self.pair.drive();
        let sent: usize = self.pair.end(which).sent.iter().map(bytes::Bytes::len).sum();
        assert!(sent <= WAITING, "{sent} bytes had waited, more than {WAITING}");
        self.note();
        self.pair.held[index(which.other())] = false;
        self.pair.drive();
    }

    /// Takes the frames that were sent, and the ids in them.
    fn note(&mut self) {
        for which in [Which::Dialler, Which::Acceptor] {
            for frame in std::mem::take(&mut self.pair.end(which).sent) {
                let seen = &mut self.seen[index(which)];
                let read = for_each_message(&frame, usize::MAX, |message| {
                    let opens = matches!(message.header.op, Op::Request | Op::ConnectMux);
                    if opens && message.header.mux != 0 {
                        seen.push(message.header.mux);
                    }
                });
                read.expect("what we send can be read");
            }
        }
    }

    /// Takes what the machines tell; `Pair` has checked their invariants.
    fn collect(&mut self) {
        self.note();
        for which in [Which::Dialler, Which::Acceptor] {
            let now = self.pair.now;
            let end = self.pair.end(which);
            let calls = std::mem::take(&mut end.calls);
            end.events.clear();
            let stats = end.peer().stats(now);
            assert!(stats.received_bytes <= RECEIVED, "received bytes");
            assert!(stats.queued_bytes <= WAITING, "queued bytes");
            self.callees[index(which)].extend(calls.into_iter().map(|call| call.key));
        }
    }

    /// Both applications let go of everything, and nothing is left.
    fn conclude(mut self) {
        for which in [Which::Dialler, Which::Acceptor] {
            self.hold(which, false);
        }
        self.collect();
        for which in [Which::Dialler, Which::Acceptor] {
            let now = self.pair.clocks(which);
            let peer = self.pair.ends[index(which)].peer();
            self.callers[index(which)].iter().for_each(|key| peer.release(now, *key));
        }
        self.pair.cut();
        self.collect();
        for which in [Which::Dialler, Which::Acceptor] {
            let now = self.pair.clocks(which);
            let peer = self.pair.ends[index(which)].peer();
            self.callees[index(which)].iter().for_each(|key| peer.handler_gone(now, *key));
        }
        self.pair.advance(Duration::from_secs(3));
        self.collect();
        for end in &mut self.pair.ends {
            assert!(end.peer().is_quiescent(), "{:?}", end.peer().stats(self.pair.now));
        }
    }
}

fn routes() -> RouteTable {
    let mut routes = RouteTable::new();
    for (handler, capacities) in ROUTES {
        routes.insert(RouteInfo { handler, ..route(capacities) }).expect("a route");
    }
    routes
}

fn route(capacities: Option<(u32, u32)>) -> RouteInfo {
    let shape = capacities.map_or(Shape::Single, |(in_capacity, out_capacity)| Shape::Stream {
        in_capacity,
        out_capacity,
    });
    RouteInfo { handler: 1, subroute: None, name: "fuzz", shape, run_to_end: false }
}

const fn which(dialler: bool) -> Which {
    if dialler { Which::Dialler } else { Which::Acceptor }
}

const fn index(which: Which) -> usize {
    match which {
        Which::Dialler => 0,
        Which::Acceptor => 1,
    }
}

/// One of the newest.
fn choose<T: Copy>(all: &[T], pick: usize) -> Option<T> {
    let newest = all.len().min(64);
    (newest > 0).then(|| all[all.len() - 1 - pick % newest])
}

fn length(choice: u8) -> usize {
    LENGTHS[usize::from(choice) % LENGTHS.len()]
}

fn text(choice: u8) -> String {
    "x".repeat(length(choice))
}
