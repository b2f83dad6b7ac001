//! The command line: one file per command, and what they share.

mod again;
mod bench;
mod canary;
mod cause;
mod configuration;
mod cover;
mod diff;
mod digest;
mod exit;
mod files;
mod golden;
mod many;
mod min;
mod out;
mod play;
mod progress;
mod prove;
mod replay;
mod report;
mod run;
mod show;
mod stopwatch;
mod subject;
mod watchdog;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[cfg(feature = "planted")]
use self::exit::Trouble;
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

    /// Plant a bug in the core, for those commands that run one script at a time
    #[cfg(feature = "planted")]
    #[arg(long, global = true, value_name = "BUG")]
    plant: Option<String>,
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
            let printed = error.print().map_err(|error| out::trouble(&error));
            return match error.use_stderr() {
                true => Exit::Usage.into(),
                false => end(printed.map(|()| Exit::Pass)),
            };
        }
    };
    end(plant_bug(&cli).and_then(|()| run_command(cli.command)))
}

fn end(done: Done) -> ExitCode {
    let exit = done.unwrap_or_else(|trouble| {
        trouble.tell();
        trouble.exit
    });
    exit.into()
}

/// Plants the bug that is asked for, for this thread.
#[cfg(feature = "planted")]
fn plant_bug(cli: &Cli) -> Done<()> {
    use gridmux_core::planted::{Bug, plant};
    let Some(name) = &cli.plant else { return Ok(()) };
    let unknown = || Trouble::usage(format!("no planted bug has the name `{name}`"));
    plant(Some(Bug::from_name(name).ok_or_else(unknown)?));
    Ok(())
}

#[cfg(not(feature = "planted"))]
const fn plant_bug(_: &Cli) -> Done<()> {
    Ok(())
}

fn run_command(command: Command) -> Done {
    match command {
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
    }
}
