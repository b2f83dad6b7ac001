//! A load harness for any system under test: callers in a closed loop, their rate, their
//! latency and the processor time they cost.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// One call of the system under test. Every caller has a clone of its own.
///
/// Any closure that returns a future is one; a type of its own may also let the future borrow
/// from it, which spares the system under test a handle per call:
///
/// ```
/// use std::io;
/// use gridmux_benches::load::Caller;
///
/// #[derive(Clone)]
/// struct Sum(Vec<u64>);
///
/// impl Caller for Sum {
///     async fn call(&mut self) -> io::Result<()> {
///         let _ = std::hint::black_box(self.0.iter().sum::<u64>());
///         Ok(())
///     }
/// }
/// ```
pub trait Caller: Clone + Send + 'static {
    /// Makes one call. A caller whose call fails makes no more.
    fn call(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

impl<F, Fut> Caller for F
where
    F: FnMut() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = io::Result<()>> + Send,
{
    fn call(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        self()
    }
}

/// What [`closed_loop`] measured.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct Rate {
    /// Calls that ended well while it was measured.
    pub calls: u64,
    /// Callers that gave up because a call failed, warming up included.
    pub failed: u64,
    /// How long it was measured.
    pub elapsed: Duration,
    /// Calls per second.
    pub per_second: f64,
    /// The median of a call's latency.
    pub p50: Duration,
    /// The 99th percentile of a call's latency.
    pub p99: Duration,
    /// Processor time of the whole process, where the system tells (with 10 ms resolution).
    pub cpu: Option<Duration>,
}

impl Rate {
    /// Processor time of the whole process for each call.
    pub fn cpu_per_call(&self) -> Option<Duration> {
        (self.calls > 0).then(|| self.cpu.map(|cpu| cpu.div_f64(self.calls as f64))).flatten()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        write!(
            f,
            "{:>9.0}/s  p50 {:>7.1} µs  p99 {:>7.1} µs",
            self.per_second,
            micros(self.p50),
            micros(self.p99)
        )?;
        if let Some(cpu) = self.cpu_per_call() {
            write!(f, "  cpu {:>7.2} µs", micros(cpu))?;
        }
        if self.failed > 0 {
            write!(f, "  {} callers FAILED", self.failed)?;
        }
        Ok(())
    }
}

/// Calls in a loop from `callers` tasks, each its next call right after the last, and measures
/// for `duration`, after warming up for a fifth of it (at most one second).
///
/// The callers run on the current tokio runtime, in the same process as the system under test:
/// the rate includes what they cost.
///
/// ```
/// use std::time::Duration;
/// use gridmux_benches::load::closed_loop;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let rate = closed_loop(2, Duration::from_millis(50), || async {
///     tokio::task::yield_now().await;
///     Ok(())
/// })
/// .await;
/// assert!(rate.calls > 0 && rate.failed == 0);
/// # }
/// ```
pub async fn closed_loop<C: Caller>(callers: usize, duration: Duration, call: C) -> Rate {
    let start = Instant::now() + (duration / 5).min(Duration::from_secs(1));
    let end = start + duration;
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        tasks.spawn(run_caller(call.clone(), start, end));
    }
    tokio::time::sleep_until(start.into()).await;
    let cpu_before = cpu_time();
    tokio::time::sleep_until(end.into()).await;
    let cpu = cpu_before.zip(cpu_time()).map(|(before, after)| after.saturating_sub(before));

    let mut latencies = Histogram::default();
    let mut failed = 0;
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((counted, result)) => {
                latencies.merge(&counted);
                failed += u64::from(result.is_err());
            }
            Err(_panic) => failed += 1,
        }
    }
    Rate {
        calls: latencies.count(),
        failed,
        elapsed: duration,
        per_second: latencies.count() as f64 / duration.as_secs_f64(),
        p50: latencies.quantile(0.5),
        p99: latencies.quantile(0.99),
        cpu,
    }
}

/// Calls until `end`, and counts the calls that end between `start` and `end`. The clock is read
/// once a call: the end of one is the beginning of the next.
async fn run_caller<C: Caller>(
    mut call: C,
    start: Instant,
    end: Instant,
) -> (Histogram, io::Result<()>) {
    let mut latencies = Histogram::default();
    let mut before = Instant::now();
    loop {
        if let Err(error) = call.call().await {
            return (latencies, Err(error));
        }
        let now = Instant::now();
        if now >= end {
            return (latencies, Ok(()));
        }
        if now >= start {
            latencies.record(now - before);
        }
        before = now;
    }
}

/// How many buckets each power of two has, so that a bucket is at most 1/32 wide.
const STEPS: u64 = 32;

/// Counts durations in buckets whose width grows with what they count: none is off by more than
/// 3 %.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// By [`bucket`]; as long as the largest so far needs.
    counts: Vec<u64>,
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        let bucket = bucket(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
    }

    /// Adds all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (to, from) in self.counts.iter_mut().zip(&other.counts) {
            *to += from;
        }
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The duration that the part `quantile` (0 to 1) of all does not exceed, within 3 %; zero
    /// where nothing was counted.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let rank = (self.count() as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        Duration::from_nanos(found.map_or(0, bucket_end))
    }
}

/// The bucket of a number: itself below [`STEPS`], then as many for each power of two.
fn bucket(nanos: u64) -> usize {
    let shift = (nanos / STEPS).checked_ilog2().unwrap_or(0);
    (u64::from(shift) * STEPS + (nanos >> shift)) as usize
}

/// The largest number in a bucket.
fn bucket_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / STEPS).saturating_sub(1);
    let first = bucket - shift * STEPS;
    (((u128::from(first) + 1) << shift) - 1) as u64
}

/// The processor time this process has used: user and system, of all threads.
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The fields after the name, which ends at the last parenthesis: 11 others, then user and
    // system time in ticks of 10 ms.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        for bucket_at in 0..1800 {
            let end = bucket_end(bucket_at);
            assert_eq!(bucket(end), bucket_at);
            assert_eq!(bucket(end + 1), bucket_at + 1);
            let first = if bucket_at == 0 { 0 } else { bucket_end(bucket_at - 1) + 1 };
            assert!((end - first) as f64 <= end as f64 / STEPS as f64, "{first}..={end}");
        }
        assert_eq!(bucket_end(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles() {
        let mut low = Histogram::default();
        let mut all = Histogram::default();
        assert_eq!(all.quantile(0.5), Duration::ZERO);
        (1..=500).for_each(|n| low.record(Duration::from_micros(n)));
        (501..=1000).for_each(|n| all.record(Duration::from_micros(n)));
        low.merge(&all);
        assert_eq!(low.count(), 1000);
        for (quantile, micros) in [(0.001, 1.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = low.quantile(quantile).as_secs_f64() * 1e6;
            assert!(found >= micros && found <= micros * 1.035, "{quantile}: {found}");
        }
    }

    #[tokio::test]
    async fn counts_only_what_succeeds() {
        let mut left = 3;
        let rate = closed_loop(2, Duration::from_millis(20), move || {
            left -= 1;
            std::future::ready(if left > 0 { Ok(()) } else { Err(io::Error::other("no")) })
        })
        .await;
        assert_eq!((rate.failed, rate.calls), (2, 0));
        assert_eq!(rate.cpu_per_call(), None);
    }
}
