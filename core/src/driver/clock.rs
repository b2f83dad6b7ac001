//! Clocks and alarms over the timers that a runtime has.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use super::runtime::Timer;
use crate::time::{Instant, Now};
use crate::wire::Timestamp;

/// A time that the system cannot express is as good as never: it is asked again after a year.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A timer as a runtime has it, on the runtime's own clock.
pub trait RawTimer: Send + 'static {
    /// What the clock shows that the timer goes by: the system's, unless the runtime has another.
    fn now() -> std::time::Instant;

    /// Fires at `at`, and no longer at the time that was set before.
    fn set(&mut self, at: std::time::Instant);

    /// Ready when it fires; until then the task of `cx` is woken for that. It may come early, and
    /// is polled after it was ready only if it has been set again.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Both clocks of a runtime with timers of type `T`; the monotonic one counts from the moment that
/// this was made. Clones are the same clock.
pub struct SystemClock<T> {
    origin: std::time::Instant,
    wall: Arc<WallClock>,
    timers: PhantomData<fn() -> T>,
}

impl<T> Clone for SystemClock<T> {
    fn clone(&self) -> Self {
        Self { origin: self.origin, wall: self.wall.clone(), timers: PhantomData }
    }
}

impl<T> std::fmt::Debug for SystemClock<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemClock").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl<T: RawTimer> Default for SystemClock<T> {
    fn default() -> Self {
        Self { origin: T::now(), wall: Arc::default(), timers: PhantomData }
    }
}

impl<T: RawTimer> SystemClock<T> {
    /// The monotonic clock.
    pub fn instant(&self) -> Instant {
        let nanos = T::now().saturating_duration_since(self.origin).as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        self.wall.now(self.instant())
    }

    /// An alarm that is not set, over a timer of the runtime.
    pub fn alarm(&self, timer: T) -> Alarm<T> {
        Alarm { clock: self.clone(), timer, set: None }
    }

    fn system_instant(&self, at: Instant) -> std::time::Instant {
        let since = Duration::from_nanos(at.as_nanos());
        self.origin.checked_add(since).unwrap_or_else(|| T::now() + FAR)
    }
}

/// A timer that is moved only to an earlier time; a later one is found out when it fires.
#[derive(Debug)]
pub struct Alarm<T> {
    clock: SystemClock<T>,
    timer: T,
    set: Option<Instant>,
}

impl<T: RawTimer> Timer for Alarm<T> {
    fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        // A runtime may hide a timer that has fired (tokio's budget), so the clock is asked first.
        if self.clock.instant() >= at {
            self.set = None;
            return Poll::Ready(());
        }
        if self.set.is_none_or(|set| at < set) {
            self.timer.set(self.clock.system_instant(at));
            self.set = Some(at);
        }
        while self.timer.poll(cx).is_ready() {
            if self.clock.instant() >= at {
                self.set = None;
                return Poll::Ready(());
            }
            self.timer.set(self.clock.system_instant(at));
            self.set = Some(at);
        }
        Poll::Pending
    }
}

/// Both clocks for the price of one: the wall clock is read once a second, and in between it runs
/// with the monotonic one.
#[derive(Debug, Default)]
struct WallClock {
    /// When the wall clock is to be read again, in nanoseconds of the monotonic clock.
    stale_at: AtomicU64,
    /// What the wall clock showed beyond the monotonic one, in nanoseconds since 1970.
    offset: AtomicI64,
}

impl WallClock {
    const FRESH: u64 = 1_000_000_000;

    fn now(&self, instant: Instant) -> Now {
        let nanos = instant.as_nanos();
        if nanos >= self.stale_at.load(Ordering::Acquire) {
            let offset = system_time().to_unix_nanos() - i128::from(nanos);
            let bounded = offset.clamp(i64::MIN.into(), i64::MAX.into());
            self.offset.store(bounded as i64, Ordering::Relaxed);
            self.stale_at.store(nanos.saturating_add(Self::FRESH), Ordering::Release);
        }
        let wall = i128::from(self.offset.load(Ordering::Relaxed)) + i128::from(nanos);
        Now { instant, wall: Timestamp::from_unix_nanos(wall) }
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_time() -> Timestamp {
    SystemTime::now().into()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::sync::LazyLock;
    use std::task::Waker;

    use super::*;

    thread_local! {
        /// What the clock of this test shows, in milliseconds since its origin.
        static CLOCK: Cell<u64> = const { Cell::new(0) };
        /// What its timers were set to.
        static SETTINGS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    }

    #[allow(clippy::disallowed_methods, reason = "an origin; the test moves the clock itself")]
    static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

    /// A timer that fires `early` milliseconds too early.
    #[derive(Default)]
    struct Manual {
        at: Option<std::time::Instant>,
        early: u64,
    }

    impl RawTimer for Manual {
        fn now() -> std::time::Instant {
            *ORIGIN + Duration::from_millis(CLOCK.get())
        }

        fn set(&mut self, at: std::time::Instant) {
            self.at = Some(at);
            let millis = at.duration_since(*ORIGIN).as_millis();
            SETTINGS.with_borrow_mut(|settings| settings.push(millis as u64));
        }

        fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
            let at = self.at.expect("polled only when set");
            if Self::now() + Duration::from_millis(self.early) < at {
                return Poll::Pending;
            }
            self.at = None;
            self.early = 0;
            Poll::Ready(())
        }
    }

    fn alarm(early: u64) -> impl FnMut(u64, u64) -> bool {
        CLOCK.set(0);
        let mut alarm = SystemClock::default().alarm(Manual { at: None, early });
        move |now, until| {
            CLOCK.set(now);
            let cx = &mut Context::from_waker(Waker::noop());
            alarm.poll_until(Instant::from_millis(until), cx).is_ready()
        }
    }

    fn settings() -> Vec<u64> {
        SETTINGS.take()
    }

    #[test]
    fn an_alarm_rings_at_its_time_and_can_be_used_again() {
        let mut rings = alarm(0);
        assert_eq!([rings(0, 5), rings(4, 5), rings(5, 5)], [false, false, true]);
        assert_eq!([rings(6, 9), rings(9, 9)], [false, true]);
        assert_eq!(settings(), [5, 9]);
    }

    #[test]
    fn an_alarm_that_is_due_touches_no_timer() {
        let mut rings = alarm(0);
        assert!(rings(5, 5));
        assert!(settings().is_empty());
    }

    #[test]
    fn an_earlier_time_moves_the_timer_and_a_later_one_waits_until_it_fires() {
        let mut rings = alarm(0);
        assert_eq!([rings(0, 50), rings(1, 20), rings(2, 90), rings(3, 80)], [false; 4]);
        assert_eq!(settings(), [50, 20], "the later ones have set nothing");
        assert!(!rings(20, 80));
        assert_eq!(settings(), [80]);
        assert!(rings(80, 80));
    }

    #[test]
    fn a_timer_that_fires_early_is_set_again() {
        let mut rings = alarm(3);
        assert_eq!([rings(0, 10), rings(7, 10), rings(10, 10)], [false, false, true]);
        assert_eq!(settings(), [10, 10]);
    }

    #[test]
    fn the_wall_clock_goes_with_the_monotonic_one_and_is_read_again_after_a_second() {
        CLOCK.set(0);
        let clock = SystemClock::<Manual>::default();
        let nanos =
            |now: Now| i128::from(now.wall.seconds) * 1_000_000_000 + i128::from(now.wall.nanos);
        let first = nanos(clock.now());
        assert!((system_time().to_unix_nanos() - first).abs() < 60_000_000_000, "{first}");
        CLOCK.set(999);
        assert_eq!(nanos(clock.now()) - first, 999_000_000);
        // The test's clock has run ahead of the system's, which is asked now.
        CLOCK.set(3_600_000);
        assert!(nanos(clock.now()) - first < 3_000_000_000_000);
    }
}
