//! `run`: one seed.

use std::path::PathBuf;

use super::exit::{Done, Exit};
use super::files::{self, USUAL_DIR};
use super::play::Player;
use super::subject::{Subject, Swarm};
use super::watchdog::Patience;
use super::{out, report};

/// Run one seed and say what became of it.
///
/// Prints the configuration that the seed has drawn, what it favours, the faults that were placed,
/// fired and felt, and the verdict. If the run fails: why, the last events of what it is about, and
/// the commands that replay and shorten it; its script is written to a file.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The seed
    #[arg(long, value_name = "N")]
    seed: u64,

    #[command(flatten)]
    swarm: Swarm,

    /// Write everything that happened to this file, one line per event
    #[arg(long, value_name = "FILE", value_parser = files::to_write)]
    trace: Option<PathBuf>,

    /// Write the script of the seed to this file; with `-`, print it and do nothing else
    #[arg(long, value_name = "FILE", value_parser = files::to_write)]
    script: Option<PathBuf>,

    /// Where the script of a run that fails goes
    #[arg(long, value_name = "DIR", default_value = USUAL_DIR, value_parser = files::dir_to_write_to)]
    dir: PathBuf,

    #[command(flatten)]
    patience: Patience,
}

pub(super) fn run(args: &Args) -> Done {
    let subject = Subject::of_seed(args.seed, &args.swarm)?;
    match &args.script {
        Some(path) if path.as_os_str() == "-" => {
            out::text(&subject.script)?;
            return Ok(Exit::Pass);
        }
        Some(path) => {
            files::write_script(path, std::slice::from_ref(&subject.label), &subject.script)?;
        }
        None => {}
    }
    let player = Player::new(args.patience);
    report::run_and_tell(&subject, &player, args.trace.as_deref(), Some(&args.dir))
}
