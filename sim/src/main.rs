//! The simulator's command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Deterministic simulation of gridmux: a seed is a replay")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one seed and prints what happened.
    Run {
        /// The seed.
        #[arg(long)]
        seed: u64,
    },
    /// Runs many seeds; stops at the first that fails.
    Many {
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
    },
}

fn main() -> ExitCode {
    let seeds = match Args::parse().command {
        Command::Run { seed } => seed..=seed,
        Command::Many { seeds: 0, .. } => return ExitCode::SUCCESS,
        Command::Many { from, seeds } => from..=from.saturating_add(seeds - 1),
    };
    let alone = seeds.start() == seeds.end();
    let (mut runs, mut calls, mut cuts) = (0_u64, 0, 0);
    for seed in seeds {
        let report = gridmux_sim::run(seed);
        runs += 1;
        calls += report.calls;
        cuts += report.cuts;
        if alone {
            println!(
                "seed {seed}: {} calls, {} cuts, {:?} simulated, {:?}",
                report.calls, report.cuts, report.simulated, report.outcomes
            );
        }
        if let Err(failure) = report.verdict {
            eprintln!("seed {seed}: {failure}; replay with: gridmux-sim run --seed {seed}");
            return ExitCode::from(2);
        }
    }
    println!("{runs} seeds passed: {calls} calls, {cuts} cuts");
    ExitCode::SUCCESS
}
