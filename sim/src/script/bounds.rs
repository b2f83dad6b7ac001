//! What scripts may have at most, so that they come to an end, and fail only for what is wrong with
//! the machines. A script that goes beyond is refused when it is read.

use std::ops::RangeInclusive;

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;
const DAY: u64 = 86_400 * SECOND;

/// Nodes.
pub const NODES: RangeInclusive<u64> = 1..=64;

/// The latest healing: after a day, in nanoseconds.
pub const HEAL: u64 = DAY;

/// Nodes that call each other after the healing do so, and come to rest, for so long at least, in
/// nanoseconds.
pub const PROBING: u64 = 9_700 * MILLI;

/// The longest way: 250 ms. Beyond it no dial would be done in time (PROTOCOL.md section 4.1).
pub const LATENCY: u64 = 250 * MILLI;

/// The slowest path, in bytes a second, unless it takes any number.
pub const RATE: u64 = 100_000;

/// What a connection carries in a second at least, in bytes, so that handshakes are done in time.
const FLOW: u64 = 640;

/// What a connection carries at least, in bytes, in the time that a run gives its probes…
const PROBES: u64 = 24_000;

/// … which is so long, in nanoseconds…
const PROBED: u64 = 20 * SECOND;

/// … and so many of the longest ways.
const PROBED_WAYS: u64 = 800;

/// Bytes that a connection holds at least, where bytes travel for so long: it is filled once in that
/// time.
pub fn least_buffer((shortest, longest): (u64, u64)) -> u64 {
    let usual = shortest.midpoint(longest);
    let flow = (FLOW * usual).div_ceil(SECOND);
    let probes = (PROBES * usual).div_ceil(PROBED + PROBED_WAYS * longest);
    flow.max(probes).max(1)
}

/// The narrowest path, in bytes a second…
pub const NARROW: u64 = 1_000;

/// … and what it holds at least, in bytes.
pub const NARROW_BUFFER: u64 = 1_024;

/// The longest outage, in nanoseconds.
pub const OUTAGE: u64 = 10 * SECOND;

/// Timers are at most so late, in nanoseconds.
pub const SLACK: u64 = SECOND;

/// Links' tasks stay awake for at most so long, in nanoseconds: more the node itself refuses.
pub const BUSY_POLL: u64 = 10 * MILLI;

/// Tasks of applications are at most so late, in nanoseconds.
pub const LAZINESS: u64 = 10 * SECOND;

/// The largest step of a clock, in nanoseconds.
pub const GRAIN: u64 = 100 * MILLI;

/// Clocks differ in rate by half of it at most, in millionths.
pub const DRIFT: u64 = 500_000;

/// A rate that a clock may have for a while, in millionths.
pub const CLOCK_RATE: RangeInclusive<u64> = 100_000..=10_000_000;

/// What a monotonic clock may show at most but for the time that passes in a run: a hundred days before
/// its end, so that the longest deadlines are not beyond it (PROTOCOL.md section 5.1).
pub const CLOCK: u64 = u64::MAX - 100 * DAY;

/// Wall clocks are moved by a hundred years at most, in nanoseconds.
pub const SKEW: u64 = 36_525 * DAY;

/// The longest gate, in nanoseconds.
pub const GATE: u64 = 10 * SECOND;

/// The end of a connection is told a minute late at most, in nanoseconds.
pub const LATE: u64 = 60 * SECOND;

/// The longest grace of a shutdown, in nanoseconds.
pub const GRACE: u64 = 10 * SECOND;

/// Bytes that are lost or added at once.
pub const DAMAGE: RangeInclusive<u64> = 1..=1 << 20;

/// Bytes of a request, an item or a result: more than any message may have.
pub const PAYLOAD: u32 = 64 << 20;

/// Items of a stream, each way.
pub const ITEMS: u32 = 10_000;

/// A part of a million.
pub const MILLION: u64 = 1_000_000;
