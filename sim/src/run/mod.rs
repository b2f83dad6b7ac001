//! Running a script.

mod bounds;
mod engine;
mod facts;
mod nodes;
mod recorder;
mod troubles;

use std::time::Duration;

use self::engine::Engine;
use crate::script::{Call, Input, Plan, Route, Script};
use crate::trace::Trace;
use crate::verdict::{Class, Failure, Figures, OracleId, Outcome};

pub use self::facts::{Facts, Gauge, LinkView, NodeLife, Phases};
pub use self::recorder::{ConnectionLife, Dial};

/// How a script is run; none of it changes what happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Keep a trace.
    pub traced: bool,
    /// Look into the machines after every few events.
    pub invariants: bool,
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it has come to.
    pub outcome: Outcome,
    /// What its oracles judged.
    pub facts: Facts,
    /// What happened, if a trace was to be kept.
    pub trace: Option<Trace>,
}

/// Runs a script to its end.
pub fn run(script: &Script, options: &Options) -> Run {
    let mut engine = Engine::new(script, options);
    engine.run();
    let facts = std::mem::take(&mut engine.facts);
    let trace = engine.recorder.record().trace.take().map(|events| Trace {
        nodes: (0..script.nodes.len()).map(|node| format!("n{node}")).collect(),
        events,
    });
    let world = engine.shared.world();
    let outcome = Outcome {
        figures: Figures { events: world.events, simulated: world.now, ..Figures::default() },
        census: world.census.tallies(),
        digest: world.digested(),
        checkpoints: std::mem::take(&mut engine.checkpoints),
        ..Outcome::default()
    };
    drop(world);
    let outcome = judge(script, &facts, outcome);
    Run { outcome, facts, trace }
}

/// A call and a stream that must succeed after the healing.
fn probes(from: usize, to: usize) -> [Call; 3] {
    let name = |what: &str| format!("probe-{what}-n{from}-n{to}");
    let single = Call {
        timeout: Some(nanos(Duration::from_secs(15))),
        ..Call::new(name("echo"), from, to, Route::Echo)
    };
    let (input, output) = Route::Talk.capacities().unwrap_or_default();
    let talk = Call {
        plan: Plan { items: 3 * output, item_size: 100, ..Plan::default() },
        input: Input { items: 3 * input, size: 100, ..Input::default() },
        ..Call::new(name("talk"), from, to, Route::Talk)
    };
    let source = Call {
        plan: Plan { items: 24, item_size: 500, ..Plan::default() },
        ..Call::new(name("source"), from, to, Route::Source)
    };
    [single, talk, source]
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn judge(_script: &Script, facts: &Facts, mut outcome: Outcome) -> Outcome {
    let mut fail = |oracle, class, rule, detail: String, at| {
        outcome.failures.push(Failure { oracle: OracleId(oracle), class, rule, detail, at, call: None });
    };
    let end = facts.phases.end;
    if let Some(at) = facts.busy_at {
        fail(15, Class::Liveness, "tasks run while time stands still", String::new(), at);
    }
    if facts.bugs > 0 {
        fail(18, Class::Panic, "a machine has panicked", format!("{} times", facts.bugs), end);
    }
    for panic in &facts.panics {
        fail(18, Class::Panic, "a task has panicked", panic.clone(), end);
    }
    if let Some((at, problem)) = &facts.invariant {
        fail(24, Class::Safety, "an invariant of a machine is broken", problem.clone(), *at);
    }
    outcome
}
