//! A node's clocks, as they follow from the time of the simulation.

/// Nanoseconds from 1970 to the beginning of every simulation: 2026-01-01.
pub(crate) const EPOCH: i128 = 1_767_225_600_000_000_000;

/// A rate of one.
pub const NOMINAL: u64 = 1_000_000;

/// The clocks of one node: a monotonic one with an origin, a rate and a grain, and a wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeClock {
    /// When the settings changed last, in simulated time, and what the clock showed then.
    since: u64,
    shown: u64,
    /// Millionths.
    rate: u64,
    /// The clock moves in steps of so many nanoseconds.
    grain: u64,
    /// What the wall clock is ahead, in nanoseconds.
    skew: i64,
}

impl NodeClock {
    /// A clock that shows `origin` at `now`.
    pub(crate) fn new(now: u64, origin: u64, rate: u64, grain: u64, skew: i64) -> Self {
        Self { since: now, shown: origin, rate: rate.max(1), grain: grain.max(1), skew }
    }

    fn exact(&self, now: u64) -> u64 {
        let passed = u128::from(now.saturating_sub(self.since)) * u128::from(self.rate);
        let passed = u64::try_from(passed / u128::from(NOMINAL)).unwrap_or(u64::MAX);
        self.shown.saturating_add(passed)
    }

    /// What the monotonic clock shows, in nanoseconds.
    pub(crate) fn monotonic(&self, now: u64) -> u64 {
        let exact = self.exact(now);
        exact - exact % self.grain
    }

    /// What the wall clock shows, in nanoseconds since 1970.
    pub(crate) fn wall(&self, now: u64) -> i128 {
        EPOCH + i128::from(now) + i128::from(self.skew)
    }

    /// When the monotonic clock will show `at` or more, in simulated time; `None` for never.
    pub(crate) fn when(&self, at: u64) -> Option<u64> {
        let at = at.checked_next_multiple_of(self.grain)?;
        let wait = u128::from(at.saturating_sub(self.shown)) * u128::from(NOMINAL);
        let wait = u64::try_from(wait.div_ceil(u128::from(self.rate))).ok()?;
        self.since.checked_add(wait)
    }

    /// The monotonic clock jumps ahead.
    pub(crate) fn jump(&mut self, now: u64, ahead: u64) {
        self.shown = self.exact(now).saturating_add(ahead);
        self.since = now;
    }

    /// The wall clock is moved, ahead or back.
    pub(crate) fn skew_by(&mut self, by: i64) {
        self.skew = self.skew.saturating_add(by);
    }

    pub(crate) const fn skew(&self) -> i64 {
        self.skew
    }

    /// The wall clock shows the right time from now on, but for so many nanoseconds.
    pub(crate) const fn set_skew(&mut self, skew: i64) {
        self.skew = skew;
    }

    /// The monotonic clock goes faster or slower from now on.
    pub(crate) fn set_rate(&mut self, now: u64, rate: u64) {
        self.shown = self.exact(now);
        self.since = now;
        self.rate = rate.max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{EPOCH, NOMINAL, NodeClock};

    #[test]
    fn a_clock_shows_a_time_exactly_when_it_said_it_would() {
        for rate in [NOMINAL, NOMINAL / 2, NOMINAL * 2, 1_100_000, 900_001] {
            for grain in [1, 1_000, 15_600_000] {
                let clock = NodeClock::new(1_000, 77, rate, grain, 0);
                for at in [78, 500, 1_000_000, 123_456_789] {
                    let when = clock.when(at).expect("it comes");
                    assert!(clock.monotonic(when) >= at, "{rate} {grain} {at}");
                    assert!(when == 1_000 || clock.monotonic(when - 1) < at, "{rate} {grain} {at}");
                }
            }
        }
    }

    #[test]
    fn a_jump_moves_what_is_due_and_never_goes_back() {
        let mut clock = NodeClock::new(0, 0, NOMINAL, 1, 0);
        assert_eq!(clock.when(10), Some(10));
        clock.jump(4, 100);
        assert_eq!(clock.monotonic(4), 104);
        assert_eq!(clock.when(10), Some(4));
        clock.set_rate(5, 2 * NOMINAL);
        assert_eq!(clock.monotonic(6), 107);
    }

    #[test]
    fn the_end_of_the_clock_is_an_end_and_no_panic() {
        let mut clock = NodeClock::new(0, u64::MAX - 5, NOMINAL, 4, i64::MAX);
        clock.skew_by(1);
        clock.jump(3, u64::MAX);
        assert!(clock.monotonic(10) > u64::MAX - 5);
        assert_eq!(clock.when(u64::MAX), None);
        assert!(clock.wall(0) > EPOCH);
    }
}
