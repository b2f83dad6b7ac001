//! Ends the program if one run takes too long in real time, or all too much memory: a run cannot be
//! stopped from outside.

use std::collections::BTreeMap;
use std::fs;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::exit::Exit;
use super::out;
use super::stopwatch::Stopwatch;
use super::subject::real_time;

/// How long a run may take.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Patience {
    /// End with exit code 8 when a run takes longer than this
    #[arg(long, value_name = "TIME", value_parser = real_time, default_value = "5m")]
    #[arg(alias = "seed-timeout")]
    run_timeout: Duration,

    /// End with exit code 8 when the program holds more memory than this, where the system tells
    #[arg(long, value_name = "MIB", default_value_t = 8192)]
    memory_limit: u64,
}

type Runs = Arc<Mutex<BTreeMap<String, Stopwatch>>>;

/// Knows what runs, and since when.
#[derive(Clone, Debug)]
pub(super) struct Watchdog {
    runs: Runs,
    limit: Duration,
}

impl Watchdog {
    /// Watches runs, none of which may take longer.
    #[expect(clippy::disallowed_methods, reason = "no run sees this thread")]
    pub(super) fn start(patience: Patience) -> Self {
        let watchdog = Self { runs: Runs::default(), limit: patience.run_timeout };
        let (runs, limit) = (watchdog.runs.clone(), watchdog.limit);
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_millis(200).min(limit));
                if let Some(name) = overdue(&runs, limit) {
                    give_up(&name, limit);
                }
                if memory().is_some_and(|held| held > patience.memory_limit) {
                    give_up_memory(&runs, patience.memory_limit);
                }
            }
        });
        watchdog
    }

    /// Runs something under a name that nothing else has meanwhile, and how long that took.
    pub(super) fn watch<T>(&self, name: String, work: impl FnOnce() -> T) -> (T, Duration) {
        let begin = Stopwatch::start();
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), begin);
        let done = work();
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let took = begin.elapsed();
        if took > self.limit {
            // It was over before the thread has looked.
            give_up(&name, self.limit);
        }
        (done, took)
    }
}

fn overdue(runs: &Runs, limit: Duration) -> Option<String> {
    let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    runs.iter().find(|(_, begin)| begin.elapsed() > limit).map(|(name, _)| name.clone())
}

/// What the program holds, in MiB, if this is a system that tells.
fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

fn give_up_memory(runs: &Runs, limit: u64) -> ! {
    let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    let names: Vec<_> = runs.keys().map(String::as_str).collect();
    out::note(format_args!("more than {limit} MiB are held; under way: {}", names.join(", ")));
    process::exit(Exit::Timeout as i32)
}

fn give_up(name: &str, limit: Duration) -> ! {
    out::note(format_args!("{name} has run for more than {} s", limit.as_secs()));
    process::exit(Exit::Timeout as i32)
}
