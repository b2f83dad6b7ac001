//! `min`: the shortest script that still fails.

use std::path::PathBuf;
use std::time::Duration;

use gridmux_sim::batch::Kind;
use gridmux_sim::minimise::{lines, minimise};
use gridmux_sim::oracle::oracles;
use gridmux_sim::script::Script;
use gridmux_sim::verdict::{Failure, OracleId, Outcome};

use super::again::PROGRAM;
use super::exit::{Done, Exit, Trouble};
use super::play::Player;
use super::report::verdict_line;
use super::stopwatch::Stopwatch;
use super::subject::{Subject, Swarm, real_time};
use super::watchdog::Patience;
use super::{files, out};

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
    #[arg(long, value_name = "FILE", value_parser = files::to_write)]
    out: Option<PathBuf>,

    /// Keep the failure by this oracle, such as O3, not the first one
    #[arg(long, value_name = "ORACLE", value_parser = oracle)]
    oracle: Option<OracleId>,

    /// Stop after this time
    #[arg(long = "for", value_name = "TIME", value_parser = real_time, default_value = "30s")]
    lasts: Duration,

    #[command(flatten)]
    patience: Patience,
}

/// An oracle by its name, as verdicts tell it.
fn oracle(name: &str) -> Result<OracleId, String> {
    let found = oracles().find(|oracle| oracle.to_string() == name);
    found.ok_or_else(|| {
        let names: Vec<_> = oracles().map(|oracle| oracle.to_string()).collect();
        format!("there are {}", names.join(", "))
    })
}

pub(super) fn run(args: &Args) -> Done {
    let subject = Subject::of(&args.what, &args.swarm)?;
    let player = Player::new(args.patience);
    let outcome = |script: &Script| player.outcome(&subject.label, script);
    let before = outcome(&subject.script);
    let wanted = |failure: &&Failure| args.oracle.is_none_or(|oracle| failure.oracle == oracle);
    let Some(failure) = before.failures.iter().find(wanted) else {
        let by = args.oracle.map_or("any oracle".to_owned(), |oracle| oracle.to_string());
        return Err(Trouble::usage(format!("{} does not fail by {by}", subject.label)));
    };
    let kind = (failure.oracle, failure.rule);
    let watch = Stopwatch::start();
    let over = |_| watch.elapsed() >= args.lasts;
    let short = minimise(&subject.script, over, |script| has(&outcome(script), kind));
    let after = proven(outcome, &short.script, kind)?;
    let found = after.failures.iter().find(|failure| (failure.oracle, failure.rule) == kind);
    let line = found.map(verdict_line).unwrap_or_default();

    let usual = || files::script_path(files::USUAL_DIR.as_ref(), &format!("{}-min", subject.slug));
    let path = args.out.clone().unwrap_or_else(usual);
    // What took so long to find is told before a file may be in the way.
    out::text(&short.script)?;
    files::write_script(
        &path,
        &[format!("{}, shortened", subject.label), line.clone()],
        &short.script,
    )?;
    out::note(format_args!(
        "{line}\n{} lines of {}, {} runs{}; proven by two runs\nreplay    {PROGRAM} replay {}",
        lines(&short.script),
        lines(&subject.script),
        short.runs,
        if short.finished { "" } else { ", stopped by the time" },
        path.display(),
    ));
    Ok(Exit::Pass)
}

/// Whether a run has failed in this way.
fn has(outcome: &Outcome, kind: Kind) -> bool {
    outcome.failures.iter().any(|failure| (failure.oracle, failure.rule) == kind)
}

/// The script as it is read from its text fails so, twice, and does the same both times.
fn proven(outcome: impl Fn(&Script) -> Outcome, script: &Script, kind: Kind) -> Done<Outcome> {
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
