//! Durations, counted.

use std::time::Duration;

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
}
