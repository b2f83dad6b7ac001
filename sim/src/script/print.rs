//! Writing a script, as [`parse`](super::parse) reads it.

use std::fmt::{Display, Formatter, Result};

use gridmux_core::limits::Limits;

use super::call::{Call, Close, Finish, Input, Plan, Reading};
use super::deed::{CLOSES, DEATHS, FINISHES};
use super::fault::{Fault, Moment, Point, Times};
use super::form::{Form, Way};
use super::line::{Deed, Line, NodeKind, Script};
use super::parse::{CONDUCTS, HEAD, TRIALS};
use super::units::show_time;
use super::words::word_of;
use crate::world::{Damage, Death, DialFate, Knobs};

/// The text that [`FromStr`](std::str::FromStr) reads as this very script. What is as usual is
/// left out.
impl Display for Script {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "{HEAD}\nseed {}\nnodes {}", self.seed, self.nodes.len())?;
        for (node, kind) in self.nodes.iter().enumerate() {
            match kind {
                NodeKind::Ours => {}
                NodeKind::Loop => writeln!(f, "node n{node} loop")?,
                NodeKind::Go => writeln!(f, "node n{node} go")?,
                NodeKind::Hostile(conduct) => {
                    writeln!(f, "node n{node} hostile {}", word_of(CONDUCTS, conduct))?;
                }
            }
        }
        if self.knobs != Knobs::default() {
            f.write_str("set")?;
            knobs(f, &self.knobs)?;
            f.write_str("\n")?;
        }
        if self.first_generation != 0 {
            writeln!(f, "generation {}", self.first_generation)?;
        }
        if self.secure {
            f.write_str("secure\n")?;
        }
        if self.token {
            f.write_str("token\n")?;
        }
        if self.nested {
            f.write_str("nested\n")?;
        }
        if self.limits != Limits::default() {
            f.write_str("limits")?;
            limits(f, &self.limits)?;
            f.write_str("\n")?;
        }
        for (node, wait) in &self.gates {
            writeln!(f, "gate n{node} {}", show_time(*wait))?;
        }
        for (node, trial) in &self.trials {
            writeln!(f, "try n{node} {}", word_of(TRIALS, trial))?;
        }
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        write!(f, "heal {}", show_time(self.heal))?;
        if !self.core.iter().copied().eq(0..self.nodes.len()) {
            write!(f, " core={}", nodes(&self.core))?;
        }
        f.write_str("\n")
    }
}

/// The line without a line end.
impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.moment {
            Moment::At(at) => write!(f, "at {} ", show_time(*at))?,
            Moment::Every(Times { apart, first, last }) => {
                let (first, last) = (show_time(*first), show_time(*last));
                write!(f, "every {} {first}..{last} ", show_time(*apart))?;
            }
            Moment::When(Point { from, to, op, nth, byte }) => {
                write!(f, "when n{from}>n{to} {op} {nth}")?;
                field(f, "byte", byte, &0)?;
                f.write_str(" ")?;
                if let Deed::Fault(Fault::Damage { from: one, to: other, damage }) = &self.deed
                    && (one, other) == (from, to)
                {
                    return damage_word(f, *damage);
                }
            }
        }
        match &self.deed {
            Deed::Call(deed) => call(f, deed),
            Deed::Cancel(name) => write!(f, "cancel {name}"),
            Deed::Fault(fault) => fault.fmt(f),
            Deed::Do(operation) => operation.fmt(f),
        }
    }
}

/// What stands in a script behind the moment.
impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let lasts = match self {
            Self::Reset { one, other, late } => {
                write!(f, "reset n{one} n{other}")?;
                return time(f, "late", *late);
            }
            Self::Damage { from, to, damage } => {
                write!(f, "damage n{from}>n{to} ")?;
                return damage_word(f, *damage);
            }
            Self::Crash { node, how, back } => {
                write!(f, "crash n{node}")?;
                if *how != Death::default() {
                    write!(f, " {}", word_of(DEATHS, how))?;
                }
                return maybe_time(f, "back", *back);
            }
            Self::Jump { node, ahead } => {
                return write!(f, "jump n{node} ahead={}", show_time(*ahead));
            }
            Self::Skew { node, by } => {
                let sign = if *by < 0 { "-" } else { "" };
                return write!(f, "skew n{node} by={sign}{}", show_time(by.unsigned_abs()));
            }
            Self::Shutdown { node, grace, back } => {
                write!(f, "shutdown n{node} grace={}", show_time(*grace))?;
                return maybe_time(f, "back", *back);
            }
            Self::Panic { node, peer, using } => {
                write!(f, "panic n{node} n{peer}")?;
                return f.write_str(if *using { " using" } else { "" });
            }
            Self::Stall { from, to, lasts } => {
                write!(f, "stall n{from}>n{to}")?;
                lasts
            }
            Self::Partition { group, lasts, one_way } => {
                write!(f, "partition {}", nodes(group))?;
                f.write_str(if *one_way { " one-way" } else { "" })?;
                lasts
            }
            Self::Dial { from, to, fate, lasts } => {
                write!(f, "dial n{from} n{to} {}", fate_word(*fate))?;
                lasts
            }
            Self::Squeeze { from, to, rate, lasts } => {
                write!(f, "squeeze n{from}>n{to} rate={rate}")?;
                lasts
            }
            Self::Narrow { from, to, rate, buffer, lasts } => {
                write!(f, "narrow n{from}>n{to} rate={rate} buffer={buffer}")?;
                lasts
            }
            Self::Outage { one, other, lasts } => {
                write!(f, "outage n{one} n{other}")?;
                lasts
            }
            Self::Pause { node, lasts } => {
                write!(f, "pause n{node}")?;
                lasts
            }
            Self::Rate { node, rate, lasts } => {
                write!(f, "rate n{node} millionths={rate}")?;
                lasts
            }
            Self::Twin { node, lasts } => {
                write!(f, "twin n{node}")?;
                lasts
            }
            Self::Remove { node, peer, lasts } => {
                write!(f, "remove n{node} n{peer}")?;
                lasts
            }
        };
        write!(f, " lasts={}", show_time(*lasts))
    }
}

fn knobs(f: &mut Formatter<'_>, knobs: &Knobs) -> Result {
    let calm = Knobs::default();
    // Every field by name, so that a new one is not forgotten.
    let Knobs {
        whole,
        latency,
        rate,
        buffer,
        steps,
        piece,
        slack,
        lazy_per_million,
        laziness,
        spurious_per_million,
        busy_poll,
        workers,
        grain,
        drift,
        origin,
        skew,
    } = knobs;
    let yes = |yes| if yes { "yes" } else { "no" };
    let span = |(low, high)| format!("{}..{}", show_time(low), show_time(high));
    field(f, "whole", &yes(*whole), &yes(calm.whole))?;
    field(f, "latency", &span(*latency), &span(calm.latency))?;
    field(f, "rate", rate, &calm.rate)?;
    field(f, "buffer", buffer, &calm.buffer)?;
    field(f, "steps", &yes(*steps), &yes(calm.steps))?;
    field(f, "piece", piece, &calm.piece)?;
    time(f, "slack", *slack)?;
    field(f, "lazy-per-million", lazy_per_million, &calm.lazy_per_million)?;
    time(f, "laziness", *laziness)?;
    field(f, "spurious-per-million", spurious_per_million, &calm.spurious_per_million)?;
    time(f, "busy-poll", *busy_poll)?;
    field(f, "workers", &yes(*workers), &yes(calm.workers))?;
    field(f, "grain", &show_time(*grain), &show_time(calm.grain))?;
    field(f, "drift", drift, &calm.drift)?;
    time(f, "origin", *origin)?;
    time(f, "skew", *skew)
}

/// The limits that a script can set.
fn limits(f: &mut Formatter<'_>, limits: &Limits) -> Result {
    let usual = Limits::default();
    field(f, "message", &limits.message, &usual.message)?;
    field(f, "queued", &limits.queued_bytes, &usual.queued_bytes)?;
    field(f, "received", &limits.received_bytes, &usual.received_bytes)?;
    field(f, "responses", &limits.response_bytes, &usual.response_bytes)?;
    field(f, "handlers", &limits.handler_bytes, &usual.handler_bytes)?;
    field(f, "outgoing", &limits.outgoing_muxes, &usual.outgoing_muxes)?;
    field(f, "incoming", &limits.incoming_muxes, &usual.incoming_muxes)?;
    field(f, "unproved", &limits.unauthenticated, &usual.unauthenticated)
}

fn call(f: &mut Formatter<'_>, call: &Call) -> Result {
    let Call {
        name,
        from,
        to,
        route,
        size,
        form,
        way,
        timeout,
        wait_link,
        again_after,
        plan,
        input,
        reading,
    } = call;
    let Plan { after, items, item_size, pace, take, take_pace, finish } = plan;
    let Input { items: send, size: send_size, pace: send_pace, close } = input;
    let Reading { after: read_after, pace: read_pace, stop } = reading;
    write!(f, "call {name} n{from} n{to} {}", route.word())?;
    let bytes = |size: Option<u32>| size.map_or("nil".into(), |size| size.to_string());
    field(f, "size", &bytes(*size), &bytes(Call::new("", 0, 0, *route).size))?;
    field(f, "as", &form.word(), &Form::default().word())?;
    field(f, "by", &way.word(), &Way::default().word())?;
    maybe_time(f, "timeout", *timeout)?;
    maybe_time(f, "wait-link", *wait_link)?;
    maybe(f, "again-after", again_after.as_ref())?;
    time(f, "after", *after)?;
    field(f, "items", items, &0)?;
    field(f, "item-size", item_size, &0)?;
    time(f, "pace", *pace)?;
    maybe(f, "take", take.as_ref())?;
    time(f, "take-pace", *take_pace)?;
    field(f, "finish", &word_of(FINISHES, finish), &word_of(FINISHES, &Finish::default()))?;
    field(f, "send", send, &0)?;
    field(f, "send-size", send_size, &0)?;
    time(f, "send-pace", *send_pace)?;
    field(f, "close", &word_of(CLOSES, close), &word_of(CLOSES, &Close::default()))?;
    time(f, "read-after", *read_after)?;
    time(f, "read-pace", *read_pace)?;
    maybe(f, "read-stop", stop.as_ref())
}

fn damage_word(f: &mut Formatter<'_>, damage: Damage) -> Result {
    match damage {
        Damage::Reset => f.write_str("reset"),
        Damage::End => f.write_str("end"),
        Damage::Silence => f.write_str("silence"),
        Damage::Flip(bits) => write!(f, "flip={bits:#04x}"),
        Damage::Remove(bytes) => write!(f, "drop={bytes}"),
        Damage::Insert(bytes) => write!(f, "insert={bytes}"),
        Damage::Stall(nanos) => write!(f, "stall={}", show_time(nanos)),
    }
}

fn fate_word(fate: DialFate) -> String {
    match fate {
        DialFate::Works => "works".into(),
        DialFate::Refused => "refused".into(),
        DialFate::Hangs => "hangs".into(),
        DialFate::Takes(nanos) => format!("takes={}", show_time(nanos)),
    }
}

fn nodes(nodes: &[usize]) -> String {
    if nodes.is_empty() {
        return "none".into();
    }
    nodes.iter().map(|node| format!("n{node}")).collect::<Vec<_>>().join(",")
}

/// ` key=value`, unless the value is the usual one.
fn field<T: Display + PartialEq>(f: &mut Formatter<'_>, key: &str, value: &T, usual: &T) -> Result {
    maybe(f, key, (value != usual).then_some(value))
}

fn maybe<T: Display>(f: &mut Formatter<'_>, key: &str, value: Option<&T>) -> Result {
    value.map_or(Ok(()), |value| write!(f, " {key}={value}"))
}

fn maybe_time(f: &mut Formatter<'_>, key: &str, nanos: Option<u64>) -> Result {
    maybe(f, key, nanos.map(show_time).as_ref())
}

/// A time that is usually 0.
fn time(f: &mut Formatter<'_>, key: &str, nanos: u64) -> Result {
    maybe_time(f, key, (nanos != 0).then_some(nanos))
}
