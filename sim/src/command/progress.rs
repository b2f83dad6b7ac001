//! How far many seeds have come: a bar on a terminal, a line now and then elsewhere.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use gridmux_sim::batch::Batch;
use indicatif::{ProgressBar, ProgressStyle};

use super::out;
use super::stopwatch::Stopwatch;

/// Between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// Tells of the progress on stderr.
pub(super) struct Progress {
    begin: Stopwatch,
    told: Stopwatch,
    seeds: Option<u64>,
    lasts: Option<Duration>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of so many seeds, or of as many as there are in a time; without both there is no ETA.
    pub(super) fn new(seeds: Option<u64>, lasts: Option<Duration>) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = match (seeds, lasts) {
                (_, Some(lasts)) => ProgressBar::new(lasts.as_secs().max(1)),
                (Some(seeds), None) => ProgressBar::new(seeds),
                (None, None) => ProgressBar::no_length(),
            };
            let style = ProgressStyle::with_template("{wide_bar} {percent}%\n{msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let begin = Stopwatch::start();
        Self { begin, told: begin, seeds, lasts, bar }
    }

    /// How long it has been going on.
    pub(super) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// A seed is done.
    pub(super) fn tell(&mut self, batch: &Batch, slowest: (Duration, u64)) {
        if let Some(bar) = &self.bar {
            bar.set_position(match self.lasts {
                Some(_) => self.elapsed().as_secs(),
                None => batch.seeds,
            });
            bar.set_message(self.line(batch, slowest));
        } else if self.told.elapsed() >= EVERY {
            self.told = Stopwatch::start();
            out::note(self.line(batch, slowest));
        }
    }

    /// A seed has failed, of which the end of a long batch alone would tell.
    pub(super) fn alert(&self, line: impl Display) {
        match &self.bar {
            Some(bar) => bar.println(line.to_string()),
            None => out::note(line),
        }
    }

    /// All are done.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, batch: &Batch, (slowest, seed): (Duration, u64)) -> String {
        let Rates { seeds_per_s, events_per_s, time_ratio } = Rates::of(batch, self.elapsed());
        format!(
            "{} seeds, {seeds_per_s:.1}/s; {events_per_s:.0} events/s; {time_ratio:.0} times real \
             time; {} failures in {} groups; slowest seed {seed} with {:.2} s{}",
            batch.seeds,
            batch.failures,
            batch.groups.len(),
            slowest.as_secs_f64(),
            self.eta(batch).map_or_else(String::new, |eta| format!("; {} s left", eta.as_secs())),
        )
    }

    fn eta(&self, batch: &Batch) -> Option<Duration> {
        let elapsed = self.elapsed();
        let by_time = self.lasts.map(|lasts| lasts.saturating_sub(elapsed));
        let left = self.seeds.map(|seeds| seeds.saturating_sub(batch.seeds));
        let by_seeds = left.filter(|_| batch.seeds > 0).map(|left| {
            Duration::from_secs_f64(elapsed.as_secs_f64() * left as f64 / batch.seeds as f64)
        });
        by_time.into_iter().chain(by_seeds).min()
    }
}

/// How fast it goes.
pub(super) struct Rates {
    pub(super) seeds_per_s: f64,
    pub(super) events_per_s: f64,
    /// Simulated by real time.
    pub(super) time_ratio: f64,
}

impl Rates {
    pub(super) fn of(batch: &Batch, took: Duration) -> Self {
        let seconds = took.as_secs_f64().max(1e-9);
        Self {
            seeds_per_s: batch.seeds as f64 / seconds,
            events_per_s: batch.events as f64 / seconds,
            time_ratio: batch.simulated as f64 / 1e9 / seconds,
        }
    }
}
