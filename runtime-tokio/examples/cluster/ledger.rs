//! Who held which lock when, told by the holders: the lock service is judged by this alone.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use gridmux_tokio::time::Instant;
use serde::{Deserialize, Serialize};

use crate::locks::Mode;

/// Holds that ended longer ago than this are forgotten: none that began before them is open.
const REMEMBER: Duration = Duration::from_secs(120);

/// A time of a clock that all holders share, in nanoseconds. The last one stands for never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct At(u64);

impl From<Instant> for At {
    fn from(instant: Instant) -> Self {
        Self(instant.as_nanos())
    }
}

impl From<At> for Instant {
    fn from(at: At) -> Self {
        Self::from_nanos(at.0)
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Instant::from(*self).fmt(f)
    }
}

/// What a holder says about one hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HoldEvent {
    /// Said before the holder acts.
    Begin { hold: u64, lock: String, mode: Mode, start: At, until: At },
    /// The lock was refreshed.
    Extend { hold: u64, until: At },
    /// Said before the lock is given back.
    End { hold: u64, end: At },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Hold {
    holder: u64,
    lock: String,
    mode: Mode,
    start: Instant,
    /// The end, or until when the holder has said it believes.
    end: Instant,
}

impl Hold {
    fn excludes(&self, other: &Self) -> bool {
        let apart = self.end <= other.start || other.end <= self.start;
        let share = self.mode == Mode::Read && other.mode == Mode::Read;
        !apart && !share
    }
}

/// All holds of all nodes. A pair of holds is judged when the later of the two has ended, so it
/// does not matter in which order the nodes' words arrive.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By holder (one life of a node) and the holder's own number of the hold.
    open: BTreeMap<(u64, u64), Hold>,
    closed: BTreeMap<String, VecDeque<Hold>>,
    overlaps: u64,
    holds: u64,
}

impl Ledger {
    pub(crate) fn record(&mut self, holder: u64, event: HoldEvent) {
        match event {
            HoldEvent::Begin { hold, lock, mode, start, until } => {
                let (start, end) = (start.into(), until.into());
                self.open.insert((holder, hold), Hold { holder, lock, mode, start, end });
                self.holds += 1;
            }
            HoldEvent::Extend { hold, until } => {
                if let Some(hold) = self.open.get_mut(&(holder, hold)) {
                    hold.end = until.into();
                }
            }
            HoldEvent::End { hold, end } => {
                if let Some(mut hold) = self.open.remove(&(holder, hold)) {
                    hold.end = end.into();
                    self.close(hold);
                }
            }
        }
    }

    /// The holder is dead, at the latest since `now`: what it held it holds no longer than that,
    /// nor longer than it believed.
    pub(crate) fn gone(&mut self, holder: u64, now: Instant) {
        let open: Vec<_> =
            self.open.range((holder, 0)..=(holder, u64::MAX)).map(|e| *e.0).collect();
        for key in open {
            if let Some(mut hold) = self.open.remove(&key) {
                hold.end = hold.end.min(now);
                self.close(hold);
            }
        }
    }

    /// How many pairs of holds excluded each other and overlapped all the same.
    pub(crate) const fn overlaps(&self) -> u64 {
        self.overlaps
    }

    /// How many holds there were.
    pub(crate) const fn holds(&self) -> u64 {
        self.holds
    }

    fn close(&mut self, hold: Hold) {
        let others = self.closed.entry(hold.lock.clone()).or_default();
        for other in others.iter().filter(|other| other.excludes(&hold)) {
            tracing::error!(?hold, ?other, "WRONG: two holds of one lock overlap");
            self.overlaps += 1;
        }
        let forget = hold.end.before(REMEMBER);
        while others.front().is_some_and(|oldest| oldest.end < forget) {
            others.pop_front();
        }
        others.push_back(hold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Script(Ledger);

    impl Script {
        fn new() -> Self {
            Self(Ledger::default())
        }

        fn begin(&mut self, holder: u64, mode: Mode, start: u64, until: u64) {
            let lock = "a".to_owned();
            self.0.record(
                holder,
                HoldEvent::Begin { hold: 1, lock, mode, start: At(start), until: At(until) },
            );
        }

        fn end(&mut self, holder: u64, end: u64) {
            self.0.record(holder, HoldEvent::End { hold: 1, end: At(end) });
        }
    }

    #[test]
    fn a_hold_without_an_end_is_printed_as_such() {
        let events = [
            HoldEvent::Begin {
                hold: 1,
                lock: "a".into(),
                mode: Mode::Read,
                start: At(0),
                until: At(u64::MAX),
            },
            HoldEvent::Extend { hold: 1, until: At(1_500_000_000) },
        ];
        assert_eq!(
            format!("{events:?}"),
            "[Begin { hold: 1, lock: \"a\", mode: Read, start: 0ns, until: never }, \
             Extend { hold: 1, until: 1.5s }]"
        );
    }

    #[test]
    fn holds_one_after_the_other_are_fine() {
        let mut script = Script::new();
        script.begin(1, Mode::Write, 0, 2000);
        script.end(1, 100);
        script.begin(2, Mode::Write, 100, 2100);
        script.end(2, 200);
        assert_eq!((script.0.overlaps(), script.0.holds()), (0, 2));
    }

    #[test]
    fn an_overlap_is_seen_whatever_comes_first() {
        let mut script = Script::new();
        script.begin(2, Mode::Write, 50, 2050);
        script.end(2, 60);
        script.begin(1, Mode::Read, 0, 2000);
        script.end(1, 100);
        assert_eq!(script.0.overlaps(), 1);
    }

    #[test]
    fn readers_may_overlap() {
        let mut script = Script::new();
        script.begin(1, Mode::Read, 0, 2000);
        script.begin(2, Mode::Read, 50, 2050);
        script.end(1, 100);
        script.end(2, 100);
        assert_eq!(script.0.overlaps(), 0);
    }

    #[test]
    fn a_dead_holder_holds_until_it_died_or_believed() {
        let mut script = Script::new();
        script.begin(1, Mode::Write, 0, 2000);
        script.0.gone(1, Instant::from_nanos(500));
        script.begin(2, Mode::Write, 500, 2500);
        script.0.record(2, HoldEvent::Extend { hold: 1, until: At(3500) });
        script.0.gone(2, Instant::from_nanos(9000));
        script.begin(3, Mode::Write, 3500, 5500);
        script.end(3, 4000);
        assert_eq!(script.0.overlaps(), 0);
        script.begin(4, Mode::Write, 3499, 5499);
        script.end(4, 3500);
        assert_eq!(script.0.overlaps(), 1, "it overlaps the second only");
    }
}
