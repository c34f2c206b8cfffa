//! Exemplars of a histogram of delays: for each bucket, the trace of a delay that it counts. There are
//! none where tracing is off.

use std::time::{Duration, SystemTime};

use bus::DELAYS;
use parking_lot::Mutex;

/// A delay of an event in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemplar {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The delay.
    pub delay: Duration,
    /// When it was measured.
    pub at: SystemTime,
}

/// The newest exemplar of each bucket of [`DELAYS`].
#[derive(Debug, Default)]
pub(crate) struct Exemplars(Mutex<Vec<Option<Exemplar>>>);

impl Exemplars {
    /// Notes a delay.
    pub(crate) fn note(&self, trace_id: [u8; 16], delay: Duration) {
        let place = DELAYS.partition_point(|bound| Duration::from_micros(*bound) < delay);
        let mut newest = self.0.lock();
        newest.resize(DELAYS.len() + 1, None);
        newest[place] = Some(Exemplar {
            trace_id,
            delay,
            at: SystemTime::now(),
        });
    }

    /// Reads them: one for each bucket, or none at all.
    pub(super) fn read(&self) -> Vec<Option<Exemplar>> {
        self.0.lock().clone()
    }
}

/// Keeps the newer one of each bucket.
pub(super) fn merge(known: &mut Vec<Option<Exemplar>>, others: &[Option<Exemplar>]) {
    known.resize(known.len().max(others.len()), None);
    for (known, other) in known.iter_mut().zip(others) {
        if known.map(|known| known.at) < other.map(|other| other.at) {
            *known = *other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_has_its_newest() {
        let (first, second) = (Exemplars::default(), Exemplars::default());
        assert!(first.read().is_empty());
        first.note([1; 16], Duration::ZERO);
        first.note([2; 16], Duration::from_micros(DELAYS[0]));
        second.note([3; 16], Duration::MAX);
        let mut both = Vec::new();
        for exemplars in [&first, &second] {
            merge(&mut both, &exemplars.read());
        }
        let traces: Vec<_> = both.iter().map(|e| e.map(|e| e.trace_id[0])).collect();
        assert_eq!(traces.len(), DELAYS.len() + 1);
        assert_eq!(traces[0], Some(2));
        assert_eq!(traces[DELAYS.len()], Some(3));
        assert_eq!(traces.iter().flatten().count(), 2);
    }
}
