//! What no script may have, though each of its lines can be read: what could have no effect, what
//! fails without anybody's fault, and what never comes to an end.

use gridmux_core::timings::Timings;

use super::bounds::{self, NODES};
use super::call::Call;
use super::fault::{Fault, Moment, Point};
use super::line::{Deed, Line, NodeKind, Script};
use super::units::show_time;
use crate::oracle::{PROBE, heal_bound};
use crate::world::{Damage, Knobs};

/// A statement of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Nodes,
    Node(usize),
    Set,
    Gate(usize),
    Heal,
    /// By its place in [`Script::lines`].
    Line(usize),
}

/// What is wrong with the first statement that must not be, and which it is.
pub(super) fn check(script: &Script) -> Result<(), (Part, String)> {
    nodes(script.nodes.len() as u64).map_err(|problem| (Part::Nodes, problem))?;
    knobs(&script.knobs).map_err(|problem| (Part::Set, problem))?;
    for (node, wait) in &script.gates {
        most("a gate", *wait, bounds::GATE).map_err(|problem| (Part::Gate(*node), problem))?;
    }
    most("the healing", script.heal, bounds::HEAL).map_err(|problem| (Part::Heal, problem))?;
    core(script)?;
    let end = end(script);
    for (index, line) in script.lines.iter().enumerate() {
        self::line(script, end, line).map_err(|problem| (Part::Line(index), problem))?;
    }
    clocks(script)
}

/// Whether a script may have so many nodes.
pub(super) fn nodes(count: u64) -> Result<(), String> {
    let (least, most) = (NODES.start(), NODES.end());
    let problem = || format!("{count} nodes: {least} to {most} are possible");
    NODES.contains(&count).then_some(()).ok_or_else(problem)
}

fn most(what: &str, time: u64, most: u64) -> Result<(), String> {
    let problem = || format!("{what}: {} is more than {}", show_time(time), show_time(most));
    (time <= most).then_some(()).ok_or_else(problem)
}

fn knobs(knobs: &Knobs) -> Result<(), String> {
    let Knobs { latency, rate, buffer, slack, laziness, grain, drift, origin, skew, .. } = *knobs;
    most("latency", latency.1, bounds::LATENCY)?;
    most("slack", slack, bounds::SLACK)?;
    most("laziness", laziness, bounds::LAZINESS)?;
    most("busy-poll", knobs.busy_poll, bounds::BUSY_POLL)?;
    most("grain", grain, bounds::GRAIN)?;
    most("origin", origin, bounds::CLOCK)?;
    most("skew", skew, bounds::SKEW)?;
    if rate != 0 && rate < bounds::RATE {
        return Err(format!("rate={rate}: at least {}, or 0 for any number", bounds::RATE));
    }
    let million = bounds::MILLION;
    for (key, number, most) in [
        ("drift", drift, bounds::DRIFT),
        ("lazy-per-million", knobs.lazy_per_million, million),
        ("spurious-per-million", knobs.spurious_per_million, million),
    ] {
        if number > most {
            return Err(format!("{key}={number}: {most} at the most"));
        }
    }
    let least = bounds::least_buffer(latency);
    if buffer < least {
        return Err(format!("buffer={buffer}: at least {least} with this latency"));
    }
    Ok(())
}

/// Who means harm need not be well, and answers no probe.
fn core(script: &Script) -> Result<(), (Part, String)> {
    let is_hostile = |node: usize| matches!(script.nodes[node], NodeKind::Hostile(_));
    let Some(node) = script.core.iter().copied().find(|node| is_hostile(*node)) else {
        return Ok(());
    };
    let others = (0..script.nodes.len()).filter(|node| !is_hostile(*node));
    let others: Vec<_> = others.map(|node| format!("n{node}")).collect();
    let others = if others.is_empty() { "none".into() } else { others.join(",") };
    let heal = show_time(script.heal);
    let problem = format!("a hostile n{node} is no core: `heal {heal} core={others}` at the most");
    // By default all nodes are the core.
    let part = match script.core.len() == script.nodes.len() {
        true => Part::Node(node),
        false => Part::Heal,
    };
    Err((part, problem))
}

/// When the last call may come.
fn end(script: &Script) -> u64 {
    let probing = if script.core.len() > 1 { bounds::PROBING } else { 0 };
    let links = heal_bound(script, &Timings::default());
    script.heal.saturating_add(links).saturating_add(probing)
}

fn line(script: &Script, end: u64, line: &Line) -> Result<(), String> {
    let last = match &line.moment {
        Moment::At(at) => *at,
        Moment::Every(times) => times.last,
        Moment::When(point) => {
            return at_point(point, &line.deed).and_then(|()| deed(script, line));
        }
    };
    match &line.deed {
        Deed::Fault(_) => most("a fault comes before the healing", last, script.heal)?,
        Deed::Call(_) | Deed::Cancel(_) => {
            most("a call comes before the end", last, end)?;
        }
        // When the end is, the simulation says.
        Deed::Do(_) => {}
    }
    deed(script, line)
}

fn deed(script: &Script, line: &Line) -> Result<(), String> {
    match &line.deed {
        Deed::Fault(fault) => self::fault(fault, script.nodes.len()),
        Deed::Call(call) => self::call(call),
        Deed::Cancel(_) | Deed::Do(_) => Ok(()),
    }
}

/// Only damage comes in front of a byte, and only where the point is.
fn at_point(point: &Point, deed: &Deed) -> Result<(), String> {
    different(point.from, point.to)?;
    match deed {
        Deed::Fault(Fault::Damage { from, to, .. }) if (*from, *to) != (point.from, point.to) => {
            Err(format!("damage at a point of n{0}>n{1} is to n{0}>n{1}", point.from, point.to))
        }
        Deed::Fault(Fault::Damage { .. }) => Ok(()),
        _ if point.byte > 0 => Err("only damage comes in front of a byte".into()),
        _ => Ok(()),
    }
}

fn different(one: usize, other: usize) -> Result<(), String> {
    let problem = || format!("n{one} with itself: two different nodes are needed");
    (one != other).then_some(()).ok_or_else(problem)
}

fn fault(fault: &Fault, nodes: usize) -> Result<(), String> {
    let lasting = |lasts: u64| (lasts > 0).then_some(()).ok_or("lasts=0s has no effect");
    match fault {
        Fault::Reset { one, other, late } => {
            different(*one, *other)?;
            most("late", *late, bounds::LATE)
        }
        Fault::Damage { from, to, damage } => {
            different(*from, *to)?;
            self::damage(*damage)
        }
        Fault::Stall { from, to, lasts } | Fault::Dial { from, to, lasts, .. } => {
            different(*from, *to)?;
            Ok(lasting(*lasts)?)
        }
        Fault::Squeeze { from, to, rate, lasts } => {
            different(*from, *to)?;
            if *rate == 0 {
                return Err("rate=0: at least 1 byte a second".into());
            }
            Ok(lasting(*lasts)?)
        }
        Fault::Narrow { from, to, rate, buffer, lasts } => {
            different(*from, *to)?;
            if *rate < bounds::NARROW {
                return Err(format!("rate={rate}: at least {} bytes a second", bounds::NARROW));
            }
            let least = bounds::NARROW_BUFFER;
            if *buffer < least {
                return Err(format!("buffer={buffer}: at least {least}"));
            }
            Ok(lasting(*lasts)?)
        }
        Fault::Outage { one, other, lasts } => {
            different(*one, *other)?;
            most("an outage", *lasts, bounds::OUTAGE)?;
            Ok(lasting(*lasts)?)
        }
        Fault::Partition { group, lasts, .. } => {
            if group.is_empty() || group.len() == nodes {
                return Err("a partition needs nodes on both sides".into());
            }
            Ok(lasting(*lasts)?)
        }
        Fault::Pause { lasts, .. } | Fault::Twin { lasts, .. } => Ok(lasting(*lasts)?),
        Fault::Rate { rate, lasts, .. } => {
            let (low, high) = (bounds::CLOCK_RATE.start(), bounds::CLOCK_RATE.end());
            if !bounds::CLOCK_RATE.contains(rate) {
                return Err(format!("millionths={rate}: {low} to {high} are possible"));
            }
            Ok(lasting(*lasts)?)
        }
        Fault::Jump { ahead: 0, .. } => Err("ahead=0s has no effect".into()),
        Fault::Skew { by: 0, .. } => Err("by=0s has no effect".into()),
        Fault::Skew { by, .. } => most("by", by.unsigned_abs(), bounds::SKEW),
        Fault::Shutdown { grace, .. } => most("grace", *grace, bounds::GRACE),
        Fault::Panic { node, peer, .. } | Fault::Remove { node, peer, .. } => {
            different(*node, *peer)
        }
        Fault::Jump { .. } | Fault::Crash { .. } => Ok(()),
    }
}

fn damage(damage: Damage) -> Result<(), String> {
    let (least, most) = (bounds::DAMAGE.start(), bounds::DAMAGE.end());
    match damage {
        Damage::Flip(0) => Err("flip=0x00 changes nothing".into()),
        Damage::Stall(0) => Err("stall=0s has no effect".into()),
        Damage::Remove(bytes) | Damage::Insert(bytes) if !bounds::DAMAGE.contains(&bytes) => {
            Err(format!("{bytes} bytes: {least} to {most} are possible"))
        }
        _ => Ok(()),
    }
}

fn call(call: &Call) -> Result<(), String> {
    if call.name.starts_with(PROBE) {
        return Err(format!(
            "`{}`: names that begin with `{PROBE}` are the simulator's",
            call.name
        ));
    }
    // A node has no handle of itself: `try n0 own-handle`.
    different(call.from, call.to)?;
    let Call { plan, input, .. } = call;
    for (key, bytes) in
        [("size", call.size.unwrap_or(0)), ("item-size", plan.item_size), ("send-size", input.size)]
    {
        if bytes > bounds::PAYLOAD {
            return Err(format!("{key}={bytes}: {} bytes at the most", bounds::PAYLOAD));
        }
    }
    for (key, items) in [("items", plan.items), ("send", input.items)] {
        if items > bounds::ITEMS {
            return Err(format!("{key}={items}: {} at the most", bounds::ITEMS));
        }
    }
    Ok(())
}

/// No clock comes near its end, where it would stand still and no timer would fire.
fn clocks(script: &Script) -> Result<(), (Part, String)> {
    let mut shown = vec![script.knobs.origin; script.nodes.len()];
    for (index, line) in script.lines.iter().enumerate() {
        let Deed::Fault(Fault::Jump { node, ahead }) = line.deed else { continue };
        let times = if let Moment::Every(times) = line.moment { times.count() } else { 1 };
        let before = shown[node];
        shown[node] = before.saturating_add(ahead.saturating_mul(times));
        let left = show_time(bounds::CLOCK.saturating_sub(before));
        let problem = format!("n{node} is near the end of its clock: {left} ahead at the most");
        if shown[node] > bounds::CLOCK {
            return Err((Part::Line(index), problem));
        }
    }
    Ok(())
}
