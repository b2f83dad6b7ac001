//! A link's task on a busy link stays awake for a moment instead of sleeping.
//!
//! To put a thread to sleep and to wake it takes longer than many a wait for the next frame. A wait is
//! taken to be as long as the one before: if that was short, the task yields until something has
//! woken it or that much time has passed, and only then sleeps. While it yields, the runtime's thread
//! runs other tasks, and looks for what has become readable when there are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::error::ConfigError;
use crate::time::Instant;

/// Shorter waits are short, unless [`Builder::busy_poll`](crate::builder::Builder::busy_poll) says so.
const SHORT: Duration = Duration::from_micros(50);

/// How long it takes, about, until a task that sleeps runs on a runtime that is slow to wake.
const WAKING: Duration = Duration::from_micros(50);

/// Longer than this would be a mistake.
const MAX: Duration = Duration::from_millis(10);

/// Which waits a task stays awake for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    short: Duration,
    /// On a link whose messages leave one by one, too.
    lone: bool,
    /// How much longer a wait is for a task that sleeps.
    waking: Duration,
}

/// On links whose messages share frames.
impl Default for Policy {
    fn default() -> Self {
        Self { short: SHORT, lone: false, waking: Duration::ZERO }
    }
}

impl Policy {
    /// On all links, up to so long.
    pub(crate) fn up_to(short: Duration) -> Result<Self, ConfigError> {
        if short > MAX {
            return Err(ConfigError::Timing { name: "busy_poll", problem: "longer than 10 ms" });
        }
        Ok(Self { short, lone: true, waking: Duration::ZERO })
    }

    /// The same on a runtime that is slow to wake: on all links.
    pub(crate) fn where_waking_is_slow(self) -> Self {
        let waking = if self.short.is_zero() { Duration::ZERO } else { WAKING };
        Self { lone: true, waking, ..self }
    }
}

/// What one task waits for, and how long.
#[derive(Debug)]
pub(super) struct BusyPoll {
    policy: Policy,
    wakes: Option<(Arc<Wakes>, Waker)>,
    /// When the wait began that is not over yet.
    waiting: Option<Instant>,
    /// When the one began that has just ended.
    ended: Option<Instant>,
    /// The last wait was short.
    short: bool,
    /// The task has slept in the wait that is not over yet, or has just ended.
    slept: bool,
    /// The task yields, instead of sleeping.
    yields: bool,
}

/// What wakes the task, but for its own yielding.
#[derive(Debug)]
struct Wakes {
    woken: AtomicBool,
    task: Waker,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl BusyPoll {
    pub(super) const fn new(policy: Policy) -> Self {
        Self {
            policy,
            wakes: None,
            waiting: None,
            ended: None,
            short: false,
            slept: false,
            yields: false,
        }
    }

    /// The waker for all that the task waits for; `None` if the task has only yielded, and has the same
    /// waker as before.
    pub(super) fn woken(&mut self, task: &Waker) -> Option<Waker> {
        let former = self.wakes.as_ref();
        let woken = former.is_some_and(|(wakes, _)| wakes.woken.swap(false, Ordering::AcqRel));
        if woken {
            self.ended = self.waiting.take();
        }
        match former {
            Some((wakes, waker)) if wakes.task.will_wake(task) => {
                (woken || !self.yields).then(|| waker.clone())
            }
            _ => {
                let wakes = Wakes { woken: AtomicBool::new(false), task: task.clone() };
                let wakes = Arc::new(wakes);
                let waker = Waker::from(wakes.clone());
                self.wakes = Some((wakes, waker.clone()));
                Some(waker)
            }
        }
    }

    /// The task goes on: if a wait has ended, it has now.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(began) = self.ended.take() {
            let slept = std::mem::take(&mut self.slept);
            let waking = if slept { self.policy.waking } else { Duration::ZERO };
            self.short = now.since(began) < self.policy.short + waking;
        }
    }

    /// Something was read, by which a wait ends even if nothing has woken the task.
    pub(super) fn heard(&mut self, now: Instant) {
        self.ended = self.ended.or(self.waiting.take());
        self.resume(now);
    }

    /// The task has nothing to do; whether it is to stay awake. `dense`: several messages share a
    /// frame.
    pub(super) fn wait(&mut self, now: Instant, dense: bool) -> bool {
        self.waiting.get_or_insert(now);
        self.yields = false;
        let stays = self.stays(now, dense);
        self.slept |= !stays;
        stays
    }

    /// Whether the task is to stay awake if it has nothing to do.
    pub(super) fn stays(&self, now: Instant, dense: bool) -> bool {
        self.short && (dense || self.policy.lone) && (self.waiting.is_none() || self.goes_on(now))
    }

    /// It cannot stay awake: this wait is one to sleep for.
    pub(super) fn give_up(&mut self) {
        self.short = false;
    }

    /// The waker for all that the task waits for.
    pub(super) fn waker(&self) -> Option<Waker> {
        self.wakes.as_ref().map(|(_, waker)| waker.clone())
    }

    /// Whether a task that has only yielded is to go on so.
    pub(super) fn goes_on(&self, now: Instant) -> bool {
        self.waiting.is_some_and(|began| now.since(began) < self.policy.short)
    }

    /// The task yields, or does not any more.
    pub(super) fn set_yields(&mut self, yields: bool) {
        self.yields = yields;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    fn task() -> Waker {
        Arc::new(Task).into()
    }

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(1_000_000_000 + 1000 * micros)
    }

    /// The task waits from `begin` to `end` for something that wakes it; whether it stays awake.
    fn wait(poll: &mut BusyPoll, task: &Waker, (begin, end): (u64, u64), dense: bool) -> bool {
        let waker = poll.wakes.as_ref().map(|(_, waker)| waker.clone());
        let stays = poll.wait(at(begin), dense);
        waker.expect("it has run").wake();
        poll.woken(task).expect("it was woken");
        poll.resume(at(end));
        stays
    }

    fn started(policy: Policy) -> (BusyPoll, Waker) {
        let (mut poll, task) = (BusyPoll::new(policy), task());
        poll.woken(&task).expect("it has to begin");
        (poll, task)
    }

    #[test]
    fn a_task_stays_awake_where_its_last_wait_was_short() {
        let (mut poll, task) = started(Policy::default());
        assert!(!wait(&mut poll, &task, (0, 49), true), "nothing is known yet");
        assert!(wait(&mut poll, &task, (100, 150), true), "a short one");
        assert!(!wait(&mut poll, &task, (200, 201), true), "50 is not short");
        assert!(wait(&mut poll, &task, (300, 9000), true));
        assert!(!wait(&mut poll, &task, (9100, 9101), true));
    }

    #[test]
    fn a_task_of_lone_messages_stays_awake_where_that_was_asked_for() {
        let short = Duration::from_micros(200);
        let asked = Policy::up_to(short).expect("a good duration");
        for (policy, stays) in [(Policy::default(), false), (asked, true)] {
            let (mut poll, task) = started(policy);
            wait(&mut poll, &task, (0, 10), false);
            assert_eq!(wait(&mut poll, &task, (20, 30), false), stays);
        }
        let (mut poll, task) = started(Policy::up_to(Duration::ZERO).expect("it turns it off"));
        wait(&mut poll, &task, (0, 0), true);
        assert!(!wait(&mut poll, &task, (0, 0), true));
    }

    #[test]
    fn a_task_that_only_yields_sleeps_when_its_time_is_over() {
        let (mut poll, task) = started(Policy::default());
        wait(&mut poll, &task, (0, 10), true);
        assert!(poll.wait(at(100), true));
        poll.set_yields(true);
        for micros in [100, 120, 149] {
            assert!(poll.woken(&task).is_none(), "nothing has happened");
            assert!(poll.goes_on(at(micros)));
        }
        assert!(poll.woken(&task).is_none());
        assert!(!poll.goes_on(at(150)));
        poll.set_yields(false);
        assert!(poll.woken(&task).is_some(), "whoever wakes it now has not seen it yield");
    }

    #[test]
    fn a_task_with_another_waker_runs_and_its_wait_goes_on() {
        let (mut poll, first) = started(Policy::default());
        wait(&mut poll, &first, (0, 10), true);
        assert!(poll.wait(at(100), true));
        poll.set_yields(true);
        let second = task();
        let waker = poll.woken(&second).expect("what it waits for has to know");
        poll.resume(at(140));
        assert!(poll.wait(at(140), true));
        poll.set_yields(true);
        assert!(poll.woken(&second).is_none());
        assert!(!poll.goes_on(at(150)), "it began at 100");
        waker.wake();
        assert!(poll.woken(&second).is_some());
    }

    #[test]
    fn a_task_that_has_another_waker_each_time_sleeps_when_its_time_is_over() {
        let (mut poll, first) = started(Policy::default());
        wait(&mut poll, &first, (0, 10), true);
        for (micros, stays) in [(100, true), (120, true), (149, true), (150, false)] {
            assert_eq!(poll.wait(at(micros), true), stays, "{micros}");
            poll.set_yields(stays);
            poll.woken(&task()).expect("what it waits for has to know");
            poll.resume(at(micros));
        }
    }

    #[test]
    fn where_waking_is_slow_a_wait_that_was_slept_through_may_last_longer() {
        let policy = Policy::default().where_waking_is_slow();
        let (mut poll, task) = started(policy);
        assert!(!wait(&mut poll, &task, (0, 99), false));
        assert!(wait(&mut poll, &task, (100, 149), false), "with time to be woken");
        assert!(wait(&mut poll, &task, (200, 260), false));
        assert!(!wait(&mut poll, &task, (300, 400), false), "it was awake: 60 is not short");
        assert!(!wait(&mut poll, &task, (500, 599), false), "100 is not, even asleep");
        assert!(wait(&mut poll, &task, (600, 649), false));
        let (mut poll, task) =
            started(Policy { short: Duration::ZERO, ..policy }.where_waking_is_slow());
        wait(&mut poll, &task, (0, 0), true);
        assert!(!wait(&mut poll, &task, (0, 0), true), "that turns it off here, too");
    }

    #[test]
    fn bytes_end_a_wait_though_nothing_has_woken_the_task() {
        let (mut poll, task) = started(Policy::default());
        wait(&mut poll, &task, (0, 10), true);
        assert!(poll.wait(at(100), true));
        poll.heard(at(149));
        assert!(poll.wait(at(200), true), "that was a short one, and this is another");
        poll.heard(at(250));
        assert!(!poll.wait(at(300), true));
    }

    #[test]
    fn a_duration_that_is_a_mistake_is_refused() {
        assert!(Policy::up_to(MAX).is_ok());
        let error = Policy::up_to(MAX + Duration::from_nanos(1)).expect_err("too long");
        assert!(matches!(error, ConfigError::Timing { name: "busy_poll", .. }));
    }
}
