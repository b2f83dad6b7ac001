//! Plays one side of a recorded link with our machine, the other from the file.
//!
//! The recording says what the recorded side's application did: which requests it made, which
//! streams it opened, what it sent, took and answered. Our application does the same, each step
//! as soon as the machine allows it; what the file's other side sent is fed as soon as what it
//! reacts to has happened. Only the order within each side is the recorded one: the recorder saw
//! the two directions a little out of step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gridmux_core::auth::StaticToken;
use gridmux_core::error::CallError;
use gridmux_core::link::dials;
use gridmux_core::mux::{IncomingKey, OutgoingKey, Received, Target};
use gridmux_core::node::Node;
use gridmux_core::peer::WakeReason;
use gridmux_core::time::Instant;
use gridmux_core::wire::{Connect, ConnectResponse, Flags, Message, Op, Ping, Timestamp};

use super::messages::unpack;
use super::recording::{
    Line, acceptor_name, capacities, data, first, from_caller, has, is_final, is_item, is_opening,
    same, served, timeout,
};
use super::solo::Solo;
use super::vectors::{Entry, Event, Side};

/// A step of the replay: done, or to be tried again once the other side has gone on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    NotYet,
}

/// A call of ours.
#[derive(Debug)]
pub struct Ours {
    pub key: OutgoingKey,
    pub deadline: Option<Instant>,
    pub is_stream: bool,
    pub items: Vec<Bytes>,
    /// Items sent less credits returned.
    in_flight: usize,
    /// Credits that a nil item gave back.
    pub nil_credits: usize,
    /// The callee gave the call up near its deadline.
    pub callee_gave_up: bool,
    /// The recorded caller told the callee that it cancelled.
    pub cancelled: bool,
}

/// A call of the other side.
#[derive(Debug)]
pub struct Theirs {
    pub key: IncomingKey,
    pub is_stream: bool,
    pub deadline: Option<Instant>,
    pub input: Vec<Bytes>,
    in_flight: usize,
    finished: bool,
    cancelled: bool,
}

/// The replay of one side.
#[derive(Debug)]
pub struct Replay {
    pub solo: Solo,
    pub side: Side,
    /// What the recorded side sent, all of it.
    pub recorded: Vec<Line>,
    /// What the other side sent, all of it.
    pub heard: Vec<Line>,
    /// What our machine sent.
    pub log: Vec<Message>,
    pub ours: BTreeMap<u64, Ours>,
    pub theirs: BTreeMap<u64, Theirs>,
    acts: VecDeque<Line>,
    hears: VecDeque<Line>,
    /// What the recorded side's wall clock showed when it sent these.
    link_pings: VecDeque<Timestamp>,
    redials: VecDeque<Timestamp>,
}

impl Replay {
    /// Ready to play `side` of a recorded link.
    pub fn new(entries: &[Entry], side: Side) -> Self {
        let (mut recorded, mut heard) = (Vec::new(), Vec::new());
        for (at, entry) in entries.iter().enumerate() {
            let Event::Message(message) = &entry.event else { continue };
            let lines = if entry.from == side { &mut recorded } else { &mut heard };
            lines.extend(unpack(&message.bytes).into_iter().map(|message| Line { at, message }));
        }
        let hello = first(entries, Op::Connect);
        let connect = Connect::decode(&hello.payload).expect("a Connect");
        let response = first(entries, Op::ConnectResponse);
        let response = ConnectResponse::decode(&response.payload).expect("a ConnectResponse");
        let acceptor = acceptor_name(entries, &connect.host);
        let (own, other, id) = match side {
            Side::Dialler => (connect.host.clone(), acceptor, connect.id),
            Side::Acceptor => (acceptor, connect.host.clone(), response.id),
        };
        let token = StaticToken::new(connect.token.as_str()).expect("a token");
        let mut node = Node::new(own, id, Arc::new(token));
        node.routes = served(&recorded, &heard);
        let mut other = other;
        if side == Side::Acceptor && response.rejected_reason.contains("token") {
            node.auth = Arc::new(StaticToken::new("another").expect("a token"));
        } else if side == Side::Acceptor && !response.accepted {
            // Another node, that dials this one too.
            other = (1..)
                .map(|n| format!("http://10.0.0.{n}:9000"))
                .find(|name| dials(name, &node.name))
                .expect("half of all names");
        }
        let solo = Solo::new_at(node, &other, 0, Instant::from_millis(1000), connect.time);
        let times = |op| {
            let own = recorded.iter().map(|line| &line.message).filter(move |m| m.header.op == op);
            own.filter(|m| m.header.mux == 0).map(|m| m.payload.clone())
        };
        let link_pings = times(Op::Ping).map(|p| Ping::decode(&p).expect("a Ping").time).collect();
        let redials = times(Op::Connect).map(|p| Connect::decode(&p).expect("a Connect").time);
        let redials = redials.skip(1).collect();
        Self {
            solo,
            side,
            acts: recorded.iter().cloned().collect(),
            hears: heard.iter().cloned().collect(),
            recorded,
            heard,
            log: Vec::new(),
            ours: BTreeMap::new(),
            theirs: BTreeMap::new(),
            link_pings,
            redials,
        }
    }

    /// Plays everything.
    ///
    /// # Panics
    /// If neither side can go on.
    pub fn run(&mut self) {
        self.collect();
        loop {
            let act_first = match (self.acts.front(), self.hears.front()) {
                (None, None) => return,
                (Some(act), Some(hear)) => act.at < hear.at,
                (act, _) => act.is_some(),
            };
            if self.step(act_first) == Step::NotYet && self.step(!act_first) == Step::NotYet {
                panic!("stuck at {:?} and {:?}", self.acts.front(), self.hears.front());
            }
        }
    }

    fn step(&mut self, act: bool) -> Step {
        let queue = if act { &mut self.acts } else { &mut self.hears };
        let Some(line) = queue.front().cloned() else { return Step::NotYet };
        let step = if act { self.act(&line.message) } else { self.hear(&line.message) };
        if step == Step::Done {
            if act {
                self.acts.pop_front()
            } else {
                self.hears.pop_front()
            };
        }
        self.collect();
        step
    }

    fn collect(&mut self) {
        self.solo.pump();
        self.log.append(&mut self.solo.sent);
    }

    // ---- what our application does ----

    fn act(&mut self, message: &Message) -> Step {
        let mux = message.header.mux;
        match message.header.op {
            Op::Connect | Op::ConnectResponse | Op::Ping => self.wait_until_sent(message),
            Op::Request | Op::ConnectMux => self.open(message),
            Op::MuxClientMsg => self.send(message),
            Op::UnblockSrvMux => {
                let Some(call) = self.ours.get_mut(&mux) else { return Step::NotYet };
                match self.solo.peer().receive(call.key) {
                    Received::Item(item) => call.items.push(item),
                    Received::Pending => return Step::NotYet,
                    other => panic!("no item to take but {other:?} for {message:?}"),
                }
                Step::Done
            }
            Op::DisconnectServerMux => self.give_up(mux),
            Op::Response => self.respond(message),
            Op::MuxServerMsg => self.serve(message),
            Op::UnblockClMux => {
                let Some(call) = self.theirs.get_mut(&mux) else { return Step::NotYet };
                match self.solo.peer().take_input(call.key) {
                    Received::Item(item) => call.input.push(item),
                    Received::Pending => return Step::NotYet,
                    other => panic!("no input to take: {other:?} for {message:?}"),
                }
                Step::Done
            }
            Op::DisconnectClientMux => self.expire_call(mux),
            // The machine does these by itself.
            Op::AckMux | Op::MuxConnectError | Op::Pong => Step::Done,
            op => panic!("{op:?} in a recording"),
        }
    }

    fn open(&mut self, message: &Message) -> Step {
        let header = message.header;
        let (now, target) =
            (self.solo.now, Target { handler: header.handler, subroute: message.subroute });
        let timeout = timeout(header.deadline_ms);
        let is_stream = header.op == Op::ConnectMux;
        let peer = self.solo.peer();
        let key = if is_stream {
            peer.open(now, target, capacities(message), data(message), timeout)
        } else {
            peer.request(now, target, data(message), timeout)
        };
        let Ok(key) = key else { return Step::NotYet };
        let call = Ours {
            key,
            deadline: timeout.map(|timeout| now.after(timeout)),
            is_stream,
            items: Vec::new(),
            in_flight: 0,
            nil_credits: 0,
            callee_gave_up: false,
            cancelled: false,
        };
        self.ours.insert(header.mux, call);
        Step::Done
    }

    fn send(&mut self, message: &Message) -> Step {
        let Some(call) = self.ours.get_mut(&message.header.mux) else { return Step::NotYet };
        if !is_item(message) {
            self.solo.peer().close_input(call.key);
            return Step::Done;
        }
        if self.solo.peer().send(call.key, data(message)).is_err() {
            return Step::NotYet;
        }
        call.in_flight += 1;
        Step::Done
    }

    /// The application cancels, or the deadline passes.
    fn give_up(&mut self, mux: u64) -> Step {
        let killed_by_nil = self.has_nil_item(mux);
        let Some(call) = self.ours.get_mut(&mux) else { return Step::NotYet };
        if killed_by_nil || std::mem::replace(&mut call.cancelled, true) {
            return Step::Done;
        }
        if let Some(deadline) = call.deadline {
            self.pass(deadline);
        } else {
            let (now, key) = (self.solo.clocks(), call.key);
            self.solo.peer().cancel(now, key);
        }
        Step::Done
    }

    /// Whether the other side sends a nil item on this mux, which a Go caller does not survive.
    pub fn has_nil_item(&self, mux: u64) -> bool {
        self.heard.iter().any(|line| {
            let message = &line.message;
            message.header.op == Op::MuxServerMsg
                && message.header.mux == mux
                && is_item(message)
                && message.is_nil()
        })
    }

    fn respond(&mut self, message: &Message) -> Step {
        let Some(call) = self.theirs.get(&message.header.mux) else { return Step::NotYet };
        let (now, key) = (self.solo.clocks(), call.key);
        let text = String::from_utf8_lossy(&message.payload);
        let result = match message.header.flags.contains(Flags::PAYLOAD_IS_ERR) {
            true => Err(&*text),
            false => Ok(data(message)),
        };
        self.solo.peer().respond(now, key, result);
        Step::Done
    }

    fn serve(&mut self, message: &Message) -> Step {
        let Some(call) = self.theirs.get_mut(&message.header.mux) else { return Step::NotYet };
        let (now, key) = (self.solo.clocks(), call.key);
        if is_item(message) {
            if self.solo.peer().serve_item(key, data(message)).is_err() {
                return Step::NotYet;
            }
            call.in_flight += 1;
            return Step::Done;
        }
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        let failed = message.header.flags.contains(Flags::PAYLOAD_IS_ERR);
        call.finished = true;
        self.solo.peer().finish(now, key, if failed { Err(text) } else { Ok(()) });
        Step::Done
    }

    /// A DisconnectClientMux of the recorded side: behind a final or a cancel it comes by itself,
    /// otherwise the deadline has passed.
    fn expire_call(&mut self, mux: u64) -> Step {
        let Some(call) = self.theirs.get(&mux).filter(|call| call.is_stream) else {
            // In the wrong direction, about a call of its own.
            return if self.ours.contains_key(&mux) { Step::Done } else { Step::NotYet };
        };
        if call.finished || call.cancelled {
            return Step::Done;
        }
        let Some(deadline) = call.deadline else { return Step::NotYet };
        self.pass(deadline);
        Step::Done
    }

    /// Waits for what the machine sends by the clock.
    fn wait_until_sent(&mut self, message: &Message) -> Step {
        let op = message.header.op;
        let left = self.acts.iter().filter(|l| same(&l.message, message)).count();
        let all = self.recorded.iter().filter(|l| same(&l.message, message)).count();
        let mux = self.ours.get(&message.header.mux).map_or(0, |call| call.key.mux_id());
        for _ in 0..100 {
            let sent = self.log.iter().filter(|m| m.header.op == op && m.header.mux == mux).count();
            if sent > all - left {
                return Step::Done;
            }
            if op == Op::ConnectResponse {
                return Step::NotYet;
            }
            let wake = self.solo.next_wake().expect("something is to come");
            self.jump(wake);
        }
        panic!("never sent: {message:?}");
    }

    fn pass(&mut self, deadline: Instant) {
        let until = deadline.after(Duration::from_millis(1));
        while let Some(next) = self.solo.next_wake().filter(|at| *at <= until) {
            self.jump(next);
        }
        self.jump(until);
    }

    /// Moves the clock; when a link ping or a dial is due, the wall clock is the recorded one.
    fn jump(&mut self, at: Instant) {
        let peer = self.solo.peer();
        let reason = peer.poll_timeout(at).map(|(_, reason)| reason);
        let at = at.max(self.solo.now);
        let recorded = match reason {
            Some(WakeReason::LinkPing) => self.link_pings.pop_front(),
            Some(WakeReason::Dial) => self.redials.pop_front(),
            _ => None,
        };
        if let Some(time) = recorded {
            let passed = i128::from(at.as_nanos() - self.solo.now.as_nanos());
            self.solo.wall = Timestamp::from_unix_nanos(time.to_unix_nanos() - passed);
        }
        self.solo.jump_without_answer(at);
        self.collect();
    }

    // ---- what the other side says ----

    fn hear(&mut self, message: &Message) -> Step {
        let mux = message.header.mux;
        let op = message.header.op;
        if matches!(op, Op::Connect | Op::ConnectResponse) || mux == 0 {
            self.solo.give(message);
            return Step::Done;
        }
        if from_caller(op) {
            return self.hear_caller(message);
        }
        let Some(call) = self.ours.get_mut(&mux) else {
            let announced =
                self.recorded.iter().any(|l| l.message.header.mux == mux && is_opening(&l.message));
            if announced && !self.is_wrong_direction(message) {
                return Step::NotYet;
            }
            self.solo.give(message);
            return Step::Done;
        };
        if op == Op::DisconnectClientMux && !call.is_stream {
            // In the wrong direction: it names a call of the other side.
            self.solo.give(message);
            return Step::Done;
        }
        let credit = op == Op::UnblockClMux;
        if credit && call.in_flight == 0 {
            return Step::NotYet;
        }
        call.in_flight -= usize::from(credit);
        if is_item(message) && message.is_nil() {
            call.nil_credits += 1;
        }
        let ends = is_final(message) || op == Op::DisconnectClientMux;
        let answers = op == Op::DisconnectClientMux && call.deadline.is_none();
        if ends && has(&self.acts, mux, Op::UnblockSrvMux)
            || answers && has(&self.acts, mux, Op::DisconnectServerMux) && !self.has_nil_item(mux)
        {
            // The recorded side did these before it saw the end, or the end answers them.
            return Step::NotYet;
        }
        self.hear_expiry(message);
        let Some(call) = self.ours.get(&mux) else { return Step::NotYet };
        let mut message = message.clone();
        message.header.mux = call.key.mux_id();
        self.solo.give(&message);
        Step::Done
    }

    /// A bare disconnect that nothing of ours has asked for: the callee's deadline has passed, a
    /// moment before ours.
    fn hear_expiry(&mut self, message: &Message) {
        let mux = message.header.mux;
        let earlier =
            self.heard.iter().any(|l| l.message.header.mux == mux && is_final(&l.message));
        let Some(call) = self.ours.get_mut(&mux) else { return };
        let Some(deadline) = call.deadline else { return };
        if message.header.op == Op::DisconnectClientMux && !call.cancelled && !earlier {
            call.callee_gave_up = true;
            self.jump(deadline.before(Duration::from_millis(1)));
        }
    }

    fn hear_caller(&mut self, message: &Message) -> Step {
        let mux = message.header.mux;
        match (message.header.op, self.theirs.get_mut(&mux)) {
            (Op::Request | Op::ConnectMux, _) => {
                self.solo.give(message);
                if let Some(call) = self.solo.calls.pop_front() {
                    let payload = (call.payload.is_nil(), call.payload.as_slice());
                    assert_eq!(payload, (message.is_nil(), &message.payload[..]));
                    let ms = Duration::from_millis(message.header.deadline_ms.into());
                    let deadline = (!ms.is_zero()).then(|| self.solo.now.after(ms));
                    assert_eq!(call.deadline, deadline);
                    let call = Theirs {
                        key: call.key,
                        is_stream: message.header.op == Op::ConnectMux,
                        deadline,
                        input: Vec::new(),
                        in_flight: 0,
                        finished: false,
                        cancelled: false,
                    };
                    self.theirs.insert(mux, call);
                }
                return Step::Done;
            }
            (Op::UnblockSrvMux, Some(call)) => {
                if call.in_flight == 0 {
                    return Step::NotYet;
                }
                call.in_flight -= 1;
            }
            (Op::DisconnectServerMux, Some(call)) => {
                if has(&self.acts, mux, Op::MuxServerMsg) || has(&self.acts, mux, Op::UnblockClMux)
                {
                    return Step::NotYet;
                }
                call.cancelled = true;
            }
            _ => {}
        }
        self.solo.give(message);
        Step::Done
    }

    fn is_wrong_direction(&self, message: &Message) -> bool {
        message.header.op == Op::DisconnectClientMux
            && !self.recorded.iter().any(|line| {
                line.message.header.op == Op::ConnectMux
                    && line.message.header.mux == message.header.mux
            })
    }

    /// What became of a single request of ours, if it is over.
    pub fn outcome(
        &mut self,
        mux: u64,
    ) -> Option<Result<gridmux_core::payload::Payload, CallError>> {
        let call = &self.ours[&mux];
        if let (Some(deadline), false) = (call.deadline, self.answered(mux)) {
            self.pass(deadline);
        }
        let key = self.ours[&mux].key;
        self.solo.peer().take_response(key)
    }

    fn answered(&self, mux: u64) -> bool {
        let answer = |op| matches!(op, Op::Response | Op::MuxConnectError);
        self.heard.iter().any(|l| l.message.header.mux == mux && answer(l.message.header.op))
    }

    /// All items of a stream of ours, and its end if it has one.
    pub fn drained(&mut self, mux: u64) -> (Vec<Bytes>, Option<Result<(), CallError>>) {
        if let (Some(deadline), true) = (self.ours[&mux].deadline, self.ours[&mux].callee_gave_up) {
            self.pass(deadline);
        }
        let key = self.ours[&mux].key;
        let mut items = std::mem::take(&mut self.ours.get_mut(&mux).expect("opened").items);
        loop {
            match self.solo.peer().receive(key) {
                Received::Item(item) => items.push(item),
                Received::Pending => return (items, None),
                Received::End => return (items, Some(Ok(()))),
                Received::Failed(error) => return (items, Some(Err(error))),
            }
        }
    }
}
