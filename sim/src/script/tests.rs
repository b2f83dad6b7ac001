//! Scripts are read as they are printed, and what is wrong with one is said.

use std::collections::BTreeSet;

use gridmux_core::limits::Limits;

use super::{
    Call, Close, Conduct, Deed, Fault, Finish, Form, Input, Line, Moment, NodeKind, Plan, Point,
    Reading, Route, Script, Times, Trial, Way,
};
use crate::keyed::{Keyed, Purpose};
use crate::world::{Damage, Death, DialFate, Knobs};

/// Draws values one after the other.
struct Dice {
    keyed: Keyed,
    drawn: u64,
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

    fn short(&mut self) -> u32 {
        self.number() as u32
    }

    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.coin().then(|| draw(self))
    }

    fn damage(&mut self) -> Damage {
        match self.below(7) {
            0 => Damage::Reset,
            1 => Damage::End,
            2 => Damage::Flip(self.short() as u8),
            3 => Damage::Remove(self.number()),
            4 => Damage::Insert(self.number()),
            5 => Damage::Silence,
            _ => Damage::Stall(self.number()),
        }
    }

    fn fault(&mut self, nodes: usize) -> Fault {
        let (one, other) = (self.below(nodes), self.below(nodes));
        let (from, to, node, peer) = (one, other, one, other);
        let lasts = self.number();
        match self.below(15) {
            0 => Fault::Reset { one, other, late: self.number() },
            1 => Fault::Damage { from, to, damage: self.damage() },
            2 => Fault::Stall { from, to, lasts },
            3 => Fault::Partition { group: self.group(nodes), lasts, one_way: self.coin() },
            4 => {
                let takes = DialFate::Takes(self.number());
                let fates = [DialFate::Works, DialFate::Refused, DialFate::Hangs, takes];
                Fault::Dial { from, to, fate: self.of(&fates), lasts }
            }
            5 => Fault::Squeeze { from, to, rate: self.number(), lasts },
            6 => {
                let how = self.of(&[Death::Closed, Death::Reset, Death::Silent]);
                Fault::Crash { node, how, back: self.maybe(Self::number) }
            }
            7 => Fault::Pause { node, lasts },
            8 => Fault::Jump { node, ahead: lasts },
            9 => Fault::Skew { node, by: self.number() as i64 },
            10 => Fault::Rate { node, rate: self.number(), lasts },
            11 => Fault::Shutdown { node, grace: lasts, back: self.maybe(Self::number) },
            12 => Fault::Twin { node, lasts },
            13 => Fault::Panic { node, peer, using: self.coin() },
            _ => Fault::Remove { node, peer, lasts },
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
            from: self.below(nodes),
            to: self.below(nodes),
            route,
            size: self.maybe(Self::short),
            form: if route == Route::Echo { form } else { Form::default() },
            way: if form.is_bytes() && route == Route::Echo { way } else { Way::Sink },
            timeout: self.maybe(Self::number),
            wait_link: self.maybe(Self::number),
            again_after: None,
            plan: Plan {
                after: self.number(),
                items: self.short(),
                item_size: self.short(),
                pace: self.number(),
                take: self.maybe(Self::short),
                take_pace: self.number(),
                finish: self.of(&[Finish::Ok, Finish::Error, Finish::Panic, Finish::Never]),
            },
            input: Input {
                items: self.short(),
                size: self.short(),
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

    fn moment(&mut self, nodes: usize, is_fault: bool) -> Moment {
        if self.coin() {
            return Moment::At(self.number());
        }
        if is_fault && self.coin() {
            let (apart, first) = (self.number() % 1_000_000 + 1, self.number() % (1 << 40));
            let last = first + apart * (self.number() % 100);
            return Moment::Every(Times { apart, first, last });
        }
        Moment::When(Point {
            from: self.below(nodes),
            to: self.below(nodes),
            op: self.of(&["Head", "Any", "Connect", "MuxServerMsg", "Merged"]).into(),
            nth: self.number().max(1),
            byte: self.number(),
        })
    }

    fn knobs(&mut self) -> Knobs {
        let (one, other) = (self.number(), self.number());
        Knobs {
            whole: self.coin(),
            latency: (one.min(other), one.max(other)),
            rate: self.number(),
            buffer: self.number(),
            piece: self.number(),
            slack: self.number(),
            lazy_per_million: self.number(),
            laziness: self.number(),
            spurious_per_million: self.number(),
            grain: self.number(),
            drift: self.number(),
            origin: self.number(),
            skew: self.number(),
        }
    }

    fn limits(&mut self) -> Limits {
        let mut limit = || self.of(&[1_024, 16 << 20, 4_294_967]);
        Limits {
            message: limit(),
            queued_bytes: limit(),
            received_bytes: limit(),
            outgoing_muxes: limit(),
            incoming_muxes: limit(),
            unauthenticated: limit().min(1 << 20),
            ..Limits::default()
        }
    }

    fn script(&mut self) -> Script {
        let nodes = 1 + self.below(5);
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
            lines.push(Line { moment: self.moment(nodes, false), deed: Deed::Call(call) });
        }
        for _ in 0..calls {
            let name = format!("c-{}.x", self.below(calls));
            lines.push(Line { moment: self.moment(nodes, false), deed: Deed::Cancel(name) });
        }
        for _ in 0..self.below(6) {
            let deed = Deed::Fault(self.fault(nodes));
            lines.push(Line { moment: self.moment(nodes, true), deed });
        }
        let ahead = self.below(lines.len());
        lines.rotate_left(ahead);
        Script {
            seed: self.number(),
            nodes: (0..nodes).map(|_| self.of(&kinds)).collect(),
            knobs: if self.coin() { self.knobs() } else { Knobs::default() },
            first_generation: self.short(),
            secure: self.coin(),
            token: self.coin(),
            nested: self.coin(),
            limits: self.limits(),
            gates: (0..self.below(2)).map(|_| (self.below(nodes), self.number())).collect(),
            trials: (0..self.below(3)).map(|_| (self.below(nodes), self.of(&Trial::ALL))).collect(),
            lines,
            heal: self.number(),
            core: self.group(nodes),
        }
    }
}

#[test]
fn every_script_is_read_as_it_is_printed() {
    let mut printed = BTreeSet::new();
    for seed in 0..400 {
        let script = Dice { keyed: Keyed::new(seed), drawn: 0 }.script();
        let text = script.to_string();
        assert_eq!(text.parse().as_ref(), Ok(&script), "{text}");
        printed.extend(text.split([' ', '\n', '=']).map(str::to_owned));
    }
    let words = "ours loop go hostile rules handshakes merges generation secure set whole no latency rate \
        buffer piece slack lazy-per-million laziness spurious-per-million grain drift origin skew \
        at every when byte call cancel reset late damage flip drop insert end silence stall lasts \
        partition none one-way dial works refused hangs takes squeeze crash silent back pause jump \
        ahead by millionths shutdown grace twin remove heal core size nil timeout wait-link after \
        items item-size pace take take-pace finish error panic never send send-size send-pace \
         close read-after read-pace read-stop Head Any nested limits message queued received \
         outgoing incoming unproved try own-twice slash capitals unknown-peer own-peer same-peer \
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
        format!("gridmux-sim 1\nnodes 3\nwhen n0>n1 Request 3 byte=5 {line}").parse().unwrap()
    };
    assert_eq!(read("reset"), read("damage n0>n1 reset"));
    assert_eq!(read("flip=32"), read("damage n0>n1 flip=0x20"));
    assert_ne!(read("reset"), read("damage n1>n0 reset"));
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
    ] {
        let (at, problem) = problem(lines);
        assert!(at == line && problem.contains(part), "{lines:?}: line {at}: {problem}");
    }
    for (text, line, part) in [
        ("", 1, "begins with the line `gridmux-sim 1`"),
        ("nodes 2", 1, "begins with the line `gridmux-sim 1`"),
        ("gridmux-sim 2", 1, "a version that this program can read: 1"),
        ("gridmux-sim 1\nseed 3", 2, "`nodes 3` is missing"),
        ("gridmux-sim 1\nnodes 0", 2, "1 to 256"),
        ("gridmux-sim 1\nnode n0 go\nnodes 2", 2, "`nodes` must come before"),
    ] {
        let error = text.parse::<Script>().unwrap_err();
        assert!(error.line == line && error.problem.contains(part), "{text:?}: {error}");
    }
}
