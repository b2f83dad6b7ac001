//! What the victims of a run have felt of the rows of the fault table that are not lines of a
//! script: what machines, networks and applications do all the time.
//!
//! Lines of a script are counted where they act ([`crate::census`]).

mod calls;
mod counts;
mod links;
mod streams;
mod wire;

use std::collections::BTreeMap;

pub use self::counts::{WireCounts, WorldCounts};
pub(crate) use self::wire::WireWatch;
use crate::census::Tally;
use crate::oracle::story::stories;
use crate::run::Facts;
use crate::script::Row;

/// Counts of effects, by row and by case.
#[derive(Debug, Default, PartialEq, Eq)]
struct Felt(BTreeMap<Row, u64>);

impl Felt {
    fn add(&mut self, row: Row, count: u64) {
        if count > 0 {
            *self.0.entry(row).or_default() += count;
        }
    }

    /// One of the [`CASES`](crate::rows::CASES) of a row.
    fn add_case(&mut self, case: &'static str, count: u64) {
        let row = crate::rows::row_of(case);
        self.add(case, count);
        self.add(row, count);
    }

    fn add_if(&mut self, row: Row, felt: bool) {
        self.add(row, felt.into());
    }
}

/// What was felt in a run, by row and by case. Nothing of it is placed by itself: what is felt was placed.
pub(crate) fn effects(facts: &Facts) -> BTreeMap<Row, Tally> {
    let mut felt = Felt::default();
    for story in stories(&facts.evidence) {
        calls::count(&facts.evidence, &story, &mut felt);
        streams::count(&facts.evidence, &story, &mut felt);
    }
    calls::count_bursts(&facts.evidence, &mut felt);
    let refused = facts.evidence.inside.tried.iter().filter(|tried| tried.is_refused());
    felt.add_case("A8.mistake", refused.count() as u64);
    links::count(&facts.evidence, &mut felt);
    facts.world_counts.count(&mut felt);
    facts.wire_counts.count(&mut felt);
    let tally = |count| Tally { placed: count, fired: count, felt: count };
    felt.0.into_iter().map(|(row, count)| (row, tally(count))).collect()
}
