//! One node's table of leases. Time is passed in.

use std::collections::BTreeMap;

use gridmux_tokio::time::Instant;
use serde::{Deserialize, Serialize};

use super::routes::{LockOp, Verdict};
use super::{LEASE, Mistake};

/// Who may hold a lock at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    /// Nobody else.
    Write,
    /// Other readers.
    Read,
}

#[derive(Debug)]
struct Lease {
    mode: Mode,
    until: Instant,
}

/// Who holds which lock, as far as this node knows.
#[derive(Debug)]
pub(crate) struct Table {
    ready_at: Instant,
    /// By lock, then by the number of the attempt that got it. No lock is there without a lease,
    /// though the lease may be over.
    locks: BTreeMap<String, BTreeMap<u64, Lease>>,
}

impl Table {
    /// The table of a node that starts now. What it granted in an earlier life is forgotten and
    /// may still be held, so it grants nothing for one lease.
    pub(crate) fn new(now: Instant, mistake: Option<Mistake>) -> Self {
        let ready_at = match mistake {
            Some(Mistake::ReadyAtOnce) => now,
            _ => now.after(LEASE),
        };
        Self { ready_at, locks: BTreeMap::new() }
    }

    pub(crate) fn handle(&mut self, now: Instant, op: LockOp, lock: &str, uid: u64) -> Verdict {
        match op {
            LockOp::Lock => self.lock(now, Mode::Write, lock, uid),
            LockOp::ReadLock => self.lock(now, Mode::Read, lock, uid),
            LockOp::Unlock => self.unlock(now, Mode::Write, lock, uid),
            LockOp::ReadUnlock => self.unlock(now, Mode::Read, lock, uid),
            LockOp::Refresh => self.refresh(now, lock, uid),
            LockOp::ForceUnlock => {
                self.locks.remove(lock);
                Verdict::Yes
            }
        }
    }

    /// How many leases there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.locks.values().map(BTreeMap::len).sum()
    }

    fn lock(&mut self, now: Instant, mode: Mode, lock: &str, uid: u64) -> Verdict {
        if now < self.ready_at {
            return Verdict::NotReady;
        }
        self.expire(now, lock);
        let free = self.locks.get(lock).is_none_or(|holders| {
            let share = |lease: &Lease| lease.mode == Mode::Read && mode == Mode::Read;
            holders.iter().all(|(holder, lease)| *holder == uid || share(lease))
        });
        if !free {
            return Verdict::Held;
        }
        let lease = Lease { mode, until: now.after(LEASE) };
        self.locks.entry(lock.to_owned()).or_default().insert(uid, lease);
        Verdict::Yes
    }

    fn refresh(&mut self, now: Instant, lock: &str, uid: u64) -> Verdict {
        self.expire(now, lock);
        match self.locks.get_mut(lock).and_then(|holders| holders.get_mut(&uid)) {
            Some(lease) => {
                lease.until = now.after(LEASE);
                Verdict::Yes
            }
            None => Verdict::NotHeld,
        }
    }

    fn unlock(&mut self, now: Instant, mode: Mode, lock: &str, uid: u64) -> Verdict {
        self.expire(now, lock);
        let Some(holders) = self.locks.get_mut(lock) else { return Verdict::NotHeld };
        if holders.get(&uid).is_none_or(|lease| lease.mode != mode) {
            return Verdict::NotHeld;
        }
        holders.remove(&uid);
        if holders.is_empty() {
            self.locks.remove(lock);
        }
        Verdict::Yes
    }

    fn expire(&mut self, now: Instant, lock: &str) {
        let Some(holders) = self.locks.get_mut(lock) else { return };
        holders.retain(|_, lease| now < lease.until);
        if holders.is_empty() {
            self.locks.remove(lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locks::BELIEF;

    const START: Instant = Instant::from_millis(1000);

    fn at(millis: u64) -> Instant {
        // Long enough after the start that the table is ready.
        Instant::from_millis(10_000 + millis)
    }

    fn table() -> Table {
        Table::new(START, None)
    }

    #[test]
    fn nothing_is_granted_for_one_lease_after_the_start() {
        let mut table = table();
        let almost = START.after(LEASE).before(std::time::Duration::from_nanos(1));
        for op in [LockOp::Lock, LockOp::ReadLock] {
            assert_eq!(table.handle(START, op, "a", 1), Verdict::NotReady);
            assert_eq!(table.handle(almost, op, "a", 1), Verdict::NotReady);
        }
        assert_eq!(table.handle(almost, LockOp::Refresh, "a", 1), Verdict::NotHeld);
        assert_eq!(table.handle(START.after(LEASE), LockOp::Lock, "a", 1), Verdict::Yes);
    }

    #[test]
    fn a_writer_excludes_everybody() {
        let mut table = table();
        assert_eq!(table.handle(at(0), LockOp::Lock, "a", 1), Verdict::Yes);
        assert_eq!(table.handle(at(1), LockOp::Lock, "a", 2), Verdict::Held);
        assert_eq!(table.handle(at(1), LockOp::ReadLock, "a", 2), Verdict::Held);
        assert_eq!(table.handle(at(1), LockOp::Lock, "b", 2), Verdict::Yes, "another lock");
    }

    #[test]
    fn readers_share_and_exclude_writers() {
        let mut table = table();
        assert_eq!(table.handle(at(0), LockOp::ReadLock, "a", 1), Verdict::Yes);
        assert_eq!(table.handle(at(0), LockOp::ReadLock, "a", 2), Verdict::Yes);
        assert_eq!(table.handle(at(1), LockOp::Lock, "a", 3), Verdict::Held);
        assert_eq!(table.handle(at(2), LockOp::ReadUnlock, "a", 1), Verdict::Yes);
        assert_eq!(table.handle(at(3), LockOp::Lock, "a", 3), Verdict::Held);
        assert_eq!(table.handle(at(4), LockOp::ReadUnlock, "a", 2), Verdict::Yes);
        assert_eq!(table.handle(at(5), LockOp::Lock, "a", 3), Verdict::Yes);
    }

    #[test]
    fn a_lease_ends_unless_it_is_refreshed() {
        let mut table = table();
        assert_eq!(table.handle(at(0), LockOp::Lock, "a", 1), Verdict::Yes);
        assert_eq!(table.handle(at(2999), LockOp::Lock, "a", 2), Verdict::Held);
        assert_eq!(table.handle(at(2999), LockOp::Refresh, "a", 1), Verdict::Yes);
        assert_eq!(table.handle(at(5998), LockOp::Lock, "a", 2), Verdict::Held);
        assert_eq!(table.handle(at(5999), LockOp::Lock, "a", 2), Verdict::Yes);
        assert_eq!(table.handle(at(6000), LockOp::Refresh, "a", 1), Verdict::NotHeld);
        assert_eq!(table.handle(at(6000), LockOp::Unlock, "a", 1), Verdict::NotHeld);
        assert_eq!(table.handle(at(6001), LockOp::Lock, "a", 3), Verdict::Held, "2 has it");
    }

    #[test]
    fn a_lease_that_is_over_cannot_be_refreshed_though_nobody_else_came() {
        let mut table = table();
        assert_eq!(table.handle(at(0), LockOp::Lock, "a", 1), Verdict::Yes);
        assert_eq!(table.handle(at(3000), LockOp::Refresh, "a", 1), Verdict::NotHeld);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn only_the_holder_unlocks_and_only_in_its_mode() {
        let mut table = table();
        assert_eq!(table.handle(at(0), LockOp::Lock, "a", 1), Verdict::Yes);
        assert_eq!(table.handle(at(1), LockOp::Unlock, "a", 2), Verdict::NotHeld);
        assert_eq!(table.handle(at(1), LockOp::ReadUnlock, "a", 1), Verdict::NotHeld);
        assert_eq!(table.handle(at(1), LockOp::Unlock, "b", 1), Verdict::NotHeld);
        assert_eq!(table.handle(at(1), LockOp::Unlock, "a", 1), Verdict::Yes);
        assert_eq!(table.len(), 0, "nothing is left behind");
    }

    #[test]
    fn force_unlock_ends_every_lease() {
        let mut table = table();
        for reader in 1..=3 {
            assert_eq!(table.handle(at(0), LockOp::ReadLock, "a", reader), Verdict::Yes);
        }
        assert_eq!(table.handle(at(1), LockOp::ForceUnlock, "a", 9), Verdict::Yes);
        assert_eq!(table.len(), 0);
        assert_eq!(table.handle(at(2), LockOp::Refresh, "a", 1), Verdict::NotHeld);
        assert_eq!(table.handle(at(2), LockOp::Lock, "a", 4), Verdict::Yes);
    }

    #[test]
    fn asking_again_for_what_one_holds_renews_it() {
        let mut table = table();
        assert_eq!(table.handle(at(0), LockOp::Lock, "a", 1), Verdict::Yes);
        assert_eq!(table.handle(at(2000), LockOp::Lock, "a", 1), Verdict::Yes);
        assert_eq!(table.handle(at(4999), LockOp::Lock, "a", 2), Verdict::Held);
    }

    /// The argument of the module's first page, with tables that restart.
    #[test]
    fn nobody_is_let_in_while_a_holder_believes() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let begun = at(rng.u64(0..500));
            let received = begun.after(std::time::Duration::from_millis(rng.u64(0..900)));
            let mut table = table();
            assert_eq!(table.handle(received, LockOp::Lock, "a", 1), Verdict::Yes);
            let asked = received.after(std::time::Duration::from_millis(rng.u64(0..4000)));
            if rng.bool() {
                let lived = asked.since(received).mul_f64(rng.f64());
                table = Table::new(received.after(lived), None);
            }
            if table.handle(asked, LockOp::Lock, "a", 2) == Verdict::Yes {
                assert!(begun.after(BELIEF) < asked, "1 believes while 2 is let in");
            }
        }
    }
}
