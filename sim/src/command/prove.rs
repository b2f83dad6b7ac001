//! `prove`: planted bugs, and who catches them.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::exit::Done;
use super::subject::{Size, real_time};

/// Plant bugs in the core, one at a time, and see which oracle catches each
///
/// Needs a build with the bugs:
///
///     cargo run --release -p gridmux-sim --features planted -- prove
///
/// For each bug, runs seeds until the oracle that it names fails, and does not fail on the same
/// seed without the bug; that another one has failed is not enough. Exit code 7 says that a
/// bug was not caught with all of its seeds, or by another oracle than the one that it names; 8, if
/// there is none of that, that time was up before a bug's seeds were, so that nothing is known of
/// it. The last line is one JSON object.
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
#[cfg_attr(not(feature = "planted"), allow(dead_code))]
pub(super) struct Args {
    /// Only the bugs of these names
    #[arg(value_name = "BUG")]
    bugs: Vec<String>,

    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,

    /// How many seeds there are for each bug
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    seeds: u64,

    /// Begin no further seed for a bug after this time: it is then not finished
    #[arg(long = "for", value_name = "TIME", value_parser = real_time, default_value = "10m")]
    lasts: Duration,

    /// How much each seed does
    #[arg(long, value_enum, default_value_t)]
    profile: Size,

    /// How many threads [default: one per core]
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,

    /// Shorten the script that has caught each bug, and write it to the corpus
    #[arg(long)]
    minimise: bool,

    /// Where those scripts go
    #[arg(long, value_name = "DIR", default_value = "sim/corpus/planted")]
    corpus: PathBuf,

    /// Write down how many seeds it took to catch each bug, unless one is not finished
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        default_missing_value = "sim/corpus/planted/seeds.txt",
        conflicts_with = "bugs"
    )]
    write: Option<PathBuf>,

    /// Run all seeds for each bug, and say which bugs would slip without each oracle
    #[arg(long)]
    ablate: bool,
}

#[cfg(not(feature = "planted"))]
pub(super) fn run(_: &Args) -> Done {
    Err(super::exit::Trouble::usage(
        "this build has no planted bugs; build one that has them:\n    \
         cargo run --release -p gridmux-sim --features planted -- prove",
    ))
}

#[cfg(feature = "planted")]
pub(super) fn run(args: &Args) -> Done {
    with_bugs::run(args)
}

#[cfg(feature = "planted")]
mod with_bugs;
