//! Waiting, on any clock: an application that uses these in place of its runtime's own functions
//! runs on every runtime alike, and in a simulation on simulated time.
//!
//! What time it is now, [`Clock::instant`] says.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::runtime::Clock;
use crate::time::Instant;

/// Waits for `duration` on the monotonic clock of `clock`, a runtime. Each sleep that is polled
/// holds one of the runtime's timers.
///
/// ```
/// use std::time::Duration;
///
/// use gridmux_core::driver::runtime::Runtime;
/// use gridmux_core::driver::time::sleep;
///
/// // `R` is `gridmux_tokio::Tokio`, `gridmux_smol::Smol`, or a simulated runtime.
/// async fn every_second<R: Runtime>(runtime: R, mut work: impl FnMut() -> bool) {
///     while work() {
///         sleep(&runtime, Duration::from_secs(1)).await;
///     }
/// }
/// ```
///
/// # Cancel safety
/// It can be dropped at any time.
pub async fn sleep<C: Clock>(clock: &C, duration: Duration) {
    sleep_until(clock, clock.instant().after(duration)).await;
}

/// Waits until the monotonic clock shows `at`; not at all if it does already.
///
/// # Cancel safety
/// It can be dropped at any time.
pub async fn sleep_until<C: Clock>(clock: &C, at: Instant) {
    let mut timer = clock.timer();
    poll_fn(|cx| timer.poll_until(at, cx)).await;
}

/// The time of a [`timeout`] was up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not done in time")]
pub struct Elapsed;

/// What `future` gives, if it does within `limit`. A call has a limit of its own,
/// [`Call::timeout`](crate::handle::Call::timeout), of which the peer is told.
///
/// # Cancel safety
/// That of `future`, which is dropped when the time is up.
///
/// # Errors
/// [`Elapsed`], if it takes longer. A future that is ready is asked first, however late it is.
pub async fn timeout<C: Clock, F: Future>(
    clock: &C,
    limit: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    let mut timer = clock.timer();
    let until = clock.instant().after(limit);
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => timer.poll_until(until, cx).map(|()| Err(Elapsed)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Waker};

    use super::*;
    use crate::driver::runtime::Timer;
    use crate::time::Now;
    use crate::wire::Timestamp;

    /// A clock that is moved by hand.
    #[derive(Clone, Default)]
    struct Hand(Arc<AtomicU64>);

    impl Hand {
        fn set(&self, millis: u64) {
            self.0.store(millis, Ordering::Relaxed);
        }
    }

    impl Clock for Hand {
        fn instant(&self) -> Instant {
            Instant::from_millis(self.0.load(Ordering::Relaxed))
        }

        fn now(&self) -> Now {
            Now { instant: self.instant(), wall: Timestamp::from_unix_nanos(0) }
        }

        fn timer(&self) -> Box<dyn Timer> {
            Box::new(self.clone())
        }
    }

    impl Timer for Hand {
        fn poll_until(&mut self, at: Instant, _: &mut Context<'_>) -> Poll<()> {
            if self.instant() >= at { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_sleep_counts_from_its_first_poll_and_ends_when_the_time_has_come() {
        let clock = Hand::default();
        let mut sleep = pin!(sleep(&clock, Duration::from_millis(10)));
        clock.set(5);
        assert!(poll(sleep.as_mut()).is_pending());
        clock.set(14);
        assert!(poll(sleep.as_mut()).is_pending());
        clock.set(15);
        assert!(poll(sleep).is_ready());
    }

    #[test]
    fn a_time_that_has_come_is_not_waited_for() {
        let clock = Hand::default();
        clock.set(20);
        assert!(poll(pin!(sleep_until(&clock, Instant::from_millis(20)))).is_ready());
    }

    #[test]
    fn a_timeout_ends_what_takes_longer_and_nothing_else() {
        let clock = Hand::default();
        let limit = Duration::from_millis(10);
        assert_eq!(poll(pin!(timeout(&clock, limit, ready(7)))), Poll::Ready(Ok(7)));
        let mut late = pin!(timeout(&clock, limit, pending::<()>()));
        assert!(poll(late.as_mut()).is_pending());
        clock.set(9);
        assert!(poll(late.as_mut()).is_pending());
        clock.set(10);
        assert_eq!(poll(late), Poll::Ready(Err(Elapsed)));
    }

    #[test]
    fn what_is_ready_when_the_time_is_up_counts() {
        let clock = Hand::default();
        let done =
            poll_fn(
                |_| if clock.instant() == Instant::ZERO { Poll::Pending } else { Poll::Ready(1) },
            );
        let mut both = pin!(timeout(&clock, Duration::from_millis(10), done));
        assert!(poll(both.as_mut()).is_pending());
        clock.set(10);
        assert_eq!(poll(both), Poll::Ready(Ok(1)));
    }
}
