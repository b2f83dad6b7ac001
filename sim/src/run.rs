//! One run.

use std::collections::BTreeMap;
use std::time::Duration;

use gridmux_core::error::CallError;
use gridmux_core::mux::{OutgoingKey, Target};
use gridmux_core::outbox::Data;
use gridmux_core::route::{RouteInfo, RouteTable, Shape};
use gridmux_core::testing::{Mode, Pair, Which};

use crate::random::Choices;

const ECHO: Target = Target { handler: 1, subroute: None };
const STEPS: u64 = 300;
/// Silence, one attempt, retry spacing, handshake: the longest that two nodes may take to find
/// each other again.
const HEALED_WITHIN: Duration = Duration::from_secs(30 + 2 + 2 + 4);

/// What a run has found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed that it came from.
    pub seed: u64,
    /// Calls that were started.
    pub calls: u64,
    /// Calls by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Faults that were placed.
    pub cuts: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// What went wrong first, if anything.
    pub verdict: Result<(), Failure>,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An answer does not match its question.
    WrongAnswer,
    /// A call ended in a way that its history does not explain.
    Unexplained(String),
    /// A call has not ended though its deadline is over.
    Unresolved,
    /// The nodes did not find each other again in time.
    NotHealed,
    /// Something of the calls is left though all are over.
    NotQuiescent,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WrongAnswer => f.write_str("an answer does not match its question"),
            Self::Unexplained(what) => write!(f, "unexplained outcome: {what}"),
            Self::Unresolved => f.write_str("a call is past its deadline and has not ended"),
            Self::NotHealed => f.write_str("the nodes did not find each other again in time"),
            Self::NotQuiescent => f.write_str("something is left of calls that are over"),
        }
    }
}

/// A call that is open at one end.
struct Open {
    from: Which,
    key: OutgoingKey,
    question: Vec<u8>,
    cut_since: bool,
}

struct Run {
    choices: Choices,
    pair: Pair,
    open: Vec<Open>,
    report: Report,
}

/// Runs one seed.
pub fn run(seed: u64) -> Report {
    let choices = Choices::new(seed);
    let mut routes = RouteTable::new();
    let shape = Shape::Single;
    let echo = RouteInfo { handler: 1, subroute: None, name: "echo", shape, run_to_end: false };
    let inserted = routes.insert(echo);
    debug_assert!(inserted.is_ok(), "the only route");
    let mode = match choices.below("mode", 0, 3) {
        0 => Mode::Frames,
        1 => Mode::Bytes(usize::MAX),
        _ => Mode::Bytes(100 + choices.below("chunk", 0, 2000) as usize),
    };
    let generation = choices.below("generation", 0, 2) as u32 * 0x7fff_fff0;
    let builder = Pair::builder().routes(routes).mode(mode).seed(seed);
    let mut pair = builder.first_generation(generation).build();
    pair.latency = Duration::from_micros(choices.below("latency", 0, 20_000));
    pair.start();
    let begun = pair.now;
    let report = Report {
        seed,
        calls: 0,
        outcomes: BTreeMap::new(),
        cuts: 0,
        simulated: Duration::ZERO,
        verdict: Ok(()),
    };
    let mut run = Run { choices, pair, open: Vec::new(), report };
    run.report.verdict = run.phases();
    run.report.simulated = run.pair.now.since(begun);
    run.report
}

impl Run {
    fn phases(&mut self) -> Result<(), Failure> {
        for step in 0..STEPS {
            self.step(step)?;
        }
        self.pair.held = [false; 2];
        self.pair.advance(HEALED_WITHIN);
        if !self.pair.is_connected() {
            return Err(Failure::NotHealed);
        }
        self.pair.advance(Duration::from_secs(61));
        self.settle()?;
        if !self.open.is_empty() {
            return Err(Failure::Unresolved);
        }
        let quiet = self.pair.ends.iter_mut().all(|end| end.peer().is_quiescent());
        if quiet { Ok(()) } else { Err(Failure::NotQuiescent) }
    }

    fn step(&mut self, step: u64) -> Result<(), Failure> {
        let from = self.side("from", step);
        match self.choices.below("operation", step, 100) {
            0..50 => self.call(step, from),
            50..70 => self.answer(from),
            70..78 => self.cancel(step),
            78..82 => {
                self.report.cuts += 1;
                self.open.iter_mut().for_each(|call| call.cut_since = true);
                self.pair.cut();
            }
            82..85 => {
                let held = &mut self.pair.held[usize::from(from == Which::Acceptor)];
                *held = !*held;
            }
            _ => {
                let millis = self.choices.below("pause", step, 3000);
                self.pair.advance(Duration::from_millis(millis));
            }
        }
        self.pair.drive();
        self.settle()
    }

    fn side(&self, purpose: &str, step: u64) -> Which {
        match self.choices.below(purpose, step, 2) {
            0 => Which::Dialler,
            _ => Which::Acceptor,
        }
    }

    fn call(&mut self, step: u64, from: Which) {
        let len = self.choices.below("size", step, 40_000) as usize;
        let mut question = step.to_be_bytes().to_vec();
        question.resize(8 + len, step as u8);
        let timeout = Duration::from_millis(1 + self.choices.below("timeout", step, 60_000));
        let now = self.pair.now;
        let data = Data::Borrowed(&question);
        let peer = self.pair.end(from).peer();
        match peer.request(now, ECHO, data, Some(timeout)) {
            Ok(key) => {
                self.report.calls += 1;
                self.open.push(Open { from, key, question, cut_since: false });
            }
            Err(_) => *self.report.outcomes.entry("not started").or_default() += 1,
        }
    }

    /// Answers the oldest call that waits at one end.
    fn answer(&mut self, at: Which) {
        let clocks = self.pair.clocks(at);
        let end = self.pair.end(at);
        if let Some(call) = end.calls.pop_front() {
            end.peer().respond(clocks, call.key, Ok(call.payload.into()));
        }
    }

    fn cancel(&mut self, step: u64) {
        if self.open.is_empty() {
            return;
        }
        let which = self.choices.below("cancelled", step, self.open.len() as u64) as usize;
        let call = self.open.swap_remove(which);
        let clocks = self.pair.clocks(call.from);
        self.pair.end(call.from).peer().release(clocks, call.key);
        *self.report.outcomes.entry("cancelled").or_default() += 1;
    }

    /// Takes the outcomes that are there.
    fn settle(&mut self) -> Result<(), Failure> {
        self.drop_cancelled();
        let mut open = Vec::new();
        for call in std::mem::take(&mut self.open) {
            match self.pair.end(call.from).peer().take_response(call.key) {
                None => open.push(call),
                Some(Ok(answer)) if answer.as_slice() == call.question => self.count("answered"),
                Some(Ok(_)) => return Err(Failure::WrongAnswer),
                Some(Err(CallError::DeadlineExceeded { .. })) => self.count("deadline"),
                // A direction that is held back looks like silence, and silence cuts a link.
                Some(Err(CallError::Disconnected { .. })) => self.count("disconnected"),
                Some(Err(error)) => return Err(Failure::Unexplained(error.to_string())),
            }
        }
        self.open = open;
        Ok(())
    }

    fn count(&mut self, outcome: &'static str) {
        *self.report.outcomes.entry(outcome).or_default() += 1;
    }

    /// Handlers that were cancelled are gone.
    fn drop_cancelled(&mut self) {
        use gridmux_core::event::Event;
        for which in [Which::Dialler, Which::Acceptor] {
            let clocks = self.pair.clocks(which);
            let end = self.pair.end(which);
            for event in end.take_events() {
                if let Event::Cancelled(key, _) = event {
                    end.calls.retain(|call| call.key != key);
                    end.peer().handler_gone(clocks, key);
                }
            }
        }
    }
}
