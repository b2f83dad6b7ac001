//! `diff`: where two runs part.

use gridmux_sim::guard::run_quietly;
use gridmux_sim::run::{CHECKPOINT, Options, Run, StepDigest};
use gridmux_sim::script::Script;
use gridmux_sim::show::Filter;

use super::exit::{Done, Exit, Trouble};
use super::report::log;
use super::subject::{Subject, Swarm, turn};

/// So many lines of the logs are shown in front of the first that differs.
const CONTEXT: usize = 5;

/// Find the first event in which two runs differ.
///
/// Compares the digests of two runs each 1,024 events, runs both again with the digest of every
/// event where they part, and says which event differs, when it happens and what the logs of the
/// two say around it. Two runs of the same script that differ are exit code 4.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A seed, or a script file
    #[arg(value_name = "A")]
    one: String,

    /// Another one, or the same
    #[arg(value_name = "B")]
    other: String,

    #[command(flatten)]
    swarm: Swarm,

    /// Turn a knob of the first alone: with whole=no and the same script twice, the two modes of
    /// one script are compared
    #[arg(long, value_name = "KNOB=VALUE")]
    set_a: Vec<String>,

    /// Turn a knob of the second alone
    #[arg(long, value_name = "KNOB=VALUE")]
    set_b: Vec<String>,
}

pub(super) fn run(args: &Args) -> Done {
    let script = |what: &str, knobs: &[String]| {
        Subject::of(what, &args.swarm).and_then(|subject| turn(subject.script, knobs))
    };
    let (one, other) = (script(&args.one, &args.set_a)?, script(&args.other, &args.set_b)?);
    tell_scripts(&one, &other);
    let plain = Options::default();
    let (first, second) = (play(&one, &plain)?, play(&other, &plain)?);
    if first.outcome == second.outcome {
        println!("the runs are the same: {} events", first.outcome.figures.events);
        return Ok(Exit::Pass);
    }
    let from = equal_until(&first, &second);
    let options = Options { traced: true, steps: from..from + CHECKPOINT + 1, ..plain };
    let (first, second) = (play(&one, &options)?, play(&other, &options)?);
    tell_event(&first.steps, &second.steps);
    let all = Filter::default();
    tell_logs(&log(&one, &first, &all), &log(&other, &second, &all));
    Ok(if one == other { Exit::Nondeterminism } else { Exit::Pass })
}

fn play(script: &Script, options: &Options) -> Done<Run> {
    let ran = run_quietly(script, options);
    ran.map_err(|broken| Trouble { text: broken.panic, exit: Exit::Panic })
}

/// Until which event the two are known to be the same.
fn equal_until(one: &Run, other: &Run) -> u64 {
    let pairs = one.outcome.checkpoints.iter().zip(&other.outcome.checkpoints);
    pairs.take_while(|(one, other)| one == other).count() as u64 * CHECKPOINT
}

fn tell_scripts(one: &Script, other: &Script) {
    let (one, other) = (one.to_string(), other.to_string());
    let only = |text: &str, other: &str, sign: char| {
        let others: Vec<&str> = other.lines().collect();
        for line in text.lines().filter(|line| !others.contains(line)) {
            println!("{sign} {line}");
        }
    };
    if one == other {
        println!("the scripts are the same");
    } else {
        println!("the scripts differ:");
        only(&one, &other, '-');
        only(&other, &one, '+');
    }
}

/// Which event is the first that differs, of the one run and of the other.
fn tell_event(one: &[StepDigest], other: &[StepDigest]) {
    let differs = one.iter().zip(other).find(|(one, other)| one != other);
    let tell = |sign, step: Option<&StepDigest>| match step {
        Some(StepDigest { number, at, digest }) => {
            let (seconds, nanos) = (at / 1_000_000_000, at % 1_000_000_000);
            println!("{sign} event {number} at {seconds}.{nanos:09} s, digest {digest:016x}");
        }
        None => println!("{sign} no further event"),
    };
    println!("the first event that differs:");
    let shorter = one.len().min(other.len());
    let (one, other) = match differs {
        Some((one, other)) => (Some(one), Some(other)),
        None => (one.get(shorter), other.get(shorter)),
    };
    tell('-', one);
    tell('+', other);
}

/// The first lines that differ, and some in front of them.
fn tell_logs(one: &str, other: &str) {
    let (one, other): (Vec<&str>, Vec<&str>) = (one.lines().collect(), other.lines().collect());
    let same = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    if same == one.len() && same == other.len() {
        println!("the logs are the same");
        return;
    }
    println!("the first line of the logs that differs:");
    for line in &one[same.saturating_sub(CONTEXT)..same] {
        println!("  {line}");
    }
    for (sign, lines) in [('-', &one), ('+', &other)] {
        println!("{sign} {}", lines.get(same).unwrap_or(&"the end"));
    }
}
