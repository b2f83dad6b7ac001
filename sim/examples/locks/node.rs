//! A simulated node: the tables and locks of the service, and workers that fight over them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gridmux_sim::cluster::{NodeContext, NodeError};
use gridmux_sim::world::SimRuntime;
use gridmux_tokio::driver::runtime::Clock;
use gridmux_tokio::time::Instant;

use crate::ledger::{At, HoldEvent};
use crate::locks::{self, Attempt, Guard, Locks, Mistake, Mode, Table};
use crate::outcome::Outcomes;

/// How many tasks of each node fight over the locks.
const LOCKERS: u64 = 2;

/// How many locks there are.
const LOCKS: u8 = 2;

/// What a node of the cluster does, as far as it is about locks.
pub(crate) async fn node(
    context: NodeContext<HoldEvent>,
    mistake: Option<Mistake>,
) -> Result<(), NodeError> {
    let runtime = context.runtime().clone();
    let table = Arc::new(Mutex::new(Table::new(runtime.instant(), mistake)));
    let builder = locks::serve(context.builder(), &runtime, context.name(), &table);
    let grid = builder.bind(context.address()).await?;
    let locks = Locks::new(runtime, table, grid.peers(), Outcomes::default(), mistake);
    for worker in 0..LOCKERS {
        context.spawn(work(context.clone(), locks.clone(), worker));
    }
    let grace = context.stopped().await;
    grid.shutdown(grace / 2).await;
    Ok(())
}

/// Gets locks, holds them, and gives them back.
async fn work(context: NodeContext<HoldEvent>, locks: Locks<SimRuntime>, worker: u64) {
    let mut rng = fastrand::Rng::with_seed(context.random("worker", worker));
    let mut holds = 0;
    while !context.is_stopping() {
        let lock = format!("lock-{}", rng.u8(0..LOCKS));
        let mode = if rng.u8(0..4) == 0 { Mode::Read } else { Mode::Write };
        if let Attempt::Got(guard) = locks.acquire(&lock, mode, rng.u64(..)).await {
            holds += 1;
            let time = match rng.u8(0..4) {
                0 => rng.u64(1500..6000),
                _ => rng.u64(1..200),
            };
            let number = holds * LOCKERS + worker;
            hold(&context, &guard, (number, lock, mode), Duration::from_millis(time)).await;
            guard.release().await;
        }
        context.sleep(Duration::from_millis(rng.u64(20..300))).await;
    }
}

/// Holds the lock so long, or until it is lost, and tells in simulated time.
async fn hold(
    context: &NodeContext<HoldEvent>,
    guard: &Guard<SimRuntime>,
    (hold, lock, mode): (u64, String, Mode),
    time: Duration,
) {
    if !guard.is_held() {
        return;
    }
    let until = |believed: Instant| At::from(instant(context.simulated(believed)));
    let leave = context.now().after(time);
    let mut believed = guard.until();
    let start = instant(context.simulated_now()).into();
    context.note(HoldEvent::Begin { hold, lock, mode, start, until: until(believed) });
    while guard.is_held() && context.now() < leave {
        if guard.until() != believed {
            believed = guard.until();
            context.note(HoldEvent::Extend { hold, until: until(believed) });
        }
        context.sleep(leave.since(context.now()).min(Duration::from_millis(50))).await;
    }
    let end = At::from(instant(context.simulated_now())).min(until(guard.until()));
    context.note(HoldEvent::End { hold, end });
}

/// Simulated time as the ledger has times.
pub(crate) fn instant(time: Duration) -> Instant {
    Instant::ZERO.after(time)
}
