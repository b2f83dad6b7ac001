//! What goes wrong in a seed.

use super::draw::Draw;
use super::{MILLI, SECOND};
use crate::script::{Deed, Fault, Line, Moment, Point, Script, Times, bounds};
use crate::world::{Damage, Death, DialFate};

/// A kind of fault that a seed may draw; it favours some and leaves out others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A connection breaks, for both ends at once.
    Reset,
    /// A connection breaks, and one end learns it late.
    LateReset,
    /// A stream of bytes ends in order, in the middle of anything.
    End,
    /// Bytes are changed, lost or added.
    Corrupt,
    /// A connection carries nothing any more, and nobody is told.
    Silence,
    /// A connection carries nothing for a while.
    Stall,
    /// Some nodes are cut off from the others, one way or both.
    Partition,
    /// Dials fail, hang, or take long.
    Dial,
    /// A path gets slow.
    Squeeze,
    /// A process dies, and starts again after a while.
    Crash,
    /// A process dies, and starts again before anybody notices.
    QuickRestart,
    /// A process stops for a while; its clocks go on.
    Pause,
    /// A clock jumps: the monotonic one ahead, or the wall clock.
    Clock,
    /// A monotonic clock goes too fast or too slow for a while.
    Rate,
    /// A process is asked to end in order, and starts again.
    Shutdown,
    /// A second process of a node's name dials its peers.
    Twin,
    /// A node takes a peer out of its grid, and adds it again.
    Remove,
    /// The machine of a link panics.
    Panic,
    /// A connection breaks again and again.
    Flapping,
    /// A process dies and starts again, over and over.
    Restarts,
    /// A connection breaks for one end, while what it has sent is still on its way to the other.
    Overlap,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; KINDS.len()] = {
        let mut all = [Self::Reset; KINDS.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = KINDS[at].1;
            at += 1;
        }
        all
    };
}

const KINDS: [(u64, FaultKind); 21] = [
    (5, FaultKind::Reset),
    (3, FaultKind::LateReset),
    (3, FaultKind::End),
    (3, FaultKind::Corrupt),
    (2, FaultKind::Silence),
    (4, FaultKind::Stall),
    (3, FaultKind::Partition),
    (2, FaultKind::Dial),
    (2, FaultKind::Squeeze),
    (3, FaultKind::Crash),
    (2, FaultKind::QuickRestart),
    (3, FaultKind::Pause),
    (3, FaultKind::Clock),
    (1, FaultKind::Rate),
    (2, FaultKind::Shutdown),
    (1, FaultKind::Twin),
    (1, FaultKind::Remove),
    (1, FaultKind::Panic),
    (1, FaultKind::Flapping),
    (1, FaultKind::Restarts),
    (2, FaultKind::Overlap),
];

/// So many faults of all kinds.
pub(crate) fn draw(draw: Draw, script: &Script, count: u64) -> Vec<Line> {
    draw_among(draw, script, count, &FaultKind::ALL)
}

/// These kinds, by how much they are favoured.
pub(super) fn favourites(draw: Draw, among: &[FaultKind]) -> Vec<(u64, FaultKind)> {
    let weight = |(n, (base, kind)): (usize, &(u64, FaultKind))| {
        (base * draw.of("favourite").nth(n as u64).pick("weight", &[0, 0, 1, 4]), *kind)
    };
    let mut kinds: Vec<_> = KINDS.iter().enumerate().map(weight).collect();
    kinds.retain(|(_, kind)| among.contains(kind));
    if let Some(first) = kinds.first_mut() {
        first.0 += 1;
    }
    kinds
}

/// So many faults of these kinds only; none if there is no kind.
pub(crate) fn draw_among(
    draw: Draw,
    script: &Script,
    count: u64,
    among: &[FaultKind],
) -> Vec<Line> {
    let kinds = favourites(draw, among);
    if kinds.is_empty() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    for n in 0..count {
        let own = draw.nth(n);
        let kind = own.weighted("kind", &kinds);
        let at = own.range("at", SECOND, script.heal - SECOND / 2);
        match kind {
            FaultKind::Flapping => lines.push(flapping(own, script, at)),
            FaultKind::Restarts => lines.push(restarts(own, script, at)),
            FaultKind::Overlap => lines.extend(overlap(own, script, at)),
            kind => lines.push(one(own, script, kind, at)),
        }
    }
    lines
}

/// One fault, at a time or at a point.
fn one(own: Draw, script: &Script, kind: FaultKind, at: u64) -> Line {
    let (from, to) = own.pair("pair", script.nodes.len());
    let fault = fault(own, script, kind, from, to);
    let pinned = match kind {
        FaultKind::Reset | FaultKind::End | FaultKind::Corrupt | FaultKind::Silence => 2,
        FaultKind::LateReset
        | FaultKind::Crash
        | FaultKind::QuickRestart
        | FaultKind::Pause
        | FaultKind::Stall => 4,
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
    // Nothing but damage comes within a message.
    let moment = match (moment, &fault) {
        (moment, Fault::Damage { .. }) => moment,
        (Moment::When(point), _) => Moment::When(Point { byte: 0, ..point }),
        (moment, _) => moment,
    };
    Line { moment, deed: Deed::Fault(fault) }
}

fn fault(own: Draw, script: &Script, kind: FaultKind, from: usize, to: usize) -> Fault {
    let node = from;
    let nodes = script.nodes.len();
    let damage = |damage| Fault::Damage { from, to, damage };
    match kind {
        FaultKind::Reset | FaultKind::Flapping => Fault::Reset { one: from, other: to, late: 0 },
        FaultKind::LateReset | FaultKind::Overlap => {
            Fault::Reset { one: from, other: to, late: own.spread("late", MILLI, 6 * SECOND) }
        }
        FaultKind::End => damage(Damage::End),
        FaultKind::Silence => damage(Damage::Silence),
        FaultKind::Corrupt => damage(match own.below("how", 3) {
            0 => Damage::Flip(1 << own.below("bit", 8)),
            1 => Damage::Remove(own.range("bytes", 1, 40)),
            _ => Damage::Insert(own.range("bytes", 1, 40)),
        }),
        FaultKind::Stall => Fault::Stall { from, to, lasts: around_limits(own) },
        FaultKind::Partition => Fault::Partition {
            group: (0..nodes)
                .filter(|n| *n == node || *n != to && own.nth(*n as u64).one_in("in", 3))
                .collect(),
            lasts: around_limits(own),
            one_way: own.one_in("one way", 3),
        },
        FaultKind::Dial => dial(own, from, to),
        FaultKind::Squeeze => Fault::Squeeze {
            from,
            to,
            rate: own.pick("rate", &[2_000, 20_000, 200_000]),
            lasts: own.spread("lasts", 100 * MILLI, 10 * SECOND),
        },
        FaultKind::Crash | FaultKind::Restarts => Fault::Crash {
            node,
            how: own.pick("how", &[Death::Closed, Death::Reset, Death::Silent]),
            back: Some(own.spread("back", MILLI, 8 * SECOND)),
        },
        FaultKind::QuickRestart => Fault::Crash {
            node,
            how: own.pick("how", &[Death::Closed, Death::Reset, Death::Silent, Death::Silent]),
            back: Some(own.below("back", 100_000)),
        },
        FaultKind::Pause => Fault::Pause { node, lasts: around_limits(own) },
        FaultKind::Clock => clock(own, node),
        FaultKind::Rate => Fault::Rate {
            node,
            rate: own.pick("rate", &[500_000, 900_000, 1_100_000, 2_000_000]),
            lasts: own.spread("lasts", SECOND, 20 * SECOND),
        },
        FaultKind::Shutdown => Fault::Shutdown {
            node,
            grace: own.pick("grace", &[0, 10 * MILLI, SECOND, 5 * SECOND]),
            back: Some(own.spread("back", MILLI, 5 * SECOND)),
        },
        FaultKind::Twin => {
            Fault::Twin { node, lasts: own.spread("lasts", 100 * MILLI, 15 * SECOND) }
        }
        FaultKind::Panic => Fault::Panic { node, peer: to, using: own.one_in("using", 3) },
        FaultKind::Remove => {
            Fault::Remove { node, peer: to, lasts: own.spread("lasts", MILLI, 5 * SECOND) }
        }
    }
}

/// What becomes of dials, around the limit of a dial.
fn dial(own: Draw, from: usize, to: usize) -> Fault {
    let fates = [
        DialFate::Refused,
        DialFate::Hangs,
        DialFate::Takes(SECOND),
        DialFate::Takes(2 * SECOND - MILLI),
        DialFate::Takes(2 * SECOND),
        DialFate::Takes(2 * SECOND + MILLI),
    ];
    let lasts = own.spread("lasts", 100 * MILLI, 10 * SECOND);
    Fault::Dial { from, to, fate: own.pick("fate", &fates), lasts }
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
                    -300 * SECOND as i64,
                    -301 * SECOND as i64,
                    -86_400 * SECOND as i64,
                    bounds::SKEW as i64,
                    -(bounds::SKEW as i64),
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
fn flapping(own: Draw, script: &Script, at: u64) -> Line {
    let (from, to) = own.pair("pair", script.nodes.len());
    let apart = own.pick("apart", &[50 * MILLI, SECOND, 2_500 * MILLI]);
    let fault = Fault::Reset { one: from, other: to, late: 0 };
    again_and_again(script, at, apart, own.range("times", 3, 8), fault)
}

/// Processes of one name that follow each other quickly: more than anybody remembers.
fn restarts(own: Draw, script: &Script, at: u64) -> Line {
    let fault = Fault::Crash {
        node: own.node("node", script.nodes.len()),
        how: own.pick("how", &[Death::Closed, Death::Reset, Death::Silent]),
        back: Some(own.range("back", 0, 20 * MILLI)),
    };
    let apart = own.range("apart", 100 * MILLI, 400 * MILLI);
    again_and_again(script, at, apart, own.range("times", 3, 24), fault)
}

fn again_and_again(script: &Script, first: u64, apart: u64, times: u64, fault: Fault) -> Line {
    let last = (first + (times - 1) * apart).min(script.heal - SECOND / 2);
    let moment = Moment::Every(Times { apart, first, last });
    Line { moment, deed: Deed::Fault(fault) }
}

/// What one end has sent stands still on its way; that end then loses the connection, and the
/// other one hears the rest of it later, and of its end last. Meanwhile it may have no room for
/// what it has to say itself.
fn overlap(own: Draw, script: &Script, at: u64) -> Vec<Line> {
    let (from, to) = own.pair("pair", script.nodes.len());
    let lasts = own.range("lasts", SECOND / 2, 6 * SECOND);
    let before = own.spread("before", MILLI / 10, 200 * MILLI);
    let late = lasts + own.spread("late", MILLI, SECOND);
    let squeeze = Fault::Squeeze { from: to, to: from, rate: 2_000, lasts };
    let squeezed = own.one_in("squeezed", 2).then_some((at, squeeze));
    let faults = [
        (at, Fault::Stall { from, to, lasts }),
        (at + before, Fault::Reset { one: from, other: to, late }),
    ];
    let line = |(at, fault)| Line { moment: Moment::At(at), deed: Deed::Fault(fault) };
    squeezed.into_iter().chain(faults).map(line).collect()
}
