//! What two machines of the core say to each other breaks no rule.

use std::collections::VecDeque;
use std::time::Duration;

use gridmux_core::mux::{IncomingKey, OutgoingKey, Received, Target};
use gridmux_core::outbox::Data;
use gridmux_core::route::{RouteInfo, RouteTable, Shape};
use gridmux_core::testing::{Mode, Pair, Which};
use gridmux_core::time::Instant;
use gridmux_core::wire::SubrouteId;
use gridmux_sim::monitor::{Capacities, Kind, Monitor, Op, Role, Settings};

const LATENCY: Duration = Duration::from_millis(1);
const REQUEST: Target = Target { handler: 1, subroute: None };
const BOTH_WAYS: Target = Target { handler: 2, subroute: None };
const NO_INPUT: Target = Target { handler: 3, subroute: None };
const MISSING: Target = Target { handler: 99, subroute: None };
const CAPACITIES: (u32, u32) = (3, 2);

fn subrouted() -> Target {
    Target { handler: 4, subroute: Some(SubrouteId::new(4, &["bucket"])) }
}

fn routes() -> RouteTable {
    let mut routes = RouteTable::new();
    let stream = |(in_capacity, out_capacity)| Shape::Stream { in_capacity, out_capacity };
    let shapes = [
        (REQUEST, Shape::Single),
        (BOTH_WAYS, stream(CAPACITIES)),
        (NO_INPUT, stream((0, 2))),
        (subrouted(), stream(CAPACITIES)),
    ];
    for (Target { handler, subroute }, shape) in shapes {
        let route = RouteInfo { handler, subroute, name: "test", shape, run_to_end: false };
        routes.insert(route).unwrap();
    }
    routes
}

struct Open {
    at: Which,
    key: OutgoingKey,
    is_stream: bool,
    left: u64,
}

struct Served {
    at: Which,
    key: IncomingKey,
    is_stream: bool,
    left: u64,
}

/// A pair, its applications, and the monitor.
struct Watched {
    pair: Pair,
    monitor: Monitor,
    connection: u64,
    /// How much of what each end has written belongs to former connections, and is told.
    before: [usize; 2],
    told: [usize; 2],
    under_way: VecDeque<(Instant, Role, u64)>,
    open: Vec<Open>,
    served: Vec<Served>,
    random: u64,
    seen: [u64; 18],
}

impl Watched {
    fn new(names: (&str, &str), mode: Mode, seed: u64) -> Self {
        let builder = Pair::builder().names(names.0, names.1).routes(routes()).mode(mode);
        let mut pair = builder.seed(seed).first_generation((seed % 2) as u32 * 0x7fff_fffe).build();
        pair.latency = LATENCY;
        pair.start();
        let subroute = subrouted().subroute.map(|id| *id.as_bytes());
        let capacities = Capacities::new()
            .with(2, None, CAPACITIES)
            .with(3, None, (0, 2))
            .with(4, subroute, CAPACITIES);
        let mut settings = Settings::new();
        settings.base_crc = !names.0.starts_with("https");
        settings.capacities = [capacities.clone(), capacities];
        let mut monitor = Monitor::new(settings);
        let connection = monitor.connect();
        let (before, told, seen) = ([0; 2], [0; 2], [0; 18]);
        let (open, served, under_way) = (Vec::new(), Vec::new(), VecDeque::new());
        let random = seed;
        Self { pair, monitor, connection, before, told, under_way, open, served, random, seen }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    /// Tells the monitor of this moment: first what has arrived, then what was sent.
    fn observe(&mut self) {
        self.pair.drive();
        let now = self.pair.now;
        while let Some((_, from, offset)) = self.under_way.pop_front_if(|(at, ..)| *at <= now) {
            self.monitor.delivered(self.connection, from, offset);
        }
        for from in Role::BOTH {
            let index = from.index();
            let written = &self.pair.ends[index].written[self.told[index]..];
            let seen = &mut self.seen;
            self.monitor.written(self.connection, from, written, |what| match &what.kind {
                Kind::Message(message) => {
                    let number = usize::from(message.op.number());
                    seen[number] += 1;
                    message.parts.iter().for_each(|p| seen[usize::from(p.op.number())] += 1);
                }
                Kind::Head(_) | Kind::Control(_) => {}
                other => panic!("{other:?}"),
            });
            self.told[index] += written.len();
            let offset = (self.told[index] - self.before[index]) as u64;
            self.under_way.push_back((now.after(LATENCY), from, offset));
            self.monitor.flushed(self.connection, from);
        }
        assert_eq!(self.monitor.violations(), [], "{:?}", self.monitor.violations().first());
    }

    /// Lets time pass, stopping wherever anything happens.
    fn advance(&mut self, duration: Duration) {
        let until = self.pair.now.after(duration);
        self.observe();
        while let Some(next) = self.pair.next_moment().filter(|at| *at < until) {
            let wait = next.max(self.pair.now).since(self.pair.now);
            self.pair.advance(wait);
            self.observe();
        }
        self.pair.advance(until.since(self.pair.now));
        self.observe();
    }

    fn reconnect(&mut self) {
        self.pair.cut();
        self.before = [0, 1].map(|index| self.told[index]);
        self.under_way.clear();
        self.open.clear();
        self.served.clear();
        self.monitor.closed(self.connection);
        self.connection = self.monitor.connect();
        self.advance(Duration::from_secs(3));
        assert!(self.pair.is_connected());
    }

    fn call(&mut self) {
        let at = if self.below(2) == 0 { Which::Dialler } else { Which::Acceptor };
        let size = match self.below(8) {
            0 => 0,
            1 => 40_000,
            _ => self.below(600) as usize,
        };
        let payload = vec![7; size];
        let data = if self.below(5) == 0 { Data::Nil } else { Data::Borrowed(&payload) };
        let timeout = (self.below(3) > 0).then(|| Duration::from_millis(1 + self.random % 70_000));
        let kind = self.below(10);
        let left = self.below(8);
        let (now, peer) = (self.pair.now, self.pair.end(at).peer());
        let (is_stream, key) = match kind {
            0..5 => (false, peer.request(now, REQUEST, data, timeout)),
            5 => (false, peer.request(now, MISSING, data, timeout)),
            6 => (true, peer.open(now, NO_INPUT, (0, 2), data, timeout)),
            7 => (true, peer.open(now, subrouted(), CAPACITIES, data, timeout)),
            _ => (true, peer.open(now, BOTH_WAYS, CAPACITIES, data, timeout)),
        };
        if let Ok(key) = key {
            self.open.push(Open { at, key, is_stream, left });
        }
    }

    fn accept(&mut self) {
        for at in [Which::Dialler, Which::Acceptor] {
            while let Some(call) = self.pair.end(at).calls.pop_front() {
                let left = self.below(6);
                let node = self.pair.end(at).grid.node();
                let is_stream = node.routes.get(call.route).shape != Shape::Single;
                self.served.push(Served { at, key: call.key, is_stream, left });
            }
        }
    }

    fn serve(&mut self) {
        for mut call in std::mem::take(&mut self.served) {
            let (act, fails) = (self.below(3), self.below(4) == 0);
            let now = self.pair.clocks(call.at);
            let peer = self.pair.end(call.at).peer();
            if !peer.is_live(call.key) {
                peer.handler_gone(now, call.key);
            } else if act == 0 {
                self.served.push(call);
            } else if !call.is_stream {
                let answer = if fails { Err("no") } else { Ok(Data::Borrowed(b"yes")) };
                peer.respond(now, call.key, answer);
            } else if call.left > 0 {
                let taken = matches!(peer.take_input(call.key), Received::Item(_));
                let sent = peer.serve_item(call.key, Data::Borrowed(b"item")).is_ok();
                call.left -= u64::from(taken || sent);
                self.served.push(call);
            } else {
                let end = if fails { Err("failed".to_owned()) } else { Ok(()) };
                peer.finish(now, call.key, end);
            }
        }
    }

    fn use_calls(&mut self) {
        for mut call in std::mem::take(&mut self.open) {
            let act = self.below(20);
            let now = self.pair.clocks(call.at);
            let peer = self.pair.end(call.at).peer();
            if act == 0 {
                peer.release(now, call.key);
                continue;
            }
            if !call.is_stream {
                if peer.take_response(call.key).is_none() {
                    self.open.push(call);
                }
                continue;
            }
            if call.left > 0 {
                call.left -= u64::from(peer.send(call.key, Data::Borrowed(b"")).is_ok());
            } else if act < 10 {
                peer.close_input(call.key);
            }
            match peer.receive(call.key) {
                Received::Item(_) | Received::Pending => self.open.push(call),
                Received::End | Received::Failed(_) => peer.release(now, call.key),
            }
        }
    }

    /// What both applications do at one moment.
    fn act(&mut self) {
        self.accept();
        self.serve();
        self.use_calls();
    }

    fn work(&mut self, steps: u64) {
        for _ in 0..steps {
            for _ in 0..self.below(5) {
                self.call();
            }
            self.act();
            let pause = match self.below(30) {
                0 => 20_000_000,
                _ => self.below(3000),
            };
            self.advance(Duration::from_micros(pause));
        }
    }

    /// Answers everything and lets go of everything.
    fn settle(&mut self) {
        for call in std::mem::take(&mut self.open) {
            let now = self.pair.clocks(call.at);
            self.pair.end(call.at).peer().release(now, call.key);
        }
        self.advance(Duration::from_millis(10));
        self.accept();
        for _ in 0..200 {
            self.serve();
            self.advance(Duration::from_millis(3));
        }
    }
}

const HTTP: (&str, &str) = ("http://127.0.0.1:9101", "http://127.0.0.1:9102");
const HTTPS: (&str, &str) = ("https://node-1.example", "https://node-2.example");

#[test]
fn a_busy_link_breaks_no_rule() {
    for (seed, mode) in [(1, Mode::Bytes(usize::MAX)), (2, Mode::Bytes(700))] {
        let mut watched = Watched::new(HTTP, mode, seed);
        watched.work(250);
        let said = |op: Op| watched.seen[usize::from(op.number())];
        for number in 1..=17 {
            let op = Op::from_number(number);
            assert!(said(op) > 0 || op == Op::Disconnect, "{} is never said", op.name());
        }
        assert!(said(Op::MuxServerMsg) > 100 && said(Op::UnblockClMux) > 50, "{:?}", watched.seen);
        watched.settle();
        assert_eq!(watched.monitor.open_muxes(), 0, "what is over is forgotten");
        assert!(watched.monitor.oddities().is_empty());
    }
}

#[test]
fn a_link_in_small_pieces_breaks_no_rule() {
    Watched::new(HTTP, Mode::Split(3), 3).work(40);
}

#[test]
fn without_checksums_nothing_else_changes() {
    let mut watched = Watched::new(HTTPS, Mode::Bytes(usize::MAX), 4);
    watched.work(100);
    assert!(watched.seen[usize::from(Op::MuxServerMsg.number())] > 30);
}

#[test]
fn connections_that_follow_each_other_break_no_rule() {
    for seed in 5..8 {
        let mut watched = Watched::new(HTTP, Mode::Bytes(usize::MAX), seed);
        for _ in 0..4 {
            watched.work(40);
            watched.reconnect();
        }
    }
}

#[test]
fn a_graceful_end_breaks_no_rule() {
    for seed in 8..12 {
        let mut watched = Watched::new(HTTP, Mode::Bytes(usize::MAX), seed);
        watched.work(40);
        let which = if seed % 2 == 0 { Which::Dialler } else { Which::Acceptor };
        watched.pair.shutdown(which, Duration::from_millis(50));
        while watched.pair.is_connected() {
            watched.call();
            watched.act();
            watched.advance(Duration::from_millis(1));
        }
        watched.advance(Duration::from_millis(200));
        assert!(watched.seen[usize::from(Op::Disconnect.number())] > 0);
    }
}
