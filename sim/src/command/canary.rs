//! `canary`: a failure that must come, be told, shortened and shown.

use std::path::PathBuf;

use gridmux_core::error::CallError;
use gridmux_sim::guard::run_quietly;
use gridmux_sim::history::Sight;
use gridmux_sim::minimise::{lines, minimise};
use gridmux_sim::run::{Options, Run};
use gridmux_sim::script::Script;
use gridmux_sim::show::html;
use gridmux_sim::verdict::{Class, Failure, OracleId};

use super::cause::cause;
use super::exit::{Done, Exit, Trouble};
use super::files::{self, USUAL_DIR};
use super::out;
use super::report::shown;
use super::subject::{Subject, Swarm};

/// The rule that seeds are bound to break.
const RULE: &str = "no call is ever lost";

/// Of so many seeds one must break it.
const SEEDS: u64 = 100;

/// So many scripts are judged to find a short one.
const RUNS: u64 = 2_000;

/// A short script has at most so many lines, and a picture at most so many bytes.
const LINES: usize = 10;
const PICTURE: usize = 2 << 20;

/// Prove that a failure is found, told, shortened and shown.
///
/// Judges seeds by a rule that no grid can keep, that no call is ever lost with its link, and sees
/// that the failure goes the way of every other one: report, minimiser, picture. Exit code 7 says
/// that it got lost.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Where the short script and its picture go
    #[arg(long, value_name = "DIR", default_value = USUAL_DIR, value_parser = files::dir_to_write_to)]
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Done {
    let subjects = (0..SEEDS).map(|seed| Subject::of_seed(seed, &Swarm::default()));
    let subjects: Vec<Subject> = subjects.collect::<Done<_>>()?;
    let sings = |subject: &&Subject| listen(&subject.script).is_some();
    let subject = subjects
        .iter()
        .find(sings)
        .ok_or_else(|| silent(format!("none of {SEEDS} seeds loses a call")))?;
    let enough = |runs| runs >= RUNS;
    let short = minimise(&subject.script, enough, |script| listen(script).is_some());
    let count = lines(&short.script);
    let run = listen(&short.script).ok_or_else(|| silent("the short script loses no call"))?;

    let path = files::script_path(&args.dir, "canary");
    files::write_script(&path, &[format!("{}, shortened", subject.label)], &short.script)?;
    let told = cause(&short.script, &run.outcome, Some(&run));
    let picture = shown(&short.script, &run).map(|shown| html(&shown)).unwrap_or_default();
    let picture_path = path.with_extension("html");
    files::write(&picture_path, &picture)?;
    out::text(format_args!("{told}\n{}", short.script))?;
    let (runs, picture_at) = (short.runs, picture_path.display());
    out::line(format_args!("{count} lines after {runs} runs; {picture_at}"))?;
    if count > LINES {
        return Err(silent(format!("the short script has {count} lines, over {LINES}")));
    }
    if !told.contains(RULE) || !told.contains("lost") {
        return Err(silent("the report does not say what has failed"));
    }
    if !picture.contains(RULE) || picture.len() > PICTURE {
        return Err(silent("the picture does not show what has failed"));
    }
    Ok(Exit::Pass)
}

fn silent(text: impl Into<String>) -> Trouble {
    Trouble { text: text.into(), exit: Exit::SelfCheck }
}

/// The run of a script that loses a call, with that as its one failure.
fn listen(script: &Script) -> Option<Run> {
    let mut run = run_quietly(script, &Options { traced: true, ..Options::default() }).ok()?;
    let heal = run.facts.evidence.phases.heal;
    let lost = run.facts.evidence.entries.iter().find(|entry| {
        let loss = Sight::Ended(Err(CallError::Disconnected { may_have_run: true }));
        entry.sight == loss && entry.at < heal
    })?;
    run.outcome.failures = vec![Failure {
        oracle: OracleId(0),
        class: Class::Safety,
        rule: RULE,
        detail: format!("n{} has lost a call", lost.node),
        at: lost.at,
        call: Some(lost.call),
    }];
    Some(run)
}
