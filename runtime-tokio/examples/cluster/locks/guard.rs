//! A lock that is held, as far as its holder can know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gridmux_tokio::driver::runtime::Runtime;
use gridmux_tokio::driver::time::sleep_until;
use gridmux_tokio::time::Instant;
use tokio::sync::oneshot;

use super::client::{Locks, Refreshed};
use super::{BELIEF, Mistake, Mode, REFRESH_EVERY};

/// Until when the holder believes. Once that time has passed it never moves again.
#[derive(Debug)]
pub(crate) struct Belief(Mutex<Instant>);

impl Belief {
    pub(crate) fn new(begun: Instant, mistake: Option<Mistake>) -> Self {
        Self(Mutex::new(match mistake {
            Some(Mistake::NoDoubt) => Instant::from_nanos(u64::MAX),
            _ => begun.after(BELIEF),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn until(&self) -> Instant {
        *self.lock()
    }

    /// A refresh that began then has reached a quorum; `false`: too late, the lock is lost.
    pub(crate) fn refreshed(&self, now: Instant, begun: Instant) -> bool {
        let mut until = self.lock();
        let in_time = now < *until;
        if in_time {
            *until = begun.after(BELIEF).max(*until);
        }
        in_time
    }

    /// So many tables have forgotten the lock that it cannot be refreshed any more.
    pub(crate) fn revoked(&self, now: Instant) {
        let mut until = self.lock();
        *until = now.min(*until);
    }
}

/// A lock that was got, refreshed every second while this lives.
///
/// Dropping it only ends the refreshes: the leases run out. [`Guard::release`] gives it back.
#[derive(Debug)]
pub(crate) struct Guard<R: Runtime> {
    locks: Locks<R>,
    lock: String,
    mode: Mode,
    uid: u64,
    belief: Arc<Belief>,
    /// Dropped, it ends the refreshes.
    _refreshes: oneshot::Sender<()>,
}

impl<R: Runtime> Guard<R> {
    pub(crate) fn new(locks: Locks<R>, lock: &str, mode: Mode, uid: u64, begun: Instant) -> Self {
        let belief = Arc::new(Belief::new(begun, locks.mistake()));
        let (sender, stop) = oneshot::channel();
        let refreshes = refresh(locks.clone(), lock.to_owned(), uid, begun, belief.clone());
        locks.runtime().spawn(async move {
            tokio::select! {
                biased;
                _ = stop => {}
                () = refreshes => {}
            }
        });
        Self { locks, lock: lock.to_owned(), mode, uid, belief, _refreshes: sender }
    }

    /// Until when the lock is held, by what is known now. A time in the past is final.
    pub(crate) fn until(&self) -> Instant {
        self.belief.until()
    }

    /// Whether the lock is held. To be asked before each step that needs it.
    pub(crate) fn is_held(&self) -> bool {
        self.locks.runtime().instant() < self.until()
    }

    /// Gives the lock back to every table.
    pub(crate) async fn release(self) {
        let Self { locks, lock, mode, uid, .. } = self;
        locks.unlock(&lock, mode, uid).await;
    }
}

/// Refreshes until the lock is lost.
async fn refresh<R: Runtime>(
    locks: Locks<R>,
    lock: String,
    uid: u64,
    mut begun: Instant,
    belief: Arc<Belief>,
) {
    let now = || locks.runtime().instant();
    loop {
        sleep_until(locks.runtime(), begun.after(REFRESH_EVERY)).await;
        begun = now();
        if begun >= belief.until() {
            return;
        }
        match locks.refresh(&lock, uid).await {
            Refreshed::Quorum if belief.refreshed(now(), begun) => {}
            Refreshed::Quorum => return,
            Refreshed::Gone => return belief.revoked(now()),
            Refreshed::TooFew => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn belief_counts_from_where_a_refresh_began() {
        let belief = Belief::new(at(100), None);
        assert_eq!(belief.until(), at(2100));
        assert!(belief.refreshed(at(2000), at(1100)));
        assert_eq!(belief.until(), at(3100));
        assert!(belief.refreshed(at(2050), at(1050)), "an earlier one takes nothing away");
        assert_eq!(belief.until(), at(3100));
    }

    #[test]
    fn what_is_lost_does_not_come_back() {
        let belief = Belief::new(at(0), None);
        assert!(!belief.refreshed(at(2000), at(1000)), "the answer came too late");
        assert_eq!(belief.until(), at(2000));
        assert!(!belief.refreshed(at(2500), at(2400)));
        assert_eq!(belief.until(), at(2000));
    }

    #[test]
    fn a_revoked_lock_is_lost_at_once() {
        let belief = Belief::new(at(0), None);
        belief.revoked(at(1500));
        assert_eq!(belief.until(), at(1500));
        assert!(!belief.refreshed(at(1501), at(1400)));
        belief.revoked(at(9000));
        assert_eq!(belief.until(), at(1500), "never later than it was lost");
    }
}
