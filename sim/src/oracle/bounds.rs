//! How late something may be, computed from the knobs and the faults of a script.

use std::time::Duration;

use gridmux_core::timings::Timings;

use super::evidence::{Evidence, Fired};
use crate::script::{Call, Fault, NodeKind, Script};
use crate::world::{Knobs, NOMINAL};

/// The grid's timers are a wheel of 1 ms: at most a tick late. A second one is for deadlines,
/// which travel in whole milliseconds, rounded up.
const TICKS: u64 = 2_000_000;

/// Bytes of a handshake, both ways, with room to spare.
const HANDSHAKE_BYTES: u64 = 4_096;

/// Bytes of a message beyond its payload: header, trailers, and what carries it.
const OVERHEAD: u64 = 96;

/// A path that is squeezed holds so many bytes at least.
const LEAST_BUFFER: u64 = 256;

/// The first time after which something that an outage has lost is sent again, at most.
const OUTAGE_ENDS: u64 = 1_000_000_000;

/// Wake-ups between a dead link and the next one: pings, retry, dial, handshake, twice over.
const RECONNECT_WAKES: u64 = 16;

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn scaled(value: u64, times: u64, by: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(times) / u128::from(by.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// How long so many bytes take at a rate; 0 is any rate.
fn transfer(bytes: u64, rate: u64) -> u64 {
    if rate == 0 { 0 } else { scaled(bytes, 1_000_000_000, rate) }
}

/// Nanoseconds after the healing within which every pair of the core is connected, on both
/// sides:
///
/// ```text
/// ( detection + running attempt + retry spacing + handshake [+ duplicate] ) / slowest clock
///     + 16 wake-ups, 2 of an application + 12 latencies + the bytes of a handshake + 2 ticks
///
/// detection        silence + ping_interval (20 s + 10 s); if a byte of the core's was changed,
///                  pong_silence + ping_interval (60 s + 10 s): a length that was changed
///                  swallows what follows, and bytes that arrive are life
/// running attempt  dial + dialler_handshake (2 s + 2 s)
/// retry spacing    retry_max (2 s)
/// handshake        acceptor_handshake (4 s)
/// duplicate        duplicate_retry + retry_max (10 s + 2 s), if a second process has the name
///                  of a node
/// ```
pub fn heal_bound(script: &Script, timings: &Timings) -> u64 {
    let faults = || {
        script.lines.iter().filter_map(|line| match &line.deed {
            crate::script::Deed::Fault(fault) => Some(fault),
            _ => None,
        })
    };
    let corrupts =
        |fault: &Fault| matches!(fault, Fault::Damage { damage, .. } if damage.is_corruption());
    let twins = |fault: &Fault| matches!(fault, Fault::Twin { .. });
    let detection = detection(timings, faults().any(corrupts));
    let mut clock = detection
        + timings.dial
        + timings.dialler_handshake
        + timings.retry_max
        + timings.acceptor_handshake;
    if faults().any(twins) {
        clock += timings.duplicate_retry + timings.retry_max;
    }
    let knobs = &script.knobs;
    scaled(nanos(clock), NOMINAL, slowest(knobs))
        .saturating_add(RECONNECT_WAKES * (knobs.slack + knobs.grain))
        .saturating_add(2 * knobs.laziness)
        .saturating_add(12 * knobs.latency.1)
        .saturating_add(transfer(HANDSHAKE_BYTES, knobs.rate))
        .saturating_add(TICKS)
}

fn detection(timings: &Timings, corrupted: bool) -> Duration {
    let silence = if corrupted { timings.pong_silence } else { timings.silence };
    silence.max(timings.silence) + timings.ping_interval
}

fn slowest(knobs: &Knobs) -> u64 {
    NOMINAL.saturating_sub(knobs.drift).max(1)
}

/// Whether a fault concerns a node.
fn touches_node(fault: &Fault, node: usize) -> bool {
    match fault {
        Fault::Crash { node: whose, .. }
        | Fault::Pause { node: whose, .. }
        | Fault::Jump { node: whose, .. }
        | Fault::Skew { node: whose, .. }
        | Fault::Rate { node: whose, .. }
        | Fault::Shutdown { node: whose, .. }
        | Fault::Twin { node: whose, .. } => *whose == node,
        _ => false,
    }
}

/// Whether a fault concerns what travels between two nodes, or one of them.
fn touches(fault: &Fault, one: usize, other: usize) -> bool {
    match fault {
        Fault::Reset { one: a, other: b, .. }
        | Fault::Damage { from: a, to: b, .. }
        | Fault::Stall { from: a, to: b, .. }
        | Fault::Dial { from: a, to: b, .. }
        | Fault::Squeeze { from: a, to: b, .. }
        | Fault::Narrow { from: a, to: b, .. }
        | Fault::Outage { one: a, other: b, .. }
        | Fault::Panic { node: a, peer: b, .. }
        | Fault::Remove { node: a, peer: b, .. } => {
            (*a, *b) == (one, other) || (*a, *b) == (other, one)
        }
        Fault::Partition { group, .. } => group.contains(&one) != group.contains(&other),
        _ => touches_node(fault, one) || touches_node(fault, other),
    }
}

/// The times of one run.
#[derive(Debug)]
pub(super) struct Bounds<'a> {
    evidence: &'a Evidence,
    knobs: &'a Knobs,
}

impl<'a> Bounds<'a> {
    pub(super) fn new(evidence: &'a Evidence) -> Self {
        Self { evidence, knobs: &evidence.script.knobs }
    }

    // ---- clocks ----

    fn rates(&self, node: usize, from: u64) -> impl Iterator<Item = u64> {
        // Clocks outside the core are not healed.
        let stays = !self.evidence.script.core.contains(&node);
        self.evidence.faults().filter_map(move |(fault, fired)| match fault {
            Fault::Rate { node: whose, rate, .. }
                if *whose == node && (stays || fired.until >= from) =>
            {
                Some(*rate)
            }
            _ => None,
        })
    }

    /// The longest that a node's clock takes for so many of its nanoseconds, from a time on.
    fn real(&self, node: usize, from: u64, clock: u64) -> u64 {
        let rate = self.rates(node, from).fold(slowest(self.knobs), u64::min);
        scaled(clock.saturating_add(self.knobs.grain).saturating_add(TICKS), NOMINAL, rate)
    }

    /// The most that a node's clock can have moved between two times.
    pub(super) fn most_clock(&self, node: usize, from: u64, to: u64) -> u64 {
        let rate = self.rates(node, from).fold(NOMINAL.saturating_add(self.knobs.drift), u64::max);
        let jumps = self.evidence.faults().filter_map(|(fault, fired)| match fault {
            Fault::Jump { node: whose, ahead }
                if *whose == node && (from..=to).contains(&fired.at) =>
            {
                Some(*ahead)
            }
            _ => None,
        });
        jumps
            .fold(scaled(to.saturating_sub(from), rate, NOMINAL), u64::saturating_add)
            .saturating_add(self.knobs.grain)
    }

    /// The least that it can have moved.
    fn least_clock(&self, node: usize, from: u64, to: u64) -> u64 {
        let rate = self.rates(node, from).fold(slowest(self.knobs), u64::min);
        scaled(to.saturating_sub(from), rate, NOMINAL).saturating_sub(self.knobs.grain)
    }

    /// By how much one node's clock can have gained on another one's between two times.
    pub(super) fn gain(&self, node: usize, on: usize, from: u64, to: u64) -> u64 {
        self.most_clock(node, from, to).saturating_sub(self.least_clock(on, from, to))
    }

    /// How long something takes at most that a node's clock calls so long, with so many wake-ups
    /// of tasks in between, if it is not stopped meanwhile.
    pub(super) fn span(&self, node: usize, clock: u64, wakes: u64) -> u64 {
        let late = wakes.saturating_mul(self.knobs.slack.saturating_add(self.knobs.laziness));
        self.real(node, 0, clock).saturating_add(late)
    }

    // ---- wake-ups ----

    fn pauses(&self, node: usize) -> Vec<Fired> {
        let mut pauses: Vec<_> = self
            .evidence
            .faults()
            .filter(
                |(fault, _)| matches!(fault, Fault::Pause { node: whose, .. } if *whose == node),
            )
            .map(|(_, fired)| fired)
            .collect();
        pauses.sort_by_key(|pause| pause.at);
        pauses
    }

    /// Whether a node was stopped at a time.
    pub(super) fn is_paused(&self, node: usize, at: u64) -> bool {
        self.pauses(node).iter().any(|pause| (pause.at..=pause.until).contains(&at))
    }

    /// The earliest time of what the application of a node has seen at a time, if it sees things so
    /// late at most while it is not stopped.
    pub(super) fn learned_from(&self, node: usize, at: u64, late: u64) -> u64 {
        let early = at.saturating_sub(late);
        let pauses = self.pauses(node);
        let stopped = pauses.iter().filter(|pause| pause.at <= at && pause.until >= early);
        stopped.map(|pause| pause.at.saturating_sub(late)).fold(early, u64::min)
    }

    /// Nanoseconds by a node's clock, at least, in which it could not run between two times: it was
    /// stopped, or its clock has jumped over them. Those until its next timer are not among them,
    /// and no time of less than `shortest`.
    pub(super) fn spared(&self, node: usize, from: u64, to: u64, shortest: u64) -> u64 {
        let rate = self.rates(node, from).fold(slowest(self.knobs), u64::min);
        let mut stops = Vec::<(u64, u64)>::new();
        for pause in self.pauses(node).iter().filter(|pause| (from..=to).contains(&pause.at)) {
            match stops.last_mut().filter(|(_, end)| pause.at <= *end) {
                // The first end of two is that of both.
                Some((_, end)) => *end = pause.until.min(*end),
                None => stops.push((pause.at, pause.until.min(to))),
            }
        }
        let stops = stops.into_iter().map(|(at, until)| scaled(until - at, rate, NOMINAL));
        let jumps = self.evidence.faults().filter_map(|(fault, fired)| match fault {
            Fault::Jump { node: whose, ahead } if *whose == node => {
                (from..=to).contains(&fired.at).then_some(*ahead)
            }
            _ => None,
        });
        let counted = nanos(self.evidence.timings.ping_interval)
            .saturating_add(shortest)
            .saturating_add(self.knobs.slack)
            .saturating_add(self.knobs.grain);
        let spared = |stop: u64| stop.saturating_sub(counted);
        stops.chain(jumps).map(spared).fold(0, u64::saturating_add)
    }

    /// When a node must have done what its clock calls for `clock` nanoseconds after `from`, with
    /// so many wake-ups of tasks in between: timers are `slack` late, applications `laziness`,
    /// and a node that is stopped goes on where it was.
    pub(super) fn by(&self, node: usize, from: u64, clock: u64, wakes: u64) -> u64 {
        let late = wakes.saturating_mul(self.knobs.slack.saturating_add(self.knobs.laziness));
        let mut due = from.saturating_add(self.real(node, from, clock)).saturating_add(late);
        for pause in self.pauses(node) {
            if pause.until >= from && pause.at <= due {
                due = due.max(pause.until.saturating_add(late).saturating_add(TICKS));
            }
        }
        due
    }

    /// When a node must have learned that a peer which it hears nothing of since `from` is gone.
    /// Time in which it was stopped does not count.
    /// As [`by`](Self::by), for one whose rests follow one another: after a pause the next of them
    /// only begins.
    pub(super) fn by_turns(&self, node: usize, from: u64, clock: u64, lag: u64, wakes: u64) -> u64 {
        let due = self.by(node, from, clock.saturating_add(lag), wakes);
        let stopped = |pause: &Fired| pause.at <= due && pause.until >= from;
        match self.pauses(node).iter().any(stopped) {
            true => self.by(node, due, lag, wakes),
            false => due,
        }
    }

    fn detected(&self, node: usize, from: u64) -> u64 {
        let detection = detection(&self.evidence.timings, false);
        let mut due = self.by(node, from, nanos(detection), 6);
        for pause in self.pauses(node) {
            if pause.until >= from && pause.at <= due {
                due = due.saturating_add(pause.until.saturating_sub(pause.at.max(from)));
            }
        }
        due
    }

    // ---- paths ----

    /// All bytes that the script can have two nodes send each other.
    pub(super) fn traffic(&self, one: usize, other: usize) -> u64 {
        let between = |call: &&Call| {
            (call.from, call.to) == (one, other) || (call.from, call.to) == (other, one)
        };
        self.evidence
            .script
            .calls()
            .filter(between)
            .map(call_bytes)
            .fold(HANDSHAKE_BYTES, u64::saturating_add)
    }

    /// How long a message takes at most where nothing is wrong, whatever is queued before it.
    pub(super) fn delivery(&self, one: usize, other: usize) -> u64 {
        self.delivery_at(one, other, self.knobs.rate, self.knobs.buffer)
    }

    fn delivery_at(&self, one: usize, other: usize, rate: u64, buffer: u64) -> u64 {
        let Knobs { latency: (_, latency), slack, .. } = *self.knobs;
        let traffic = self.traffic(one, other);
        let turns = 2 + 2 * traffic / buffer.max(1);
        // The links of ours are not lazy; all tasks of other nodes are.
        let is_ours = |node: usize| self.evidence.script.nodes.get(node) == Some(&NodeKind::Ours);
        let lazy = if is_ours(one) && is_ours(other) { 0 } else { self.knobs.laziness };
        latency
            .saturating_add(lazy)
            .saturating_mul(turns)
            .saturating_add(transfer(traffic, rate))
            .saturating_add(slack.saturating_mul(2))
            .saturating_add(TICKS)
    }

    /// The same on a path that was squeezed or narrow; 0 if it never was.
    fn squeezed_delivery(&self, one: usize, other: usize) -> u64 {
        let squeezed = self.evidence.faults().filter_map(|(fault, _)| match fault {
            Fault::Squeeze { rate, .. } if touches(fault, one, other) => {
                Some((*rate, LEAST_BUFFER))
            }
            Fault::Narrow { rate, buffer, .. } if touches(fault, one, other) => {
                Some((*rate, *buffer))
            }
            _ => None,
        });
        let delivery = |(rate, buffer)| self.delivery_at(one, other, rate, buffer);
        squeezed.map(delivery).max().unwrap_or(0)
    }

    /// How long what a node writes takes at most, behind all that the way holds and the largest message,
    /// if the way is slow and nothing else is wrong until a time.
    pub(super) fn carries(&self, from: usize, to: usize, until: u64) -> u64 {
        let pair = [from, to];
        let calls = self.evidence.script.calls();
        let between = calls.filter(|call| pair.contains(&call.from) && pair.contains(&call.to));
        let largest = between.map(largest_message).max().unwrap_or(0);
        let Knobs { latency: (_, latency), slack, laziness, .. } = *self.knobs;
        let turn = latency.saturating_add(laziness).saturating_add(slack).max(1);
        let over = |rate: u64, buffer: u64| {
            let flow = scaled(buffer, 1_000_000_000, turn).max(1);
            let rate = if rate == 0 { flow } else { rate.min(flow) };
            turn.saturating_add(transfer(buffer.saturating_add(largest), rate))
        };
        let slow = self.evidence.faults().filter_map(|(fault, fired)| match *fault {
            _ if fired.at > until => None,
            Fault::Squeeze { from: a, to: b, rate, .. } => {
                ((a, b) == (from, to)).then(|| over(rate, self.knobs.buffer))
            }
            Fault::Narrow { from: a, to: b, rate, buffer, .. } => {
                ((a, b) == (from, to)).then(|| over(rate, buffer))
            }
            _ => None,
        });
        slow.fold(over(self.knobs.rate, self.knobs.buffer), u64::max)
    }

    /// Whether a fault other than a slow way can be felt between two nodes within some time.
    pub(super) fn is_more_than_slow(&self, one: usize, other: usize, from: u64, to: u64) -> bool {
        let slow = |fault: &Fault| matches!(fault, Fault::Narrow { .. } | Fault::Squeeze { .. });
        let mut trouble = self.trouble_but(one, other, slow);
        trouble.any(|(begin, end)| begin <= to && end >= from)
    }

    /// Whether a node was stopped within some time, or its clock has jumped.
    pub(super) fn was_stopped(&self, node: usize, from: u64, to: u64) -> bool {
        self.evidence.faults().any(|(fault, fired)| {
            let is_stop = match fault {
                Fault::Pause { node: whose, .. } | Fault::Jump { node: whose, .. } => {
                    *whose == node
                }
                _ => false,
            };
            is_stop && fired.at <= to && fired.until >= from
        })
    }

    /// From when to when a fault can be felt between two nodes.
    fn trouble(&self, one: usize, other: usize) -> impl Iterator<Item = (u64, u64)> {
        self.trouble_but(one, other, |_| false)
    }

    /// The same of faults for which `except` is false.
    fn trouble_but(
        &self,
        one: usize,
        other: usize,
        except: impl Fn(&Fault) -> bool,
    ) -> impl Iterator<Item = (u64, u64)> {
        let is = move |fault: &Fault| touches(fault, one, other) && !except(fault);
        let touching = self.evidence.faults().filter(move |(fault, _)| is(fault));
        let touching = touching.map(move |(fault, fired)| {
            let until = match fault {
                // What it does, it does to a connection, for as long as that lasts.
                Fault::Squeeze { .. } | Fault::Narrow { .. } | Fault::Damage { .. } => {
                    self.last_end(one, other, fired)
                }
                // What is lost is sent again after twice the time each time.
                Fault::Outage { lasts, .. } => {
                    fired.at.saturating_add(lasts.saturating_mul(2)).saturating_add(OUTAGE_ENDS)
                }
                Fault::Stall { lasts, .. } | Fault::Reset { late: lasts, .. } => {
                    fired.at.saturating_add(*lasts)
                }
                _ => fired.until,
            };
            (fired.at, until.max(fired.until))
        });
        // After the healing, nodes outside the core are dead or cut off for good: who had a link
        // with one finds out.
        let heal = self.evidence.phases.heal;
        let core = &self.evidence.script.core;
        let is_lost = !core.contains(&one) || !core.contains(&other);
        touching.chain(is_lost.then_some([(heal, heal), (heal, u64::MAX)]).into_iter().flatten())
    }

    /// When the last of the connections that were open during a fault was over at both ends.
    fn last_end(&self, one: usize, other: usize, fired: Fired) -> u64 {
        let over = |broken: [Option<u64>; 2]| {
            broken.into_iter().map(|end| end.unwrap_or(u64::MAX)).max().unwrap_or(u64::MAX)
        };
        self.evidence
            .between(one, other)
            .filter(|(life, _)| life.opened_at <= fired.until && over(life.broken_at) >= fired.at)
            .map(|(life, _)| over(life.broken_at))
            .max()
            .unwrap_or(fired.until)
    }

    /// Whether a fault can be felt between two nodes, or by one of them, within some time.
    pub(super) fn is_troubled(&self, one: usize, other: usize, from: u64, to: u64) -> bool {
        self.trouble(one, other).any(|(begin, end)| begin <= to && end >= from)
    }

    /// Whether two nodes have one connection all the time, both see it, and no fault is near.
    pub(super) fn is_calm(&self, one: usize, other: usize, from: u64, to: u64) -> bool {
        let within = |at: u64| (from..=to).contains(&at);
        let steady = self.evidence.between(one, other).all(|(life, _)| {
            !within(life.opened_at) && !life.broken_at.iter().flatten().any(|at| within(*at))
        });
        let up = |node, peer| {
            let changes = self.evidence.views_of(node, peer).any(|view| within(view.at));
            !changes && self.evidence.is_up(node, peer, from)
        };
        steady && up(one, other) && up(other, one) && !self.is_troubled(one, other, from, to)
    }

    /// When a message of `from` that leaves at `at` must have come to `to`, or `to` must have lost
    /// the link: at once where it is calm, else a detection after the last trouble.
    pub(super) fn told_by(&self, from: usize, to: usize, at: u64) -> u64 {
        let delivery = self.delivery(from, to);
        let calm = self.by(from, at, 0, 1).saturating_add(delivery);
        if self.is_calm(from, to, at, calm) {
            return calm;
        }
        let delivery = delivery.saturating_add(self.squeezed_delivery(from, to));
        let mut due = self.detected(to, calm).saturating_add(delivery);
        let mut trouble: Vec<_> = self.trouble(from, to).collect();
        trouble.sort_unstable();
        for (begin, end) in trouble {
            if begin <= due && end >= at && end != u64::MAX {
                due = due.max(self.detected(to, end).saturating_add(delivery));
            }
        }
        due
    }

    /// Whether a byte between two nodes was changed, taken out or put in before a time.
    pub(super) fn is_corrupted(&self, one: usize, other: usize, by: u64) -> bool {
        self.evidence.corruptions(one, other).any(|at| at <= by)
    }

    /// Whether the machine of a link of these two, at either end, may have panicked between two
    /// times: it was told to, and one has.
    pub(super) fn may_have_panicked(&self, one: usize, other: usize, from: u64, to: u64) -> bool {
        let panics = |fault: &Fault| matches!(fault, Fault::Panic { .. });
        let told = self.has_come(to, |fault| panics(fault) && touches(fault, one, other));
        told && self.evidence.inside.bugs.iter().any(|at| (from..=to).contains(at))
    }

    /// Whether a fault of some kind has come before a time.
    pub(super) fn has_come(&self, by: u64, is: impl Fn(&Fault) -> bool) -> bool {
        self.evidence.faults().any(|(fault, fired)| fired.at <= by && is(fault))
    }
}

/// All bytes of a call, both ways.
pub(super) fn call_bytes(call: &Call) -> u64 {
    let items = |count: u32, size: u32| u64::from(count) * (u64::from(size) + 2 * OVERHEAD);
    let request = u64::from(call.size.unwrap_or(0));
    // A stream without items gives one result.
    let result = match call.route.gives_items() {
        true => 0,
        false => u64::from(call.plan.item_size),
    };
    result
        + 2 * (request + 8 * OVERHEAD)
        + items(call.plan.items, call.plan.item_size)
        + items(call.input.items, call.input.size)
}

/// The bytes of the largest message of a call.
fn largest_message(call: &Call) -> u64 {
    let sizes = [call.size.unwrap_or(0), call.plan.item_size, call.input.size];
    sizes.into_iter().map(u64::from).max().unwrap_or(0).saturating_add(OVERHEAD)
}
