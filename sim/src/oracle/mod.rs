//! The judges of a run: each looks at what the applications have seen and at what went over the
//! wire, and but for O13, O14, O17 and O24 at nothing of the machines that made it.
//!
//! | | rule |
//! | --- | --- |
//! | O1 | each call resolves exactly once |
//! | O2 | items arrive without loss, duplication, reordering or change; one end, nothing after it |
//! | O3 | every error is explained by what has happened |
//! | O4 | an orderly end beats later faults; no error overtakes what has arrived |
//! | O5 | deadlines: never early, at most a wake-up late, at both ends |
//! | O6 | a handler runs at most once, with the caller's bytes, and is told when its call is over |
//! | O7 | the loss of a link ends all calls that were on it |
//! | O8 | no id is used again, and nothing crosses from one connection to another (on the wire) |
//! | O9 | nobody sends beyond its credits, or gives back more than it got (on the wire) |
//! | O10 | a link that is heard of lives, whatever the clocks do; its pongs wait for no data |
//! | O11 | after the healing all of the core are connected within [`heal_bound`] |
//! | O12 | one connection a pair, by the side that is to dial |
//! | O13 | queues and tables keep below their limits |
//! | O14 | at rest nothing is left, and after the shutdown no task |
//! | O15 | dials keep their distance |
//! | O16 | who may send what when, and how it is written (on the wire) |
//! | O17 | a tick with nothing due changes nothing |
//! | O18 | bad input harms nothing but what brought it; nothing panics |
//! | O19 | memory and replies are bounded by the bytes that have come |
//! | O20 | what is encoded is decoded as it was, however the bytes are split |
//! | O21 | after the healing, a call and a stream each way succeed |
//! | O22 | a script does the same every time it runs ([`same_again`]) |
//! | O23 | nobody waits while nothing is left to happen |
//! | O24 | the machines' own invariants hold |
//! | O25 | runs count for what they have proved |
//! | O26 | who is there is not given up, on the slowest way; who takes nothing is |
//!
//! What explains an error is counted by class in [`Verdicts::excuses`]; so is every case that a
//! rule cannot judge.

mod bounds;
mod evidence;
mod inside;
mod o01_once;
mod o02_items;
mod o03_explained;
mod o04_orderly;
mod o05_deadlines;
mod o06_handlers;
mod o07_loss;
mod o08_epochs;
mod o09_credits;
mod o10_alive;
mod o11_connected;
mod o12_one_link;
mod o13_limits;
mod o14_rest;
mod o15_dials;
mod o16_grammar;
mod o17_ticks;
mod o18_bad_input;
mod o19_work;
mod o20_codec;
mod o21_probes;
mod o22_same_again;
mod o23_starved;
mod o24_invariants;
mod o25_vacuity;
mod o26_there;
mod on_wire;
pub(crate) mod story;
#[cfg(test)]
pub(crate) mod tale;

use std::collections::BTreeMap;

use self::bounds::Bounds;
pub use self::bounds::heal_bound;
pub use self::evidence::{
    ConnectionLife, DialAttempt, Evidence, Fired, Gauge, Intake, LinkPing, LinkView, Mark, Missed,
    Needless, NodeLife, PairState, Phases, Silence, Stall, Standstill, Stream,
};
pub use self::inside::{Complaint, Farewell, Hoard, Inside, Peak, Wire};
pub use self::o22_same_again::{Fingerprint, SAME_AGAIN, same_again, same_elsewhere};
pub use self::o25_vacuity::Vacuity;
use self::story::{Story, stories};
use crate::verdict::{Class, Failure, OracleId};

/// The names of calls that are probes begin so (O21).
pub const PROBE: &str = "probe-";

/// What the scripted handler of a call says when it fails or panics: the error of the call must
/// have this in it.
pub fn failure_text(call: &str) -> String {
    format!("{call} fails as its script says")
}

/// What all oracles together say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// What went wrong, the earliest first.
    pub failures: Vec<Failure>,
    /// What explained an error, or kept a rule from judging, by class.
    pub excuses: BTreeMap<&'static str, u64>,
    /// How often each oracle had something to judge.
    pub judged: BTreeMap<OracleId, u64>,
    /// What the run has proved at all (O25).
    pub vacuity: Vacuity,
}

/// What all oracles judge by.
#[derive(Debug)]
struct Case<'a> {
    evidence: &'a Evidence,
    stories: Vec<Story<'a>>,
    bounds: Bounds<'a>,
}

/// Where one oracle says what it has found.
#[derive(Debug)]
struct Bench<'a> {
    oracle: OracleId,
    verdicts: &'a mut Verdicts,
}

impl Bench<'_> {
    /// It had something to judge.
    fn judged(&mut self) {
        self.judged_times(1);
    }

    /// It had so many things to judge.
    fn judged_times(&mut self, count: u64) {
        *self.verdicts.judged.entry(self.oracle).or_default() += count;
    }

    /// Something explains what was seen.
    fn excuse(&mut self, class: &'static str) {
        self.excuse_times(class, 1);
    }

    /// It explains so many things.
    fn excuse_times(&mut self, class: &'static str, count: u64) {
        *self.verdicts.excuses.entry(class).or_default() += count;
    }

    /// What peers that are not ours complain of, as far as it is this oracle's.
    fn pass_on_complaints(&mut self, case: &Case<'_>) {
        let oracle = self.oracle;
        let all = case.evidence.inside.complaints.iter();
        for complaint in all.filter(|complaint| complaint.failure.oracle == oracle) {
            if case.bounds.is_corrupted(complaint.by, complaint.of, complaint.failure.at) {
                self.excuse("a byte was changed on the way");
            } else {
                self.verdicts.failures.push(complaint.failure.clone());
            }
        }
    }

    fn fail(&mut self, class: Class, rule: &'static str, at: u64, detail: String) {
        let failure = Failure { oracle: self.oracle, class, rule, detail, at, call: None };
        self.verdicts.failures.push(failure);
    }

    /// A failure of one call.
    fn fail_call(
        &mut self,
        class: Class,
        rule: &'static str,
        at: u64,
        story: &Story<'_>,
        detail: &str,
    ) {
        let detail = format!("{}: {detail}", story.label());
        self.fail(class, rule, at, detail);
        if let Some(failure) = self.verdicts.failures.last_mut() {
            failure.call = Some(story.id);
        }
    }

    /// Something that must not be has happened at one end of a call, whatever the other end says.
    fn unsafe_call(&mut self, rule: &'static str, at: u64, story: &Story<'_>, detail: &str) {
        self.fail_call(Class::Safety, rule, at, story, detail);
    }

    /// Something that must not be has happened between the ends of a call.
    fn unsafe_exchange(&mut self, rule: &'static str, at: u64, story: &Story<'_>, detail: &str) {
        if story.forged_at.is_some_and(|forged| forged <= at) {
            self.excuse("a byte was changed on a path without CRC");
        } else {
            self.unsafe_call(rule, at, story, detail);
        }
    }

    /// Something has not happened to a call in time.
    fn late_call(&mut self, rule: &'static str, at: u64, story: &Story<'_>, detail: &str) {
        self.fail_call(Class::Liveness, rule, at, story, detail);
    }
}

type Oracle = fn(&Case<'_>, &mut Bench<'_>);

const ORACLES: [(OracleId, Oracle); 25] = [
    (OracleId(1), o01_once::judge),
    (OracleId(2), o02_items::judge),
    (OracleId(3), o03_explained::judge),
    (OracleId(4), o04_orderly::judge),
    (OracleId(5), o05_deadlines::judge),
    (OracleId(6), o06_handlers::judge),
    (OracleId(7), o07_loss::judge),
    (OracleId(8), o08_epochs::judge),
    (OracleId(9), o09_credits::judge),
    (OracleId(10), o10_alive::judge),
    (OracleId(11), o11_connected::judge),
    (OracleId(12), o12_one_link::judge),
    (OracleId(13), o13_limits::judge),
    (OracleId(14), o14_rest::judge),
    (OracleId(15), o15_dials::judge),
    (OracleId(16), o16_grammar::judge),
    (OracleId(17), o17_ticks::judge),
    (OracleId(18), o18_bad_input::judge),
    (OracleId(19), o19_work::judge),
    (OracleId(20), o20_codec::judge),
    (OracleId(21), o21_probes::judge),
    (OracleId(23), o23_starved::judge),
    (OracleId(24), o24_invariants::judge),
    (OracleId(25), o25_vacuity::judge),
    (OracleId(26), o26_there::judge),
];

/// The oracles that there are.
pub fn oracles() -> impl Iterator<Item = OracleId> {
    let of_one_run = ORACLES.iter().map(|(id, _)| *id);
    let before = of_one_run.clone().take_while(|id| *id < SAME_AGAIN);
    let after = of_one_run.skip_while(|id| *id < SAME_AGAIN);
    before.chain([SAME_AGAIN]).chain(after)
}

/// Has all oracles judge a run.
pub fn judge(evidence: &Evidence) -> Verdicts {
    judge_without(evidence, &[])
}

/// Has all oracles but these judge a run: to see that each is needed.
pub fn judge_without(evidence: &Evidence, off: &[OracleId]) -> Verdicts {
    let case = Case { evidence, stories: stories(evidence), bounds: Bounds::new(evidence) };
    let mut verdicts = Verdicts::default();
    for (oracle, judge) in ORACLES {
        if !off.contains(&oracle) {
            judge(&case, &mut Bench { oracle, verdicts: &mut verdicts });
        }
    }
    verdicts.failures.sort_by_key(|failure| (failure.at, failure.oracle));
    verdicts
}

#[cfg(test)]
mod tests {
    use super::tale::{LOST, MS, Tale, call};
    use super::{judge, judge_without, oracles};
    use crate::history::Sight::{Ended, Issued, Started};
    use crate::script::Route;
    use crate::verdict::OracleId;

    /// A call that has two ends, both late, of which nothing explains the first, and a handler for ever.
    fn wrong() -> Tale {
        let sights = [(5, Issued), (6, Started(true)), (50, Ended(Err(LOST)))];
        let mut tale = Tale::of(call(Route::Echo), &sights);
        tale.evidence.pairs.clear();
        tale.see(51, 0, Ended(Ok(true)));
        tale
    }

    #[test]
    fn all_oracles_judge_and_the_earliest_failure_comes_first() {
        let verdicts = judge(&wrong().evidence);
        let found: Vec<_> = verdicts.failures.iter().map(|failure| failure.oracle.0).collect();
        assert_eq!(found, [1, 3, 1, 6, 5]);
        assert!(verdicts.failures.iter().all(|failure| failure.call == Some(0)));
        assert!(verdicts.failures.is_sorted_by_key(|failure| failure.at));
        assert_eq!(verdicts.failures[2].at, 51 * MS);
    }

    #[test]
    fn there_are_twenty_six_oracles_in_order() {
        let ids: Vec<u8> = oracles().map(|id| id.0).collect();
        assert_eq!(ids, (1..=26).collect::<Vec<_>>());
    }

    #[test]
    fn an_oracle_that_is_off_finds_and_counts_nothing() {
        let tale = wrong();
        for off in oracles() {
            let verdicts = judge_without(&tale.evidence, &[off]);
            assert!(verdicts.failures.iter().all(|failure| failure.oracle != off));
            assert!(!verdicts.judged.contains_key(&off));
        }
        let all: Vec<OracleId> = oracles().collect();
        assert_eq!(judge_without(&tale.evidence, &all), super::Verdicts::default());
    }
}
