//! Whether the peer's send queue can still hold what we wait for: PROTOCOL.md sections 5.3 and 7.6.
//!
//! On a slow path a pong or the ping of a stream may wait longer than any silence, behind data or in
//! the peer's socket. Its absence says something only after the pipe from the peer was seen empty.

use std::time::Duration;

use crate::time::Instant;

/// No byte for this long, and no message begun: the system at the other end had nothing left to send.
const IDLE: Duration = Duration::from_millis(500);

/// The traffic that a link has received, and its pauses.
#[derive(Debug)]
pub(crate) struct Backlog {
    last_bytes: Instant,
    /// The last bytes ended within a message.
    within_message: bool,
    idle_at: Instant,
    /// The last link ping or pong, and the last of anything else.
    last_link_message: Instant,
    last_other: Instant,
    drained_at: Instant,
    /// How long nothing may follow a link message before the peer's queue counts as drained.
    quiet: Duration,
}

impl Backlog {
    /// A link that comes up now.
    pub(crate) fn new(now: Instant, ping_interval: Duration) -> Self {
        Self {
            last_bytes: now,
            within_message: false,
            idle_at: now,
            last_link_message: now,
            last_other: now,
            drained_at: now,
            quiet: ping_interval * 2 / 5,
        }
    }

    /// Bytes have come. Within a message, more of the same is on its way.
    pub(crate) fn on_bytes(&mut self, now: Instant, within_message: bool) {
        self.idle_at = self.idle_at(now);
        self.last_bytes = now;
        self.within_message = within_message;
        if within_message {
            self.on_other(now);
        }
    }

    /// A link ping or pong has come: it overtakes what waits in the peer's queue, so data of that
    /// queue would follow it at once.
    pub(crate) fn on_link_message(&mut self, now: Instant) {
        self.drained_at = self.drained_at(now);
        self.last_link_message = now;
    }

    /// Any other message has come.
    pub(crate) fn on_other(&mut self, now: Instant) {
        self.drained_at = self.drained_at(now);
        self.last_other = now;
    }

    /// The last time at which the pipe was idle.
    pub(crate) fn idle_at(&self, now: Instant) -> Instant {
        let idle = !self.within_message && now.since(self.last_bytes) >= IDLE;
        if idle { now } else { self.idle_at }
    }

    /// The last time at which the peer's queue was empty: a link message had come, and nothing behind it.
    pub(crate) fn drained_at(&self, now: Instant) -> Instant {
        let last = self.last_link_message;
        let drained = last > self.last_other && now.since(last) >= self.quiet;
        if drained { now } else { self.drained_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn backlog() -> Backlog {
        Backlog::new(at(0), Duration::from_secs(10))
    }

    #[test]
    fn a_pause_between_messages_is_idle_and_one_within_a_message_is_not() {
        let mut pipe = backlog();
        pipe.on_bytes(at(100), false);
        assert_eq!(pipe.idle_at(at(599)), at(0));
        assert_eq!(pipe.idle_at(at(600)), at(600));
        pipe.on_bytes(at(700), true);
        assert_eq!(pipe.idle_at(at(90_000)), at(700), "the rest of the message is under way");
        pipe.on_bytes(at(90_000), false);
        assert_eq!(pipe.idle_at(at(90_499)), at(700));
    }

    #[test]
    fn a_queue_is_drained_once_nothing_has_followed_a_link_message() {
        let mut pipe = backlog();
        pipe.on_other(at(1000));
        assert_eq!(pipe.drained_at(at(60_000)), at(0), "the peer may have been cut off since");
        pipe.on_link_message(at(60_000));
        assert_eq!(pipe.drained_at(at(63_999)), at(0));
        assert_eq!(pipe.drained_at(at(64_000)), at(64_000));
        pipe.on_other(at(70_000));
        assert_eq!(pipe.drained_at(at(99_000)), at(70_000));
        pipe.on_link_message(at(100_000));
        pipe.on_other(at(101_000));
        pipe.on_link_message(at(101_000));
        assert_eq!(pipe.drained_at(at(200_000)), at(70_000), "what came together has no order");
    }
}
