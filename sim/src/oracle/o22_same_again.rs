//! O22: a script does the same every time it runs: in one process and in another, on any number of
//! threads, on every machine.
//!
//! One run has nothing to be held against, so this oracle is asked by whoever runs a script again.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::run::CHECKPOINT;
use crate::verdict::{Class, Failure, OracleId, Outcome};

/// The number of this oracle.
pub const SAME_AGAIN: OracleId = OracleId(22);

/// What is the same of two runs of one script, in two numbers. As text, both with a blank between
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The hash over every event, every byte written and every timer.
    pub digest: u64,
    /// How many events there were.
    pub events: u64,
}

impl Fingerprint {
    /// That of a run.
    pub fn of(outcome: &Outcome) -> Self {
        Self { digest: outcome.digest, events: outcome.figures.events }
    }
}

impl Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} {}", self.digest, self.events)
    }
}

impl FromStr for Fingerprint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (digest, events) = text.split_once(' ').ok_or(())?;
        let digest = u64::from_str_radix(digest, 16).map_err(drop)?;
        Ok(Self { digest, events: events.parse().map_err(drop)? })
    }
}

/// Holds two runs in one process against each other; what is wrong if they differ.
pub fn same_again(first: &Outcome, again: &Outcome) -> Option<Failure> {
    let (one, other) = (Fingerprint::of(first), Fingerprint::of(again));
    let checkpoints = first.checkpoints.iter().zip(&again.checkpoints);
    let same = checkpoints.take_while(|(one, other)| one == other).count();
    let after = same as u64 * CHECKPOINT;
    let parted = same < first.checkpoints.len().min(again.checkpoints.len());
    (parted || one != other).then(|| {
        failure(format!("in one process: {one}, then {other}; they part after event {after}"))
    })
}

/// Holds a run against what another process says of the same script, if it says anything.
pub fn same_elsewhere(here: Fingerprint, there: Option<Fingerprint>) -> Option<Failure> {
    let there = match there {
        Some(there) if there == here => return None,
        Some(there) => there.to_string(),
        None => "nothing".into(),
    };
    Some(failure(format!("in this process: {here}, in another one: {there}")))
}

fn failure(detail: String) -> Failure {
    let (class, rule) = (Class::Nondeterminism, "two runs of one seed differ");
    Failure { oracle: SAME_AGAIN, class, rule, detail, at: 0, call: None }
}

#[cfg(test)]
mod tests {
    use super::{Fingerprint, same_again, same_elsewhere};
    use crate::verdict::{Class, Figures, Outcome};

    fn ran(digest: u64, events: u64, checkpoints: &[u64]) -> Outcome {
        let figures = Figures { events, ..Figures::default() };
        Outcome { digest, figures, checkpoints: checkpoints.to_vec(), ..Outcome::default() }
    }

    #[test]
    fn two_runs_that_are_the_same_are_good() {
        let run = ran(7, 3_000, &[1, 2]);
        assert_eq!(same_again(&run, &run.clone()), None);
        let here = Fingerprint::of(&run);
        assert_eq!(same_elsewhere(here, Some(here)), None);
    }

    #[test]
    fn runs_that_differ_in_anything_are_bad_and_it_is_told_where() {
        let run = ran(7, 3_000, &[1, 2]);
        let told = |again: &Outcome| {
            let failure = same_again(&run, again).expect("they differ");
            assert_eq!((failure.oracle.0, failure.class), (22, Class::Nondeterminism));
            failure.detail
        };
        assert!(told(&ran(8, 3_000, &[1, 2])).ends_with("part after event 2048"));
        assert!(told(&ran(7, 3_001, &[1, 2])).ends_with("part after event 2048"));
        assert!(told(&ran(7, 3_000, &[1, 3])).ends_with("part after event 1024"));
        assert!(told(&ran(7, 900, &[])).ends_with("part after event 0"));
    }

    #[test]
    fn another_process_that_says_something_else_or_nothing_is_bad() {
        let here = Fingerprint { digest: 7, events: 9 };
        for there in
            [None, Some(Fingerprint { digest: 8, ..here }), Some(Fingerprint { events: 8, ..here })]
        {
            let failure = same_elsewhere(here, there).expect("it differs");
            assert_eq!(failure.rule, "two runs of one seed differ");
        }
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_printed() {
        let print = Fingerprint { digest: 0xab, events: 12 };
        assert_eq!(print.to_string(), "00000000000000ab 12");
        assert_eq!(print.to_string().parse(), Ok(print));
        for bad in ["", "ab", "ab 12 1", "x 12", "ab x"] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
