//! What a load reaches, and what it costs.

use std::fmt;
use std::time::Duration;

use super::Histogram;

/// What [`closed_loop`](super::closed_loop) measured.
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
    /// Processor time of the whole process, where the system tells.
    pub cpu: Option<Duration>,
}

impl Rate {
    pub(super) fn new(
        latencies: &Histogram,
        failed: u64,
        elapsed: Duration,
        cpu: Option<Duration>,
    ) -> Self {
        Self {
            calls: latencies.count(),
            failed,
            elapsed,
            per_second: latencies.count() as f64 / elapsed.as_secs_f64(),
            p50: latencies.quantile(0.5),
            p99: latencies.quantile(0.99),
            cpu,
        }
    }

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

/// The processor time this process has used: user and system, of all threads.
#[cfg(unix)]
pub fn cpu_time() -> Option<Duration> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(used).ok()
}

/// The processor time this process has used: not told on this system.
#[cfg(not(unix))]
pub fn cpu_time() -> Option<Duration> {
    None
}
