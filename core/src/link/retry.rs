//! When the next dial attempt starts: PROTOCOL.md sections 4 and 7.11.

use crate::rng::WeakRng;
use crate::time::Instant;
use crate::timings::Timings;

/// The dialler's schedule; without one, nothing is dialled.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    next: Option<Instant>,
}

impl Retry {
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(crate) const fn at(&mut self, at: Instant) {
        self.next = Some(at);
    }

    pub(crate) const fn stop(&mut self) {
        self.next = None;
    }

    /// An attempt failed: 1 to 2 s after it *started*, and never in the past of the failure.
    pub(crate) fn after_attempt(
        &mut self,
        now: Instant,
        started: Instant,
        timings: &Timings,
        rng: &mut WeakRng,
    ) {
        let from = if planted!(RetryFromFailure, now > started) { now } else { started };
        self.next = Some(spaced(from, timings, rng).max(now));
    }

    /// Another process uses our name.
    pub(crate) fn after_duplicate(&mut self, now: Instant, timings: &Timings, rng: &mut WeakRng) {
        let spread = spaced(Instant::ZERO, timings, rng).since(Instant::ZERO);
        self.next = Some(now.after(timings.duplicate_retry).after(spread));
    }

    /// An established link is gone. At once if it had been stable and the peer did not say that
    /// it leaves; else with the normal spacing.
    pub(crate) fn after_loss(
        &mut self,
        now: Instant,
        up_since: Instant,
        announced: bool,
        timings: &Timings,
        rng: &mut WeakRng,
    ) {
        let stable = now.since(up_since) >= timings.stable_after || planted!(FlapStorm);
        self.next = Some(if stable && !announced { now } else { spaced(now, timings, rng) });
    }
}

fn spaced(from: Instant, timings: &Timings, rng: &mut WeakRng) -> Instant {
    let nanos = |duration: std::time::Duration| duration.as_nanos() as u64;
    let wait = rng.range(nanos(timings.retry_min), nanos(timings.retry_max));
    from.after(std::time::Duration::from_nanos(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_start_one_to_two_seconds_apart_with_jitter() {
        let (timings, mut rng, mut retry) = (Timings::default(), WeakRng::new(1), Retry::default());
        let started = Instant::from_millis(500);
        let mut waits = Vec::new();
        for _ in 0..200 {
            retry.after_attempt(Instant::from_millis(900), started, &timings, &mut rng);
            let next = retry.next().expect("scheduled");
            waits.push(next.since(started).as_millis());
        }
        assert!(waits.iter().all(|ms| (1000..=2000).contains(ms)));
        assert!(waits.iter().min() < Some(&1100) && waits.iter().max() > Some(&1900));
    }

    #[test]
    fn an_attempt_that_took_longer_than_the_spacing_is_followed_at_once() {
        let (timings, mut rng, mut retry) = (Timings::default(), WeakRng::new(1), Retry::default());
        let now = Instant::from_millis(9000);
        retry.after_attempt(now, Instant::ZERO, &timings, &mut rng);
        assert_eq!(retry.next(), Some(now));
    }

    #[test]
    fn only_a_link_that_was_stable_is_redialled_at_once() {
        let (timings, mut rng, mut retry) = (Timings::default(), WeakRng::new(1), Retry::default());
        let up = Instant::from_millis(0);
        let mut wait = |up_ms, announced| {
            let now = Instant::from_millis(up_ms);
            retry.after_loss(now, up, announced, &timings, &mut rng);
            retry.next().expect("scheduled").since(now).as_millis()
        };
        assert_eq!(wait(10_000, false), 0);
        assert!(wait(9_999, false) >= 1000);
        assert!(wait(60_000, true) >= 1000, "a peer that said it leaves is not redialled at once");
    }
}
