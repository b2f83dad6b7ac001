//! `replay`: one script file.

use std::path::PathBuf;

use super::exit::Done;
use super::files;
use super::play::Player;
use super::report;
use super::subject::Subject;
use super::watchdog::Patience;

/// Run a script file and say what became of it.
///
/// Prints the same as `run`. Scripts are text that can be changed by hand; their format is in the
/// documentation of the module `gridmux_sim::script`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The script
    file: PathBuf,

    /// Turn a knob of the script, as of `run`
    #[arg(long = "set", value_name = "KNOB=VALUE")]
    knobs: Vec<String>,

    /// Write everything that happened to this file, one line per event
    #[arg(long, value_name = "FILE", value_parser = files::to_write)]
    trace: Option<PathBuf>,

    #[command(flatten)]
    patience: Patience,
}

pub(super) fn run(args: &Args) -> Done {
    let subject = Subject::of_file(&args.file, &args.knobs)?;
    report::run_and_tell(&subject, &Player::new(args.patience), args.trace.as_deref(), None)
}
