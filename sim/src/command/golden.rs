//! `golden`: seeds whose runs are known.

use std::num::NonZeroU64;
use std::path::PathBuf;

use gridmux_sim::keyed::name_key;

use super::digest::{Digest, digests};
use super::exit::{Done, Exit, Trouble};
use super::subject::Swarm;
use super::{files, out};

/// The seeds from 0 that are written.
const SEEDS: u64 = 64;

/// Compare the seeds in the file of digests, of which `--write` writes 64, with what they did then.
///
/// What differs is exit code 4. The head of the file names what it holds by eight digits, which
/// CHANGELOG.md has to name, too, with the reason of the change. A change of the core, of the simulator or of the seeds changes
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
    if args.write {
        let now = digests(0..SEEDS, NonZeroU64::MIN, &Swarm::default());
        files::write(&args.file, &text(&now))?;
        let (count, file) = (now.len(), args.file.display());
        out::line(format_args!("{count} digests in {file}: {}", name(&now)))?;
        return Ok(Exit::Pass);
    }
    let known = known(&files::read(&args.file)?)
        .filter(|known| !known.is_empty())
        .ok_or_else(|| Trouble::usage(format!("{}: no file of digests", args.file.display())))?;
    out::line(format_args!("golden {}", name(&known)))?;
    let now = digests(0..known.len() as u64, NonZeroU64::MIN, &Swarm::default());
    let differ: Vec<_> = known.iter().zip(&now).filter(|(known, now)| known != now).collect();
    for (known, now) in &differ {
        out::line(format_args!("was {known}, is {now}"))?;
    }
    let (all, same) = (known.len(), known.len() - differ.len());
    out::line(format_args!("{same} of {all} seeds do what they did"))?;
    Ok(if differ.is_empty() { Exit::Pass } else { Exit::Nondeterminism })
}

/// The file that holds these digests.
fn text(digests: &[Digest]) -> String {
    format!(
        "# Golden {}; CHANGELOG.md says why\n# seed, digest, events: gridmux-sim golden --write\n{}",
        name(digests),
        lines(digests)
    )
}

fn lines(digests: &[Digest]) -> String {
    digests.iter().map(|digest| format!("{digest}\n")).collect()
}

/// What these digests are called: others have another name.
fn name(digests: &[Digest]) -> String {
    format!("{:08x}", name_key(&lines(digests)) >> 32)
}

fn known(text: &str) -> Option<Vec<Digest>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.parse().ok()).collect()
}
