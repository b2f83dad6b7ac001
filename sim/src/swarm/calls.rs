//! What the applications of a seed call, and what they drop.

use super::draw::Draw;
use super::manners::Manners;
use super::{MILLI, SECOND};
use crate::script::{
    Call, Close, Deed, Finish, Input, Line, Moment, NodeKind, Plan, Point, Reading, Route, Script,
};

/// Plain calls at the beginning.
const WARM_UP: u64 = 4;

/// So often a pair is called after the healing, where calls go on then.
const BEATS: u64 = 12;

/// Calls in one burst.
const BURST: u64 = 6;

/// Answers of more bytes than a message may have are made where that is at most so many.
const LOW: u32 = 64 << 10;

/// A seed that lasts longer than this has slow readers.
const PATIENT: u64 = 60 * SECOND;

pub(crate) fn draw(draw: Draw, script: &Script, count: u64, faults: &[Line]) -> Vec<Line> {
    let mut lines = Vec::new();
    let favourites = favourites(draw);
    let manners = manners(draw);
    for n in 0..count {
        let of_burst = draw.of("burst").nth(n / BURST);
        let own = draw.nth(n);
        let at = moment(of_burst, own, script, faults);
        let mut call = call(own, script, n, &favourites);
        manners.give(own.of("manners"), script, &mut call);
        if own.one_in("cancelled", 5) {
            lines.push(Line {
                moment: cancel(own, &call, at),
                deed: Deed::Cancel(call.name.clone()),
            });
        }
        lines.extend(
            again(own, script, &call)
                .into_iter()
                .chain([call])
                .map(|call| Line { moment: Moment::At(at), deed: Deed::Call(call) }),
        );
    }
    lines.extend((0..WARM_UP).map(|n| warm_up(draw.of("warm-up").nth(n), script, n)));
    if draw.one_in("goes on", 5) {
        lines.extend(beats(draw.of("beat"), script));
    }
    lines.sort_by_key(|line| match line.moment {
        Moment::At(at) => at,
        Moment::Every(_) | Moment::When(_) => u64::MAX,
    });
    lines
}

/// The same call again, as often as it fails, up to some times.
fn again(own: Draw, script: &Script, call: &Call) -> Vec<Call> {
    if script.nodes[call.from] != NodeKind::Ours || !own.one_in("again", 12) {
        return Vec::new();
    }
    let mut former = call.name.clone();
    let attempt = |n: u64| {
        let name = format!("{}-again{n}", call.name);
        let again_after = Some(std::mem::replace(&mut former, name.clone()));
        Call { name, again_after, ..call.clone() }
    };
    (1..=own.range("attempts", 1, 3)).map(attempt).collect()
}

/// A plain call at the beginning, which waits for its link: so that something succeeds before the
/// faults have their way.
fn warm_up(own: Draw, script: &Script, n: u64) -> Line {
    let (from, to) = own.pair("pair", script.nodes.len());
    let wait_link = Some(6 * SECOND);
    let call = Call { wait_link, ..Call::new(format!("w{n}"), from, to, Route::Echo) };
    Line { moment: Moment::At(SECOND * 9 / 10), deed: Deed::Call(call) }
}

/// Calls that go on after the healing, so that nobody is at rest: each way between two nodes.
fn beats(own: Draw, script: &Script) -> Vec<Line> {
    let (one, other) = own.pair("pair", script.core.len());
    let pair = [script.core[one], script.core[other]];
    let apart = own.range("apart", SECOND, 3 * SECOND);
    let beat = |n: u64| {
        let at = Moment::At(script.heal + own.nth(n).below("at", apart) + n * apart);
        let call = |way: usize| {
            let name = format!("b{n}-{way}");
            Line {
                moment: at.clone(),
                deed: Deed::Call(Call::new(name, pair[way], pair[1 - way], Route::Echo)),
            }
        };
        [call(0), call(1)]
    };
    (0..BEATS).flat_map(beat).collect()
}

/// Bursts come around faults, or anywhere.
fn moment(of_burst: Draw, own: Draw, script: &Script, faults: &[Line]) -> u64 {
    let times: Vec<u64> = faults
        .iter()
        .filter_map(|line| match line.moment {
            Moment::At(at) => Some(at),
            Moment::Every(times) => Some(times.first),
            Moment::When(_) => None,
        })
        .collect();
    let latest = script.heal - SECOND / 2;
    let begin = match times.is_empty() || of_burst.one_in("anywhere", 2) {
        true => of_burst.range("at", SECOND, latest),
        false => {
            let around = of_burst.pick("around", &times);
            let by = of_burst.spread("before", MILLI / 10, SECOND);
            match of_burst.one_in("after", 4) {
                true => (around + by).min(latest),
                false => around.saturating_sub(by).max(SECOND),
            }
        }
    };
    let apart = match of_burst.one_in("at once", 3) {
        true => 0,
        false => own.spread("apart", 1_000, 300 * MILLI),
    };
    (begin + apart).min(latest)
}

/// The types and functions of a seed's calls.
pub(super) fn manners(draw: Draw) -> Manners {
    Manners::draw(draw.of("manners"))
}

/// All routes, by how much they are favoured.
pub(super) fn favourites(draw: Draw) -> Vec<(u64, Route)> {
    let weight = |route: Route| {
        let own = draw.of("favourite").of(route.word());
        let base = match route {
            Route::Echo => 8,
            Route::Inline | Route::Sub => 2,
            Route::Missing | Route::MissingSub | Route::MissingStream => 1,
            Route::Mismatch | Route::NoInput => 1,
            Route::Mistyped | Route::MistypedItems => 1,
            _ => 4,
        };
        base * own.pick("weight", &[0, 1, 1, 3])
    };
    let mut favourites: Vec<_> = Route::ALL.map(|route| (weight(route), route)).into();
    favourites[0].0 += 1;
    favourites
}

fn call(own: Draw, script: &Script, n: u64, favourites: &[(u64, Route)]) -> Call {
    let (from, to) = own.pair("pair", script.nodes.len());
    let route = own.weighted("route", favourites);
    let most = most(script);
    let mut call = Call::new(format!("c{n}"), from, to, route);
    call.size = size(own.of("request"), most);
    if route != Route::Echo || route.capacities().is_some() {
        call.size = Some(call.size.unwrap_or(8).max(8));
    }
    call.timeout = timeout(own, script.nodes[from]);
    call.wait_link = own.one_in("wait", 6).then(|| own.spread("wait for", MILLI, 5 * SECOND));
    call.plan = plan(own.of("plan"), &call, script, most);
    if route.takes_input() {
        let credits = route.capacities().map_or(0, |(input, _)| input);
        call.input = input(own.of("input"), credits, most);
    }
    if route.capacities().is_some() {
        call.reading = reading(own.of("reading"), script.heal > PATIENT);
    }
    call
}

/// Payloads are at most so large that they travel in some hundreds of pieces.
pub(super) fn most(script: &Script) -> u32 {
    // With what a message has beside its payload, within the limit.
    let limit = u32::try_from(script.limits.message).unwrap_or(u32::MAX).saturating_sub(1_024);
    match script.knobs.whole {
        true => limit,
        false => u32::try_from(script.knobs.piece.saturating_mul(400))
            .map_or(limit, |most| most.min(limit)),
    }
}

fn size(own: Draw, most: u32) -> Option<u32> {
    let at = |edge: u64, by: u64| {
        let size = u32::try_from(own.range("edge", edge - by, edge + by)).ok();
        size.map(|size| size.min(most))
    };
    match own.weighted("size", &[(2, 0), (2, 1), (2, 2), (12, 3), (6, 4), (3, 5), (2, 6), (1, 7)]) {
        0 => None,
        1 => Some(0),
        2 => at(4, 3),
        3 => at(100, 92),
        4 => at(1_000, 500),
        // Around what is merged, and what is sent alone.
        5 => at(16 << 10, 60),
        6 => at(70_000, 5_000),
        _ => at(600_000, 400_000),
    }
}

fn timeout(own: Draw, caller: NodeKind) -> Option<u64> {
    match own.weighted("timeout", &[(12, 0), (6, 1), (4, 2), (2, 3), (2, 4), (1, 5)]) {
        0 => None,
        1 => Some(own.spread("short", MILLI, SECOND)),
        2 => Some(own.spread("long", SECOND, 20 * SECOND)),
        // Under a millisecond: refused.
        3 => Some(own.range("tiny", 1, 2 * MILLI)),
        // Longer than the field on the wire can say.
        5 if caller == NodeKind::Ours => {
            Some((1_u64 << 32) * MILLI + own.spread("over", MILLI, 10 * SECOND))
        }
        // Around the deadlines at which pings begin, and at which the callee expects them.
        _ => Some(own.pick("edge", &[15 * SECOND, 15 * SECOND + MILLI, 60 * SECOND, 61 * SECOND])),
    }
}

fn plan(own: Draw, call: &Call, script: &Script, most: u32) -> Plan {
    let route = call.route;
    // Who runs to its end is told of a cancel, and answers all the same.
    let never = if route == Route::RunToEnd { 8 } else { 1 };
    let finish = own.weighted(
        "finish",
        &[(14, Finish::Ok), (2, Finish::Error), (1, Finish::Panic), (never, Finish::Never)],
    );
    let after = match (own.weighted("after", &[(8, 0), (6, 1), (2, 2), (1, 3)]), call.timeout) {
        (0, _) => 0,
        (1, _) => own.spread("soon", 1_000, 200 * MILLI),
        // About as long as the caller waits.
        (3, Some(timeout)) if timeout < 20 * SECOND => {
            timeout.next_multiple_of(MILLI) - MILLI + own.below("edge", 3 * MILLI)
        }
        _ => own.spread("late", 200 * MILLI, 6 * SECOND),
    };
    let gives = route.gives_items();
    let items = match route.capacities() {
        Some((_, output)) if gives => items(own.of("items"), output),
        _ => 0,
    };
    Plan {
        after,
        items,
        item_size: match route.capacities() {
            None => answer(own.of("answer"), script, most),
            Some(_) => size(own.of("item"), most).unwrap_or(0),
        },
        pace: if gives { pace(own.of("pace")) } else { 0 },
        take: (route.takes_input() && own.one_in("early", 6))
            .then(|| u32::try_from(own.below("take", 12)).unwrap_or(0)),
        take_pace: if route.takes_input() { pace(own.of("take pace")) } else { 0 },
        finish,
    }
}

/// Bytes of the answer to a single request: 0 for the question, or as many as no message may have.
fn answer(own: Draw, script: &Script, most: u32) -> u32 {
    let limit = u32::try_from(script.limits.message).unwrap_or(u32::MAX);
    match own.below("answer", 8) {
        0 => size(own.of("size"), most).unwrap_or(0),
        1 if limit <= LOW => limit - 100 + u32::try_from(own.below("over", 200)).unwrap_or(0),
        _ => 0,
    }
}

/// As many as there are credits, so that only the end has to wait for one, or any number.
fn items(own: Draw, credits: u32) -> u32 {
    if own.one_in("as credits", 6) {
        return credits;
    }
    let count = own.weighted("count", &[(1, 0), (2, 1), (6, 20), (2, 100)]);
    u32::try_from(own.range("items", count / 4, count)).unwrap_or(0)
}

fn pace(own: Draw) -> u64 {
    match own.weighted("pace", &[(4, 0), (2, 1), (1, 2)]) {
        0 => 0,
        1 => own.spread("quick", 1_000, 20 * MILLI),
        _ => own.spread("slow", 20 * MILLI, SECOND),
    }
}

fn input(own: Draw, credits: u32, most: u32) -> Input {
    Input {
        items: items(own.of("items"), credits),
        size: size(own.of("item"), most).unwrap_or(0).min(70_000),
        pace: pace(own),
        close: own.weighted("close", &[(8, Close::Eof), (1, Close::Drop), (1, Close::Never)]),
    }
}

/// `patient`: there is time for readers that begin when their pings have long been due.
fn reading(own: Draw, patient: bool) -> Reading {
    Reading {
        after: match own.below("hesitates", 4) {
            0 => own.spread("after", MILLI, 3 * SECOND),
            1 if patient => own.range("long after", 31 * SECOND, 75 * SECOND),
            _ => 0,
        },
        pace: pace(own),
        stop: own.one_in("stops", 10).then(|| u32::try_from(own.below("stop", 6)).unwrap_or(0)),
    }
}

/// A call is dropped at a moment of its life that the protocol knows, or after some time.
fn cancel(own: Draw, call: &Call, at: u64) -> Moment {
    let op = match (own.below("stage", 6), call.route.capacities().is_some()) {
        (0, false) => "Request",
        (1, false) => "Response",
        (0, true) => "ConnectMux",
        (1, true) => "AckMux",
        (2, true) => "MuxServerMsg",
        (3, true) => "UnblockSrvMux",
        (4, _) => return Moment::At(at),
        _ => return Moment::At(at + own.spread("drop after", 10_000, 3 * SECOND)),
    };
    let from_callee = matches!(op, "Response" | "AckMux" | "MuxServerMsg");
    let (from, to) = if from_callee { (call.to, call.from) } else { (call.from, call.to) };
    Moment::When(Point { from, to, op: op.into(), nth: own.range("nth", 1, 6), byte: 0 })
}
