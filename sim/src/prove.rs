//! Proves that oracles can fail: bugs are planted in the core, one at a time, until an oracle fails
//! that does not fail on the same seed without the bug.
//!
//! Bugs are planted for a thread, and a run stays on its thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use gridmux_core::planted::{Bug, Planted, plant, strikes_so_far};

use crate::batch::Kind;
use crate::guard;
use crate::minimise::{Minimised, minimise};
use crate::oracle::same_again;
use crate::run::Options;
use crate::script::Script;
use crate::swarm::{Profile, script};
use crate::verdict::{OracleId, Outcome};

/// How many seeds a bug has to be caught in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The first seed.
    pub from: u64,
    /// How many are tried.
    pub seeds: u64,
    /// What they are like.
    pub profile: Profile,
}

/// A seed on which a bug was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catch {
    /// The seed.
    pub seed: u64,
    /// How many seeds it took.
    pub tried: u64,
    /// Which oracle, and its rule: that which the bug names, if it is among those that fail.
    pub kind: Kind,
    /// Whether the bug names that oracle.
    pub expected: bool,
    /// All oracles that fail with the bug and not without it.
    pub oracles: BTreeSet<OracleId>,
}

/// What has become of a planted bug.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The bug.
    pub planted: &'static Planted,
    /// Seeds that were tried.
    pub tried: u64,
    /// Of these, those in which it could act.
    pub provoked: u64,
    /// The first seed on which the oracle that the bug names has failed; if there is none, the
    /// first on which another one has.
    pub caught: Option<Catch>,
    /// Every seed on which it was caught.
    pub catches: Vec<Catch>,
    /// It was stopped before the budget was used up.
    pub cut_short: bool,
}

/// The oracles that fail without any bug, by seed.
#[derive(Debug, Default)]
pub struct Baseline(Mutex<BTreeMap<u64, Arc<BTreeSet<OracleId>>>>);

impl Baseline {
    fn of(&self, seed: u64, script: &Script) -> Arc<BTreeSet<OracleId>> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(oracles) = known().get(&seed) {
            return oracles.clone();
        }
        let oracles = Arc::new(oracles(&without_bug(script)));
        known().entry(seed).or_insert(oracles).clone()
    }
}

/// Looks for the first seed on which a planted bug is caught by the oracle that it names;
/// with `all`, tries all seeds of the budget whatever has been found. Stops before the next seed if
/// `over` says so.
pub fn prove(
    planted: &'static Planted,
    budget: Budget,
    baseline: &Baseline,
    all: bool,
    over: impl Fn() -> bool,
) -> Proof {
    let mut proof = Proof {
        planted,
        tried: 0,
        provoked: 0,
        caught: None,
        catches: Vec::new(),
        cut_short: false,
    };
    for seed in budget.from..budget.from.saturating_add(budget.seeds) {
        if over() {
            proof.cut_short = true;
            break;
        }
        proof.tried += 1;
        let script = script(seed, budget.profile);
        let (outcome, strikes) = with_bug(planted, &script);
        proof.provoked += u64::from(strikes > 0);
        if strikes > 0
            && let Some(catch) = catch(planted, seed, proof.tried, &outcome, &script, baseline)
        {
            proof.add(catch);
        }
        if !all && proof.ending() == Ending::Caught {
            break;
        }
    }
    proof
}

/// How the search for a bug has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The oracle that the bug names has caught it.
    Caught,
    /// Only another oracle has, with all seeds of the budget.
    ByAnother,
    /// Nothing has, with all seeds of the budget.
    Missed,
    /// It was stopped before the bug was caught and before its seeds were used up: nothing is
    /// known.
    Unfinished,
}

impl Proof {
    /// How the search has ended.
    pub fn ending(&self) -> Ending {
        match &self.caught {
            Some(catch) if catch.expected => Ending::Caught,
            _ if self.cut_short => Ending::Unfinished,
            Some(_) => Ending::ByAnother,
            None => Ending::Missed,
        }
    }

    fn add(&mut self, catch: Catch) {
        if self.caught.as_ref().is_none_or(|caught| catch.expected && !caught.expected) {
            self.caught = Some(catch.clone());
        }
        self.catches.push(catch);
    }
}

/// What has caught a bug on a seed, if anything has.
fn catch(
    planted: &Planted,
    seed: u64,
    tried: u64,
    outcome: &Outcome,
    script: &Script,
    baseline: &Baseline,
) -> Option<Catch> {
    if outcome.is_good() {
        return None;
    }
    let usual = baseline.of(seed, script);
    let new = || outcome.failures.iter().filter(|failure| !usual.contains(&failure.oracle));
    let expected =
        |failure: &crate::verdict::Failure| planted.caught_by == failure.oracle.to_string();
    let failure = new().min_by_key(|failure| !expected(failure))?;
    Some(Catch {
        seed,
        tried,
        kind: (failure.oracle, failure.rule),
        expected: expected(failure),
        oracles: new().map(|failure| failure.oracle).collect(),
    })
}

/// Runs beyond the first of a bug that makes runs differ: by chance, every other one is the same,
/// and one in a million times all are.
const AGAIN: usize = 20;

/// What a script comes to with a bug, and how often the bug could act. Bugs that make two runs
/// differ are given some, until one differs from the first.
pub fn with_bug(planted: &Planted, script: &Script) -> (Outcome, u64) {
    let (mut outcome, strikes) = run_with(planted.bug, script);
    if planted.caught_by == "O22" && strikes > 0 {
        let mut others = (0..AGAIN).map(|_| run_with(planted.bug, script).0);
        if let Some(failure) = others.find_map(|other| same_again(&outcome, &other)) {
            outcome.failures.insert(0, failure);
        }
    }
    (outcome, strikes)
}

fn run_with(bug: Bug, script: &Script) -> (Outcome, u64) {
    plant(Some(bug));
    let outcome = guard::outcome(script, &INSPECTED);
    let strikes = strikes_so_far();
    plant(None);
    (outcome, strikes)
}

/// What a script comes to without any bug.
pub fn without_bug(script: &Script) -> Outcome {
    plant(None);
    guard::outcome(script, &INSPECTED)
}

/// Invariants of the machines are oracles too (O24).
const INSPECTED: Options = Options { invariants: true, traced: false, steps: 0..0 };

fn oracles(outcome: &Outcome) -> BTreeSet<OracleId> {
    outcome.failures.iter().map(|failure| failure.oracle).collect()
}

/// The shortest script found that fails in this way with the bug, and passes without it.
pub fn shorten(
    planted: &Planted,
    kind: Kind,
    script: &Script,
    over: impl Fn(u64) -> bool,
) -> Minimised {
    minimise(script, over, |script| proves(planted, kind, script))
}

/// Whether a script fails in this way with the bug, and passes without it.
pub fn proves(planted: &Planted, kind: Kind, script: &Script) -> bool {
    let (outcome, _) = with_bug(planted, script);
    let fails = outcome.failures.iter().any(|failure| (failure.oracle, failure.rule) == kind);
    fails && without_bug(script).is_good()
}

/// The bugs that nothing would have caught if one oracle were off, for every oracle for which
/// there are any: those on whose every seed no other one has failed.
pub fn ablation(proofs: &[Proof]) -> BTreeMap<OracleId, Vec<&'static str>> {
    let mut slip = BTreeMap::<_, Vec<_>>::new();
    for proof in proofs {
        let seen: BTreeSet<OracleId> =
            proof.catches.iter().flat_map(|catch| catch.oracles.iter().copied()).collect();
        for oracle in seen {
            if proof.catches.iter().all(|catch| catch.oracles.iter().all(|one| *one == oracle)) {
                slip.entry(oracle).or_default().push(proof.planted.name);
            }
        }
    }
    slip
}

#[cfg(test)]
mod tests {
    use gridmux_core::planted::ALL;

    use super::{Baseline, Budget, Catch, Ending, Proof, ablation, prove};
    use crate::swarm::Profile;
    use crate::verdict::OracleId;

    fn catch(oracles: &[u8], expected: bool) -> Catch {
        let oracles: std::collections::BTreeSet<_> =
            oracles.iter().copied().map(OracleId).collect();
        let kind = (*oracles.first().unwrap(), "a rule");
        Catch { seed: 1, tried: 1, kind, expected, oracles }
    }

    fn proof(catches: Vec<Catch>) -> Proof {
        let mut proof = Proof {
            planted: &ALL[0],
            tried: 9,
            provoked: 9,
            caught: None,
            catches: Vec::new(),
            cut_short: false,
        };
        catches.into_iter().for_each(|catch| proof.add(catch));
        proof
    }

    #[test]
    fn an_expected_oracle_takes_the_place_of_one_that_came_earlier() {
        let proof = proof(vec![catch(&[3], false), catch(&[2], true), catch(&[4], false)]);
        assert_eq!(proof.caught.as_ref().unwrap().kind.0, OracleId(2));
        assert_eq!(proof.ending(), Ending::Caught);
    }

    #[test]
    fn what_was_stopped_early_is_not_known_to_slip() {
        let stopped = |catches| Proof { cut_short: true, ..proof(catches) };
        assert_eq!(proof(Vec::new()).ending(), Ending::Missed);
        assert_eq!(stopped(Vec::new()).ending(), Ending::Unfinished);
        let other = || vec![catch(&[3], false)];
        assert_eq!(proof(other()).ending(), Ending::ByAnother);
        assert_eq!(stopped(other()).ending(), Ending::Unfinished);
        let expected = vec![catch(&[3], true)];
        assert_eq!(stopped(expected).ending(), Ending::Caught);
    }

    #[test]
    fn a_bug_slips_without_the_one_oracle_that_sees_it() {
        let one = proof(vec![catch(&[3], true), catch(&[3], true)]);
        let two = proof(vec![catch(&[2], true), catch(&[4], true)]);
        let slip = ablation(&[one, two, proof(Vec::new())]);
        assert_eq!(slip.keys().collect::<Vec<_>>(), [&OracleId(3)]);
    }

    #[test]
    fn a_planted_bug_is_caught_and_the_thread_is_clean_again() {
        let planted = ALL.iter().find(|planted| planted.name == "last-items-dropped").unwrap();
        let budget = Budget { from: 0, seeds: 50, profile: Profile::Quick };
        let proof = prove(planted, budget, &Baseline::default(), false, || false);
        let caught = proof.caught.unwrap();
        assert!(proof.provoked > 0 && caught.tried <= 50);
        assert_eq!(gridmux_core::planted::strikes_so_far(), 0);
    }
}
