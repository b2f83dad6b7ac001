//! Link pings and what their absence means: PROTOCOL.md sections 4 and 7.6.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::{Instant, Now};
use crate::timings::Timings;
use crate::wire::Timestamp;

/// Pings whose pong may still come: what fits the 60 s without a Pong, and some.
const OUTSTANDING: usize = 16;

/// What a ping tick decides.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send a Ping with this time.
    Ping(Timestamp),
    /// Nothing was received for longer than the silence limit.
    Silent,
    /// Bytes arrive, but no Pong does.
    NoAnswer,
}

#[derive(Debug)]
pub(crate) struct Liveness {
    next_ping: Instant,
    last_received: Instant,
    last_pong: Instant,
    ponged: bool,
    outstanding: VecDeque<(Timestamp, Instant)>,
    round_trip: Option<Duration>,
}

impl Liveness {
    pub(crate) fn new(now: Instant, timings: &Timings) -> Self {
        Self {
            next_ping: now.after(timings.ping_interval),
            last_received: now,
            last_pong: now,
            ponged: false,
            outstanding: VecDeque::new(),
            round_trip: None,
        }
    }

    pub(crate) const fn next_ping(&self) -> Instant {
        self.next_ping
    }

    pub(crate) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(crate) fn last_pong(&self, now: Instant) -> Option<Duration> {
        self.ponged.then(|| now.since(self.last_pong))
    }

    /// Bytes count as life, not whole messages.
    pub(crate) fn on_received(&mut self, now: Instant) {
        self.last_received = self.last_received.max(now);
    }

    /// A Pong that echoes `time`; only a time that we sent says how long it took.
    pub(crate) fn on_pong(&mut self, now: Instant, time: Timestamp) {
        self.last_pong = now;
        self.ponged = true;
        if let Some(at) = self.outstanding.iter().position(|(sent, _)| *sent == time) {
            self.round_trip = Some(now.since(self.outstanding[at].1));
            self.outstanding.drain(..=at);
        }
    }

    /// The ping tick.
    pub(crate) fn tick(&mut self, now: Now, timings: &Timings) -> Verdict {
        if age(now.instant, self.last_received) > timings.silence {
            return Verdict::Silent;
        }
        if age(now.instant, self.last_pong) >= timings.pong_silence {
            return Verdict::NoAnswer;
        }
        self.next_ping = now.instant.after(timings.ping_interval);
        if self.outstanding.len() == OUTSTANDING {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back((now.wall, now.instant));
        Verdict::Ping(now.wall)
    }

    #[cfg(feature = "planted")]
    pub(crate) fn postpone_ping(&mut self, now: Instant, timings: &Timings) {
        self.next_ping = now.after(timings.ping_interval);
    }

    /// Time during which this node could not run does not count as the peer's silence.
    pub(crate) fn forgive(&mut self, now: Instant, lost: Duration) {
        self.last_received = self.last_received.after(lost).min(now);
        self.last_pong = self.last_pong.after(lost).min(now);
    }
}

fn age(now: Instant, then: Instant) -> Duration {
    let age = now.since(then);
    if planted!(AgeInWrongUnit) { Duration::from_millis(age.as_secs()) } else { age }
}
