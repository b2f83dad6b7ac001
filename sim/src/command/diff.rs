//! `diff`: where two runs part.

use gridmux_sim::guard::Broken;
use gridmux_sim::run::{CHECKPOINT, Options, Run, StepDigest};
use gridmux_sim::script::Script;
use gridmux_sim::show::Filter;

use super::exit::{Done, Exit, Trouble};
use super::out;
use super::play::Player;
use super::report::log;
use super::subject::{Subject, Swarm, turn};
use super::watchdog::Patience;

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

    #[command(flatten)]
    patience: Patience,
}

pub(super) fn run(args: &Args) -> Done {
    let script = |what: &str, knobs: &[String]| {
        Subject::of(what, &args.swarm).and_then(|subject| turn(subject.script, knobs))
    };
    let (one, other) = (script(&args.one, &args.set_a)?, script(&args.other, &args.set_b)?);
    tell_scripts(&one, &other)?;
    let player = Player::new(args.patience);
    let play = |options: &Options| {
        let run = |name: &str, script| player.run(name, script, options.clone());
        let both = (run(&args.one, &one), run(&args.other, &other));
        let trouble = |broken: Broken| Trouble { text: broken.panic, exit: Exit::Panic };
        Done::<(Run, Run)>::Ok((both.0.map_err(trouble)?, both.1.map_err(trouble)?))
    };
    let (first, second) = play(&Options::default())?;
    if first.outcome == second.outcome {
        let events = first.outcome.figures.events;
        out::line(format_args!("the runs are the same: {events} events"))?;
        return Ok(Exit::Pass);
    }
    let from = equal_until(&first, &second);
    let steps = from..from + CHECKPOINT + 1;
    let (first, second) = play(&Options { traced: true, steps, ..Options::default() })?;
    tell_event(&first.steps, &second.steps)?;
    let all = Filter::default();
    tell_logs(&log(&one, &first, &all), &log(&other, &second, &all))?;
    Ok(if one == other { Exit::Nondeterminism } else { Exit::Pass })
}

/// Until which event the two are known to be the same.
fn equal_until(one: &Run, other: &Run) -> u64 {
    let pairs = one.outcome.checkpoints.iter().zip(&other.outcome.checkpoints);
    pairs.take_while(|(one, other)| one == other).count() as u64 * CHECKPOINT
}

fn tell_scripts(one: &Script, other: &Script) -> Done<()> {
    let (one, other) = (one.to_string(), other.to_string());
    if one == other {
        return out::line("the scripts are the same");
    }
    out::line("the scripts differ:")?;
    for (text, other, sign) in [(&one, &other, '-'), (&other, &one, '+')] {
        let others: Vec<&str> = other.lines().collect();
        for line in text.lines().filter(|line| !others.contains(line)) {
            out::line(format_args!("{sign} {line}"))?;
        }
    }
    Ok(())
}

/// Which event is the first that differs, of the one run and of the other.
fn tell_event(one: &[StepDigest], other: &[StepDigest]) -> Done<()> {
    let differs = one.iter().zip(other).find(|(one, other)| one != other);
    let tell = |sign, step: Option<&StepDigest>| match step {
        Some(StepDigest { number, at, digest }) => {
            let (seconds, nanos) = (at / 1_000_000_000, at % 1_000_000_000);
            let at = format_args!("{seconds}.{nanos:09}");
            out::line(format_args!("{sign} event {number} at {at} s, digest {digest:016x}"))
        }
        None => out::line(format_args!("{sign} no further event")),
    };
    out::line("the first event that differs:")?;
    let shorter = one.len().min(other.len());
    let (one, other) = match differs {
        Some((one, other)) => (Some(one), Some(other)),
        None => (one.get(shorter), other.get(shorter)),
    };
    tell('-', one)?;
    tell('+', other)
}

/// The first lines that differ, and some in front of them.
fn tell_logs(one: &str, other: &str) -> Done<()> {
    let (one, other): (Vec<&str>, Vec<&str>) = (one.lines().collect(), other.lines().collect());
    let same = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    if same == one.len() && same == other.len() {
        return out::line("the logs are the same");
    }
    out::line("the first line of the logs that differs:")?;
    for line in &one[same.saturating_sub(CONTEXT)..same] {
        out::line(format_args!("  {line}"))?;
    }
    for (sign, lines) in [('-', &one), ('+', &other)] {
        out::line(format_args!("{sign} {}", lines.get(same).unwrap_or(&"the end")))?;
    }
    Ok(())
}
