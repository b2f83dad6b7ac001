//! Ends the program if one run takes too long in real time: a run cannot be stopped from outside.

use std::collections::BTreeMap;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::exit::Exit;
use super::stopwatch::Stopwatch;

type Runs = Arc<Mutex<BTreeMap<u64, Stopwatch>>>;

/// Knows which seeds run, and since when.
#[derive(Clone, Debug, Default)]
pub(super) struct Watchdog {
    runs: Runs,
}

impl Watchdog {
    /// Watches seeds, none of which may take longer.
    #[expect(clippy::disallowed_methods, reason = "no run sees this thread")]
    pub(super) fn start(limit: Duration) -> Self {
        let watchdog = Self::default();
        let runs = watchdog.runs.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_millis(200).min(limit));
                if let Some(seed) = overdue(&runs, limit) {
                    eprintln!("seed {seed} has run for more than {} s", limit.as_secs());
                    process::exit(Exit::Timeout as i32);
                }
            }
        });
        watchdog
    }

    /// Does something for a seed, and how long that took.
    pub(super) fn watch<T>(&self, seed: u64, work: impl FnOnce() -> T) -> (T, Duration) {
        let begin = Stopwatch::start();
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, begin);
        let done = work();
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(&seed);
        (done, begin.elapsed())
    }
}

fn overdue(runs: &Runs, limit: Duration) -> Option<u64> {
    let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    runs.iter().find(|(_, begin)| begin.elapsed() > limit).map(|(seed, _)| *seed)
}
