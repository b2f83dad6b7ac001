//! One event after the other.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::executor::{Role, TaskId};
use super::knobs::Knobs;
use super::lives::LifeId;
use super::queue::Event;
use super::{Inner, Shared};
use crate::keyed::Purpose;

/// So many turns of tasks in one instant are a busy loop.
const BUSY: u64 = 2_000_000;

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something has happened.
    Done,
    /// A cue was asked for, and it is time.
    Cue(u64),
    /// Nothing more happens before the limit; it is the limit's time now.
    Quiet,
    /// The tasks run and run, and time stands still.
    Busy,
}

impl Shared {
    /// Has one thing happen, if one does at `limit` or before.
    pub(crate) fn step(self: &Arc<Self>, limit: u64) -> Step {
        let mut world = self.world();
        world.take_ready(&self.ready);
        match world.queue.next_at() {
            Some(at) if at <= limit => {}
            _ => {
                world.now = world.now.max(limit);
                return Step::Quiet;
            }
        }
        let Some((at, event)) = world.queue.pop() else { return Step::Quiet };
        world.counts.ties += u64::from(world.queue.next_at() == Some(at));
        if at > world.now {
            world.now = at;
            world.busy = 0;
        }
        world.events += 1;
        match event {
            Event::Poll(task) => {
                world.busy += 1;
                if world.busy > BUSY {
                    return Step::Busy;
                }
                drop(world);
                self.poll(task);
            }
            Event::Resume(task, yielded) => {
                // Unless it has had a turn meanwhile.
                if world.executor.has_yielded(task, yielded) {
                    drop(world);
                    self.poll(task);
                }
            }
            Event::Timer(alarm) => {
                let waker = world.fire(alarm);
                drop(world);
                waker.into_iter().for_each(std::task::Waker::wake);
            }
            Event::Arrive(conn, end) => world.arrive(conn, end),
            Event::Break(conn, end) => world.broken(conn, end),
            Event::Cue(number) => {
                world.digest(&[9, at, number]);
                return Step::Cue(number);
            }
        }
        Step::Done
    }

    fn poll(self: &Arc<Self>, id: TaskId) {
        let Some((mut future, waker)) = self.world().begin(id) else { return };
        let mut context = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => {
                let gone = self.world().executor.end(id, future);
                drop(gone);
            }
            Ok(Poll::Ready(())) => {
                let task = self.world().executor.remove(id);
                drop((task, future));
            }
            Err(panic) => {
                let mut world = self.world();
                let task = world.executor.remove(id);
                world.panics.push(text_of(&*panic));
                drop(world);
                drop((task, future));
            }
        }
    }
}

/// What a panic said.
pub(crate) fn text_of(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".into(),
    }
}

impl Inner {
    /// Tasks that were woken get their turns, in an order that the seed decides.
    fn take_ready(&mut self, ready: &super::Ready) {
        let mut woken = Vec::new();
        ready.take(&mut woken);
        for id in woken {
            let (keyed, now, knobs) = (self.keyed, self.now, &self.knobs);
            let Some(task) = self.executor.get_mut(id) else { continue };
            let key = task.turn_key(now);
            let tie = keyed.draw(Purpose::Tie, key);
            let lazy = task.role != Role::Grid
                && keyed.chance(Purpose::Laziness, key, knobs.lazy_per_million);
            let wait = match lazy {
                true => keyed.below(Purpose::Lateness, key, knobs.laziness),
                false => 0,
            };
            self.counts.lazy += u64::from(wait > 0);
            self.queue.push(now + wait, tie, Event::Poll(id));
        }
    }

    /// The task that has its turn yields: it has another one within the time that it stays awake for.
    pub(super) fn turn_later(&mut self) -> bool {
        let (keyed, now, awake) = (self.keyed, self.now, self.knobs.busy_poll);
        let Some(task) = self.executor.running().filter(|_| awake > 0) else { return false };
        let (resume, key) = (Event::Resume(task.id(), task.turns), task.turn_key(now));
        let wait = 1 + keyed.below(Purpose::Yield, key, awake);
        let tie = keyed.draw(Purpose::Tie, key);
        task.yielded = task.turns;
        self.counts.yields += 1;
        self.queue.push(now + wait, tie, resume);
        true
    }

    /// A task that may run now, unless its node is stopped.
    fn begin(&mut self, id: TaskId) -> Option<(super::TaskFuture, std::task::Waker)> {
        let task = self.executor.get_mut(id)?;
        let (life, key) = (task.life, task.key);
        if let Some(paused) = &mut self.lives.get_mut(life).paused {
            paused.tasks.push(id);
            if let Some(fault) = paused.fault {
                self.census.felt(fault);
            }
            return None;
        }
        self.digest(&[1, self.now, key]);
        self.executor.begin(self.now, id)
    }

    fn fire(&mut self, alarm: super::timers::Alarm) -> Vec<std::task::Waker> {
        let now = self.now;
        let Some(slot) = self.timers.due(alarm) else { return Vec::new() };
        let (life, at, key) = (slot.life, slot.at, slot.key);
        let shown = self.lives.get(life).clock.monotonic(now);
        if shown < at {
            // Its clock was slowed down meanwhile.
            self.schedule(life, alarm, at);
            return Vec::new();
        }
        let mut wakers: Vec<_> = slot.fire().into_iter().collect();
        self.digest(&[2, now, at]);
        // Further behind than the steps of the clock, and by no more than slack can do.
        let (late, Knobs { slack, grain, .. }) = (shown - at, &self.knobs);
        self.counts.late_timers += u64::from(late > *grain && late <= 2 * slack + grain);
        let spurious = self.spurious(life, [key, at, 0]);
        self.counts.spurious += u64::from(spurious.is_some());
        wakers.extend(spurious);
        wakers
    }

    /// Now and then, with a timer, a task is woken for nothing.
    fn spurious(&self, life: LifeId, key: [u64; 3]) -> Option<std::task::Waker> {
        if !self.keyed.chance(Purpose::Spurious, key, self.knobs.spurious_per_million) {
            return None;
        }
        self.executor.any_of(life, self.keyed.draw(Purpose::Chosen, key))
    }
}
