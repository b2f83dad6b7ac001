//! The fight over the locks: every hold is told to the witness, with the time in which the holder
//! believed in it and no other.

use std::sync::Arc;
use std::time::Duration;

use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::driver::time::sleep;

use super::Scene;
use crate::locks::{Attempt, Guard, Mode};

/// One hold in so many is long enough to need refreshes.
const LONG_ONE_IN: u32 = 12;

pub(super) async fn work<R: Runtime>(scene: Arc<Scene<R>>, mut rng: fastrand::Rng) {
    if !scene.meet_all().await {
        return;
    }
    while !scene.is_stopping() {
        let lock = format!("lock-{}", rng.u16(0..scene.plan.locks));
        let mode = if rng.bool() { Mode::Write } else { Mode::Read };
        if let Attempt::Got(guard) = scene.locks.acquire(&lock, mode, rng.u64(..)).await {
            let time = match rng.u32(0..LONG_ONE_IN) {
                0 => rng.u64(1500..6000),
                _ => rng.u64(1..50),
            };
            hold(&scene, &guard, &lock, mode, Duration::from_millis(time)).await;
            guard.release().await;
        }
        scene.rest(&mut rng, 5..50).await;
    }
}

/// Holds the lock so long, or until it is lost, or the node stops.
async fn hold<R: Runtime>(
    scene: &Scene<R>,
    guard: &Guard<R>,
    lock: &str,
    mode: Mode,
    time: Duration,
) {
    if !guard.is_held() {
        return;
    }
    let now = || scene.runtime.instant();
    let leave = now().after(time);
    let mut hold = scene.begin(lock, mode, guard.until());
    // Here would be what the lock is for, each step of it behind the same question.
    while guard.is_held() && now() < leave && !scene.is_stopping() {
        hold.extend(guard.until());
        let step = leave.since(now()).min(Duration::from_millis(5));
        sleep(&scene.runtime, step).await;
    }
    hold.end(guard.until());
}

/// Locks that are left behind and forced open: the next one gets in without waiting for a lease.
pub(super) async fn work_on_orphans<R: Runtime>(scene: Arc<Scene<R>>, mut rng: fastrand::Rng) {
    let nodes = scene.locks.nodes();
    let lock = format!("orphan of {}", scene.plan.name);
    if !scene.meet_all().await {
        return;
    }
    while !scene.is_stopping() {
        scene.rest(&mut rng, 200..600).await;
        let (orphan, heir) = (rng.u64(..), rng.u64(..));
        // Every table has granted or refused it, so that no request for it is on its way.
        let left = scene.locks.survey(&lock, orphan).await.is_some();
        if scene.locks.force_unlock(&lock).await && left {
            let granted = scene.locks.survey(&lock, heir).await;
            scene.outcomes.judged(granted.is_none_or(|granted| granted == nodes), || {
                format!("{lock} was forced open, and {granted:?} of {nodes} nodes grant it")
            });
            scene.locks.unlock(&lock, Mode::Write, heir).await;
        }
    }
}
