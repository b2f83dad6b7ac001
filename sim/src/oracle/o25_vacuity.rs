//! O25: a run in which nothing succeeds proves little. This finds nothing broken in one run; it
//! gives the figures that a batch of runs is judged by.

use super::{Bench, Case, PROBE};

/// What a run has proved at all. Probes do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacuity {
    /// Calls and streams that were made.
    pub calls: u64,
    /// Of these, those that ended in order.
    pub successes: u64,
    /// Of these, those that ended in order before the healing.
    pub successes_in_chaos: u64,
}

impl Vacuity {
    /// Whether calls were made, and none came through before the healing.
    pub const fn is_vacuous(&self) -> bool {
        self.calls > 0 && self.successes_in_chaos == 0
    }
}

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let vacuity = &mut bench.verdicts.vacuity;
    for story in case.stories.iter().filter(|story| !story.call.name.starts_with(PROBE)) {
        vacuity.calls += u64::from(story.issued().is_some());
        if !story.succeeded() {
            continue;
        }
        vacuity.successes += 1;
        let in_chaos = story.ended().is_some_and(|(end, _)| end.at < case.evidence.phases.heal);
        vacuity.successes_in_chaos += u64::from(in_chaos);
    }
    bench.judged();
}

#[cfg(test)]
mod tests {
    use super::Vacuity;
    use crate::history::Sight::{Ended, Issued};
    use crate::oracle::tale::{LOST, Tale, call};
    use crate::script::{Call, Route};

    #[test]
    fn successes_count_before_and_after_the_healing() {
        let mut tale = Tale::of(call(Route::Echo), &[(5, Issued), (6, Ended(Ok(true)))]);
        let late = tale.call(call(Route::Echo));
        tale.see(7, late, Issued).see(10_001, late, Ended(Ok(true)));
        let vacuity = tale.verdicts(25).vacuity;
        assert_eq!(vacuity, Vacuity { calls: 2, successes: 2, successes_in_chaos: 1 });
        assert!(!vacuity.is_vacuous());
    }

    #[test]
    fn failures_and_probes_prove_nothing() {
        let mut tale = Tale::of(call(Route::Echo), &[(5, Issued), (6, Ended(Err(LOST)))]);
        let probe = tale.call(Call::new("probe-call", 0, 1, Route::Echo));
        tale.see(7, probe, Issued).see(8, probe, Ended(Ok(true)));
        assert!(tale.verdicts(25).vacuity.is_vacuous());
    }
}
