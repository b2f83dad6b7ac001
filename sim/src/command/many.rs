//! `many`: seeds after seeds, on all cores.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::time::Duration;

use gridmux_sim::batch::{Batch, ENOUGH, Group};
use gridmux_sim::guard;
use gridmux_sim::oracle::{same_again, same_elsewhere};
use gridmux_sim::parallel::{cores, in_order};
use gridmux_sim::rows::ROWS;
use gridmux_sim::run::Options;
use gridmux_sim::verdict::{Failure, Outcome};
use serde::Serialize;

use super::again::Again;
use super::digest::{Digest, of_another_process};
use super::exit::{Done, Exit};
use super::files::{self, USUAL_DIR};
use super::out;
use super::progress::{Progress, Rates};
use super::report::verdict_line;
use super::subject::{Subject, Swarm, real_time, seeds};
use super::watchdog::{Patience, Watchdog};

/// One seed in so many has its machines looked into after every few events.
const INSPECTED: u64 = 16;

/// So many seeds, unless it is said how many or how long.
const USUAL: u64 = 1_000;

/// Run many seeds, on all cores.
///
/// Failures are grouped by oracle and rule; of each group the first seed's script is written to a
/// file. Some of the seeds run twice in this process and once in another one, and must do the
/// same each time. Batches of 1,000 seeds and more must also cover enough: 10 effects of every row
/// of the fault table in 1,000 seeds, something to judge for every oracle, successes, and faults
/// that are felt.
///
/// The output does not depend on the number of threads, but for figures of speed. Its last line is
/// one JSON object.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,

    /// How many seeds [default: 1000, or as many as there are with --for]
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,

    /// Begin no further seed after this time, such as 90s, 10m or 2h
    #[arg(long = "for", value_name = "TIME", value_parser = real_time)]
    lasts: Option<Duration>,

    /// How many threads [default: one per core]
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    swarm: Swarm,

    /// Stop after so many different failures
    #[arg(long, value_name = "K", default_value = "5")]
    stop_after: NonZeroUsize,

    /// Run every seed three times, twice here and once in another process, not one in 64
    #[arg(long)]
    check: bool,

    /// Do not judge what the seeds cover
    #[arg(long)]
    uncovered: bool,

    #[command(flatten)]
    patience: Patience,

    /// Where the scripts of seeds that fail go
    #[arg(long, value_name = "DIR", default_value = USUAL_DIR, value_parser = files::dir_to_write_to)]
    dir: PathBuf,
}

impl Args {
    /// The seeds that are asked for.
    fn seeds(&self) -> Done<Range<u64>> {
        match (self.seeds, self.lasts) {
            (None, Some(_)) => Ok(self.from..u64::MAX),
            (count, _) => seeds(self.from, count.unwrap_or(USUAL)),
        }
    }

    fn every(&self) -> NonZeroU64 {
        if self.check { NonZeroU64::MIN } else { NonZeroU64::new(64).unwrap_or(NonZeroU64::MIN) }
    }
}

/// What a thread has found out about a seed.
struct Seed {
    outcome: Outcome,
    /// How a second run differs, of those that have one.
    again: Option<Option<Failure>>,
    took: Duration,
}

/// Everything that is known of the seeds so far.
#[derive(Default)]
struct Known {
    batch: Batch,
    checked: Vec<Digest>,
    slowest: (Duration, u64),
}

pub(super) fn run(args: &Args) -> Done {
    args.swarm.check()?;
    let seeds = args.seeds()?;
    let mut progress = Progress::new(args.seeds, args.lasts);
    let mut known = batch(args, seeds, &mut progress);
    progress.finish();
    let took = progress.elapsed();
    check_elsewhere(args, &mut known)?;
    tell_groups(args, &known.batch)?;
    let judged = !args.uncovered && known.batch.seeds >= ENOUGH;
    let shortfalls = if judged { known.batch.shortfalls() } else { Vec::new() };
    for shortfall in &shortfalls {
        out::line(format_args!("not covered: {shortfall}"))?;
    }
    out::line(Summary::new(&known, took, shortfalls.clone()).json())?;
    let first = known.batch.groups_by_seed().first().map(|group| group.failure.class.into());
    Ok(first.unwrap_or(if shortfalls.is_empty() { Exit::Pass } else { Exit::Coverage }))
}

/// Runs the seeds, as many as are asked for.
fn batch(args: &Args, seeds: Range<u64>, progress: &mut Progress) -> Known {
    let watchdog = Watchdog::start(args.patience);
    let mut known = Known::default();
    let jobs = args.jobs.unwrap_or_else(cores);
    in_order(
        seeds,
        jobs,
        |seed| one(args, seed, &watchdog),
        |seed, result| {
            known.add(seed, &result);
            if let Some(failure) = result.outcome.failures.first() {
                progress.alert(format_args!("seed {seed}: {}", verdict_line(failure)));
            }
            progress.tell(&known.batch, known.slowest);
            let enough = known.batch.groups.len() >= args.stop_after.get();
            let over = args.lasts.is_some_and(|lasts| progress.elapsed() >= lasts);
            if enough || over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    known
}

fn one(args: &Args, seed: u64, watchdog: &Watchdog) -> Seed {
    let options = Options { invariants: seed.is_multiple_of(INSPECTED), ..Options::default() };
    // That the knobs can be turned is known.
    let script = args.swarm.script(seed).unwrap_or_else(|trouble| panic!("{}", trouble.text));
    let (outcome, took) =
        watchdog.watch(format!("seed {seed}"), || guard::outcome(&script, &options));
    let checked = seed.is_multiple_of(args.every().get());
    let again = || {
        let name = format!("seed {seed}, again");
        let plain = Options::default();
        let (other, _) = watchdog.watch(name, || guard::outcome(&script, &plain));
        same_again(&outcome, &other)
    };
    let again = checked.then(again);
    Seed { outcome, again, took }
}

impl Known {
    fn add(&mut self, seed: u64, result: &Seed) {
        self.batch.add(seed, &result.outcome);
        self.slowest = self.slowest.max((result.took, seed));
        let Some(again) = &result.again else { return };
        self.batch.add_again(seed, again.as_ref());
        if again.is_none() {
            self.checked.push(Digest::of(seed, &result.outcome));
        }
    }
}

/// Compares what was run twice with what it does in another process.
fn check_elsewhere(args: &Args, known: &mut Known) -> Done<()> {
    let Some(last) = known.checked.last() else { return Ok(()) };
    let others = of_another_process(args.from..last.seed + 1, args.every(), &args.swarm)?;
    let others: BTreeMap<u64, Digest> =
        others.into_iter().map(|digest| (digest.seed, digest)).collect();
    for digest in &known.checked {
        let other = others.get(&digest.seed).map(|other| other.print);
        let failure = same_elsewhere(digest.print, other);
        known.batch.add_again(digest.seed, failure.as_ref());
    }
    Ok(())
}

fn tell_groups(args: &Args, batch: &Batch) -> Done<()> {
    for Group { count, first, failure } in batch.groups_by_seed() {
        let subject = Subject::of_seed(*first, &args.swarm)?;
        let verdict = verdict_line(failure);
        out::line(format_args!("{count} seeds, the first {first}: {verdict}"))?;
        let again = Again::written(&subject, failure, &args.dir);
        out::line(format_args!("    {}", again.replay()))?;
    }
    Ok(())
}

/// The last line.
#[derive(Serialize)]
struct Summary {
    seeds: u64,
    failures: u64,
    groups: Vec<Told>,
    checked: usize,
    seeds_per_s: f64,
    events_per_s: f64,
    time_ratio: f64,
    events: u64,
    simulated_s: f64,
    slowest_seed: u64,
    slowest_seed_s: f64,
    faultless_share: f64,
    vacuous_share: f64,
    worst_heal_ns: u64,
    worst_heal_seed: u64,
    /// What it may take in that seed.
    worst_heal_bound_ns: u64,
    heal_bound_violations: u64,
    census_zero_rows: Vec<&'static str>,
    /// How often each class of excuses has explained an error.
    excuses: BTreeMap<&'static str, u64>,
    effects_per_1000: BTreeMap<&'static str, f64>,
    shortfalls: Vec<String>,
}

/// A group, in the last line.
#[derive(Serialize)]
struct Told {
    oracle: String,
    rule: &'static str,
    count: u64,
    first: u64,
}

impl Summary {
    fn new(known: &Known, took: Duration, shortfalls: Vec<String>) -> Self {
        let Known { batch, checked, slowest } = known;
        let Rates { seeds_per_s, events_per_s, time_ratio } = Rates::of(batch, took);
        let share = |count: u64| count as f64 / batch.seeds.max(1) as f64;
        let told = |group: &Group| Told {
            oracle: group.failure.oracle.to_string(),
            rule: group.failure.rule,
            count: group.count,
            first: group.first,
        };
        Self {
            seeds: batch.seeds,
            failures: batch.failures,
            groups: batch.groups_by_seed().into_iter().map(told).collect(),
            checked: checked.len(),
            seeds_per_s,
            events_per_s,
            time_ratio,
            events: batch.events,
            simulated_s: batch.simulated as f64 / 1e9,
            slowest_seed: slowest.1,
            slowest_seed_s: slowest.0.as_secs_f64(),
            faultless_share: share(batch.faultless),
            vacuous_share: share(batch.vacuous),
            worst_heal_ns: batch.worst_heal.after,
            worst_heal_seed: batch.worst_heal.seed,
            worst_heal_bound_ns: batch.worst_heal.bound,
            heal_bound_violations: batch.heal_violations,
            census_zero_rows: batch.rows_without_effect(),
            excuses: batch.excuses.clone(),
            effects_per_1000: ROWS
                .into_iter()
                .map(|row| (row, 1_000.0 * share(batch.felt(row))))
                .collect(),
            shortfalls,
        }
    }

    fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| panic!("numbers and words: {error}"))
    }
}
