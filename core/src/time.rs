//! Monotonic time as a value: the machines never read a clock, they are told.

use std::fmt;
use std::time::Duration;

use crate::wire::Timestamp;

/// A point on a node's monotonic clock, in nanoseconds since an origin that the
/// runtime chose (typically the start of the process).
///
/// Arithmetic saturates: a clock at its very end stays there and nothing panics. The last instant
/// stands for a time that never comes, and `Debug` prints it as `never`, others as time since the
/// origin.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// The point `nanos` nanoseconds after the origin.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The point `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the origin.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self` moved forward by `duration`, at most to the end of the clock.
    #[inline]
    pub fn after(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// `self` moved back by `duration`, at most to the origin.
    pub fn before(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => f.write_str("never"),
            nanos => Duration::from_nanos(nanos).fmt(f),
        }
    }
}

/// Both clocks at one moment. Inputs that concern the link itself take it;
/// everything else needs only the [`Instant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: every timer and limit.
    pub instant: Instant,
    /// The wall clock: only what travels in Connect, upgrade and link pings
    /// (PROTOCOL.md sections 1, 2 and 4).
    pub wall: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_never_comes_is_printed_as_such() {
        let times = [Instant::ZERO, Instant::from_millis(1500), Instant::from_nanos(u64::MAX)];
        assert_eq!(format!("{times:?}"), "[0ns, 1.5s, never]");
    }
}
