//! Histograms of durations, which several threads write without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of delays (µs): of a delivery, of a resolver call, of the bus.
pub const DELAYS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Counts durations by their length.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds of all buckets but the last (µs), in rising order.
    bounds: &'static [u64],
    /// How many durations are in each bucket, not counting those below.
    buckets: Box<[AtomicU64]>,
    /// Their sum (ns).
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Upper bounds of all buckets but the last (µs).
    pub bounds: &'static [u64],
    /// How many durations are in each bucket, not counting those below.
    pub buckets: Vec<u64>,
    /// Their sum.
    pub sum: Duration,
}

impl Histogram {
    /// Creates an empty histogram. `bounds`: in µs, in rising order.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let place = self.bounds.partition_point(|bound| bound * 1_000 < nanos);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(nanos, Relaxed);
    }

    /// Reads it.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            bounds: self.bounds,
            buckets: self.buckets.iter().map(|b| b.load(Relaxed)).collect(),
            sum: Duration::from_nanos(self.sum.load(Relaxed)),
        }
    }
}

impl HistogramSnapshot {
    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Adds a histogram with the same bounds.
    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let histogram = Histogram::new(&[10, 20]);
        for micros in [0, 10, 11, 20, 21, 5_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.buckets, [2, 2, 2]);
        assert_eq!(snapshot.count(), 6);
        assert_eq!(snapshot.sum, Duration::from_micros(5_062));
    }

    #[test]
    fn histograms_of_several_threads_are_added() {
        let (one, two) = (Histogram::new(&[10]), Histogram::new(&[10]));
        one.observe(Duration::from_micros(5));
        two.observe(Duration::from_micros(50));
        let mut both = one.snapshot();
        both.add(&two.snapshot());
        assert_eq!(both.buckets, [1, 1]);
        assert_eq!(both.sum, Duration::from_micros(55));
    }
}
