//! Has every oracle judge a run that is over.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::meal::Hoard;
use crate::census::Tally;
use crate::effects::effects;
use crate::history::Sight;
use crate::oracle;
use crate::verdict::{Class, Failure, Figures, OracleId, Outcome};

/// What the world itself says of a run.
pub(super) struct Ran {
    pub(super) events: u64,
    pub(super) digest: u64,
    pub(super) census: BTreeMap<&'static str, Tally>,
    pub(super) checkpoints: Vec<u64>,
}

/// So many replaced processes of a name an acceptor remembers (PROTOCOL.md section 7.11).
const REMEMBERED_INSTANCES: usize = 16;

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
    for (excuse, count) in &facts.wire_excuses {
        *outcome.figures.excuses.entry(excuse).or_default() += count;
    }
    outcome.failures.extend(on_wire(facts));
    outcome.failures.extend(inside(facts));
    outcome.failures.extend(at_end(facts));
    for (oracle, count) in [
        (8, facts.wire_messages),
        (9, facts.wire_messages),
        (16, facts.wire_messages),
        (18, 1),
        (24, 1),
    ] {
        *outcome.judged.entry(OracleId(oracle)).or_default() += count;
    }
    outcome.failures.sort_by_key(|failure| (failure.at, failure.oracle));
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
        simulated: facts.farewell.end,
        calls: count(&|entry| entry.sight == Sight::Issued),
        successes: count(&|entry| entry.sight == Sight::Ended(Ok(true))),
        successes_in_chaos: count(&|entry| {
            entry.sight == Sight::Ended(Ok(true)) && entry.at < heal
        }),
        connections: evidence.connections.len() as u64,
        healed_after: facts.farewell.connected.map_or(0, |at| at.saturating_sub(heal)),
        heal_bound: oracle::heal_bound(&evidence.script, &evidence.timings),
        excuses: BTreeMap::new(),
    }
}

fn on_wire(facts: &Facts) -> impl Iterator<Item = Failure> {
    facts.wire.iter().map(|([dialler, acceptor], violation)| Failure {
        oracle: OracleId(violation.oracle.trim_start_matches('O').parse().unwrap_or(0)),
        class: Class::Safety,
        rule: violation.rule,
        detail: format!("n{dialler} with n{acceptor}: {violation}"),
        at: facts.evidence.phases.heal,
        call: None,
    })
}

fn inside(facts: &Facts) -> Vec<Failure> {
    let end = facts.farewell.end;
    let mut failures = facts.inside.complaints.clone();
    let mut fail = |oracle, class, rule, detail: String, at| {
        failures.push(Failure { oracle: OracleId(oracle), class, rule, detail, at, call: None });
    };
    let inside = &facts.inside;
    if let Some(at) = inside.busy_at {
        fail(15, Class::Liveness, "tasks run while time stands still", String::new(), at);
    }
    if inside.bugs > 0 {
        fail(18, Class::Panic, "a machine has panicked", format!("{} times", inside.bugs), end);
    }
    for (at, what) in &inside.lost_wakes {
        fail(23, Class::Liveness, "a wake-up was lost", (*what).into(), *at);
    }
    for panic in &inside.panics {
        fail(18, Class::Panic, "a task has panicked", panic.clone(), end);
    }
    for tried in inside.tried.iter().filter(|tried| !tried.is_refused()) {
        let detail = format!("{tried:?}");
        fail(3, Class::Safety, "a mistake in a configuration was not refused", detail, end);
    }
    if let Some((at, problem)) = &inside.broken {
        fail(24, Class::Safety, "an invariant of a machine is broken", problem.clone(), *at);
    }
    for Hoard { at, node, peer, room, bound } in &inside.hoards {
        let detail = format!("n{node} of n{peer}: {room} bytes, not {bound}");
        fail(13, Class::Safety, "a reader holds more room than it may", detail, *at);
    }
    let limits = &facts.evidence.limits;
    for peak in &inside.peaks {
        let bounds = [
            ("calls", peak.outgoing, limits.outgoing_muxes),
            ("calls served", peak.incoming, limits.incoming_muxes),
            ("queued bytes", peak.queued, limits.queued_bytes + limits.message),
            ("received bytes", peak.received, limits.received_bytes),
            ("processes remembered", peak.instances, REMEMBERED_INSTANCES),
        ];
        for (what, value, bound) in bounds {
            if value > bound {
                let detail = format!("n{} with n{}: {value} {what}", peak.node, peak.peer);
                fail(13, Class::Safety, "a limit was passed", detail, end);
            }
        }
    }
    failures
}

fn at_end(facts: &Facts) -> Vec<Failure> {
    let farewell = &facts.farewell;
    let mut failures = Vec::new();
    let mut fail = |rule, detail: String| {
        let (oracle, class, at) = (OracleId(14), Class::Liveness, farewell.end);
        failures.push(Failure { oracle, class, rule, detail, at, call: None });
    };
    if farewell.quiet.is_none() {
        fail("something is left of calls that are over", String::new());
    }
    for node in &farewell.not_shut_down {
        fail("a shutdown does not end", format!("n{node}"));
    }
    for node in &farewell.dialled_after {
        fail("a node dials after its shutdown", format!("n{node}"));
    }
    if farewell.tasks_left > 0 {
        fail("tasks are left after the shutdown", format!("{}", farewell.tasks_left));
    }
    failures
}
