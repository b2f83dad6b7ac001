//! From a script that fails to a shorter one that fails in the same way.

use super::report::Report;
use super::simulation::Simulation;
use crate::minimise::minimise_read;

pub(super) fn least<N>(simulation: &Simulation<N>, report: Report<N>, most: u64) -> Report<N>
where
    N: Clone + Send + 'static,
{
    let Some(check) = report.failures.first().map(|failure| failure.check) else { return report };
    let mut least = report;
    let long = least.script.clone();
    minimise_read(
        &long,
        |text| simulation.read(text).ok(),
        |runs| runs >= most,
        |script| {
            let report = simulation.run_script(script);
            let fails = report.failures.first().is_some_and(|failure| failure.check == check);
            if fails {
                least = report;
            }
            fails
        },
    );
    least
}
