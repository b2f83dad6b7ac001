//! `min`: the shortest script that still fails.

use std::path::PathBuf;
use std::time::Duration;

use gridmux_sim::batch::Kind;
use gridmux_sim::guard;
use gridmux_sim::minimise::{lines, minimise};
use gridmux_sim::run::Options;
use gridmux_sim::script::Script;
use gridmux_sim::verdict::Outcome;

use super::exit::{Done, Exit, Trouble};
use super::files;
use super::report::{PROGRAM, verdict_line};
use super::stopwatch::Stopwatch;
use super::subject::{Subject, Swarm, real_time};

/// Shorten a script that fails, as long as it fails by the same oracle and rule.
///
/// Leaves out lines, then nodes, then words; turns knobs to calm; makes times and sizes round and
/// small. The result is proven by two runs, printed, and written to a file.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A seed, or a script file
    #[arg(value_name = "SEED|FILE")]
    what: String,

    #[command(flatten)]
    swarm: Swarm,

    /// Where the short script goes [default: target/sim/NAME-min.sim]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Keep the failure by this oracle, such as O3, not the first one
    #[arg(long, value_name = "ORACLE")]
    oracle: Option<String>,

    /// Stop after this time
    #[arg(long = "for", value_name = "TIME", value_parser = real_time, default_value = "30s")]
    lasts: Duration,
}

pub(super) fn run(args: &Args) -> Done {
    let subject = Subject::of(&args.what, &args.swarm)?;
    let before = outcome(&subject.script);
    let wanted = |failure: &&gridmux_sim::verdict::Failure| {
        args.oracle.as_ref().is_none_or(|oracle| failure.oracle.to_string() == *oracle)
    };
    let Some(failure) = before.failures.iter().find(wanted) else {
        let by = args.oracle.as_deref().unwrap_or("any oracle");
        return Err(Trouble::usage(format!("{} does not fail by {by}", subject.label)));
    };
    let kind = (failure.oracle, failure.rule);
    let watch = Stopwatch::start();
    let over = |_| watch.elapsed() >= args.lasts;
    let short = minimise(&subject.script, over, |script| has(&outcome(script), kind));
    let after = proven(&short.script, kind)?;
    let found = after.failures.iter().find(|failure| (failure.oracle, failure.rule) == kind);
    let line = found.map(verdict_line).unwrap_or_default();

    let usual = || files::script_path(files::USUAL_DIR.as_ref(), &format!("{}-min", subject.slug));
    let path = args.out.clone().unwrap_or_else(usual);
    files::write_script(
        &path,
        &[format!("{}, shortened", subject.label), line.clone()],
        &short.script,
    )?;
    print!("{}", short.script);
    eprintln!(
        "{line}\n{} lines of {}, {} runs{}; proven by two runs\nreplay    {PROGRAM} replay {}",
        lines(&short.script),
        lines(&subject.script),
        short.runs,
        if short.finished { "" } else { ", stopped by the time" },
        path.display(),
    );
    Ok(Exit::Pass)
}

fn outcome(script: &Script) -> Outcome {
    guard::outcome(script, &Options::default())
}

/// Whether a run has failed in this way.
pub(super) fn has(outcome: &Outcome, kind: Kind) -> bool {
    outcome.failures.iter().any(|failure| (failure.oracle, failure.rule) == kind)
}

/// The script as it is read from its text fails so, twice, and does the same both times.
pub(super) fn proven(script: &Script, kind: Kind) -> Done<Outcome> {
    let broken = |text: &str| Trouble { text: text.into(), exit: Exit::SelfCheck };
    let read: Script = script
        .to_string()
        .parse()
        .map_err(|error| broken(&format!("the short script cannot be read: {error}")))?;
    let (one, two) = (outcome(&read), outcome(&read));
    if !has(&one, kind) || !has(&two, kind) {
        return Err(broken("the short script does not fail so any more"));
    }
    if one != two {
        let text = "two runs of the short script differ".into();
        return Err(Trouble { text, exit: Exit::Nondeterminism });
    }
    Ok(one)
}
