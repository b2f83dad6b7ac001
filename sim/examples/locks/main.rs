//! The lock service of the `cluster` example, its very source, on simulated nodes that a seed
//! attacks. Judged by the ledger that judges the cluster: whoever believes in a hold does so
//! alone, or among readers.
//!
//! ```sh
//! cargo run --release -p gridmux-sim --example locks -- --seeds 200
//! cargo run --release -p gridmux-sim --example locks -- --seeds 200 --bug no-doubt
//! ```
//!
//! With a bug it tells which seeds find it, and of the first of them the least faults that do,
//! and what happened then.

#[path = "../../../runtime-tokio/examples/cluster/ledger.rs"]
#[allow(dead_code, reason = "the cluster counts more than is judged here")]
mod ledger;
#[path = "../../../runtime-tokio/examples/cluster/locks/mod.rs"]
#[allow(dead_code, reason = "the cluster uses all of it")]
mod locks;
mod node;
#[path = "../../../runtime-tokio/examples/cluster/outcome.rs"]
#[allow(dead_code, reason = "the cluster counts more than is judged here")]
mod outcome;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use gridmux_sim::cluster::{Report, Simulation, View};
use gridmux_sim::swarm::FaultKind;

use self::ledger::{HoldEvent, Ledger};
use self::locks::Mistake;
use self::node::node;

/// What the service is for.
const EXCLUSION: &str = "holders exclude each other";

/// How many runs may be spent on making a script shorter.
const MOST_RUNS: u64 = 2_000;

/// How many of the last lines of a history are shown.
const SHOWN: usize = 40;

/// Simulates the lock service of the cluster example.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=16))]
    nodes: u16,
    /// What the service gets wrong.
    #[arg(long)]
    bug: Option<Mistake>,
    /// Lets clocks jump and run at other rates, which no lease survives.
    #[arg(long)]
    clocks: bool,
    /// Where a picture of the first failure is written to, for a browser; its directory must exist.
    #[arg(long, value_name = "FILE", value_parser = to_write)]
    html: Option<PathBuf>,
}

/// The place of a file that is to be written: refused before the work if its directory is not there.
fn to_write(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match parent.map_or(Ok(true), |parent| parent.metadata().map(|parent| parent.is_dir())) {
        Ok(true) => Ok(path),
        Ok(false) => Err("it is in no directory".into()),
        Err(error) => Err(format!("{}: {error}", parent.unwrap_or(&path).display())),
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let args = Args::parse();
    let simulation = simulation(args.nodes.into(), args.bug, args.clocks);
    let batch = simulation.many(args.from..args.from.saturating_add(args.seeds));
    let felt: BTreeMap<_, _> = batch.census.iter().map(|(row, tally)| (row, tally.felt)).collect();
    println!(
        "{} seeds, {} events, {:.0} s simulated",
        batch.runs,
        batch.events,
        batch.simulated.as_secs_f64()
    );
    println!("faults felt: {felt:?}");
    let failed: Vec<_> = batch.failed.iter().map(|report| report.seed).collect();
    let Some(first) = batch.failed.into_iter().next() else {
        println!("all is well");
        return Ok(ExitCode::SUCCESS);
    };
    println!("{} seeds fail: {failed:?}\n\n{first}", failed.len());
    let least = simulation.minimise(first, MOST_RUNS);
    show(&least);
    if let Some(path) = &args.html {
        let traced = simulation.traced(true).replay(&least.script.to_string())?;
        let written = std::fs::write(path, traced.html().unwrap_or_default());
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(ExitCode::FAILURE)
}

fn simulation(nodes: usize, bug: Option<Mistake>, clocks: bool) -> Simulation<HoldEvent> {
    let simulation = Simulation::new(nodes, move |context| node(context, bug))
        .check(EXCLUSION, exclusion)
        .judge("locks are got", progress);
    match clocks {
        true => simulation,
        false => simulation.without(&[FaultKind::Clock, FaultKind::Rate]),
    }
}

fn show(least: &Report<HoldEvent>) {
    println!("\nas little as this does it:\n\n{}", least.script);
    let history = least.history();
    let lines: Vec<_> = history.lines().collect();
    println!("{least}\n\nthe end of what happened:\n");
    for line in &lines[lines.len().saturating_sub(SHOWN)..] {
        println!("{line}");
    }
}

/// The ledger of the cluster, with simulated times.
fn ledger(view: &View<'_, HoldEvent>) -> Ledger {
    let holder = |node: usize, life: u64| (node as u64) << 32 | life;
    let mut ledger = Ledger::default();
    for note in view.notes() {
        ledger.record(holder(note.node, note.life), note.event.clone());
    }
    for node in 0..view.nodes() {
        for (number, life) in (0..).zip(view.lives(node)) {
            if let Some(died) = life.died {
                ledger.gone(holder(node, number), node::instant(died));
            }
        }
    }
    ledger
}

fn exclusion(view: &View<'_, HoldEvent>) -> Result<(), String> {
    match ledger(view).overlaps() {
        0 => Ok(()),
        overlaps => Err(format!("{overlaps} pairs of holds at odds")),
    }
}

/// Without it, a service that never grants anything would be without fault.
fn progress(view: &View<'_, HoldEvent>) -> Result<(), String> {
    match ledger(view).holds() {
        0 => Err("nobody ever got a lock".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_mistake_is_found_and_without_it_the_same_faults_do_no_harm() {
        for mistake in Mistake::value_variants() {
            let mistaken = simulation(3, Some(*mistake), false);
            let found = (0..40).map(|seed| mistaken.run(seed)).find(|report| !report.is_good());
            let found = found.unwrap_or_else(|| panic!("{mistake:?} is not found"));
            assert_eq!(found.failures[0].check, EXCLUSION, "{found}");
            let right = simulation(3, None, false).replay(&found.script.to_string());
            let right = right.expect("the script can be read");
            assert!(right.is_good(), "{right}");
        }
    }
}
