//! The same script in another world: what applications see must be the same.
//!
//! The scripts are those of seeds, without faults and without what depends on how long things take:
//! deadlines, cancels, handlers that end before their input does.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gridmux_sim::guard::run_quietly;
use gridmux_sim::history::{Entry, Sight};
use gridmux_sim::oracle::same_again;
use gridmux_sim::run::{Options, Run};
use gridmux_sim::script::{Close, Deed, Finish, Line, NodeKind, Script};
use gridmux_sim::swarm::{Profile, script};
use gridmux_sim::world::Knobs;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const SEEDS: u64 = 3;
const SECOND: u64 = 1_000_000_000;

/// The calls of a seed, in a calm world.
fn calm(seed: u64) -> Script {
    let mut script = script(seed, Profile::Quick);
    let usual = Script::new(seed, script.nodes.len());
    script.nodes.fill(NodeKind::Ours);
    script.lines = script.lines.into_iter().filter_map(patient).collect();
    script.heal = 60 * SECOND;
    Script { knobs: usual.knobs, limits: usual.limits, core: usual.core, secure: false, ..script }
}

/// The same call, if how it ends does not depend on time.
fn patient(mut line: Line) -> Option<Line> {
    let Deed::Call(call) = &mut line.deed else { return None };
    let told = call.route.is_served() && call.route.is_agreed() && call.again_after.is_none();
    if !told || call.plan.finish == Finish::Never {
        return None;
    }
    call.timeout = call.route.capacities().is_none().then_some(300 * SECOND);
    call.wait_link = Some(30 * SECOND);
    // All is over before the end of the run.
    let paces = [&mut call.plan.pace, &mut call.plan.take_pace, &mut call.input.pace];
    for pace in paces.into_iter().chain([&mut call.reading.pace]) {
        *pace = (*pace).min(SECOND / 50);
    }
    for rest in [&mut call.plan.after, &mut call.reading.after] {
        *rest = (*rest).min(SECOND);
    }
    call.plan.take = None;
    call.input.close = Close::Eof;
    call.reading.stop = None;
    Some(line)
}

/// What one application sees of a call with one hand: of sending and receiving side by side, the
/// order is not told.
type Lane = (usize, u32, &'static str);

fn lane(entry: &Entry) -> Lane {
    let hand = match &entry.sight {
        Sight::Sent(_) | Sight::SendFailed(_) | Sight::Closed => "sends",
        sight if sight.is_of_caller() => "calls",
        Sight::InputTaken(..) | Sight::InputEnded(_) => "takes input",
        Sight::OutputSent(_) | Sight::OutputFailed => "gives output",
        Sight::Cancelled(_) => "is cancelled",
        _ => "runs",
    };
    (entry.call, entry.serving, hand)
}

/// What the applications have seen, without when.
fn history(run: &Run) -> BTreeMap<Lane, Vec<Sight>> {
    let mut lanes = BTreeMap::<_, Vec<_>>::new();
    for entry in &run.facts.evidence.entries {
        lanes.entry(lane(entry)).or_default().push(entry.sight.clone());
    }
    lanes
}

fn run(script: &Script, options: &Options) -> Run {
    run_quietly(script, options).unwrap_or_else(|broken| panic!("{}", broken.panic))
}

fn good(script: &Script) -> Run {
    let run = run(script, &Options::default());
    assert_eq!(run.outcome.failures, [], "seed {}", script.seed);
    run
}

/// Applications see the same in a world that is changed so.
#[track_caller]
fn is_not_felt(change: impl Fn(&mut Script)) {
    let mut seen = 0;
    for seed in 0..SEEDS {
        let script = calm(seed);
        let mut changed = script.clone();
        change(&mut changed);
        assert_ne!(script, changed);
        let (one, other) = (good(&script), good(&changed));
        assert_ne!(one.outcome.digest, other.outcome.digest, "nothing has changed underneath");
        let (one, other) = (history(&one), history(&other));
        for (lane, sights) in &one {
            assert_eq!(Some(sights), other.get(lane), "seed {seed}, call, serving, hand {lane:?}");
        }
        assert_eq!(one.len(), other.len(), "seed {seed}");
        seen += one.values().flatten().filter(|sight| **sight == Sight::Ended(Ok(true))).count();
    }
    assert!(seen > 20 * SEEDS as usize, "only {seen} calls came through");
}

fn knobs(change: impl Fn(&mut Knobs)) -> impl Fn(&mut Script) {
    move |script| change(&mut script.knobs)
}

#[test]
fn bytes_in_small_pieces_are_not_felt() {
    is_not_felt(knobs(|knobs| (knobs.whole, knobs.piece, knobs.buffer) = (false, 200, 16 << 10)));
}

#[test]
fn tasks_that_are_woken_for_nothing_are_not_felt() {
    is_not_felt(knobs(|knobs| knobs.spurious_per_million = 300_000));
}

#[test]
fn clocks_that_began_elsewhere_are_not_felt() {
    is_not_felt(knobs(|knobs| (knobs.origin, knobs.skew) = (400 * 86_400 * SECOND, 60 * SECOND)));
}

#[test]
fn clocks_with_coarse_steps_are_not_felt() {
    is_not_felt(knobs(|knobs| knobs.grain = 15_600_000));
}

#[test]
fn messages_without_checksums_are_not_felt() {
    is_not_felt(|script| script.secure = true);
}

#[test]
fn where_ids_begin_is_not_felt() {
    is_not_felt(|script| {
        script.first_generation = if script.first_generation == 0 { 0x7fff_fffe } else { 0 }
    });
}

/// The whole run of a seed, faults and all, is the same however it is looked at.
#[track_caller]
fn is_the_same(other: impl Fn(&Script) -> Run) {
    for seed in 0..SEEDS {
        let script = script(seed, Profile::Quick);
        let first = run(&script, &Options::default());
        assert_eq!(same_again(&first.outcome, &other(&script).outcome), None, "seed {seed}");
    }
}

#[test]
fn a_trace_that_is_kept_changes_nothing() {
    is_the_same(|script| run(script, &Options { traced: true, ..Options::default() }));
}

#[test]
fn machines_that_are_looked_into_and_ticked_for_nothing_do_the_same() {
    is_the_same(|script| {
        let run = run(script, &Options { invariants: true, ..Options::default() });
        assert!(run.facts.evidence.inside.ticked > 0, "seed {}", script.seed);
        run
    });
}

#[test]
fn a_log_of_everything_changes_nothing() {
    let log = Log::default();
    is_the_same(|script| {
        let subscriber = log.clone();
        tracing::subscriber::with_default(subscriber, || run(script, &Options::default()))
    });
    let bytes = log.bytes.load(Ordering::Relaxed);
    assert!(bytes > 1_000 * SEEDS, "only {bytes} bytes");
}

/// Takes every line of the log, and counts what is in it.
#[derive(Clone, Default)]
struct Log {
    bytes: Arc<AtomicU64>,
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Counter(&self.bytes));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Counter<'a>(&'a AtomicU64);

impl Visit for Counter<'_> {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        self.0.fetch_add(format!("{value:?}").len() as u64, Ordering::Relaxed);
    }
}
