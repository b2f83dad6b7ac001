//! `cover`: what seeds have put to the test.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use gridmux_sim::batch::Batch;
use gridmux_sim::guard;
use gridmux_sim::oracle::same_again;
use gridmux_sim::parallel::{cores, in_order};
use gridmux_sim::rows::ROWS;
use gridmux_sim::run::Options;
use serde_json::json;

use super::exit::{Done, Exit};
use super::out;
use super::subject::{Swarm, seeds};

/// One seed in so many runs twice.
const AGAIN: u64 = 64;

/// One seed in so many has its machines looked into.
const INSPECTED: u64 = 16;

/// Show what seeds have covered: faults and their effects, oracles, excuses.
///
/// A fault is placed if it is in a script, fired if its time or its point came, and felt if its
/// victim has noticed it. Exit code 6 says that something was not covered. The last line is one
/// JSON object.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,

    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    seeds: u64,

    /// How many threads [default: one per core]
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    swarm: Swarm,
}

pub(super) fn run(args: &Args) -> Done {
    args.swarm.check()?;
    let seeds = seeds(args.from, args.seeds)?;
    let mut batch = Batch::default();
    let work = |seed: u64| {
        let script = args.swarm.script(seed).ok()?;
        let plain = Options::default();
        let options = Options { invariants: seed.is_multiple_of(INSPECTED), ..plain.clone() };
        let outcome = guard::outcome(&script, &options);
        let again = || same_again(&outcome, &guard::outcome(&script, &plain));
        let again = seed.is_multiple_of(AGAIN).then(again);
        Some((outcome, again))
    };
    in_order(seeds, args.jobs.unwrap_or_else(cores), work, |seed, outcome| {
        if let Some((outcome, again)) = outcome {
            batch.add(seed, &outcome);
            if let Some(again) = again {
                batch.add_again(seed, again.as_ref());
            }
        }
        ControlFlow::Continue(())
    });
    tell(&batch)?;
    let shortfalls = batch.shortfalls();
    for shortfall in &shortfalls {
        out::line(format_args!("not covered: {shortfall}"))?;
    }
    let idle: Vec<_> = batch.idle_oracles().iter().map(ToString::to_string).collect();
    out::line(json!({
        "seeds": batch.seeds,
        "census_zero_rows": batch.rows_without_effect(),
        "idle_oracles": idle,
        "faultless": batch.faultless,
        "vacuous": batch.vacuous,
    }))?;
    Ok(if shortfalls.is_empty() && idle.is_empty() { Exit::Pass } else { Exit::Coverage })
}

fn tell(batch: &Batch) -> Done<()> {
    let seeds = batch.seeds;
    out::line(format_args!("{seeds} seeds\n"))?;
    out::line("fault   placed    fired     felt  felt in 1,000 seeds")?;
    for row in ROWS {
        let tally = batch.census.get(row).copied().unwrap_or_default();
        let share = tally.felt as f64 * 1_000.0 / batch.seeds.max(1) as f64;
        let (placed, fired, felt) = (tally.placed, tally.fired, tally.felt);
        out::line(format_args!("{row:<5} {placed:>8} {fired:>8} {felt:>8}  {share:>19.1}"))?;
    }
    out::line("\noracle   judged")?;
    for (oracle, count) in &batch.judged {
        out::line(format_args!("{:<6} {count:>8}", oracle.to_string()))?;
    }
    out::line("\nexcuse                                  used")?;
    for (excuse, count) in &batch.excuses {
        out::line(format_args!("{excuse:<36} {count:>7}"))?;
    }
    out::line("")
}
