//! `run`: one seed.

use std::path::PathBuf;

use super::exit::Done;
use super::files::USUAL_DIR;
use super::report;
use super::subject::{Subject, Swarm};

/// Run one seed and say what became of it.
///
/// Prints the configuration that the seed has drawn, the faults that were placed, fired and felt,
/// and the verdict. If the run fails: why, the last events of what it is about, and the commands
/// that replay and shorten it; its script is written to a file.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The seed
    #[arg(long, value_name = "N")]
    seed: u64,

    #[command(flatten)]
    swarm: Swarm,

    /// Write everything that happened to this file, one line per event
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Where the script of a run that fails goes
    #[arg(long, value_name = "DIR", default_value = USUAL_DIR)]
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Done {
    let subject = Subject::of_seed(args.seed, &args.swarm)?;
    report::run_and_tell(&subject, args.trace.as_deref(), Some(&args.dir))
}
