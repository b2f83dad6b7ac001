//! O18: nothing that a peer sends makes a machine or a task panic, and peers that break the rules
//! are answered as the protocol says: see [`peers`](crate::peers) for what they try and expect.

use super::{Bench, Case};
use crate::verdict::Class;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let end = case.evidence.farewell.end;
    let inside = &case.evidence.inside;
    bench.judged();
    let (bugs, struck) = (inside.bugs.len(), inside.struck);
    if bugs != struck {
        let rule = match bugs > struck {
            true => "a machine has panicked",
            false => "the panic of a machine was not caught",
        };
        bench.fail(Class::Panic, rule, end, format!("{bugs} times, not {struck}"));
    }
    for panic in &inside.panics {
        bench.fail(Class::Panic, "a task has panicked", end, panic.clone());
    }
    bench.pass_on_complaints(case);
}

#[cfg(test)]
mod tests {
    use crate::oracle::Complaint;
    use crate::oracle::tale::{MS, Tale};
    use crate::script::Fault;
    use crate::verdict::{Class, Failure, OracleId};

    #[test]
    fn a_run_without_panics_and_complaints_is_good() {
        Tale::new(2).is_good(18);
    }

    #[test]
    fn every_panic_is_bad() {
        let mut tale = Tale::new(2);
        tale.evidence.inside.bugs = vec![MS, 2 * MS];
        tale.evidence.inside.struck = 1;
        tale.evidence.inside.panics.push("index out of bounds".into());
        assert_eq!(tale.broken(18), ["a machine has panicked", "a task has panicked"]);
        assert!(tale.verdicts(18).failures.iter().all(|failure| failure.class == Class::Panic));
    }

    #[test]
    fn a_panic_that_was_asked_for_is_good_and_one_that_does_not_come_is_bad() {
        let mut tale = Tale::new(2);
        tale.evidence.inside.struck = 1;
        assert_eq!(tale.broken(18), ["the panic of a machine was not caught"]);
        tale.evidence.inside.bugs.push(MS);
        tale.is_good(18);
    }

    #[test]
    fn what_a_peer_complains_of_is_bad() {
        let mut tale = Tale::new(2);
        let failure = Failure {
            oracle: OracleId(18),
            class: Class::Safety,
            rule: "a first message is answered by something else",
            detail: "n1".into(),
            at: 7 * MS,
            call: None,
        };
        let complaint = Complaint { by: 0, of: 1, failure: failure.clone() };
        tale.evidence.inside.complaints.push(complaint);
        assert_eq!(tale.verdicts(18).failures, [failure]);
        // Unless what it saw is not what was sent.
        tale.fault(6, 6, Fault::Damage { from: 1, to: 0, damage: crate::world::Damage::Flip(1) });
        tale.is_good(18);
    }
}
