//! Tasks that run one short future after another.
//!
//! A task of its own for each call costs memory that one thread allocates and another one frees, for
//! which they wait for each other where the allocator has locks, as glibc's does. A worker that is
//! done waits a while for the next future of the same type instead of ending.

use std::any::{Any, TypeId};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

/// So many futures of one type, and then the workers end that none of them has needed.
const PERIOD: u32 = 4096;

/// Workers that wait for futures, by the futures' type. Dropping it ends them.
///
/// A runtime that has one lets it [`take`](Self::take) the futures that it is to spawn, and spawns
/// what that gives back.
#[derive(Default)]
pub struct Workers {
    /// In the order in which they were asked for first.
    crews: Mutex<Vec<(TypeId, Arc<dyn AnyCrew>)>>,
    ending: Arc<Ending>,
}

/// The workers that have been ended and whose tasks are not gone yet.
#[derive(Default)]
struct Ending {
    state: Mutex<EndingState>,
}

#[derive(Default)]
struct EndingState {
    workers: usize,
    /// Those who wait until there are none.
    waiting: Vec<Waker>,
}

impl Ending {
    fn begin(&self) {
        lock(&self.state).workers += 1;
    }

    fn end(&self) {
        let mut state = lock(&self.state);
        state.workers -= 1;
        let woken =
            if state.workers == 0 { std::mem::take(&mut state.waiting) } else { Vec::new() };
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}

/// A place in a program that spawns futures of one type on one runtime: it remembers their workers,
/// which are looked for the first time only.
pub struct Post<F> {
    crew: OnceLock<Arc<Crew<F>>>,
}

impl<F> Default for Post<F> {
    fn default() -> Self {
        Self { crew: OnceLock::new() }
    }
}

impl<F> std::fmt::Debug for Post<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").finish_non_exhaustive()
    }
}

impl Workers {
    /// Has a worker that waits run `future`; if none does, gives a new one, to be spawned.
    pub fn take<F>(
        &self,
        post: &Post<F>,
        future: F,
    ) -> Option<impl Future<Output = ()> + Send + use<F>>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let crew = post.crew.get_or_init(|| self.crew());
        let future = crew.give(future)?;
        let desk = Mutex::new(State::Given(Box::pin(Some(future))));
        Some(work(crew.clone(), Arc::new(Seat { desk })))
    }

    /// Ends the workers that wait, and those that are done before another future comes.
    pub fn rest(&self) {
        let crews = lock(&self.crews).clone();
        crews.into_iter().for_each(|(_, crew)| crew.rest());
    }

    /// Ready once the workers that were ended are gone; see
    /// [`Runtime::poll_rested`](super::runtime::Runtime::poll_rested).
    pub fn poll_rested(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.ending.state);
        if state.workers == 0 {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn crew<F: Send + 'static>(&self) -> Arc<Crew<F>> {
        let mut crews = lock(&self.crews);
        let known = crews.iter().find(|(of, _)| *of == TypeId::of::<F>());
        if let Some((_, crew)) = known {
            let crew: Arc<dyn Any + Send + Sync> = crew.clone();
            drop(crews);
            let new = || Arc::new(Crew::new(self.ending.clone()));
            return crew.downcast().unwrap_or_else(|_| new());
        }
        let crew = Arc::new(Crew::new(self.ending.clone()));
        crews.push((TypeId::of::<F>(), crew.clone()));
        crew
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let crews = std::mem::take(self.crews.get_mut().unwrap_or_else(PoisonError::into_inner));
        crews.into_iter().for_each(|(_, crew)| crew.close());
    }
}

/// Nothing in here panics while it is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The workers for one type of future.
struct Crew<F> {
    waiting: Mutex<Waiting<F>>,
    ending: Arc<Ending>,
}

struct Waiting<F> {
    /// Of those that wait, the one that came last at the end.
    seats: Seats<F>,
    /// The fewest that have waited in this period, and what is left of it.
    fewest: usize,
    left: u32,
    /// Those that wait were ended, and no future has come since.
    rests: bool,
    closed: bool,
}

/// Where a worker gets its next future.
struct Seat<F> {
    desk: Mutex<State<F>>,
}

enum State<F> {
    Working,
    Waiting(Waker, Room<F>),
    Given(Room<F>),
    /// The worker is woken to end.
    Ending,
    /// The worker ends, or has.
    Over,
}

/// A future where it runs, and then the memory for the next one.
type Room<F> = Pin<Box<Option<F>>>;

type Seats<F> = Vec<Arc<Seat<F>>>;

/// A [`Crew`] of futures of any type.
trait AnyCrew: Any + Send + Sync {
    fn rest(&self);
    fn close(&self);
}

impl<F: Send + 'static> AnyCrew for Crew<F> {
    fn rest(&self) {
        let seats = {
            let mut waiting = lock(&self.waiting);
            waiting.rests = true;
            std::mem::take(&mut waiting.seats)
        };
        self.end_all(seats);
    }

    fn close(&self) {
        lock(&self.waiting).closed = true;
        self.rest();
    }
}

impl<F> Crew<F> {
    fn new(ending: Arc<Ending>) -> Self {
        let waiting =
            Waiting { seats: Vec::new(), fewest: 0, left: PERIOD, rests: false, closed: false };
        Self { waiting: Mutex::new(waiting), ending }
    }

    fn end_all(&self, seats: Seats<F>) {
        seats.into_iter().for_each(|seat| seat.end(&self.ending));
    }

    /// Gives the future to a worker that waits, or back.
    fn give(&self, mut future: F) -> Option<F> {
        loop {
            let (seat, surplus) = lock(&self.waiting).pop();
            self.end_all(surplus);
            let Some(seat) = seat else { return Some(future) };
            match seat.give(future) {
                Ok(()) => return None,
                // The runtime has dropped that worker.
                Err(back) => future = back,
            }
        }
    }

    /// The next future, in `room`; `false` if there is to be none.
    fn poll_next(
        &self,
        seat: &Arc<Seat<F>>,
        cx: &Context<'_>,
        room: &mut Option<Room<F>>,
    ) -> Poll<bool> {
        let mut desk = lock(&seat.desk);
        match std::mem::replace(&mut *desk, State::Working) {
            State::Given(given) => {
                *room = Some(given);
                Poll::Ready(true)
            }
            ending @ (State::Ending | State::Over) => {
                *desk = ending;
                Poll::Ready(false)
            }
            State::Waiting(former, room) => {
                let same = former.will_wake(cx.waker());
                *desk = State::Waiting(if same { former } else { cx.waker().clone() }, room);
                Poll::Pending
            }
            State::Working => {
                let room = room.take().unwrap_or_else(|| Box::pin(None));
                *desk = State::Waiting(cx.waker().clone(), room);
                drop(desk);
                let mut waiting = lock(&self.waiting);
                if waiting.closed || waiting.rests {
                    return Poll::Ready(false);
                }
                waiting.seats.push(seat.clone());
                Poll::Pending
            }
        }
    }
}

impl<F> Waiting<F> {
    /// The worker that has waited for the shortest time; and those that are not needed.
    fn pop(&mut self) -> (Option<Arc<Seat<F>>>, Seats<F>) {
        self.rests = false;
        let seat = self.seats.pop();
        self.fewest = self.fewest.min(self.seats.len());
        self.left -= 1;
        if self.left > 0 {
            return (seat, Vec::new());
        }
        let surplus = self.seats.drain(..self.fewest).collect();
        (self.fewest, self.left) = (self.seats.len(), PERIOD);
        (seat, surplus)
    }
}

impl<F> Seat<F> {
    fn give(&self, future: F) -> Result<(), F> {
        let mut desk = lock(&self.desk);
        match std::mem::replace(&mut *desk, State::Over) {
            State::Waiting(waker, mut room) => {
                room.set(Some(future));
                *desk = State::Given(room);
                drop(desk);
                waker.wake();
                Ok(())
            }
            other => {
                *desk = other;
                Err(future)
            }
        }
    }

    /// Ends the worker if it waits.
    fn end(&self, ending: &Ending) {
        let mut desk = lock(&self.desk);
        match std::mem::replace(&mut *desk, State::Ending) {
            State::Waiting(waker, room) => {
                ending.begin();
                drop(desk);
                drop(room);
                waker.wake();
            }
            other => *desk = other,
        }
    }
}

/// Says that a worker is gone, however it ends.
struct Leave<F> {
    seat: Arc<Seat<F>>,
    ending: Arc<Ending>,
}

impl<F> Drop for Leave<F> {
    fn drop(&mut self) {
        let former = std::mem::replace(&mut *lock(&self.seat.desk), State::Over);
        if matches!(former, State::Ending) {
            self.ending.end();
        }
        // Not under the lock: a future is user code.
        drop(former);
    }
}

async fn work<F: Future<Output = ()>>(crew: Arc<Crew<F>>, seat: Arc<Seat<F>>) {
    let leave = Leave { seat, ending: crew.ending.clone() };
    let mut room = None;
    while poll_fn(|cx| crew.poll_next(&leave.seat, cx, &mut room)).await {
        let Some(running) = &mut room else { return };
        if let Some(future) = running.as_mut().as_pin_mut() {
            future.await;
        }
        running.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Counts how often it wakes.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tasks that are polled by hand, all with one waker.
    #[derive(Default)]
    struct Bench {
        workers: Workers,
        tasks: Vec<Task>,
        woken: Arc<Woken>,
        ran: Arc<AtomicUsize>,
    }

    impl Bench {
        /// A future that counts itself when it has been polled twice.
        fn spawn(&mut self) {
            let ran = self.ran.clone();
            let mut first = true;
            let future = poll_fn(move |_| {
                if std::mem::take(&mut first) {
                    return Poll::Pending;
                }
                ran.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(())
            });
            if let Some(worker) = self.workers.take(&Post::default(), future) {
                self.tasks.push(Box::pin(worker));
            }
        }

        /// Polls every task twice; how many there still are.
        fn poll(&mut self) -> usize {
            let waker = Waker::from(self.woken.clone());
            for _ in 0..2 {
                let mut cx = Context::from_waker(&waker);
                self.tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
            }
            self.tasks.len()
        }

        fn ran(&self) -> usize {
            self.ran.load(Ordering::Relaxed)
        }

        fn woken(&self) -> usize {
            self.woken.0.swap(0, Ordering::Relaxed)
        }
    }

    #[test]
    fn a_worker_runs_one_future_after_the_other() {
        let mut bench = Bench::default();
        for round in 1..=5 {
            bench.spawn();
            assert_eq!(bench.woken(), usize::from(round > 1), "the worker that waits is woken");
            assert_eq!(bench.poll(), 1);
            assert_eq!(bench.ran(), round);
        }
    }

    #[test]
    fn futures_at_the_same_time_have_a_worker_each() {
        let mut bench = Bench::default();
        (0..7).for_each(|_| bench.spawn());
        assert_eq!(bench.poll(), 7);
        assert_eq!(bench.ran(), 7);
        (0..7).for_each(|_| bench.spawn());
        assert_eq!((bench.woken(), bench.poll()), (7, 7));
        assert_eq!(bench.ran(), 14);
    }

    #[test]
    fn workers_that_wait_end_when_they_are_told_to_rest_and_others_when_they_are_done() {
        let mut bench = Bench::default();
        bench.spawn();
        bench.poll();
        bench.workers.rest();
        assert_eq!((bench.woken(), bench.poll()), (1, 0));
        bench.spawn();
        bench.workers.rest();
        assert_eq!((bench.poll(), bench.ran()), (0, 2), "its future runs to its end");
        (0..2).for_each(|_| bench.spawn());
        bench.workers.rest();
        bench.spawn();
        assert_eq!((bench.poll(), bench.ran()), (3, 5), "there is work again");
    }

    #[test]
    fn those_who_wait_for_ended_workers_are_woken_when_the_last_is_gone() {
        let mut bench = Bench::default();
        let waiter = Arc::new(Woken::default());
        let waker = Waker::from(waiter.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(bench.workers.poll_rested(&mut cx).is_ready(), "there were none");
        (0..3).for_each(|_| bench.spawn());
        bench.poll();
        assert!(bench.workers.poll_rested(&mut cx).is_ready(), "they wait, and are not ended");
        bench.workers.rest();
        assert!(bench.workers.poll_rested(&mut cx).is_pending());
        // One is dropped by its runtime, the others find out that they have been ended.
        bench.tasks.pop();
        assert_eq!(waiter.0.load(Ordering::Relaxed), 0);
        assert_eq!(bench.poll(), 0);
        assert_eq!(waiter.0.load(Ordering::Relaxed), 1);
        assert!(bench.workers.poll_rested(&mut cx).is_ready());
    }

    #[test]
    fn all_workers_end_with_their_owner() {
        let mut bench = Bench::default();
        (0..2).for_each(|_| bench.spawn());
        bench.poll();
        bench.spawn();
        drop(std::mem::take(&mut bench.workers));
        assert_eq!(bench.poll(), 0);
        assert_eq!(bench.ran(), 3, "what was given is run first");
    }

    #[test]
    fn workers_that_no_future_has_needed_for_long_end() {
        let mut bench = Bench::default();
        (0..9).for_each(|_| bench.spawn());
        bench.poll();
        for _ in 0..2 * PERIOD {
            bench.spawn();
            bench.poll();
        }
        assert_eq!(bench.poll(), 1);
    }

    #[test]
    fn a_worker_that_its_runtime_has_dropped_is_replaced() {
        let mut bench = Bench::default();
        bench.spawn();
        bench.poll();
        bench.tasks.clear();
        bench.spawn();
        assert_eq!(bench.poll(), 1);
        assert_eq!(bench.ran(), 2);
    }

    #[test]
    fn a_future_is_dropped_with_the_worker_it_was_given_to() {
        let mut bench = Bench::default();
        bench.spawn();
        bench.poll();
        bench.spawn();
        bench.tasks.clear();
        assert_eq!(Arc::strong_count(&bench.ran), 1);
    }
}
