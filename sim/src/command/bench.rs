//! `bench`: how fast the simulator is.

use std::time::Duration;

use gridmux_sim::guard;
use gridmux_sim::run::Options;
use gridmux_sim::script::{Call, Deed, Input, Line, Moment, Plan, Route, Script};
use gridmux_sim::swarm::{Profile, script};
use gridmux_sim::verdict::Outcome;
use serde::Serialize;

use super::exit::{Done, Exit};
use super::out;
use super::stopwatch::Stopwatch;
use super::subject::real_time;

const SECOND: u64 = 1_000_000_000;
const MILLI: u64 = 1_000_000;

/// Measure how fast the simulator is, on one core.
///
/// The same calm work with frames handed over whole and with bytes split anywhere, a mesh of eight
/// nodes that only ping, and seeds. Figures below their targets are marked. The targets are those
/// of a release build on a core that has nothing else to do. Exit code 9 says that events/s or
/// simulated/real is below its own; seeds/s, which differ most between machines, are marked only.
/// The last line is one JSON object.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// How long each is measured, at least
    #[arg(long = "for", value_name = "TIME", value_parser = real_time, default_value = "3s")]
    lasts: Duration,
}

/// What one kind of work has come to.
#[derive(Clone, Copy, Default, Serialize)]
struct Measured {
    runs: u64,
    seconds: f64,
    events: u64,
    simulated_s: f64,
    failures: u64,
}

impl Measured {
    fn rate(&self, count: f64) -> f64 {
        count / self.seconds.max(1e-9)
    }
}

/// A figure, and what it should be.
#[derive(Clone, Copy, Serialize)]
struct Figure {
    name: &'static str,
    value: f64,
    target: f64,
    /// Whether it decides how the program ends.
    binding: bool,
}

impl Figure {
    fn is_below(&self) -> bool {
        self.value < self.target
    }
}

/// By the figures, and by how many runs of calm work have failed, which has nothing to fail of.
fn exit(figures: &[Figure], failures: u64) -> Exit {
    if failures > 0 {
        return Exit::Safety;
    }
    let slow = figures.iter().any(|figure| figure.binding && figure.is_below());
    if slow { Exit::Slow } else { Exit::Pass }
}

pub(super) fn run(args: &Args) -> Done {
    let busy = busy(true);
    let split = self::busy(false);
    let mesh = mesh();
    let fixed = |script: &Script| measure(args.lasts, |_| script.clone());
    let (frames, bytes, idle) = (fixed(&busy), fixed(&split), fixed(&mesh));
    let quick = measure(args.lasts, |seed| script(seed, Profile::Quick));
    let full = measure(args.lasts, |seed| script(seed, Profile::Full));
    let figure = |name, value, target| Figure { name, value, target, binding: true };
    let told = |name, value, target| Figure { binding: false, ..figure(name, value, target) };
    let figures = [
        figure("events/s, frames", frames.rate(frames.events as f64), 1e6),
        figure("events/s, bytes", bytes.rate(bytes.events as f64), 5e5),
        figure("simulated/real, frames", frames.rate(frames.simulated_s), 1e3),
        figure("simulated/real, idle mesh", idle.rate(idle.simulated_s), 2e4),
        told("seeds/s, quick", quick.rate(quick.runs as f64), 100.0),
        told("seeds/s, full", full.rate(full.runs as f64), 20.0),
    ];
    out::line(format_args!("{:<26} {:>12} {:>12}", "figure", "measured", "target"))?;
    for figure in &figures {
        let Figure { name, value, target, .. } = figure;
        let below = if figure.is_below() { "  below" } else { "" };
        out::line(format_args!("{name:<26} {value:>12.0} {target:>12.0}{below}"))?;
    }
    let all = serde_json::json!({
        "figures": figures,
        "frames": frames, "bytes": bytes, "idle": idle, "quick": quick, "full": full,
    });
    out::line(all)?;
    Ok(exit(&figures, frames.failures + bytes.failures + idle.failures))
}

/// Runs scripts for a while.
fn measure(lasts: Duration, script: impl Fn(u64) -> Script) -> Measured {
    let mut measured = Measured::default();
    let watch = Stopwatch::start();
    while watch.elapsed() < lasts || measured.runs == 0 {
        let script = script(measured.runs);
        let outcome: Outcome = guard::outcome(&script, &Options::default());
        measured.runs += 1;
        measured.events += outcome.figures.events;
        measured.simulated_s += outcome.figures.simulated as f64 / 1e9;
        measured.failures += outcome.failures.len() as u64;
    }
    measured.seconds = watch.elapsed().as_secs_f64();
    measured
}

/// Four nodes, calls and streams on every pair for twenty seconds.
fn busy(whole: bool) -> Script {
    let mut script = Script::new(1, 4);
    script.knobs.whole = whole;
    script.knobs.piece = 1_500;
    script.heal = 25 * SECOND;
    let pairs = (0..4).flat_map(|from| (0..4).map(move |to| (from, to)));
    for (from, to) in pairs.filter(|(from, to)| from != to) {
        for number in 0..100 {
            let at = 4 * SECOND + number * 200 * MILLI;
            let name = |what: &str| format!("{what}-{from}-{to}-{number}");
            let echo = Call { size: Some(512), ..Call::new(name("echo"), from, to, Route::Echo) };
            let talk = Call {
                plan: Plan { items: 20, item_size: 1_000, ..Plan::default() },
                input: Input { items: 20, size: 1_000, ..Input::default() },
                ..Call::new(name("talk"), from, to, Route::Talk)
            };
            let line = |call| Line { moment: Moment::At(at), deed: Deed::Call(call) };
            script.lines.extend([line(echo), line(talk)]);
        }
    }
    script
}

/// Eight nodes that have nothing to say to each other for an hour.
fn mesh() -> Script {
    Script { heal: 3_600 * SECOND, ..Script::new(1, 8) }
}

#[cfg(test)]
mod tests {
    use super::{Exit, Figure, exit};

    #[test]
    fn a_binding_figure_below_its_target_is_slow_and_a_failure_counts_for_more() {
        let figure = |value, binding| Figure { name: "a figure", value, target: 10.0, binding };
        assert_eq!(exit(&[figure(10.0, true), figure(9.0, false)], 0), Exit::Pass);
        assert_eq!(exit(&[figure(11.0, true), figure(9.9, true)], 0), Exit::Slow);
        assert_eq!(exit(&[figure(9.9, true)], 1), Exit::Safety);
    }
}
