//! A link's task on a busy link stays awake for a moment instead of sleeping.
//!
//! To put a thread to sleep and to wake it takes longer than many a wait for the next frame. A wait is
//! taken to be as long as the one before, or as those before where messages leave one by one: if that was
//! short, the task yields until something has woken it or that much time has passed, and only then
//! sleeps. While it yields, the runtime's thread runs other tasks, and looks for what has become readable
//! when there are none. One call at a time is best left to a thread that sleeps in between: nothing but
//! its own messages wakes that.

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

/// So many short waits, one after the other, show that a link is busy whose messages leave one by one.
const STREAK: u32 = 8;

/// Longer than this would be a mistake.
const MAX: Duration = Duration::from_millis(10);

/// Which waits a task stays awake for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    short: Duration,
    /// Whatever the traffic.
    lone: bool,
    /// How much longer a wait is for a task that sleeps.
    waking: Duration,
}

/// What goes over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// One call at a time.
    Lone,
    /// Several calls at a time, whose messages leave one by one.
    Several,
    /// Messages that share frames.
    Dense,
}

/// On links with several calls at a time.
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

    /// How many short waits there must have been, one after the other; `None`: no number is enough.
    const fn streak(self, traffic: Traffic) -> Option<u32> {
        match traffic {
            Traffic::Dense => Some(1),
            _ if self.lone => Some(1),
            Traffic::Several => Some(STREAK),
            Traffic::Lone => None,
        }
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
    /// So many of the last waits were short.
    streak: u32,
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
            streak: 0,
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
            let short = now.since(began) < self.policy.short + waking;
            self.streak = if short { self.streak.saturating_add(1) } else { 0 };
        }
    }

    /// Something was read, by which a wait ends even if nothing has woken the task.
    pub(super) fn heard(&mut self, now: Instant) {
        self.ended = self.ended.or(self.waiting.take());
        self.resume(now);
    }

    /// The task has nothing to do; whether it is to stay awake.
    pub(super) fn wait(&mut self, now: Instant, traffic: Traffic) -> bool {
        self.waiting.get_or_insert(now);
        self.yields = false;
        let stays = self.stays(now, traffic);
        self.slept |= !stays;
        stays
    }

    /// Whether the task is to stay awake if it has nothing to do.
    pub(super) fn stays(&self, now: Instant, traffic: Traffic) -> bool {
        let busy = self.policy.streak(traffic).is_some_and(|streak| self.streak >= streak);
        busy && (self.waiting.is_none() || self.goes_on(now))
    }

    /// It cannot stay awake: this wait is one to sleep for.
    pub(super) fn give_up(&mut self) {
        self.streak = 0;
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
    use super::Traffic::{Dense, Lone, Several};
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
    fn wait(poll: &mut BusyPoll, task: &Waker, (begin, end): (u64, u64), traffic: Traffic) -> bool {
        let waker = poll.wakes.as_ref().map(|(_, waker)| waker.clone());
        let stays = poll.wait(at(begin), traffic);
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
        assert!(!wait(&mut poll, &task, (0, 49), Dense), "nothing is known yet");
        assert!(wait(&mut poll, &task, (100, 150), Dense), "a short one");
        assert!(!wait(&mut poll, &task, (200, 201), Dense), "50 is not short");
        assert!(wait(&mut poll, &task, (300, 9000), Dense));
        assert!(!wait(&mut poll, &task, (9100, 9101), Dense));
    }

    #[test]
    fn a_task_of_lone_messages_stays_awake_where_that_was_asked_for() {
        let short = Duration::from_micros(200);
        let asked = Policy::up_to(short).expect("a good duration");
        for (policy, stays) in [(Policy::default(), false), (asked, true)] {
            let (mut poll, task) = started(policy);
            wait(&mut poll, &task, (0, 10), Lone);
            assert_eq!(wait(&mut poll, &task, (20, 30), Lone), stays);
        }
        let (mut poll, task) = started(Policy::up_to(Duration::ZERO).expect("it turns it off"));
        wait(&mut poll, &task, (0, 0), Dense);
        assert!(!wait(&mut poll, &task, (0, 0), Dense));
    }

    #[test]
    fn a_task_of_several_calls_stays_awake_after_a_row_of_short_waits() {
        let (mut poll, task) = started(Policy::default());
        let mut row = |from: u64, count: u64| -> Vec<_> {
            let mut short = |at| wait(&mut poll, &task, (at, at + 49), Several);
            let stays = (0..count).map(|number| short(from + 100 * number)).collect();
            wait(&mut poll, &task, (from + 100 * count, from + 100 * count + 50), Several);
            stays
        };
        let stays = [[false; 8].as_slice(), &[true; 4]].concat();
        assert_eq!(row(0, 12), stays);
        assert_eq!(row(2000, 12), stays, "a long one begins it anew");
        for number in 0..100 {
            assert!(!wait(&mut poll, &task, (4000 + number, 4001 + number), Lone));
        }
        assert!(wait(&mut poll, &task, (5000, 5001), Several), "their waits count all the same");
    }

    #[test]
    fn a_task_that_only_yields_sleeps_when_its_time_is_over() {
        let (mut poll, task) = started(Policy::default());
        wait(&mut poll, &task, (0, 10), Dense);
        assert!(poll.wait(at(100), Dense));
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
        wait(&mut poll, &first, (0, 10), Dense);
        assert!(poll.wait(at(100), Dense));
        poll.set_yields(true);
        let second = task();
        let waker = poll.woken(&second).expect("what it waits for has to know");
        poll.resume(at(140));
        assert!(poll.wait(at(140), Dense));
        poll.set_yields(true);
        assert!(poll.woken(&second).is_none());
        assert!(!poll.goes_on(at(150)), "it began at 100");
        waker.wake();
        assert!(poll.woken(&second).is_some());
    }

    #[test]
    fn a_task_that_has_another_waker_each_time_sleeps_when_its_time_is_over() {
        let (mut poll, first) = started(Policy::default());
        wait(&mut poll, &first, (0, 10), Dense);
        for (micros, stays) in [(100, true), (120, true), (149, true), (150, false)] {
            assert_eq!(poll.wait(at(micros), Dense), stays, "{micros}");
            poll.set_yields(stays);
            poll.woken(&task()).expect("what it waits for has to know");
            poll.resume(at(micros));
        }
    }

    #[test]
    fn where_waking_is_slow_a_wait_that_was_slept_through_may_last_longer() {
        let policy = Policy::default().where_waking_is_slow();
        let (mut poll, task) = started(policy);
        assert!(!wait(&mut poll, &task, (0, 99), Lone));
        assert!(wait(&mut poll, &task, (100, 149), Lone), "with time to be woken");
        assert!(wait(&mut poll, &task, (200, 260), Lone));
        assert!(!wait(&mut poll, &task, (300, 400), Lone), "it was awake: 60 is not short");
        assert!(!wait(&mut poll, &task, (500, 599), Lone), "100 is not, even asleep");
        assert!(wait(&mut poll, &task, (600, 649), Lone));
        let (mut poll, task) =
            started(Policy { short: Duration::ZERO, ..policy }.where_waking_is_slow());
        wait(&mut poll, &task, (0, 0), Dense);
        assert!(!wait(&mut poll, &task, (0, 0), Dense), "that turns it off here, too");
    }

    #[test]
    fn bytes_end_a_wait_though_nothing_has_woken_the_task() {
        let (mut poll, task) = started(Policy::default());
        wait(&mut poll, &task, (0, 10), Dense);
        assert!(poll.wait(at(100), Dense));
        poll.heard(at(149));
        assert!(poll.wait(at(200), Dense), "that was a short one, and this is another");
        poll.heard(at(250));
        assert!(!poll.wait(at(300), Dense));
    }

    #[test]
    fn a_duration_that_is_a_mistake_is_refused() {
        assert!(Policy::up_to(MAX).is_ok());
        let error = Policy::up_to(MAX + Duration::from_nanos(1)).expect_err("too long");
        assert!(matches!(error, ConfigError::Timing { name: "busy_poll", .. }));
    }
}
