//! What a run has come to, for a person.

use std::collections::BTreeMap;
use std::path::Path;

use gridmux_sim::guard::run_quietly;
use gridmux_sim::run::{Options, Run};
use gridmux_sim::script::{Call, Deed, Script, show_time};
use gridmux_sim::show::{Filter, Shown, text};
use gridmux_sim::verdict::{Failure, Outcome};

use super::exit::{Done, Exit};
use super::files;
use super::stopwatch::Stopwatch;
use super::subject::Subject;

/// How the program is called from the project's directory.
pub(super) const PROGRAM: &str = "cargo run --release -p gridmux-sim --";

/// How much of the log of a run is told.
const LAST_EVENTS: usize = 15;

/// The failures beyond the first that are told.
const MORE_FAILURES: usize = 4;

/// Runs it, tells of it, and writes its script into `dir` if it fails and a directory is given.
pub(super) fn run_and_tell(subject: &Subject, trace: Option<&Path>, dir: Option<&Path>) -> Done {
    print!("{}", configuration(subject));
    let watch = Stopwatch::start();
    let ran = run_quietly(&subject.script, &Options { traced: true, ..Options::default() });
    let seconds = watch.elapsed().as_secs_f64();
    let (outcome, run) = match ran {
        Ok(run) => (run.outcome.clone(), Some(run)),
        Err(broken) => (broken.outcome(), None),
    };
    print!("{}", figures(&outcome, seconds));
    if let (Some(path), Some(run)) = (trace, &run) {
        files::write(path, &log(run, &Filter::default()))?;
        println!("trace    {}", path.display());
    }
    let Some(failure) = outcome.failures.first() else {
        println!("verdict  pass");
        return Ok(Exit::Pass);
    };
    println!("verdict  {} failures, the first by {}", outcome.failures.len(), failure.oracle);
    print!("\n{}", cause(&outcome, run.as_ref()));
    let file = match dir {
        None => subject.label.clone(),
        Some(dir) => {
            let path = files::script_path(dir, &subject.slug);
            let comments = [subject.label.clone(), verdict_line(failure)];
            files::write_script(&path, &comments, &subject.script)?;
            path.display().to_string()
        }
    };
    println!("seed      {}\nscript    {file}", subject.script.seed);
    println!("replay    {PROGRAM} replay {file}\nminimise  {PROGRAM} min {file}");
    println!("picture   {PROGRAM} show {file} --html {}", picture(&file));
    Ok(Exit::of(&outcome))
}

/// The name of the picture beside a script.
fn picture(file: &str) -> String {
    Path::new(file).with_extension("html").display().to_string()
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
pub(super) fn log(run: &Run, filter: &Filter) -> String {
    shown(run).map_or_else(String::new, |shown| text(&shown, filter))
}

/// A run that was traced, to be shown, with its probes.
pub(super) fn shown(run: &Run) -> Option<Shown<'_>> {
    let evidence = &run.facts.evidence;
    Some(Shown {
        script: &evidence.script,
        trace: run.trace.as_ref()?,
        history: &evidence.entries,
        outcome: &run.outcome,
    })
}

/// What a script is like, in a few lines.
fn configuration(subject: &Subject) -> String {
    let script = &subject.script;
    let mut calls = BTreeMap::<&str, u64>::new();
    let (mut faults, mut cancels) = (BTreeMap::<&str, u64>::new(), 0);
    for line in &script.lines {
        match &line.deed {
            Deed::Call(call) => *calls.entry(call.route.word()).or_default() += 1,
            Deed::Cancel(_) => cancels += 1,
            // Of users' own clusters only.
            Deed::Do(_) => {}
            Deed::Fault(fault) => *faults.entry(fault.row()).or_default() += 1,
        }
    }
    let ours = script.nodes.iter().filter(|kind| kind.is_ours()).count();
    let core: Vec<_> = script.core.iter().map(|node| format!("n{node}")).collect();
    format!(
        "{}\nnodes    {}, {ours} of them ours; core {}; heal at {}\nnetwork  {}\n\
         calls    {}, {cancels} cancels: {}\nfaults   {}: {}\n",
        subject.label,
        script.nodes.len(),
        core.join(","),
        show_time(script.heal),
        network(script),
        calls.values().sum::<u64>(),
        counts(&calls),
        faults.values().sum::<u64>(),
        counts(&faults),
    )
}

/// The `set` line of a script, and what else is not as usual.
fn network(script: &Script) -> String {
    let text = script.to_string();
    let mut words = vec![text.lines().find_map(|line| line.strip_prefix("set ")).unwrap_or("calm")];
    words.extend(text.lines().filter(|line| *line == "secure" || line.starts_with("generation ")));
    words.join("; ")
}

fn counts(counts: &BTreeMap<&str, u64>) -> String {
    let words: Vec<_> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    words.join(", ")
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

/// Why a run has failed, and what happened before.
pub(super) fn cause(outcome: &Outcome, run: Option<&Run>) -> String {
    let Some(failure) = outcome.failures.first() else { return String::new() };
    let mut told = format!("FAILED    {}\n", verdict_line(failure));
    told.push_str(&format!("oracle    {} ({})\n", failure.oracle, word(failure)));
    told.push_str(&format!("time      {} simulated\n", show_time(failure.at)));
    let about = run.map(|run| about(failure, run)).unwrap_or_default();
    if let Some(pair) = about.pair {
        told.push_str(&format!("pair      n{} n{}\n", pair[0], pair[1]));
    }
    if let Some(call) = about.call {
        told.push_str(&format!("call      {} on {}\n", call.name, call.route.word()));
    }
    for other in outcome.failures.iter().skip(1).take(MORE_FAILURES) {
        told.push_str(&format!("also      {}\n", verdict_line(other)));
    }
    if let Some(run) = run {
        let filter = Filter {
            call: failure.call,
            pair: about.pair,
            until: Some(failure.at),
            last: Some(LAST_EVENTS),
        };
        told.push_str(&format!("its last events:\n{}", log(run, &filter)));
    }
    told
}

const fn word(failure: &Failure) -> &'static str {
    use gridmux_sim::verdict::Class;
    match failure.class {
        Class::Safety => "safety",
        Class::Liveness => "liveness",
        Class::Nondeterminism => "two runs differ",
        Class::Panic => "panic",
    }
}

/// What a failure is about.
#[derive(Default)]
struct About<'a> {
    call: Option<&'a Call>,
    pair: Option<[usize; 2]>,
}

fn about<'a>(failure: &Failure, run: &'a Run) -> About<'a> {
    let script = &run.facts.evidence.script;
    let call = failure.call.and_then(|number| script.calls().nth(number));
    let pair = call.map(|call| [call.from, call.to]).or_else(|| pair_in(&failure.detail));
    About { call, pair }
}

/// The two nodes that a text names, if it names exactly two.
fn pair_in(text: &str) -> Option<[usize; 2]> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let mut nodes: Vec<usize> =
        words.filter_map(|word| word.strip_prefix('n')?.parse().ok()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::pair_in;

    #[test]
    fn a_pair_is_read_from_a_text_that_names_two_nodes() {
        assert_eq!(pair_in("n2 with n0: 5 calls, n2 again"), Some([0, 2]));
        assert_eq!(pair_in("n1>n0 Request"), Some([0, 1]));
        for other in ["n1", "n0 n1 n2", "nobody", ""] {
            assert_eq!(pair_in(other), None, "{other}");
        }
    }
}
