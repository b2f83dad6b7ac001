//! Lines that others can cause as often as they like: told at most once a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Instant;

/// A line of one kind is told again after this long at the earliest.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Scopes that have run out of room look for one that is over again after this long.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A line is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Lines of this kind that were left out since the last one that was logged: the field
    /// `suppressed` of the line, which has none if it is `None`.
    pub(crate) suppressed: Option<u64>,
}

/// A kind of line: its text, and what else tells it from others, such as the kind of an error. Texts of
/// ours, so that there are few.
pub(crate) type Kind = (&'static str, &'static str);

#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: Kind,
    /// When a line was logged last.
    at: Instant,
    /// Lines that were left out since.
    suppressed: u64,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        now.since(self.at) >= TOLD_EVERY
    }
}

/// Which lines about one thing (a peer, an address, a route) are logged: of each kind the first one,
/// and then one a minute.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repeats {
    /// One for each kind that was told.
    entries: Vec<Entry>,
}

impl Repeats {
    /// A line of this kind could be logged now: `None` if it is to be left out, and then it is counted.
    pub(crate) fn tell(&mut self, kind: Kind, now: Instant) -> Option<Told> {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.kind == kind) else {
            self.entries.push(Entry { kind, at: now, suppressed: 0 });
            return Some(Told { suppressed: None });
        };
        if !entry.is_over(now) {
            entry.suppressed += 1;
            return None;
        }
        entry.at = now;
        let suppressed = std::mem::take(&mut entry.suppressed);
        Some(Told { suppressed: (suppressed > 0).then_some(suppressed) })
    }

    fn is_over(&self, now: Instant) -> bool {
        self.entries.iter().all(|entry| entry.is_over(now))
    }

    /// Takes over what another one has counted.
    fn absorb(&mut self, other: &Self) {
        for theirs in other.entries.iter().filter(|entry| entry.suppressed > 0) {
            match self.entries.iter_mut().find(|entry| entry.kind == theirs.kind) {
                Some(ours) => ours.suppressed += theirs.suppressed,
                None => self.entries.push(*theirs),
            }
        }
    }
}

/// [`Repeats`] of many scopes, such as the addresses of strangers.
///
/// There are at most `most` of them. While that many have had a line within the last minute, all that
/// come anew share one: whoever changes its address cannot make this grow, nor log more.
#[derive(Debug)]
pub(crate) struct ScopedRepeats<S> {
    scopes: BTreeMap<S, Repeats>,
    others: Repeats,
    most: usize,
    next_sweep: Instant,
}

impl<S: Ord> ScopedRepeats<S> {
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            scopes: BTreeMap::new(),
            others: Repeats { entries: Vec::new() },
            most,
            next_sweep: Instant::ZERO,
        }
    }

    /// As [`Repeats::tell`], for one scope.
    pub(crate) fn tell(&mut self, scope: S, kind: Kind, now: Instant) -> Option<Told> {
        if let Some(repeats) = self.scopes.get_mut(&scope) {
            return repeats.tell(kind, now);
        }
        if self.scopes.len() >= self.most && now >= self.next_sweep {
            self.next_sweep = now.after(SWEEP_EVERY);
            self.forget(now);
        }
        if self.scopes.len() >= self.most {
            return self.others.tell(kind, now);
        }
        self.scopes.entry(scope).or_default().tell(kind, now)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.scopes.len()
    }

    /// Drops the scopes that would log their next line in any case; what they have left out is told with
    /// that of the others.
    fn forget(&mut self, now: Instant) {
        let others = &mut self.others;
        self.scopes.retain(|_, repeats| {
            let keep = !repeats.is_over(now);
            if !keep {
                others.absorb(repeats);
            }
            keep
        });
    }
}
