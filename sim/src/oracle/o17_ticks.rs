//! O17: a tick with nothing due, and a second one behind it, change nothing in a machine: neither
//! its state nor what it has to say.
//!
//! Asked of the machines themselves, now and then, in those runs that
//! [`Options::invariants`](crate::run::Options) names. Such a run then goes on with machines that
//! were ticked; that it comes to the same as without is up to [O22](super::same_again).

use super::{Bench, Case};
use crate::verdict::Class;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let inside = &case.evidence.inside;
    if inside.ticked > 0 {
        bench.judged_times(inside.ticked);
    }
    if let Some((at, which)) = &inside.stirred {
        bench.fail(Class::Safety, "a tick with nothing due changes a machine", *at, which.clone());
    }
}

#[cfg(test)]
mod tests {
    use crate::oracle::tale::{MS, Tale};

    #[test]
    fn ticks_that_change_nothing_are_good() {
        let mut tale = Tale::new(2);
        tale.evidence.inside.ticked = 3;
        tale.is_good(17);
    }

    #[test]
    fn a_tick_that_changes_a_machine_is_bad() {
        let mut tale = Tale::new(2);
        tale.evidence.inside.stirred = Some((5 * MS, "n0 with n1".into()));
        assert_eq!(tale.broken(17), ["a tick with nothing due changes a machine"]);
        assert_eq!(tale.verdicts(17).failures[0].at, 5 * MS);
    }
}
