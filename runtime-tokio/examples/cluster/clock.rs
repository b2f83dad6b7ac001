//! One monotonic clock for all nodes, whether they are threads or processes of a machine: their
//! holds are compared by it.

use gridmux_tokio::driver::runtime::Clock;
use gridmux_tokio::time::Instant;

/// The machine's monotonic clock, the same in every process.
#[cfg(unix)]
pub(crate) fn now() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Instant::from_nanos(seconds * 1_000_000_000 + nanos)
}

/// The system time, for want of a monotonic clock that processes share.
#[cfg(not(unix))]
pub(crate) fn now() -> Instant {
    use std::time::{SystemTime, UNIX_EPOCH};
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// What this clock shows when a runtime's own shows `at`; earlier by what passes between two
/// looks at clocks, and never later.
pub(crate) fn shared<C: Clock>(own: &C, at: Instant) -> Instant {
    let (shared, own) = (now(), own.instant());
    shared.after(at.since(own)).before(own.since(at))
}
