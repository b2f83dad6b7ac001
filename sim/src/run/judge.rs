//! Has every oracle judge a run that is over, and puts together what it has come to.

use std::collections::BTreeMap;

use super::facts::Facts;
use crate::census::Tally;
use crate::effects::effects;
use crate::history::Sight;
use crate::oracle;
use crate::verdict::{Figures, Outcome};

/// What the world itself says of a run.
pub(super) struct Ran {
    pub(super) events: u64,
    pub(super) digest: u64,
    pub(super) census: BTreeMap<&'static str, Tally>,
    pub(super) checkpoints: Vec<u64>,
}

/// What a run has come to.
pub(super) fn judge(facts: &Facts, ran: Ran) -> Outcome {
    let verdicts = oracle::judge(&facts.evidence);
    let mut outcome = Outcome {
        figures: figures(facts, &ran),
        failures: verdicts.failures,
        census: ran.census,
        judged: verdicts.judged,
        digest: ran.digest,
        checkpoints: ran.checkpoints,
    };
    effects(facts)
        .into_iter()
        .for_each(|(row, felt)| outcome.census.entry(row).or_default().add(felt));
    outcome.figures.excuses = verdicts.excuses;
    outcome
}

fn figures(facts: &Facts, ran: &Ran) -> Figures {
    let evidence = &facts.evidence;
    let heal = evidence.phases.heal;
    let count = |is: &dyn Fn(&crate::history::Entry) -> bool| {
        evidence.entries.iter().filter(|entry| is(entry)).count() as u64
    };
    Figures {
        events: ran.events,
        simulated: evidence.farewell.end,
        calls: count(&|entry| entry.sight == Sight::Issued),
        successes: count(&|entry| entry.sight == Sight::Ended(Ok(true))),
        successes_in_chaos: count(&|entry| {
            entry.sight == Sight::Ended(Ok(true)) && entry.at < heal
        }),
        connections: evidence.connections.len() as u64,
        healed_after: evidence.farewell.connected.map_or(0, |at| at.saturating_sub(heal)),
        heal_bound: oracle::heal_bound(&evidence.script, &evidence.timings),
        excuses: BTreeMap::new(),
    }
}
