//! The command line: one file per command, and what they share.

mod bench;
mod canary;
mod cover;
mod diff;
mod digest;
mod exit;
mod files;
mod golden;
mod many;
mod min;
mod progress;
mod prove;
mod replay;
mod report;
mod run;
mod show;
mod subject;
mod watchdog;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::exit::{Done, EXIT_CODES, Exit};

/// Deterministic simulation of gridmux: whole grids, attacked from a seed.
///
/// A seed becomes a script: which nodes there are, what the network is like, what the
/// applications call, and which faults come when. The script is run on real grids in simulated
/// time, and oracles judge what the applications have seen and what went over the wire. The same
/// seed does the same on every machine.
#[derive(Debug, Parser)]
#[command(name = "gridmux-sim", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Many(many::Args),
    Replay(replay::Args),
    Min(min::Args),
    Show(show::Args),
    Diff(diff::Args),
    Cover(cover::Args),
    Bench(bench::Args),
    Prove(prove::Args),
    Canary(canary::Args),
    Golden(golden::Args),
    Digest(digest::Args),
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // What cannot be printed cannot be told either.
            error.print().ok();
            return if error.use_stderr() { Exit::Usage } else { Exit::Pass }.into();
        }
    };
    let done: Done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Many(args) => many::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Min(args) => min::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Cover(args) => cover::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Canary(args) => canary::run(&args),
        Command::Golden(args) => golden::run(&args),
        Command::Digest(args) => digest::run(&args),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(trouble) => {
            eprintln!("error: {}", trouble.text);
            trouble.exit.into()
        }
    }
}
