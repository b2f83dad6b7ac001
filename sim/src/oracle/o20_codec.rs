//! O20: bytes mean the same however they are split: what a peer of ours, or one that keeps to the
//! protocol in its own way, has sent in order is not taken for a malformed message.
//!
//! Not judged: connections on which a byte was changed, and hostile peers.

use super::{Bench, Case};
use crate::verdict::Class;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    bench.judged();
    for (at, problem) in &case.evidence.inside.misread {
        bench.fail(Class::Safety, "an orderly message is malformed", *at, problem.clone());
    }
}

#[cfg(test)]
mod tests {
    use crate::oracle::tale::{MS, Tale};

    #[test]
    fn a_run_in_which_all_is_understood_is_good() {
        Tale::new(2).is_good(20);
    }

    #[test]
    fn an_orderly_message_that_is_refused_is_bad() {
        let mut tale = Tale::new(2);
        tale.evidence.inside.misread.push((5 * MS, "n0 of n1: no continuation".into()));
        assert_eq!(tale.broken(20), ["an orderly message is malformed"]);
    }
}
