//! What goes wrong in a seed.

use super::draw::Draw;
use super::{MILLI, SECOND};
use crate::script::{Deed, Fault, Line, Moment, Point, Script};
use crate::world::{Damage, Death, DialFate};

/// Kinds of faults; a seed favours some and leaves out others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reset,
    LateReset,
    End,
    Corrupt,
    Silence,
    Stall,
    Partition,
    Dial,
    Squeeze,
    Crash,
    QuickRestart,
    Pause,
    Clock,
    Rate,
    Shutdown,
    Twin,
    Remove,
    Flapping,
}

const KINDS: [(u64, Kind); 18] = [
    (5, Kind::Reset),
    (3, Kind::LateReset),
    (3, Kind::End),
    (3, Kind::Corrupt),
    (2, Kind::Silence),
    (4, Kind::Stall),
    (3, Kind::Partition),
    (2, Kind::Dial),
    (2, Kind::Squeeze),
    (3, Kind::Crash),
    (2, Kind::QuickRestart),
    (3, Kind::Pause),
    (3, Kind::Clock),
    (1, Kind::Rate),
    (2, Kind::Shutdown),
    (1, Kind::Twin),
    (1, Kind::Remove),
    (1, Kind::Flapping),
];

pub(crate) fn draw(draw: Draw, script: &Script, count: u64) -> Vec<Line> {
    let weight = |(n, (base, kind)): (usize, &(u64, Kind))| {
        (base * draw.of("favourite").nth(n as u64).pick("weight", &[0, 0, 1, 4]), *kind)
    };
    let mut kinds: Vec<_> = KINDS.iter().enumerate().map(weight).collect();
    kinds[0].0 += 1;
    let mut lines = Vec::new();
    for n in 0..count {
        let own = draw.nth(n);
        let kind = own.weighted("kind", &kinds);
        let at = own.range("at", SECOND, script.heal - SECOND / 2);
        match kind {
            Kind::Flapping => lines.extend(flapping(own, script, at)),
            kind => lines.push(one(own, script, kind, at)),
        }
    }
    lines
}

/// One fault, at a time or at a point.
fn one(own: Draw, script: &Script, kind: Kind, at: u64) -> Line {
    let (from, to) = own.pair("pair", script.nodes.len());
    let fault = fault(own, script, kind, from, to);
    let pinned = match kind {
        Kind::Reset | Kind::End | Kind::Corrupt | Kind::Silence => 2,
        Kind::LateReset | Kind::Crash | Kind::QuickRestart | Kind::Pause | Kind::Stall => 4,
        _ => u64::MAX,
    };
    let moment = match own.one_in("pinned", pinned) {
        true => Moment::When(point(own.of("point"), from, to)),
        false => Moment::At(at),
    };
    // At a point, a reset is one of the bytes there.
    let fault = match (&moment, fault) {
        (Moment::When(_), Fault::Reset { late: 0, .. }) => {
            Fault::Damage { from, to, damage: Damage::Reset }
        }
        (_, fault) => fault,
    };
    Line { moment, deed: Deed::Fault(fault) }
}

fn fault(own: Draw, script: &Script, kind: Kind, from: usize, to: usize) -> Fault {
    let node = from;
    let nodes = script.nodes.len();
    let damage = |damage| Fault::Damage { from, to, damage };
    match kind {
        Kind::Reset | Kind::Flapping => Fault::Reset { one: from, other: to, late: 0 },
        Kind::LateReset => {
            Fault::Reset { one: from, other: to, late: own.spread("late", MILLI, 6 * SECOND) }
        }
        Kind::End => damage(Damage::End),
        Kind::Silence => damage(Damage::Silence),
        Kind::Corrupt => damage(match own.below("how", 3) {
            0 => Damage::Flip(1 << own.below("bit", 8)),
            1 => Damage::Remove(own.range("bytes", 1, 40)),
            _ => Damage::Insert(own.range("bytes", 1, 40)),
        }),
        Kind::Stall => Fault::Stall { from, to, lasts: around_limits(own) },
        Kind::Partition => Fault::Partition {
            group: (0..nodes)
                .filter(|n| *n == node || own.nth(*n as u64).one_in("in", 3))
                .collect(),
            lasts: around_limits(own),
            one_way: own.one_in("one way", 3),
        },
        Kind::Dial => Fault::Dial {
            from,
            to,
            fate: own.pick(
                "fate",
                &[
                    DialFate::Refused,
                    DialFate::Hangs,
                    DialFate::Takes(SECOND),
                    DialFate::Takes(2 * SECOND - MILLI),
                    DialFate::Takes(2 * SECOND),
                    DialFate::Takes(2 * SECOND + MILLI),
                ],
            ),
            lasts: own.spread("lasts", 100 * MILLI, 10 * SECOND),
        },
        Kind::Squeeze => Fault::Squeeze {
            from,
            to,
            rate: own.pick("rate", &[2_000, 20_000, 200_000]),
            lasts: own.spread("lasts", 100 * MILLI, 10 * SECOND),
        },
        Kind::Crash => Fault::Crash {
            node,
            how: own.pick("how", &[Death::Closed, Death::Reset, Death::Silent]),
            back: Some(own.spread("back", MILLI, 8 * SECOND)),
        },
        Kind::QuickRestart => Fault::Crash {
            node,
            how: own.pick("how", &[Death::Closed, Death::Reset, Death::Silent, Death::Silent]),
            back: Some(own.below("back", 100_000)),
        },
        Kind::Pause => Fault::Pause { node, lasts: around_limits(own) },
        Kind::Clock => clock(own, node),
        Kind::Rate => Fault::Rate {
            node,
            rate: own.pick("rate", &[500_000, 900_000, 1_100_000, 2_000_000]),
            lasts: own.spread("lasts", SECOND, 20 * SECOND),
        },
        Kind::Shutdown => Fault::Shutdown {
            node,
            grace: own.pick("grace", &[0, 10 * MILLI, SECOND, 5 * SECOND]),
            back: Some(own.spread("back", MILLI, 5 * SECOND)),
        },
        Kind::Twin => Fault::Twin { node, lasts: own.spread("lasts", 100 * MILLI, 15 * SECOND) },
        Kind::Remove => {
            Fault::Remove { node, peer: to, lasts: own.spread("lasts", MILLI, 5 * SECOND) }
        }
    }
}

fn clock(own: Draw, node: usize) -> Fault {
    match own.one_in("wall", 2) {
        true => Fault::Skew {
            node,
            by: own.pick(
                "by",
                &[
                    -(SECOND as i64),
                    299 * SECOND as i64,
                    300 * SECOND as i64,
                    301 * SECOND as i64,
                    -299 * SECOND as i64,
                    -301 * SECOND as i64,
                    -86_400 * SECOND as i64,
                ],
            ),
        },
        false => Fault::Jump {
            node,
            ahead: own.pick(
                "ahead",
                &[MILLI, 500 * MILLI, 2 * SECOND, 11 * SECOND, 31 * SECOND, 86_400 * SECOND],
            ),
        },
    }
}

/// Around the limits of the protocol: writes 3 s, pings 10, 20, 30 s, muxes 15, 30, 60 s.
fn around_limits(own: Draw) -> u64 {
    match own.one_in("at a limit", 2) {
        true => {
            let limit = own.pick("limit", &[3, 4, 10, 15, 20, 30, 60]);
            limit * SECOND + own.range("by", 0, 4 * MILLI) - 2 * MILLI
        }
        false => own.spread("lasts", MILLI, 10 * SECOND),
    }
}

fn point(own: Draw, from: usize, to: usize) -> Point {
    let op = own.weighted(
        "op",
        &[
            (6, "Any"),
            (2, "Head"),
            (2, "Connect"),
            (2, "ConnectResponse"),
            (3, "Request"),
            (3, "Response"),
            (2, "ConnectMux"),
            (2, "AckMux"),
            (3, "MuxServerMsg"),
            (3, "MuxClientMsg"),
            (2, "UnblockSrvMux"),
            (2, "UnblockClMux"),
            (2, "DisconnectServerMux"),
            (2, "DisconnectClientMux"),
            (1, "Ping"),
            (1, "Pong"),
            (2, "Merged"),
        ],
    );
    let nth = match op {
        "Any" => own.range("nth", 1, 60),
        "Head" | "Connect" | "ConnectResponse" => own.range("nth", 1, 2),
        _ => own.range("nth", 1, 8),
    };
    Point { from, to, op: op.into(), nth, byte: own.spread("byte", 1, 512) - 1 }
}

/// Connections that die again and again, soon after they were made.
fn flapping(own: Draw, script: &Script, at: u64) -> Vec<Line> {
    let (from, to) = own.pair("pair", script.nodes.len());
    let count = own.range("times", 3, 8);
    let apart = own.pick("apart", &[50 * MILLI, SECOND, 2_500 * MILLI]);
    let line = |n: u64| Line {
        moment: Moment::At((at + n * apart).min(script.heal - SECOND / 2)),
        deed: Deed::Fault(Fault::Reset { one: from, other: to, late: 0 }),
    };
    (0..count).map(line).collect()
}
