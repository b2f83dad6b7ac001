//! O24: the machines' own invariants hold, whenever they are looked into: at the end of every run,
//! and after every few events in those that [`Options::invariants`](crate::run::Options) names.

use super::{Bench, Case};
use crate::verdict::Class;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    bench.judged();
    if let Some((at, problem)) = &case.evidence.inside.broken {
        bench.fail(Class::Safety, "an invariant of a machine is broken", *at, problem.clone());
    }
}

#[cfg(test)]
mod tests {
    use crate::oracle::tale::{MS, Tale};

    #[test]
    fn machines_that_add_up_are_good() {
        Tale::new(2).is_good(24);
    }

    #[test]
    fn a_machine_that_does_not_add_up_is_bad() {
        let mut tale = Tale::new(2);
        tale.evidence.inside.broken = Some((5 * MS, "n0 with n1: received bytes".into()));
        assert_eq!(tale.broken(24), ["an invariant of a machine is broken"]);
        assert_eq!(tale.verdicts(24).failures[0].at, 5 * MS);
    }
}
