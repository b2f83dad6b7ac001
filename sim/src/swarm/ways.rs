//! Slow ways and outages: bandwidth down to where a full queue takes longer than every silence, sockets that
//! tell of room in large steps, and losses under load.

use super::draw::Draw;
use super::{MILLI, SECOND};
use crate::script::{Call, Deed, Fault, Finish, Line, Moment, Route, Script};

/// One seed in so many has a way that is narrow for long.
const NARROW: u64 = 10;

/// One seed in so many has outages under load.
const OUTAGES: u64 = 10;

/// The slowest and the fastest narrow way, in bytes a second.
const RATES: (u64, u64) = (3 << 10, 1 << 20);

/// Adds them to a script, of which the network is as they need it.
pub(crate) fn add(draw: Draw, script: &mut Script) {
    if draw.one_in("narrow", NARROW) {
        narrow(draw.of("narrow"), script);
    } else if draw.one_in("outages", OUTAGES) {
        outages(draw.of("outages"), script);
    }
}

/// For longer than a callee believes in silence, one way of a pair is narrow, and streams fill it.
fn narrow(draw: Draw, script: &mut Script) {
    script.knobs.steps = draw.one_in("steps", 2);
    script.heal = script.heal.max(draw.range("heal", 85 * SECOND, 120 * SECOND));
    let (from, to) = draw.pair("pair", script.nodes.len());
    let rate = draw.spread("rate", RATES.0, RATES.1);
    // It is full for less than the silences, so that pings come through.
    let buffer = (rate * draw.range("held", 500, 12_000) / 1_000).clamp(2 << 10, 1 << 20);
    let at = draw.range("at", SECOND, 4 * SECOND);
    calm(draw, script, [from, to], at, rate);
    let lasts = script.heal - at - SECOND;
    let fault = Fault::Narrow { from, to, rate, buffer, lasts };
    script.lines.push(Line { moment: Moment::At(at), deed: Deed::Fault(fault) });
    for n in 0..draw.range("streams", 1, 3) {
        let own = draw.of("stream").nth(n);
        let waits = rate.saturating_mul(own.range("waits", 20, 100));
        let call = stream(own, script, format!("n{n}"), (from, to), waits, rate);
        load(script, at + own.spread("after", MILLI, 2 * SECOND), call);
    }
}

/// A stream that is dropped before the healing: what is probed then has the network for itself.
fn load(script: &mut Script, at: u64, call: Call) {
    let over = Deed::Cancel(call.name.clone());
    let until = (script.heal - SECOND / 2).max(at);
    script.lines.push(Line { moment: Moment::At(at), deed: Deed::Call(call) });
    script.lines.push(Line { moment: Moment::At(until), deed: over });
}

/// From a time on, the pair is left alone but for half of the seeds, and its other calls are small enough.
fn calm(draw: Draw, script: &mut Script, pair: [usize; 2], at: u64, rate: u64) {
    let alone = draw.one_in("alone", 2);
    let touched = |fault: &Fault| fault.extent().0.iter().any(|node| pair.contains(node));
    let late = |moment: &Moment| match moment {
        Moment::At(time) => *time >= at,
        Moment::Every(_) | Moment::When(_) => true,
    };
    script.lines.retain(|line| match &line.deed {
        Deed::Fault(fault) => !(alone && late(&line.moment) && touched(fault)),
        _ => true,
    });
    let most = u32::try_from(2 * rate).unwrap_or(u32::MAX);
    for line in &mut script.lines {
        let Deed::Call(call) = &mut line.deed else { continue };
        if pair.contains(&call.from) && pair.contains(&call.to) {
            call.size = call.size.map(|size| size.min(most));
            call.plan.item_size = call.plan.item_size.min(most);
            call.input.size = call.input.size.min(most);
        }
    }
}

/// A stream on which so many bytes wait for the way from the first node to the second: as input, or as
/// items for a caller at the other end.
fn stream(
    own: Draw,
    script: &Script,
    name: String,
    (from, to): (usize, usize),
    waits: u64,
    rate: u64,
) -> Call {
    let route = own.weighted("route", &[(3, Route::Wide), (1, Route::Sink), (1, Route::Talk)]);
    let upwards = route == Route::Sink || own.one_in("upwards", 2);
    let (caller, callee) = if upwards { (from, to) } else { (to, from) };
    let mut call = Call::new(name, caller, callee, route);
    let credits =
        route.capacities().map_or(1, |(input, output)| if upwards { input } else { output });
    let most = u64::from(super::calls::most(script)).min(2 * rate);
    let size = u32::try_from((waits / u64::from(credits)).clamp(8, most.max(8))).unwrap_or(8);
    let seconds = script.heal / SECOND;
    let count = u32::try_from(rate * seconds / u64::from(size)).unwrap_or(0).clamp(credits, 600);
    if upwards {
        (call.input.items, call.input.size) = (count, size);
    } else {
        (call.plan.items, call.plan.item_size) = (count, size);
    }
    if own.one_in("idle", 4) {
        // It has nothing but pings, behind what the others have queued.
        (call.input.items, call.plan.items) = (0, 0);
        call.input.close = crate::script::Close::Never;
        call.plan.finish = Finish::Never;
    }
    call
}

/// A way is busy while all is lost on it, once or several times.
fn outages(draw: Draw, script: &mut Script) {
    script.knobs.steps = draw.one_in("steps", 2);
    let (from, to) = draw.pair("pair", script.nodes.len());
    let rate = draw.spread("rate", 100_000, 4 << 20);
    let buffer = (rate * draw.range("held", 100, 2_000) / 1_000).clamp(16 << 10, 1 << 20);
    let at = draw.range("at", SECOND, script.heal.saturating_sub(7 * SECOND).max(SECOND + 1));
    let lasts = (script.heal - at - SECOND / 2).min(15 * SECOND);
    calm(draw, script, [from, to], at, rate);
    let mut faults = vec![(at, Fault::Narrow { from, to, rate, buffer, lasts })];
    let mut next = at + SECOND / 2;
    for n in 0..draw.range("count", 1, 4) {
        let own = draw.of("outage").nth(n);
        let lost = own.range("lasts", 300 * MILLI, 3 * SECOND);
        if next + lost < at + lasts {
            faults.push((next, Fault::Outage { one: from, other: to, lasts: lost }));
        }
        next += 2 * lost + own.spread("apart", 100 * MILLI, 3 * SECOND);
    }
    let line = |(at, fault)| Line { moment: Moment::At(at), deed: Deed::Fault(fault) };
    script.lines.extend(faults.into_iter().map(line));
    let own = draw.of("load");
    let waits = rate.saturating_mul(own.range("waits", 2, 10));
    let call = stream(own, script, "l0".into(), (from, to), waits, rate);
    load(script, at + MILLI, call);
}

#[cfg(test)]
mod tests {
    use crate::script::{Deed, Fault};
    use crate::swarm::{Profile, script};

    #[test]
    fn some_seeds_have_narrow_ways_outages_and_sockets_that_tell_of_room_in_steps() {
        let [mut narrow, mut outages, mut steps] = [0; 3];
        for seed in 0..400 {
            let script = script(seed, Profile::Quick);
            let has = |is: fn(&Fault) -> bool| {
                script.lines.iter().any(|line| match &line.deed {
                    Deed::Fault(fault) => is(fault),
                    _ => false,
                })
            };
            narrow += usize::from(has(|fault| matches!(fault, Fault::Narrow { .. })));
            outages += usize::from(has(|fault| matches!(fault, Fault::Outage { .. })));
            steps += usize::from(script.knobs.steps);
            assert_eq!(script.to_string().parse(), Ok(script), "seed {seed}");
        }
        assert!((40..120).contains(&narrow), "{narrow}");
        assert!((15..70).contains(&outages), "{outages}");
        assert!((20..70).contains(&steps), "{steps}");
    }
}
