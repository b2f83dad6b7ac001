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
use gridmux_sim::cluster::{Batch, Report, Simulation, View};
use gridmux_sim::swarm::FaultKind;

use self::ledger::{HoldEvent, Ledger};
use self::locks::Mistake;
use self::node::node;

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
    /// Where a picture of the first failure is written to, for a browser.
    #[arg(long)]
    html: Option<PathBuf>,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let args = Args::parse();
    let simulation = simulation(&args);
    let mut batch = Batch::default();
    for seed in args.from..args.from.saturating_add(args.seeds) {
        batch.add(simulation.run(seed));
    }
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
    let least = simulation.minimise(first);
    show(&least);
    if let Some(path) = &args.html {
        let traced = simulation.traced(true).replay(&least.script.to_string())?;
        std::fs::write(path, traced.html().unwrap_or_default())?;
    }
    Ok(ExitCode::FAILURE)
}

fn simulation(args: &Args) -> Simulation<HoldEvent> {
    let mistake = args.bug;
    let simulation = Simulation::new(args.nodes.into(), move |context| node(context, mistake))
        .check("holders exclude each other", exclusion)
        .judge("locks are got", progress);
    match args.clocks {
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
