//! O23: nobody waits while nothing is left to happen, and nobody waits for what has come: whoever
//! is asked again while nothing happens does not go on.

use super::{Bench, Case};
use crate::verdict::Class;

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    bench.judged();
    for (at, what) in &case.evidence.inside.lost_wakes {
        let rule = "somebody was not woken";
        bench.fail(Class::Liveness, rule, *at, format!("{what} goes on when it is asked again"));
    }
    let Some(at) = case.evidence.starved_at else { return };
    for story in case.stories.iter().filter(|story| story.ours[0]) {
        let Some(issued) = story.issued() else { continue };
        let over = story.ended().is_some() || story.dropped().is_some();
        if !over && !case.evidence.is_dead(issued.node, issued.life, at) {
            bench.late_call("a call waits, and nothing is left to happen", at, story, "");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::history::Sight::{Ended, Issued};
    use crate::oracle::tale::{MS, Tale, call};
    use crate::script::Route;

    #[test]
    fn an_end_with_nobody_waiting_is_good() {
        let mut tale = Tale::of(call(Route::Echo), &[(5, Issued), (6, Ended(Ok(true)))]);
        tale.is_good(23);
        tale.evidence.starved_at = Some(9 * MS);
        tale.is_good(23);
    }

    #[test]
    fn a_wake_up_that_was_lost_is_bad() {
        let mut tale = Tale::new(2);
        tale.evidence.inside.lost_wakes.push((9 * MS, "a shutdown"));
        assert_eq!(tale.broken(23), ["somebody was not woken"]);
    }

    #[test]
    fn an_end_with_an_open_call_is_bad() {
        let mut tale = Tale::of(call(Route::Echo), &[(5, Issued)]);
        tale.evidence.starved_at = Some(9 * MS);
        assert_eq!(tale.broken(23), ["a call waits, and nothing is left to happen"]);
        tale.kill(8, 0);
        tale.is_good(23);
    }
}
