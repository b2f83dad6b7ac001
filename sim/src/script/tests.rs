//! Scripts are read as they are printed, and what is wrong with one is said.

use std::collections::BTreeSet;

use gridmux_core::limits::Limits;

use super::{
    Call, Close, Conduct, Deed, Fault, Finish, Form, Input, Line, Moment, NodeKind, Plan, Point,
    Reading, Route, Script, Times, Trial, Way, bounds, read,
};
use crate::keyed::{Keyed, Purpose};
use crate::swarm::{self, Profile};
use crate::world::{Damage, Death, DialFate, Knobs};

/// Draws values one after the other.
struct Dice {
    keyed: Keyed,
    drawn: u64,
    heal: u64,
}

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.drawn += 1;
        self.keyed.below(Purpose::User, [self.drawn, 0, 0], bound as u64) as usize
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// Often the usual, often an edge.
    fn number(&mut self) -> u64 {
        let any = self.keyed.draw(Purpose::User, [self.drawn, 1, 0]);
        self.of(&[0, 0, 1, 999, 1_000, 1_500_000, 3_000_000_000, any >> 30, any, u64::MAX])
    }

    /// The same, between two bounds, and often one of them.
    fn within(&mut self, least: u64, most: u64) -> u64 {
        self.number().clamp(least, most)
    }

    fn short(&mut self) -> u32 {
        self.number() as u32
    }

    fn bytes(&mut self) -> u32 {
        self.short().min(bounds::PAYLOAD)
    }

    fn items(&mut self) -> u32 {
        self.short().min(bounds::ITEMS)
    }

    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.coin().then(|| draw(self))
    }

    fn damage(&mut self) -> Damage {
        match self.below(7) {
            0 => Damage::Reset,
            1 => Damage::End,
            2 => Damage::Flip(self.short().clamp(1, 255) as u8),
            3 => Damage::Remove(self.within(1, 1 << 20)),
            4 => Damage::Insert(self.within(1, 1 << 20)),
            5 => Damage::Silence,
            _ => Damage::Stall(self.within(1, u64::MAX)),
        }
    }

    fn fault(&mut self, nodes: usize) -> Fault {
        let one = self.below(nodes);
        let other = (one + 1 + self.below(nodes - 1)) % nodes;
        let (from, to, node, peer) = (one, other, one, other);
        let lasts = self.within(1, u64::MAX);
        match self.below(17) {
            0 => Fault::Reset { one, other, late: self.within(0, bounds::LATE) },
            1 => Fault::Damage { from, to, damage: self.damage() },
            2 => Fault::Stall { from, to, lasts },
            3 => {
                let mut group = self.group(nodes);
                group.retain(|node| *node != other && *node != one);
                group.push(one);
                Fault::Partition { group, lasts, one_way: self.coin() }
            }
            4 => {
                let takes = DialFate::Takes(self.number());
                let fates = [DialFate::Works, DialFate::Refused, DialFate::Hangs, takes];
                Fault::Dial { from, to, fate: self.of(&fates), lasts }
            }
            5 => Fault::Squeeze { from, to, rate: self.within(1, u64::MAX), lasts },
            15 => {
                let (rate, buffer) = (self.within(1_000, u64::MAX), self.within(1_024, u64::MAX));
                Fault::Narrow { from, to, rate, buffer, lasts }
            }
            16 => Fault::Outage { one, other, lasts: lasts.min(bounds::OUTAGE) },
            6 => {
                let how = self.of(&[Death::Closed, Death::Reset, Death::Silent]);
                Fault::Crash { node, how, back: self.maybe(Self::number) }
            }
            7 => Fault::Pause { node, lasts },
            // Some hundreds of them are within what a clock may show.
            8 => Fault::Jump { node, ahead: lasts.min(1 << 40) },
            9 => {
                let by = self.within(1, bounds::SKEW) as i64;
                Fault::Skew { node, by: if self.coin() { by } else { -by } }
            }
            10 => Fault::Rate { node, rate: self.within(100_000, 10_000_000), lasts },
            11 => {
                let grace = lasts.min(bounds::GRACE);
                Fault::Shutdown { node, grace, back: self.maybe(Self::number) }
            }
            12 => Fault::Twin { node, lasts },
            13 => Fault::Panic { node, peer, using: self.coin() },
            _ => Fault::Remove { node, peer, lasts: self.number() },
        }
    }

    fn group(&mut self, nodes: usize) -> Vec<usize> {
        (0..nodes).filter(|_| self.coin()).collect()
    }

    fn call(&mut self, name: String, nodes: usize) -> Call {
        let route = self.of(&Route::ALL);
        let form = self.of(&Form::ALL);
        let way = self.of(&Way::ALL);
        Call {
            name,
            from: self.below(nodes - 1),
            to: nodes - 1,
            route,
            size: self.maybe(Self::bytes),
            form: if route == Route::Echo { form } else { Form::default() },
            way: if form.is_bytes() && route == Route::Echo { way } else { Way::Sink },
            timeout: self.maybe(Self::number),
            wait_link: self.maybe(Self::number),
            again_after: None,
            plan: Plan {
                after: self.number(),
                items: self.items(),
                item_size: self.bytes(),
                pace: self.number(),
                take: self.maybe(Self::short),
                take_pace: self.number(),
                finish: self.of(&[Finish::Ok, Finish::Error, Finish::Panic, Finish::Never]),
            },
            input: Input {
                items: self.items(),
                size: self.bytes(),
                pace: self.number(),
                close: self.of(&[Close::Eof, Close::Drop, Close::Never]),
            },
            reading: Reading {
                after: self.number(),
                pace: self.number(),
                stop: self.maybe(Self::short),
            },
        }
    }

    fn moment(&mut self, nodes: usize, fault: Option<&Fault>) -> Moment {
        if self.coin() {
            return Moment::At(self.within(0, self.heal));
        }
        if fault.is_some() && self.coin() {
            let (apart, first) = (self.number() % 1_000_000 + 1, self.within(0, self.heal));
            let last = (first + apart * (self.number() % 100)).min(self.heal);
            return Moment::Every(Times { apart, first, last });
        }
        let (from, to, byte) = match fault {
            Some(Fault::Damage { from, to, .. }) => (*from, *to, self.number()),
            _ => (self.below(nodes - 1), nodes - 1, 0),
        };
        let op = self.of(&["Head", "Any", "Connect", "MuxServerMsg", "Merged"]).into();
        Moment::When(Point { from, to, op, nth: self.number().max(1), byte })
    }

    fn knobs(&mut self) -> Knobs {
        let (one, other) = (self.within(0, bounds::LATENCY), self.within(0, bounds::LATENCY));
        Knobs {
            whole: self.coin(),
            latency: (one.min(other), one.max(other)),
            rate: if self.coin() { self.within(bounds::RATE, u64::MAX) } else { 0 },
            buffer: self.within(160, u64::MAX),
            steps: self.coin(),
            piece: self.number(),
            slack: self.within(0, bounds::SLACK),
            lazy_per_million: self.within(0, bounds::MILLION),
            laziness: self.within(0, bounds::LAZINESS),
            spurious_per_million: self.within(0, bounds::MILLION),
            busy_poll: self.within(0, bounds::BUSY_POLL),
            workers: self.coin(),
            grain: self.within(0, bounds::GRAIN),
            drift: self.within(0, bounds::DRIFT),
            origin: self.within(0, 1 << 63),
            skew: self.within(0, bounds::SKEW),
        }
    }

    fn limits(&mut self) -> Limits {
        let mut limit = || self.of(&[1_024, 16 << 20, 4_294_967]);
        Limits {
            message: limit(),
            queued_bytes: limit(),
            received_bytes: limit(),
            response_bytes: limit(),
            handler_bytes: limit(),
            outgoing_muxes: limit(),
            incoming_muxes: limit(),
            unauthenticated: limit().min(1 << 20),
            ..Limits::default()
        }
    }

    fn script(&mut self) -> Script {
        let nodes = 2 + self.below(4);
        self.heal = self.within(0, bounds::HEAL);
        let kinds = [
            NodeKind::Ours,
            NodeKind::Loop,
            NodeKind::Go,
            NodeKind::Hostile(Conduct::Rules),
            NodeKind::Hostile(Conduct::Handshakes),
            NodeKind::Hostile(Conduct::Merges),
        ];
        let calls = self.below(4);
        let mut lines = Vec::new();
        for number in 0..calls {
            let mut call = self.call(format!("c-{number}.x"), nodes);
            call.again_after = self.maybe(|dice| format!("c-{}.x", dice.below(calls)));
            lines.push(Line { moment: self.moment(nodes, None), deed: Deed::Call(call) });
        }
        for _ in 0..calls {
            let name = format!("c-{}.x", self.below(calls));
            lines.push(Line { moment: self.moment(nodes, None), deed: Deed::Cancel(name) });
        }
        for _ in 0..self.below(6) {
            let fault = self.fault(nodes);
            let moment = self.moment(nodes, Some(&fault));
            lines.push(Line { moment, deed: Deed::Fault(fault) });
        }
        let ahead = self.below(lines.len());
        lines.rotate_left(ahead);
        let kinds: Vec<_> = (0..nodes).map(|_| self.of(&kinds)).collect();
        let mut core = self.group(nodes);
        core.retain(|node| !matches!(kinds[*node], NodeKind::Hostile(_)));
        Script {
            seed: self.number(),
            nodes: kinds,
            knobs: if self.coin() { self.knobs() } else { Knobs::default() },
            first_generation: self.short(),
            secure: self.coin(),
            token: self.coin(),
            nested: self.coin(),
            limits: self.limits(),
            gates: (0..self.below(2))
                .map(|_| (self.below(nodes), self.within(0, bounds::GATE)))
                .collect(),
            trials: (0..self.below(3)).map(|_| (self.below(nodes), self.of(&Trial::ALL))).collect(),
            lines,
            heal: self.heal,
            core,
        }
    }
}

#[test]
fn every_script_is_read_as_it_is_printed() {
    let mut printed = BTreeSet::new();
    for seed in 0..400 {
        let script = Dice { keyed: Keyed::new(seed), drawn: 0, heal: 0 }.script();
        let text = script.to_string();
        assert_eq!(text.parse().as_ref(), Ok(&script), "{text}");
        printed.extend(text.split([' ', '\n', '=']).map(str::to_owned));
    }
    let words = "ours loop go hostile rules handshakes merges generation secure set whole no latency rate \
        buffer piece slack lazy-per-million laziness spurious-per-million grain drift origin skew \
        at every when byte call cancel reset late damage flip drop insert end silence stall lasts \
        partition none one-way dial works refused hangs takes squeeze narrow outage steps crash silent back pause jump \
        ahead by millionths shutdown grace twin remove heal core size nil timeout wait-link after \
        items item-size pace take take-pace finish error panic never send send-size send-pace \
         close read-after read-pace read-stop Head Any nested limits message queued received responses handlers \
         outgoing incoming unproved try own-twice slash capitals unknown-peer own-handle own-peer same-peer \
         gate again-after as by using token panic no-auth short-secret short-life split-token \
         same-route http-route limit elsewhere";
    let words =
        words.split_whitespace().chain(Form::ALL.map(Form::word)).chain(Way::ALL.map(Way::word));
    let routes = Route::ALL.map(Route::word);
    let is_usual = |word: &&str| ["ours", "raw", "items"].contains(word);
    for word in words.chain(routes).filter(|word| !is_usual(word)) {
        assert!(printed.contains(word), "{word} was never printed");
    }
}

#[test]
fn what_is_as_usual_is_left_out() {
    let mut script = Script::new(7, 2);
    let call = Call::new("a", 0, 1, Route::Echo);
    script.lines.push(Line { moment: Moment::At(0), deed: Deed::Call(call) });
    assert_eq!(
        script.to_string(),
        "gridmux-sim 1\nseed 7\nnodes 2\nat 0s call a n0 n1 echo\nheal 10s\n"
    );
    assert_eq!("# a comment\n\ngridmux-sim 1 # the head\nseed 7\nnodes 2\nnode n1 ours\nat 0s call a n0 n1 echo".parse(), Ok(script));
}

#[test]
fn damage_at_a_point_takes_the_way_of_the_point() {
    let read = |line: &str| -> Script {
        format!("gridmux-sim 1\nnodes 3\nwhen n0>n1 Request 3 {line}").parse().unwrap()
    };
    assert_eq!(read("reset"), read("damage n0>n1 reset"));
    assert_eq!(read("flip=32"), read("damage n0>n1 flip=0x20"));
    assert_ne!(read("reset"), read("reset n0 n1"));
    assert_ne!(read("stall=2s"), read("stall n0>n1 lasts=2s"));
}

/// The error of a script whose lines, from the third on, are these.
fn problem(lines: &str) -> (usize, String) {
    let error = format!("gridmux-sim 1\nnodes 2\n{lines}").parse::<Script>().unwrap_err();
    (error.line, error.problem)
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_with_what_is_allowed() {
    for (lines, line, part) in [
        ("sed 7", 3, "the first word of a line: seed, nodes, node, set"),
        ("seed x", 3, "`x` is not a whole number below 2^64"),
        ("seed 1\nseed 2", 4, "`seed` was there before"),
        ("seed 1 2", 3, "`2` is one word too many"),
        ("set speed=3", 3, "unknown word `speed=3`; allowed here: whole, latency"),
        ("set latency=5ms..1ms", 3, "the shorter first"),
        ("node n1 evil", 3, "what a node can be: ours, loop, go, hostile"),
        ("node n2 go", 3, "there is no n2: nodes are n0 to n1"),
        ("at 1 cancel a", 3, "`1` is not a time such as 3s"),
        ("every 0s 1s..2s crash n0", 3, "more often than 10000 times"),
        ("every 1ns 1s..2s crash n0", 3, "more often than 10000 times"),
        ("every 1s 2s..1s crash n0", 3, "the shorter first"),
        ("every 1s 1s..2s call a n0 n1 echo", 3, "no call happens more than once"),
        ("at 1s", 3, "the line ends where a deed should be"),
        ("at 1s explode n0", 3, "a deed: call, cancel, reset"),
        ("at 1s flip=0x20", 3, "a deed: call, cancel, reset"),
        ("at 1s damage n0>n1 flip=300", 3, "`300` is not a byte"),
        ("at 1s damage n0>n1 bend", 3, "`bend` is not damage: reset, end"),
        ("at 1s pause n0", 3, "`lasts=` is missing: a time"),
        ("at 1s pause n0 lasts=1s lasts=2s", 3, "`lasts=2s` stands here twice"),
        ("at 1s partition n0,n0 lasts=1s", 3, "different nodes"),
        ("at 1s call a n0 n1 shout", 3, "a route: echo, inline"),
        ("at 1s call a! n0 n1 echo", 3, "a name of letters"),
        ("at 1s call a n0 n1 talk as=nothing", 3, "`talk` does not go as=nothing by=items"),
        ("at 1s call a n0 n1 talk as=json by=bytes", 3, "`talk` does not go as=json by=bytes"),
        ("at 1s call a n0 n1 echo as=xml", 3, "a value of `as=`: raw, bytes, json"),
        ("at 1s call a n0 n1 echo finish=well", 3, "a value of `finish=`: ok, error, panic, never"),
        ("at 1s call a n0 n1 echo\nat 2s call a n1 n0 echo", 4, "`call a` was there before"),
        ("# nothing\nat 1s cancel b\nheal 1s", 4, "there is no call `b`"),
        ("when n0>n1 Reqest 1 reset", 3, "an op: Any, Head, Connect"),
        ("when n0>n1 Request 0 reset", 3, "counted from 1"),
        ("when n0-n1 Request 1 reset", 3, "a way such as n0>n1"),
        ("limits message=3", 3, "limit message is 3"),
        ("try n0 nothing", 3, "a mistake: own-twice, slash"),
        ("at 1s call a n0 n1 echo again-after=b", 3, "there is no call `b`"),
        ("heal 1s core=n5", 3, "there is no n5"),
        ("at 1s do lock n0", 3, "`lock`: operations are of simulated clusters only"),
    ] {
        let (at, problem) = problem(lines);
        assert!(at == line && problem.contains(part), "{lines:?}: line {at}: {problem}");
    }
    for (text, line, part) in [
        ("", 1, "begins with the line `gridmux-sim 1`"),
        ("nodes 2", 1, "begins with the line `gridmux-sim 1`"),
        ("gridmux-sim 2", 1, "a version that this program can read: 1"),
        ("gridmux-sim 1\nseed 3", 2, "`nodes 3` is missing"),
        ("gridmux-sim 1\nnodes 0", 2, "1 to 64"),
        ("gridmux-sim 1\nnode n0 go\nnodes 2", 2, "`nodes` must come before"),
    ] {
        let error = text.parse::<Script>().unwrap_err();
        assert!(error.line == line && error.problem.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn what_fails_by_itself_is_refused() {
    for (lines, line, part) in [
        ("node n1 hostile rules", 3, "a hostile n1 is no core: `heal 10s core=n0`"),
        ("node n1 hostile rules\nheal 3s core=n1", 4, "`heal 3s core=n0` at the most"),
        ("node n1 hostile rules\nnode n0 hostile merges", 4, "`heal 10s core=none`"),
        ("at 1s call probe-echo n0 n1 echo", 3, "names that begin with `probe-`"),
        ("set buffer=0", 3, "buffer=0: at least 1 with this latency"),
        ("set latency=250ms buffer=159", 3, "buffer=159: at least 160"),
        ("set latency=3ms buffer=3", 3, "buffer=3: at least 4"),
        ("set rate=99999", 3, "rate=99999: at least 100000, or 0"),
        ("at 1s jump n0 ahead=18446744073s", 3, "18438104073.709551615s ahead at the most"),
        ("set origin=9806744073s\nat 1s jump n0 ahead=9900000000s", 4, "near the end"),
        ("every 1s 1s..9s jump n1 ahead=2100000000s", 3, "n1 is near the end of its clock"),
        ("at 1s shutdown n0 grace=11s", 3, "grace: 11s is more than 10s"),
        ("gate n1 11s", 3, "a gate: 11s is more than 10s"),
    ] {
        let (at, problem) = problem(lines);
        assert!(at == line && problem.contains(part), "{lines:?}: line {at}: {problem}");
    }
}

#[test]
fn what_has_no_effect_is_refused() {
    for (lines, part) in [
        ("heal 5s\nat 6s crash n0", "a fault comes before the healing: 6s is more than 5s"),
        ("heal 5s\nevery 1s 4s..6s crash n0", "a fault comes before the healing"),
        ("heal 5s\nat 55.1s call a n0 n1 echo", "a call comes before the end: 55.1s is more"),
        (
            "heal 5s core=n0\nat 45.1s call a n0 n1 echo",
            "a call comes before the end: 45.1s is more",
        ),
        ("at 1s call a n0 n1 echo\nat 61s cancel a", "a call comes before the end"),
        ("seed 1\nat 1s damage n0>n1 flip=0x0", "flip=0x00 changes nothing"),
        ("seed 1\nat 1s damage n0>n1 drop=0", "0 bytes: 1 to 1048576 are possible"),
        ("seed 1\nat 1s damage n0>n1 stall=0s", "stall=0s has no effect"),
        ("seed 1\nwhen n0>n1 Any 1 byte=4 crash n0", "only damage comes in front of a byte"),
        ("seed 1\nwhen n0>n1 Any 1 damage n1>n0 reset", "at a point of n0>n1 is to n0>n1"),
        ("seed 1\nwhen n0>n0 Any 1 crash n0", "n0 with itself"),
        ("seed 1\nat 1s reset n1 n1", "n1 with itself: two different nodes are needed"),
        ("seed 1\nat 1s remove n1 n1 lasts=1s", "n1 with itself"),
        ("seed 1\nat 1s call a n0 n0 echo", "n0 with itself"),
        ("seed 1\nat 1s partition n0,n1 lasts=1s", "needs nodes on both sides"),
        ("seed 1\nat 1s partition none lasts=1s", "needs nodes on both sides"),
        ("seed 1\nat 1s pause n0 lasts=0s", "lasts=0s has no effect"),
        ("seed 1\nat 1s squeeze n0>n1 rate=0 lasts=1s", "rate=0: at least 1 byte a second"),
        ("seed 1\nat 1s jump n0 ahead=0s", "ahead=0s has no effect"),
        ("seed 1\nat 1s skew n0 by=0s", "by=0s has no effect"),
    ] {
        let (at, problem) = problem(lines);
        assert!(at == 4 && problem.contains(part), "{lines:?}: line {at}: {problem}");
    }
}

#[test]
fn what_never_ends_is_refused() {
    for (lines, part) in [
        ("set drift=1000000", "drift=1000000: 500000 at the most"),
        ("set latency=9999999s", "latency: 9999999s is more than 250ms"),
        ("set slack=2s", "slack: 2s is more than 1s"),
        ("set busy-poll=11ms", "busy-poll: 11ms is more than 10ms"),
        ("set laziness=11s", "laziness: 11s is more than 10s"),
        ("set grain=1s", "grain: 1s is more than 100ms"),
        ("set skew=3200000000s", "skew: 3200000000s is more than 3155760000s"),
        ("set lazy-per-million=1000001", "lazy-per-million=1000001: 1000000 at the most"),
        ("heal 18446744073s", "the healing: 18446744073s is more than 86400s"),
        ("at 1s rate n0 millionths=0 lasts=1s", "millionths=0: 100000 to 10000000"),
        ("at 1s damage n0>n1 insert=99999999999", "1 to 1048576 are possible"),
        ("at 1s call a n0 n1 source items=4294967295", "items=4294967295: 10000 at the most"),
        ("at 1s call a n0 n1 echo size=4294967295", "size=4294967295: 67108864 bytes"),
    ] {
        let (at, problem) = problem(lines);
        assert!(at == 3 && problem.contains(part), "{lines:?}: line {at}: {problem}");
    }
    let error = "gridmux-sim 1\nnodes 256".parse::<Script>().unwrap_err();
    assert!(error.line == 2 && error.problem == "256 nodes: 1 to 64 are possible", "{error}");
}

#[test]
fn every_seed_has_a_script_that_can_be_read() {
    for (profile, seeds) in [(Profile::Quick, 300), (Profile::Full, 60)] {
        for seed in 0..seeds {
            let script = swarm::script(seed, profile);
            assert_eq!(script.to_string().parse(), Ok(script), "{seed}");
        }
    }
}

#[test]
fn operations_are_read_where_they_are_known() {
    let text = "\
gridmux-sim 1
seed 7
nodes 2
at 1s do lock n1 key=a mode=read
every 1s 2s..5s do unlock n0
when n0>n1 Request 3 do lock n0
heal 10s
";
    let script = read(text, &["lock", "unlock"]).unwrap();
    assert_eq!(script.to_string(), text);
    let Deed::Do(first) = &script.lines[0].deed else { panic!("{:?}", script.lines[0]) };
    assert_eq!((first.node, first.get("key"), first.get("mode")), (1, Some("a"), Some("read")));
    assert_eq!(first.get("lock"), None);
    for (line, part) in [
        ("do look n0", "`look` is no operation: lock, unlock"),
        ("do lock n2", "there is no n2"),
        ("do lock n0 key", "`key` is not an argument such as key=value"),
        ("do lock n0 a=1 a=2", "`a=` stands here twice"),
    ] {
        let text = format!("gridmux-sim 1\nnodes 2\nat 1s {line}");
        let error = read(&text, &["lock", "unlock"]).unwrap_err();
        assert!(error.line == 3 && error.problem.contains(part), "{line}: {error}");
    }
}

#[test]
fn every_script_of_the_corpus_can_be_read() {
    let mut count = 0;
    for dir in ["corpus", "corpus/planted"] {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "sim") {
                let read = std::fs::read_to_string(&path).unwrap().parse::<Script>();
                assert!(read.is_ok(), "{path:?}: {read:?}");
                count += 1;
            }
        }
    }
    assert!(count > 50, "{count}");
}
