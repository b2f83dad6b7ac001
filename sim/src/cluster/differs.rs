//! Two runs of one seed that are not the same.

use std::fmt;
use std::time::Duration;

use super::report::Report;
use super::simulation::nanos;
use crate::script::show_time;
use crate::trace::Trace;

/// When each event came, in simulated nanoseconds, and the digest behind it.
pub(super) type Steps = Vec<(u64, u64)>;

/// Two runs of one seed are not the same: something in the nodes' code is not of the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The seed.
    pub seed: u64,
    /// The first event after which the runs differ, from 1.
    pub event: u64,
    /// When it came, in simulated time, in each run; `None` if that had ended.
    pub at: [Option<Duration>; 2],
    /// What happened first, between the nodes or to them, that did not happen in the other run: that
    /// event, or what came of it. `None` if nothing did.
    pub happened: [Option<String>; 2],
}

impl Differs {
    /// Compares two runs of a seed, with the times of their events and the digests behind them.
    pub(super) fn between<N>(seed: u64, [one, other]: [&(Report<N>, Steps); 2]) -> Option<Self> {
        let at = first_difference(&one.1, &other.1)?;
        let steps = [one, other].map(|(_, steps)| steps.get(at).copied());
        let traces = [one, other].map(|(report, _)| report.trace.as_ref());
        Some(Self {
            seed,
            event: at as u64 + 1,
            at: steps.map(|step| step.map(|(at, _)| Duration::from_nanos(at))),
            happened: happened(traces),
        })
    }
}

/// Where they differ first, or one of them ends.
fn first_difference<T: PartialEq>(one: &[T], other: &[T]) -> Option<usize> {
    let differs = one.iter().zip(other).position(|(one, other)| one != other);
    differs.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
}

fn happened(traces: [Option<&Trace>; 2]) -> [Option<String>; 2] {
    let [one, other] = traces.map(|trace| trace.map_or(&[][..], |trace| &trace.events));
    let Some(at) = first_difference(one, other) else { return [None, None] };
    let text = |events: &[crate::trace::Event]| {
        let event = events.get(at)?;
        Some(format!("{:?} at {}", event.what, show_time(event.at)))
    };
    [text(one), text(other)]
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "two runs of seed {} differ from event {} on", self.seed, self.event)?;
        for (which, (at, happened)) in
            ["one", "the other"].into_iter().zip(self.at.iter().zip(&self.happened))
        {
            match at {
                Some(at) => write!(f, "\n  {which}: it came at {}", show_time(nanos(*at)))?,
                None => write!(f, "\n  {which}: it did not come")?,
            }
            if let Some(happened) = happened {
                write!(f, "; then {happened}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Differs {}
