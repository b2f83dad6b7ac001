//! What many seeds together have come to.

use std::collections::BTreeMap;

use crate::census::Tally;
use crate::oracle::{SAME_AGAIN, oracles};
use crate::rows::{CASES, ROWS};
use crate::verdict::{Failure, OracleId, Outcome};

/// From so many seeds on it is judged how often faults were felt, and which oracles have judged.
pub const ENOUGH: u64 = 1_000;

/// So many effects of each row of the fault table there must be in 1,000 seeds.
const EFFECTS: u64 = 10;

/// A kind of failure: the oracle, and the words of its rule.
pub type Kind = (OracleId, &'static str);

/// Seeds that have failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: u64,
    /// Its failure.
    pub failure: Failure,
}

/// How long it took from a healing until all of the core were connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Healing {
    /// So many nanoseconds.
    pub after: u64,
    /// What it may take at most there, in nanoseconds.
    pub bound: u64,
    /// In this seed.
    pub seed: u64,
}

/// The sums over seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// How many seeds.
    pub seeds: u64,
    /// How many have failed.
    pub failures: u64,
    /// Those that have failed, by the first failure of each.
    pub groups: BTreeMap<Kind, Group>,
    /// Faults by row of the table.
    pub census: BTreeMap<&'static str, Tally>,
    /// How often each oracle had something to judge.
    pub judged: BTreeMap<OracleId, u64>,
    /// What explained errors, by class.
    pub excuses: BTreeMap<&'static str, u64>,
    /// Events.
    pub events: u64,
    /// Simulated nanoseconds.
    pub simulated: u64,
    /// Seeds in which no fault was felt.
    pub faultless: u64,
    /// Seeds in which calls were made and none came through before the healing.
    pub vacuous: u64,
    /// The healing that took longest.
    pub worst_heal: Healing,
    /// Seeds in which that took longer than it may.
    pub heal_violations: u64,
}

impl Batch {
    /// Adds what a seed has come to; whether it has failed in a way that is new.
    pub fn add(&mut self, seed: u64, outcome: &Outcome) -> bool {
        let figures = &outcome.figures;
        self.seeds += 1;
        self.events += figures.events;
        self.simulated += figures.simulated;
        self.faultless += u64::from(!outcome.felt_a_fault());
        self.vacuous += u64::from(figures.calls > 0 && figures.successes_in_chaos == 0);
        if figures.healed_after > self.worst_heal.after {
            let (after, bound) = (figures.healed_after, figures.heal_bound);
            self.worst_heal = Healing { after, bound, seed };
        }
        let unconnected = outcome.failures.iter().any(|failure| failure.oracle == OracleId(11));
        let late = figures.healed_after > figures.heal_bound;
        self.heal_violations += u64::from(unconnected || late);
        for (row, tally) in &outcome.census {
            self.census.entry(row).or_default().add(*tally);
        }
        for (oracle, count) in &outcome.judged {
            *self.judged.entry(*oracle).or_default() += count;
        }
        for (excuse, count) in &figures.excuses {
            *self.excuses.entry(excuse).or_default() += count;
        }
        outcome.failures.first().is_some_and(|failure| self.fail(seed, failure))
    }

    /// Adds that a seed was run again, and how that has failed, if it has; whether nothing has
    /// failed so before.
    pub fn add_again(&mut self, seed: u64, failure: Option<&Failure>) -> bool {
        *self.judged.entry(SAME_AGAIN).or_default() += 1;
        failure.is_some_and(|failure| self.fail(seed, failure))
    }

    /// Counts a seed as failed; whether nothing has failed so before.
    pub fn fail(&mut self, seed: u64, failure: &Failure) -> bool {
        self.failures += 1;
        let group = self.groups.entry((failure.oracle, failure.rule));
        let group = group.or_insert(Group { count: 0, first: seed, failure: failure.clone() });
        group.count += 1;
        group.count == 1
    }

    /// The groups, that with the lowest seed first.
    pub fn groups_by_seed(&self) -> Vec<&Group> {
        let mut groups: Vec<_> = self.groups.values().collect();
        groups.sort_by_key(|group| (group.first, group.failure.oracle));
        groups
    }

    /// The rows of the fault table, and their cases, whose faults no victim has felt.
    pub fn rows_without_effect(&self) -> Vec<&'static str> {
        ROWS.into_iter().chain(CASES).filter(|row| self.felt(row) == 0).collect()
    }

    /// How many faults of this row were felt.
    pub fn felt(&self, row: &str) -> u64 {
        self.census.get(row).map_or(0, |tally| tally.felt)
    }

    /// The oracles that had nothing to judge.
    pub fn idle_oracles(&self) -> Vec<OracleId> {
        oracles().filter(|oracle| self.judged.get(oracle).is_none_or(|count| *count == 0)).collect()
    }

    /// What the seeds have not covered, for a person; empty if they have covered what they must:
    /// effects of every row, at most 1 % of seeds without any effect, at most 5 % in which nothing
    /// succeeded before the healing. [`ENOUGH`] seeds and more must have 10 effects of every row in
    /// 1,000 seeds, and something to judge for every oracle.
    pub fn shortfalls(&self) -> Vec<String> {
        let mut shortfalls = Vec::new();
        let rows = self.rows_without_effect();
        if !rows.is_empty() {
            shortfalls.push(format!("no effect of {}", rows.join(", ")));
        }
        if self.seeds >= ENOUGH {
            shortfalls.extend(self.rare_effects());
            shortfalls
                .extend(self.idle_oracles().iter().map(|oracle| format!("no case for {oracle}")));
        }
        for (count, percent, what) in [
            (self.faultless, 1, "without the effect of any fault"),
            (self.vacuous, 5, "without a success before the healing"),
        ] {
            if count * 100 > self.seeds * percent {
                let seeds = self.seeds;
                shortfalls.push(format!("{count} of {seeds} seeds {what}: over {percent} %"));
            }
        }
        shortfalls
    }

    /// The rows with effects, but too few.
    fn rare_effects(&self) -> Option<String> {
        let rare = |row: &&str| {
            let felt = self.felt(row);
            felt > 0 && felt * 1_000 < EFFECTS * self.seeds
        };
        let told = |row| format!("{row} {}", self.felt(row));
        let rows: Vec<_> = ROWS.into_iter().filter(rare).map(told).collect();
        let words = format!("under {EFFECTS} effects in 1,000 seeds: {}", rows.join(", "));
        (!rows.is_empty()).then_some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, ENOUGH, Healing, SAME_AGAIN};
    use crate::census::Tally;
    use crate::oracle::oracles;
    use crate::rows::{CASES, ROWS};
    use crate::verdict::{Class, Failure, Figures, OracleId, Outcome};

    fn failure(oracle: u8, rule: &'static str) -> Failure {
        let oracle = OracleId(oracle);
        Failure { oracle, class: Class::Safety, rule, detail: String::new(), at: 5, call: None }
    }

    fn failed(failures: &[Failure]) -> Outcome {
        Outcome { failures: failures.to_vec(), ..Outcome::default() }
    }

    #[test]
    fn seeds_are_grouped_by_their_first_failure() {
        let mut batch = Batch::default();
        assert!(batch.add(3, &failed(&[failure(1, "a"), failure(2, "b")])));
        assert!(!batch.add(4, &failed(&[failure(1, "a")])));
        assert!(batch.add(5, &failed(&[failure(1, "b")])));
        assert!(!batch.add(6, &Outcome::default()));
        assert!(batch.add_again(7, Some(&failure(22, "c"))));
        assert!(!batch.add_again(6, None));
        let groups: Vec<_> =
            batch.groups_by_seed().iter().map(|group| (group.first, group.count)).collect();
        assert_eq!(groups, [(3, 2), (5, 1), (7, 1)]);
        assert_eq!((batch.seeds, batch.failures), (4, 4));
        assert_eq!(batch.judged[&SAME_AGAIN], 2);
    }

    #[test]
    fn what_is_not_covered_falls_short() {
        let felt = Tally { placed: 1, fired: 1, felt: 1 };
        let figures = Figures { calls: 1, successes_in_chaos: 1, ..Figures::default() };
        let full = Outcome {
            census: ROWS.into_iter().chain(CASES).map(|row| (row, felt)).collect(),
            figures: figures.clone(),
            ..Outcome::default()
        };
        let mut batch = Batch::default();
        for seed in 0..100 {
            batch.add(seed, &full);
        }
        assert_eq!(batch.shortfalls(), Vec::<String>::new());
        let mut bare = batch.clone();
        bare.census.insert("C3", Tally { felt: 0, ..felt });
        assert_eq!(bare.shortfalls(), ["no effect of C3"]);
        for seed in 100..107 {
            batch.add(
                seed,
                &Outcome {
                    figures: Figures { calls: 1, ..Figures::default() },
                    ..Outcome::default()
                },
            );
        }
        assert_eq!(batch.shortfalls().len(), 2);
    }

    /// A batch of so many seeds that has 10 effects of each row in 1,000 seeds, and a case for each
    /// oracle.
    fn covered(seeds: u64) -> Batch {
        let felt = Tally { placed: seeds, fired: seeds, felt: seeds.div_ceil(100) };
        let census = ROWS.into_iter().chain(CASES).map(|row| (row, felt)).collect();
        let judged = oracles().map(|oracle| (oracle, 1)).collect();
        Batch { seeds, census, judged, ..Batch::default() }
    }

    #[test]
    fn enough_seeds_must_have_ten_effects_of_every_row_in_a_thousand() {
        let none = Vec::<String>::new();
        for (seeds, felt, shortfalls) in [
            (ENOUGH, 10, none.clone()),
            (ENOUGH, 9, vec!["under 10 effects in 1,000 seeds: C3 9".to_owned()]),
            (2 * ENOUGH, 19, vec!["under 10 effects in 1,000 seeds: C3 19".to_owned()]),
            (ENOUGH, 0, vec!["no effect of C3".to_owned()]),
            (ENOUGH - 1, 1, none.clone()),
        ] {
            let mut batch = covered(seeds);
            batch.census.insert("C3", Tally { placed: seeds, fired: seeds, felt });
            assert_eq!(batch.shortfalls(), shortfalls, "{seeds} {felt}");
        }
    }

    #[test]
    fn enough_seeds_must_have_something_to_judge_for_every_oracle() {
        let mut batch = covered(ENOUGH);
        batch.judged.remove(&OracleId(13));
        batch.judged.insert(OracleId(17), 0);
        assert_eq!(batch.idle_oracles(), [13, 17].map(OracleId));
        assert_eq!(batch.shortfalls(), ["no case for O13", "no case for O17"]);
        batch.seeds = ENOUGH - 1;
        assert_eq!(batch.shortfalls(), Vec::<String>::new());
    }

    #[test]
    fn the_worst_healing_is_kept_with_its_seed_and_late_ones_are_counted() {
        let healed = |healed_after| Outcome {
            figures: Figures { healed_after, heal_bound: 10, ..Figures::default() },
            ..Outcome::default()
        };
        let mut batch = Batch::default();
        for (seed, after) in [(0, 3), (1, 11), (2, 7)] {
            batch.add(seed, &healed(after));
        }
        batch.add(3, &failed(&[failure(11, "not connected")]));
        let worst = Healing { after: 11, bound: 10, seed: 1 };
        assert_eq!((batch.worst_heal, batch.heal_violations), (worst, 2));
    }
}
