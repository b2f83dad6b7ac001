//! Running a script.

mod cancels;
pub(crate) mod chaos;
mod credits;
mod engine;
mod facts;
mod flow;
mod intake;
mod judge;
mod meal;
mod nodes;
mod pulse;
pub(crate) mod recorder;
mod trials;
mod troubles;

use std::ops::Range;
use std::time::Duration;

use self::engine::Engine;
use self::judge::Ran;
use crate::script::{Call, Input, Plan, Route, Script};
use crate::trace::Trace;
use crate::verdict::Outcome;

pub use self::facts::Facts;
pub(crate) use self::nodes::Held;
#[cfg(test)]
pub(crate) use self::recorder::Recorder;
pub use self::trials::{Refusal, Tried};

/// How a script is run; none of it changes what happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Keep a trace.
    pub traced: bool,
    /// Look into the machines after every few events, tick them when nothing is due, and decode
    /// again what went over the wire.
    pub invariants: bool,
    /// Keep the digest after each of these events, which are counted from 1.
    pub steps: Range<u64>,
}

/// So many events are between two checkpoints of [`Outcome::checkpoints`].
pub const CHECKPOINT: u64 = 1_024;

/// The digest after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepDigest {
    /// The how-manieth event, from 1.
    pub number: u64,
    /// When it happened, in simulated nanoseconds.
    pub at: u64,
    /// A hash over it and all before it.
    pub digest: u64,
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
    /// The digests that [`Options::steps`] asks for.
    pub steps: Vec<StepDigest>,
}

/// Runs a script to its end.
pub fn run(script: &Script, options: &Options) -> Run {
    let mut engine = Engine::new(script, options);
    let facts = engine.run();
    let trace = engine.recorder.record().trace.take().map(|events| Trace {
        nodes: (0..script.nodes.len()).map(|node| script.node_name(node)).collect(),
        events,
    });
    let world = engine.shared.world();
    let ran = Ran {
        events: world.events,
        digest: world.digested(),
        census: world.census.tallies(),
        checkpoints: std::mem::take(&mut engine.checkpoints),
    };
    drop(world);
    let outcome = judge::judge(&facts, ran);
    Run { outcome, facts, trace, steps: std::mem::take(&mut engine.steps) }
}

/// Calls and streams that must succeed after the healing.
fn probes(from: usize, to: usize) -> [Call; 4] {
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
    // One credit each way, and a handler that drops the input early and goes on long enough for all
    // of it to come.
    let partly = Call {
        plan: Plan {
            items: 4,
            item_size: 100,
            pace: nanos(Duration::from_secs(3)),
            take: Some(1),
            ..Plan::default()
        },
        input: Input { items: 3, size: 100, ..Input::default() },
        ..Call::new(name("partly"), from, to, Route::Narrow)
    };
    [single, talk, source, partly]
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
