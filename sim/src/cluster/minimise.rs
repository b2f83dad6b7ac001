//! From a script that fails to a shorter one that fails in the same way.

use super::report::Report;
use super::simulation::Simulation;
use crate::script::{Line, Script};
use crate::world::Knobs;

pub(super) fn minimise<N>(simulation: &Simulation<N>, report: Report<N>) -> Report<N>
where
    N: Clone + Send + 'static,
{
    let Some(check) = report.failures.first().map(|failure| failure.check) else { return report };
    let mut best = report;
    let still_fails = |script: &Script| {
        let report = simulation.run_script(script);
        let first = report.failures.first()?;
        (first.check == check).then_some(report)
    };
    // Half of the lines, then a quarter, … then single ones, until none can go.
    let mut size = best.script.lines.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut shortened = false;
        while at < best.script.lines.len() {
            match still_fails(&without(&best.script, at, size)) {
                Some(shorter) => {
                    best = shorter;
                    shortened = true;
                }
                None => at += size,
            }
        }
        size = if size == 1 && shortened { 1 } else { size / 2 };
    }
    let calm = Script { knobs: Knobs::default(), ..best.script.clone() };
    if calm != best.script
        && let Some(calmer) = still_fails(&calm)
    {
        best = calmer;
    }
    best
}

/// The script without so many lines from here on.
fn without(script: &Script, at: usize, size: usize) -> Script {
    let is_left =
        |(index, line): (usize, &Line)| (index < at || index >= at + size).then(|| line.clone());
    let lines = script.lines.iter().enumerate().filter_map(is_left).collect();
    Script { lines, ..script.clone() }
}
