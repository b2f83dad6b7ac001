//! Link pings and what their absence means: PROTOCOL.md sections 4 and 7.6.

use std::collections::VecDeque;
use std::time::Duration;

use super::backlog::Backlog;
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

/// A ping that was sent.
#[derive(Debug)]
struct Sent {
    /// Its pong echoes this.
    time: Timestamp,
    at: Instant,
    /// The batches below this number left before it, so the peer has read them when it answers.
    behind: u64,
}

/// How far our ping is on its way, for the oldest one without an answer.
#[derive(Debug, PartialEq, Eq)]
enum Asking {
    /// All are answered.
    Nothing,
    /// It waits in the outbox.
    Queued,
    /// It is being written.
    Leaving,
    /// The transport has taken it, and all of the link's bytes up to this number.
    Written { end: u64 },
    /// The peer's system has it.
    Arrived,
}

#[derive(Debug)]
pub(crate) struct Liveness {
    next_ping: Instant,
    last_received: Instant,
    last_pong: Option<Instant>,
    /// Since when the peer could have answered and has not.
    waiting_since: Instant,
    asking: Asking,
    sent: VecDeque<Sent>,
    round_trip: Option<Duration>,
    backlog: Backlog,
}

impl Liveness {
    pub(crate) fn new(now: Instant, timings: &Timings) -> Self {
        Self {
            next_ping: now.after(timings.ping_interval),
            last_received: now,
            last_pong: None,
            waiting_since: now,
            asking: Asking::Nothing,
            sent: VecDeque::new(),
            round_trip: None,
            backlog: Backlog::new(now, timings.ping_interval),
        }
    }

    pub(crate) const fn next_ping(&self) -> Instant {
        self.next_ping
    }

    pub(crate) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(crate) fn last_pong(&self, now: Instant) -> Option<Duration> {
        self.last_pong.map(|at| now.since(at))
    }

    /// The last time at which the peer's queue was known to be empty.
    pub(crate) fn drained_at(&self, now: Instant) -> Instant {
        self.backlog.drained_at(now)
    }

    /// Bytes count as life, not whole messages.
    pub(crate) fn on_received(&mut self, now: Instant, within_message: bool) {
        self.last_received = self.last_received.max(now);
        self.backlog.on_bytes(now, within_message);
    }

    /// A message that is no link ping or pong.
    pub(crate) fn on_other(&mut self, now: Instant) {
        self.backlog.on_other(now);
    }

    pub(crate) fn on_link_message(&mut self, now: Instant) {
        self.backlog.on_link_message(now);
    }

    /// The peer has answered something of ours: it reads.
    pub(crate) fn on_answer(&mut self, now: Instant) {
        self.waiting_since = now;
        if matches!(self.asking, Asking::Written { .. } | Asking::Arrived) {
            self.asking = Asking::Nothing;
        }
    }

    /// A Pong that echoes `time`; only a time that we sent says how long it took. Gives the number of
    /// the first batch that may have left behind its ping.
    pub(crate) fn on_pong(&mut self, now: Instant, time: Timestamp) -> Option<u64> {
        self.last_pong = Some(now);
        self.on_answer(now);
        let at = self.sent.iter().position(|sent| sent.time == time)?;
        let sent = self.sent.drain(..=at).next_back()?;
        self.round_trip = Some(now.since(sent.at));
        Some(sent.behind)
    }

    /// Our ping has been handed out, behind the batches below this number.
    pub(crate) fn on_ping_leaving(&mut self, behind: u64) {
        if let Some(newest) = self.sent.back_mut() {
            newest.behind = behind;
        }
        if self.asking == Asking::Queued {
            self.asking = Asking::Leaving;
        }
    }

    /// All that was handed out has been written, `bytes` on this link so far.
    pub(crate) fn on_written(&mut self, bytes: u64) {
        if self.asking == Asking::Leaving {
            self.asking = Asking::Written { end: bytes };
        }
    }

    /// The ping tick. `acknowledged`: so many of the link's bytes have arrived at the peer's system,
    /// if ours tells.
    pub(crate) fn tick(
        &mut self,
        now: Now,
        acknowledged: Option<u64>,
        timings: &Timings,
    ) -> Verdict {
        if age(now.instant, self.last_received) > timings.silence {
            return Verdict::Silent;
        }
        if let Asking::Written { end } = self.asking
            && acknowledged.is_none_or(|bytes| bytes >= end)
        {
            self.asking = Asking::Arrived;
        }
        if !matches!(self.asking, Asking::Nothing | Asking::Arrived) {
            // It has not been asked yet.
            self.waiting_since = now.instant;
        }
        let waited = age(now.instant, self.waiting_since);
        if waited >= timings.pong_silence && self.backlog.idle_at(now.instant) > self.waiting_since
        {
            return Verdict::NoAnswer;
        }
        self.next_ping = now.instant.after(timings.ping_interval);
        if self.sent.len() == OUTSTANDING {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { time: now.wall, at: now.instant, behind: 0 });
        if self.asking == Asking::Nothing {
            self.asking = Asking::Queued;
        }
        Verdict::Ping(now.wall)
    }

    #[cfg(feature = "planted")]
    pub(crate) fn postpone_ping(&mut self, now: Instant, timings: &Timings) {
        self.next_ping = now.after(timings.ping_interval);
    }

    /// Time during which this node could not run does not count as the peer's silence.
    pub(crate) fn forgive(&mut self, now: Instant, lost: Duration) {
        self.last_received = self.last_received.after(lost).min(now);
        self.waiting_since = self.waiting_since.after(lost).min(now);
    }
}

fn age(now: Instant, then: Instant) -> Duration {
    let age = now.since(then);
    if planted!(AgeInWrongUnit) { Duration::from_millis(age.as_secs()) } else { age }
}
