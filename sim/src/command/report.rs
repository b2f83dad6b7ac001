//! What a run has come to, for a person.

use std::path::Path;

use gridmux_sim::run::{Options, Run};
use gridmux_sim::script::{Script, show_time};
use gridmux_sim::show::{Filter, Shown, text};
use gridmux_sim::verdict::{Failure, Outcome};

use super::again::Again;
use super::cause::cause;
use super::configuration::configuration;
use super::exit::{Done, Exit};
use super::files;
use super::out;
use super::play::Player;
use super::stopwatch::Stopwatch;
use super::subject::Subject;

/// Runs it, tells of it, and writes its script into `dir` if it fails and a directory is given.
pub(super) fn run_and_tell(
    subject: &Subject,
    player: &Player,
    trace: Option<&Path>,
    dir: Option<&Path>,
) -> Done {
    let script = &subject.script;
    out::text(configuration(subject))?;
    let watch = Stopwatch::start();
    let traced = Options { traced: true, ..Options::default() };
    let ran = player.run(&subject.label, script, traced);
    let seconds = watch.elapsed().as_secs_f64();
    let (outcome, run) = match ran {
        Ok(run) => (run.outcome.clone(), Some(run)),
        Err(broken) => (broken.outcome(), None),
    };
    out::text(figures(&outcome, seconds))?;
    let written = match (trace, &run) {
        (Some(path), Some(run)) => write_log(path, script, run),
        _ => Ok(()),
    };
    let Some(failure) = outcome.failures.first() else {
        out::line("verdict  pass")?;
        return written.map(|()| Exit::Pass);
    };
    // What has failed counts for more than a file.
    written.unwrap_or_else(|trouble| trouble.tell());
    let count = outcome.failures.len();
    out::line(format_args!("verdict  {count} failures, the first by {}", failure.oracle))?;
    out::text(format_args!("\n{}", cause(script, &outcome, run.as_ref())))?;
    let again = match dir {
        None => Again::of(subject),
        Some(dir) => Again::written(subject, failure, dir),
    };
    out::text(again)?;
    Ok(Exit::of(&outcome))
}

fn write_log(path: &Path, script: &Script, run: &Run) -> Done<()> {
    files::write(path, &log(script, run, &Filter::default()))?;
    out::line(format_args!("trace    {}", path.display()))
}

/// A failure in one line.
pub(super) fn verdict_line(failure: &Failure) -> String {
    let Failure { oracle, rule, detail, .. } = failure;
    let detail = detail.lines().next().unwrap_or_default();
    // The monitors of the wire say whose rule it is themselves.
    let detail = detail.strip_prefix(&format!("{oracle}: {rule}: ")).unwrap_or(detail);
    format!("{oracle} {rule}: {detail}")
}

/// The whole log of a run, or what a filter leaves of it.
pub(super) fn log(script: &Script, run: &Run, filter: &Filter) -> String {
    shown(script, run).map_or_else(String::new, |shown| text(&shown, filter))
}

/// A run of this script that was traced, to be shown, with its probes.
pub(super) fn shown<'a>(script: &'a Script, run: &'a Run) -> Option<Shown<'a>> {
    let evidence = &run.facts.evidence;
    Some(Shown {
        script,
        played: &evidence.script,
        trace: run.trace.as_ref()?,
        history: &evidence.entries,
        outcome: &run.outcome,
    })
}

/// The figures of a run, in a few lines.
fn figures(outcome: &Outcome, seconds: f64) -> String {
    let figures = &outcome.figures;
    let census: Vec<_> = outcome
        .census
        .iter()
        .map(|(row, tally)| format!("{row} {}/{}/{}", tally.placed, tally.fired, tally.felt))
        .collect();
    let judged: Vec<_> =
        outcome.judged.iter().map(|(oracle, count)| format!("{oracle} {count}")).collect();
    let excuses: Vec<_> =
        figures.excuses.iter().map(|(excuse, count)| format!("{excuse} {count}")).collect();
    format!(
        "census   placed/fired/felt: {}\nran      {} events, {} simulated in {seconds:.2} s\n\
         came to  {} calls, {} in order, {} of them in chaos; {} connections; healed after {} of {}\n\
         judged   {}\nexcuses  {}\ndigest   {:016x}\n",
        census.join(", "),
        figures.events,
        show_time(figures.simulated),
        figures.calls,
        figures.successes,
        figures.successes_in_chaos,
        figures.connections,
        show_time(figures.healed_after),
        show_time(figures.heal_bound),
        judged.join(", "),
        excuses.join(", "),
        outcome.digest,
    )
}
