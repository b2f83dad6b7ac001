//! When a write has stalled: PROTOCOL.md section 4.
//!
//! A socket becomes writable in large steps, so on a slow path seconds pass between two writes while
//! bytes leave all the time. Progress is what leaves the system, where the system tells; what it takes;
//! and what the peer answers.

use std::time::Duration;

use crate::peer::PAUSE;
use crate::time::Instant;

/// How often the system is asked what it still holds, while it takes nothing more.
const LOOK: Duration = Duration::from_millis(150);

/// A path that has shown a long gap may show another one; but no gap is waited for longer than this.
const LONGEST_GAP: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Stall {
    limit: Duration,
    last_progress: Instant,
    last_look: Instant,
    /// Bytes that were written, in all.
    written: u64,
    system: System,
    /// The longest time between two signs of progress so far.
    longest_gap: Duration,
}

/// The system's report on the bytes that it has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    /// It has not been asked.
    Unknown,
    Silent,
    /// The other end's system has acknowledged this many.
    Acknowledged(u64),
}

impl Stall {
    /// `limit` is [`Timings::write_stall`](crate::timings::Timings::write_stall).
    pub(super) const fn new(limit: Duration, now: Instant) -> Self {
        Self {
            limit,
            last_progress: now,
            last_look: now,
            written: 0,
            system: System::Unknown,
            longest_gap: Duration::ZERO,
        }
    }

    pub(super) const fn last_progress(&self) -> Instant {
        self.last_progress
    }

    /// A write begins: what was before says nothing about it.
    pub(super) fn begin(&mut self, now: Instant) {
        self.last_progress = now;
    }

    pub(super) fn on_written(&mut self, now: Instant, bytes: usize) {
        self.written += bytes as u64;
        self.progress(now);
    }

    fn progress(&mut self, now: Instant) {
        // A longer one would have been given up: it was this process that stood still.
        if now < self.given_up_at() {
            self.longest_gap = self.longest_gap.max(now.since(self.last_progress));
        }
        self.last_progress = now;
    }

    /// The peer has read something of ours.
    pub(super) fn on_answer(&mut self, now: Instant) {
        self.last_progress = now;
    }

    /// The system holds this many bytes that the other end's has not acknowledged.
    pub(super) fn on_unsent(&mut self, now: Instant, unsent: Option<usize>) {
        self.last_look = now;
        let unsent = unsent.filter(|_| !planted!(StallByReadiness));
        let Some(unsent) = unsent else {
            self.system = System::Silent;
            return;
        };
        let acknowledged = self.written.saturating_sub(unsent as u64);
        if let System::Acknowledged(before) = self.system
            && acknowledged > before
        {
            self.progress(now);
        }
        self.system = System::Acknowledged(acknowledged);
    }

    /// When a write that makes no progress is given up. A system that tells is believed for longer:
    /// after an outage of under 3 s, the retransmission that ends it may come 3.2 s after it began, and
    /// a receiver of 16 KiB that takes 5 KiB/s opens its window every 3.6 s.
    fn given_up_at(&self) -> Instant {
        let limit = match self.system {
            System::Acknowledged(_) => {
                let again = (self.longest_gap * 2).min(LONGEST_GAP);
                (self.limit * 19 / 15).max(again)
            }
            System::Unknown | System::Silent => self.limit,
        };
        self.last_progress.after(limit)
    }

    /// When to tell what the system holds, and then to call [`Self::handle_timeout`], while a write
    /// waits.
    pub(super) fn poll_timeout(&self) -> Instant {
        let look_at = self.last_look.max(self.last_progress).after(LOOK);
        match self.system {
            System::Silent => self.given_up_at(),
            System::Unknown | System::Acknowledged(_) => self.given_up_at().min(look_at),
        }
    }

    /// A write waits, and time has passed; `true` if it is to be given up.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.system == System::Unknown && now >= self.poll_timeout() {
            // The driver does not report it.
            self.system = System::Silent;
        }
        let given_up_at = self.given_up_at();
        if now < given_up_at {
            return false;
        }
        if now.since(given_up_at) < PAUSE {
            return true;
        }
        // It was this process that stood still, and the transport may take bytes now.
        self.last_progress = now;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(3);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    /// Looks every quarter of a second at a system that holds `unsent(ms)` bytes of a million, and
    /// says when the write is given up, until a minute has passed.
    fn given_up(unsent: impl Fn(u64) -> Option<usize>) -> Option<u64> {
        let mut stall = Stall::new(LIMIT, at(0));
        stall.on_written(at(0), 1_000_000);
        let mut now = at(0);
        while now < at(60_000) {
            now = stall.poll_timeout();
            let ms = now.as_nanos() / 1_000_000;
            stall.on_unsent(now, unsent(ms));
            if stall.handle_timeout(now) {
                return Some(ms);
            }
        }
        None
    }

    #[test]
    fn a_peer_that_takes_nothing_is_given_up_within_four_seconds() {
        assert_eq!(given_up(|_| None), Some(3000));
        assert_eq!(given_up(|_| Some(1_000_000)), Some(3800));
        // The last byte leaves just after a look.
        let stops = |ms: u64| Some(1_000_000 - ms.min(10_060) as usize);
        assert!(given_up(stops).is_some_and(|ms| (13_860..14_060).contains(&ms)));
    }

    #[cfg(feature = "planted")]
    #[test]
    fn a_socket_that_takes_nothing_for_seconds_has_not_stalled_while_bytes_leave() {
        use crate::planted::{Bug, plant};

        let scene = |bug| {
            plant(bug);
            let given_up = given_up(|ms| Some(1_000_000 - ms as usize));
            plant(None);
            given_up
        };
        assert_eq!((scene(None), scene(Some(Bug::StallByReadiness))), (None, Some(3000)));
    }

    #[test]
    fn a_write_whose_bytes_leave_is_not_given_up_however_slowly() {
        assert_eq!(given_up(|ms| Some(1_000_000 - (ms / 3000) as usize)), None);
        assert_eq!(given_up(|ms| Some(1_000_000 - (ms / 3500) as usize * 16_384)), None);
    }

    #[test]
    fn a_path_that_was_slow_may_be_slower_and_is_given_up_in_the_end() {
        let slower =
            |ms: u64| Some(1_000_000 - [3500, 9000, 16_000].iter().filter(|at| ms >= **at).count());
        assert!(given_up(slower).is_some_and(|ms| (25_000..26_500).contains(&ms)));
    }

    #[test]
    fn the_time_in_which_this_process_stood_still_is_no_gap_of_the_path() {
        let mut stall = Stall::new(LIMIT, at(0));
        stall.on_written(at(0), 1000);
        stall.on_unsent(at(150), Some(1000));
        stall.on_written(at(60_000), 1000);
        stall.on_unsent(at(60_150), Some(2000));
        assert!(!stall.handle_timeout(at(63_799)));
        assert!(stall.handle_timeout(at(63_800)));
    }

    #[test]
    fn an_answer_of_the_peer_is_progress() {
        for system in [None, Some(1000)] {
            let mut stall = Stall::new(LIMIT, at(0));
            stall.on_written(at(0), 1000);
            stall.on_unsent(at(250), system);
            stall.on_answer(at(2000));
            assert!(!stall.handle_timeout(at(4999)));
            assert!(stall.handle_timeout(at(5800)));
        }
    }
}
