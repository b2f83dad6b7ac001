//! Bytes change nothing: the same histories however they are split, the same bytes for the same
//! inputs, and wake-ups that are never late (DESIGN.md section 1).

use std::time::Duration;

use crate::support::{ECHO, LIST, MS, SECOND, TALK, TALK_CAPACITY, builder, in_bytes};
use gridmux_core::event::{Event, IncomingCall};
use gridmux_core::mux::{OutgoingKey, Received};
use gridmux_core::outbox::Data;
use gridmux_core::testing::{End, Mode, Pair, Which};
use proptest::prelude::*;

/// Both ends with a little application: requests are echoed, lists give 8 items, talks are
/// echoed item by item. What callers see is written down, a line each.
struct Scene {
    pair: Pair,
    requests: Vec<(Which, OutgoingKey, String)>,
    streams: Vec<(Which, OutgoingKey, String, Vec<Vec<u8>>)>,
    served: Vec<(Which, IncomingCall, usize)>,
    history: Vec<String>,
}

impl Scene {
    fn new(pair: Pair) -> Self {
        let (requests, streams, served) = (Vec::new(), Vec::new(), Vec::new());
        Self { pair, requests, streams, served, history: Vec::new() }
    }

    fn request(&mut self, from: Which, name: &str, len: usize) {
        let now = self.pair.now;
        let data = Data::Owned(vec![len as u8; len].into());
        let key = self.pair.end(from).peer().request(now, ECHO, data, None);
        self.requests.push((from, key.expect("up"), name.into()));
    }

    fn open(&mut self, from: Which, name: &str, input: Vec<Vec<u8>>) {
        let now = self.pair.now;
        let (target, capacity) = match input.is_empty() {
            true => (LIST, (0, 5)),
            false => (TALK, TALK_CAPACITY),
        };
        let peer = self.pair.end(from).peer();
        let key = peer.open(now, target, capacity, Data::Nil, Some(50 * SECOND)).expect("up");
        self.streams.push((from, key, name.into(), input));
    }

    /// Lets everybody do what they can.
    fn run(&mut self) {
        for _ in 0..2000 {
            self.pair.drive();
            if self.pair.latency > Duration::ZERO {
                let latency = self.pair.latency;
                self.pair.advance(latency);
            }
            let before = self.history.len();
            self.serve();
            self.call();
            if self.requests.is_empty() && self.streams.is_empty() && self.served.is_empty() {
                return;
            }
            assert!(self.history.len() - before < 1000);
        }
        panic!("unfinished: {:?}", self.history);
    }

    fn serve(&mut self) {
        for which in Which::BOTH {
            let calls = std::mem::take(&mut self.pair.end(which).calls);
            self.served.extend(calls.into_iter().map(|call| (which, call, 0)));
        }
        for (which, call, mut sent) in std::mem::take(&mut self.served) {
            let now = self.pair.clocks(which);
            let routes = self.pair.end(which).grid.node().routes.clone();
            let peer = self.pair.end(which).peer();
            let done = match routes.get(call.route).name {
                "echo" => {
                    peer.respond(now, call.key, Ok(call.payload.clone().into()));
                    true
                }
                "list" => {
                    while sent < 8
                        && peer.serve_item(call.key, Data::Borrowed(&[sent as u8])).is_ok()
                    {
                        sent += 1;
                    }
                    if sent == 8 {
                        peer.finish(now, call.key, Err("listed".into()));
                    }
                    sent == 8
                }
                _ => loop {
                    match peer.take_input(call.key) {
                        Received::Item(item) => {
                            peer.serve_item(call.key, Data::Owned(item)).expect("a credit");
                        }
                        Received::Pending => break false,
                        _ => {
                            peer.finish(now, call.key, Ok(()));
                            break true;
                        }
                    }
                },
            };
            if !done {
                self.served.push((which, call, sent));
            }
        }
    }

    fn call(&mut self) {
        let history = &mut self.history;
        let pair = &mut self.pair;
        self.requests.retain(|(which, key, name)| {
            let Some(outcome) = pair.end(*which).peer().take_response(*key) else { return true };
            let outcome = outcome.map(|payload| (payload.len(), payload.first().copied()));
            history.push(format!("{name}: {outcome:?}"));
            false
        });
        self.streams.retain_mut(|(which, key, name, input)| {
            let now = pair.clocks(*which);
            let peer = pair.end(*which).peer();
            if let Some(item) = input.first()
                && peer.send(*key, Data::Borrowed(item)).is_ok()
            {
                input.remove(0);
                if input.is_empty() {
                    peer.close_input(*key);
                }
            }
            loop {
                match peer.receive(*key) {
                    Received::Pending => return true,
                    Received::Item(item) => {
                        history.push(format!("{name}: {} {:?}", item.len(), item.first()));
                    }
                    end => {
                        history.push(format!("{name}: {end:?}"));
                        peer.release(now, *key);
                        return false;
                    }
                }
            }
        });
    }

    /// What each call has seen, in order; the calls sorted, for between them there is no order.
    fn finished(mut self) -> Vec<String> {
        self.pair.drive();
        assert!(self.pair.is_connected());
        assert!(self.pair.is_quiescent());
        // A stable sort by the call's name keeps each call's own order.
        self.history.sort_by_key(|line| line.split(':').next().map(str::to_owned));
        self.history
    }
}

fn play(mut scene: Scene, sizes: &[usize]) -> Scene {
    for (n, len) in sizes.iter().enumerate() {
        let from = Which::BOTH[n % 2];
        scene.request(from, &format!("request {n}"), *len);
        scene.open(from, &format!("list {n}"), vec![]);
        let items = (1..7).map(|item| vec![item as u8; (len / item) % 30_000]).collect();
        scene.open(from.other(), &format!("talk {n}"), items);
    }
    scene.run();
    scene
}

const SIZES: [usize; 5] = [0, 1, 300, 17_000, 70_000];

fn expected(sizes: &[usize]) -> Vec<String> {
    play(Scene::new(builder().connected()), sizes).finished()
}

#[test]
fn any_size_of_pieces_gives_the_history_of_whole_frames() {
    // What is large comes in larger pieces only, for each piece takes as long.
    for (size, sizes) in [(1, 4), (2, 4), (3, 4), (7, 4), (1000, 5), (usize::MAX, 5)] {
        let sizes = &SIZES[..sizes];
        let expected = expected(sizes);
        assert_eq!(expected.len(), sizes.len() * (1 + 9 + 7));
        let pair = builder().mode(Mode::Bytes(size)).connected();
        assert_eq!(play(Scene::new(pair), sizes).finished(), expected, "{size}");
    }
    let expected = expected(&SIZES);
    for seed in 0..4 {
        let mut pair = builder().mode(Mode::Split(seed)).connected();
        pair.latency = Duration::from_micros(seed * 100);
        assert_eq!(play(Scene::new(pair), &SIZES).finished(), expected, "{seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_traffic_split_anyhow_gives_the_history_of_whole_frames(
        sizes in proptest::collection::vec(0_usize..40_000, 1..6),
        seed in any::<u64>(),
    ) {
        let whole = play(Scene::new(builder().connected()), &sizes).finished();
        let split = builder().mode(Mode::Split(seed)).connected();
        prop_assert_eq!(play(Scene::new(split), &sizes).finished(), whole);
    }
}

/// A life with traffic, silence, a loss and a drain; and everything that it put out.
fn life(mode: Mode, seed: u64, look: impl Fn(&mut Pair)) -> [(Vec<Event>, Vec<u8>, String); 2] {
    let mut pair = builder().mode(mode).seed(seed).connected();
    pair.latency = 3 * MS;
    let mut scene = play(Scene::new(pair), &[10, 20_000]);
    look(&mut scene.pair);
    scene.pair.advance(25 * SECOND);
    look(&mut scene.pair);
    scene.pair.cut();
    look(&mut scene.pair);
    scene.pair.advance(4 * SECOND);
    let mut scene = play(scene, &[5000]);
    look(&mut scene.pair);
    scene.pair.shutdown(Which::Acceptor, SECOND);
    scene.pair.advance(20 * SECOND);
    let output = |end: &mut End| {
        let mut bytes = std::mem::take(&mut end.written);
        bytes.extend(end.sent.iter().flatten());
        (end.take_events(), bytes, format!("{:?} {:?}", end.dials, end.closed))
    };
    let [dialler, acceptor] = &mut scene.pair.ends;
    [output(dialler), output(acceptor)]
}

#[test]
fn the_same_seed_and_inputs_give_the_same_output_byte_for_byte() {
    for mode in [Mode::Frames, Mode::Bytes(usize::MAX), Mode::Bytes(50), Mode::Split(9)] {
        let one = life(mode, 7, |_| {});
        assert_eq!(one, life(mode, 7, |_| {}), "{mode:?}");
        assert!(one.iter().all(|(events, bytes, _)| events.len() > 20 && bytes.len() > 10_000));
    }
    let (one, other) = (life(Mode::Frames, 7, |_| {}), life(Mode::Frames, 8, |_| {}));
    assert_ne!(one[0].2, other[0].2, "another seed has other jitter");
}

#[test]
fn spurious_wake_ups_change_nothing() {
    for mode in [Mode::Frames, Mode::Bytes(100)] {
        let expected = life(mode, 7, |_| {});
        let woken = life(mode, 7, |pair| {
            for _ in 0..10 {
                pair.wake();
                pair.drive();
            }
        });
        assert_eq!(woken, expected);
        // And in between, at moments that nobody has asked for.
        let often = life(mode, 7, |pair| {
            for _ in 0..50 {
                pair.advance(MS / 7);
            }
        });
        let rarely = life(mode, 7, |pair| pair.advance(50 * (MS / 7)));
        assert_eq!(often, rarely);
    }
}

#[test]
fn poll_timeout_is_never_late_for_a_deadline_a_ping_or_a_retry() {
    for builder in [builder(), in_bytes()] {
        let mut pair = builder.connected();
        let begun = pair.now;
        let stepped = |pair: &mut Pair, done: &dyn Fn(&mut Pair) -> bool| {
            while !done(pair) {
                // Nothing but what the machines ask for moves time.
                let next = pair.next_moment().expect("something is due");
                assert!(next >= pair.now);
                pair.now = next;
                pair.wake();
                pair.drive();
                assert!(pair.now.since(begun) < Duration::from_secs(1000));
            }
        };
        let now = pair.now;
        let timeout = Some(Duration::from_micros(1_234_567));
        let data = Data::Borrowed(b"x");
        let key = pair.dialler().peer().request(now, ECHO, data, timeout).expect("up");
        pair.drive();
        pair.dialler().events.clear();
        let ended = move |pair: &mut Pair| pair.ends[0].events.contains(&Event::Readable(key));
        stepped(&mut pair, &ended);
        let late = pair.now.since(begun) - Duration::from_micros(1_234_567);
        assert!(late <= 2 * MS, "{late:?}");
        let pinged = |pair: &mut Pair| {
            let now = pair.now;
            pair.dialler().peer().stats(now).round_trip.is_some()
        };
        stepped(&mut pair, &pinged);
        assert_eq!(pair.now.since(begun), 10 * SECOND);
        pair.cut();
        pair.reachable = false;
        let redialled = |pair: &mut Pair| pair.ends[0].dials.len() == 5;
        stepped(&mut pair, &redialled);
        let dials = &pair.ends[0].dials;
        assert_eq!(dials[4].since(dials[1]), 6 * SECOND, "three attempts of 2 s");
    }
}
