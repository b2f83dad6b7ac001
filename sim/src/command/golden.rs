//! `golden`: seeds whose runs are known.

use std::num::NonZeroU64;
use std::path::PathBuf;

use super::digest::{Digest, digests};
use super::exit::{Done, Exit, Trouble};
use super::files;
use super::subject::Swarm;

/// The seeds from 0 that the file has.
const SEEDS: u64 = 64;

/// Compare 64 seeds with what they did when the file of digests was written.
///
/// What differs is exit code 4. A change of the core, of the simulator or of the seeds changes
/// digests, and is then written down with `--write`; nothing else may change them: no machine, no
/// kind of build, no number of threads.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The file
    #[arg(long, value_name = "FILE", default_value = "sim/golden.txt")]
    file: PathBuf,

    /// Write the file anew
    #[arg(long)]
    write: bool,
}

pub(super) fn run(args: &Args) -> Done {
    let now = digests(0, SEEDS, NonZeroU64::MIN, &Swarm::default());
    if args.write {
        let lines: String = now.iter().map(|digest| format!("{digest}\n")).collect();
        files::write(
            &args.file,
            &format!("# seed, digest, events: gridmux-sim golden --write\n{lines}"),
        )?;
        println!("{} digests in {}", now.len(), args.file.display());
        return Ok(Exit::Pass);
    }
    let known = known(&files::read(&args.file)?)
        .ok_or_else(|| Trouble::usage(format!("{}: no file of digests", args.file.display())))?;
    let differ = known.iter().zip(&now).filter(|(known, now)| known != now);
    let mut same = known.len() == now.len();
    for (known, now) in differ {
        println!("was {known}, is {now}");
        same = false;
    }
    println!("{} of {SEEDS} seeds in the file", known.len());
    Ok(if same { Exit::Pass } else { Exit::Nondeterminism })
}

fn known(text: &str) -> Option<Vec<Digest>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.parse().ok()).collect()
}
