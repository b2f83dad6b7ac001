//! `digest`: what seeds come to, in one number each, for comparison.

use std::fmt::{self, Display};
use std::num::NonZeroU64;
use std::ops::{ControlFlow, Range};
use std::process::{Command, Stdio};
use std::str::FromStr;

use gridmux_sim::guard;
use gridmux_sim::oracle::Fingerprint;
use gridmux_sim::parallel::{cores, in_order};
use gridmux_sim::run::Options;
use gridmux_sim::script::Script;
use gridmux_sim::verdict::Outcome;

use super::exit::{Done, Exit, Trouble};
use super::out;
use super::subject::{Swarm, seeds};

/// Print the digest of seeds, one line each: seed, digest, events.
///
/// The digest is a hash over every event, every byte written and every timer. It is the same on
/// every machine, in every build and on any number of threads.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,

    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 64)]
    seeds: u64,

    /// Only those seeds that are multiples of this
    #[arg(long, value_name = "N", default_value = "1")]
    every: NonZeroU64,

    #[command(flatten)]
    swarm: Swarm,
}

/// What a seed comes to, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) seed: u64,
    pub(super) print: Fingerprint,
}

impl Digest {
    pub(super) fn of(seed: u64, outcome: &Outcome) -> Self {
        Self { seed, print: Fingerprint::of(outcome) }
    }
}

impl Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seed, self.print)
    }
}

impl FromStr for Digest {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (seed, print) = line.split_once(' ').ok_or(())?;
        Ok(Self { seed: seed.parse().map_err(drop)?, print: print.parse()? })
    }
}

pub(super) fn run(args: &Args) -> Done {
    args.swarm.check()?;
    for digest in digests(seeds(args.from, args.seeds)?, args.every, &args.swarm) {
        out::line(digest)?;
    }
    Ok(Exit::Pass)
}

/// The digests of those of the seeds that are multiples of `every`.
pub(super) fn digests(seeds: Range<u64>, every: NonZeroU64, swarm: &Swarm) -> Vec<Digest> {
    let numbers = seeds.start.div_ceil(every.get())..seeds.end.div_ceil(every.get());
    let mut digests = Vec::new();
    let digest = |number| {
        let seed = number * every.get();
        let outcome = swarm.script(seed).map(|script| outcome(&script));
        outcome.ok().map(|outcome| Digest::of(seed, &outcome))
    };
    in_order(numbers, cores(), digest, |_, digest| {
        digests.extend(digest);
        ControlFlow::Continue(())
    });
    digests
}

fn outcome(script: &Script) -> Outcome {
    guard::outcome(script, &Options::default())
}

/// The same digests, of another process.
pub(super) fn of_another_process(
    seeds: Range<u64>,
    every: NonZeroU64,
    swarm: &Swarm,
) -> Done<Vec<Digest>> {
    let trouble = |what: &dyn Display| Trouble::usage(format!("the second process: {what}"));
    let program = std::env::current_exe().map_err(|error| trouble(&error))?;
    let child = Command::new(program)
        .arg("digest")
        .args(["--from", &seeds.start.to_string()])
        .args(["--seeds", &(seeds.end - seeds.start).to_string()])
        .args(["--every", &every.to_string()])
        .args(swarm.options())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| trouble(&error))?;
    if !child.status.success() {
        return Err(trouble(&child.status));
    }
    let text = String::from_utf8_lossy(&child.stdout);
    let digests: Result<Vec<Digest>, ()> = text.lines().map(str::parse).collect();
    digests.map_err(|()| trouble(&"it has printed something else than digests"))
}

#[cfg(test)]
mod tests {
    use super::{Digest, Fingerprint};

    #[test]
    fn a_digest_is_read_as_it_is_printed() {
        let digest = Digest { seed: 7, print: Fingerprint { digest: 0xab, events: 12 } };
        assert_eq!(digest.to_string(), "7 00000000000000ab 12");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for bad in ["", "7 ab", "7 ab 12 1", "x ab 12"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
