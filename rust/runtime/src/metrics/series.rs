//! Counters with labels: by field, by protocol, by worker.
//!
//! What is written for each result belongs to one worker, so that two threads seldom write the same
//! memory. Names of labels are bounded: fields past [`MAX_FIELDS`] are counted as [`OTHER`].

use std::sync::Arc;

use bus::{DELAYS, Histogram, HistogramSnapshot};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;

use super::exemplars::{Exemplar, Exemplars, merge};
use super::{Counter, Gauge};

/// Fields that are counted apart (count).
pub(crate) const MAX_FIELDS: usize = 50;

/// Label of what is not counted apart: further fields, and operations that are of no field.
pub(crate) const OTHER: &str = "other";

/// Label of operations inside the process.
pub(crate) const IN_PROCESS: &str = "in-process";

/// Workers whose operations are counted apart (count). More of them share.
const SHARDS: u32 = 16;

/// Upper bounds of the ages of connections: 1 s, 10 s, 1 min, 5 min, 15 min, 1 h, 4 h, 1 d, 7 d (µs).
const AGES: &[u64] = &[
    1_000_000,
    10_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    14_400_000_000,
    86_400_000_000,
    604_800_000_000,
];

/// Counters of the operations of one field and one protocol, on one worker.
#[derive(Debug)]
pub(crate) struct OperationSeries {
    pub(crate) started: Counter,
    pub(crate) running: Gauge,
    pub(crate) results: Counter,
    /// Those of them that were dropped because their client is too slow.
    pub(crate) dropped: Counter,
    /// From the arrival of an event in this process to the moment its result is written.
    pub(crate) delivery: Histogram,
    /// Of that histogram.
    pub(crate) exemplars: Exemplars,
}

/// Counts an operation as running until it is dropped.
#[derive(Debug)]
pub(crate) struct RunningOperation(Arc<OperationSeries>);

/// Why a subscriber is ended as too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooSlow {
    /// It has not taken its results.
    Client,
    /// Results of all clients of a server use too much memory.
    Memory,
    /// Its resolver is too far behind the events.
    Resolver,
}

/// Counters of one field: of its resolver, and of what fails.
#[derive(Debug)]
pub(crate) struct FieldSeries {
    pub(crate) calls: Counter,
    pub(crate) errors: Counter,
    pub(crate) timeouts: Counter,
    pub(crate) events_dropped: Counter,
    /// Fields of results whose value does not fit the schema.
    pub(crate) misfits: Counter,
    /// Fields of results that raised when they were read.
    pub(crate) raised: Counter,
    too_slow: [Counter; 3],
    pub(crate) time: Histogram,
}

/// Counters of the connections of one protocol.
#[derive(Debug)]
pub(crate) struct ConnectionSeries {
    pub(crate) open: Gauge,
    pub(crate) age: Histogram,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct OperationKey {
    /// Place of the field.
    field: usize,
    protocol: &'static str,
    shard: u32,
}

/// All counters with labels.
#[derive(Debug)]
pub(crate) struct Labelled {
    /// Names of the fields, and at the end [`OTHER`].
    names: Vec<String>,
    places: HashMap<String, usize>,
    fields: Vec<Arc<FieldSeries>>,
    operations: Mutex<HashMap<OperationKey, Arc<OperationSeries>>>,
    connections: Mutex<HashMap<&'static str, Arc<ConnectionSeries>>>,
    /// From the acceptance of an event to its worker, on the memory bus.
    pub(crate) bus: Histogram,
}

impl OperationSeries {
    fn new() -> Self {
        Self {
            started: Counter::default(),
            running: Gauge::default(),
            results: Counter::default(),
            dropped: Counter::default(),
            delivery: Histogram::new(DELAYS),
            exemplars: Exemplars::default(),
        }
    }
}

impl RunningOperation {
    /// Counts a start.
    pub(crate) fn begin(series: Arc<OperationSeries>) -> Self {
        series.started.add(1);
        series.running.add(1);
        Self(series)
    }
}

impl Drop for RunningOperation {
    fn drop(&mut self) {
        self.0.running.add(-1);
    }
}

impl TooSlow {
    pub(super) const ALL: [Self; 3] = [Self::Client, Self::Memory, Self::Resolver];

    /// The label.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Memory => "memory",
            Self::Resolver => "resolver",
        }
    }
}

impl FieldSeries {
    /// The counter of subscribers that were ended for this reason.
    pub(crate) fn too_slow(&self, reason: TooSlow) -> &Counter {
        let [client, memory, resolver] = &self.too_slow;
        match reason {
            TooSlow::Client => client,
            TooSlow::Memory => memory,
            TooSlow::Resolver => resolver,
        }
    }

    fn has_failed(&self) -> bool {
        let ends = self.too_slow.iter();
        let mut counters = ends.chain([&self.misfits, &self.raised]);
        counters.any(|counter| counter.get() > 0)
    }

    fn new() -> Self {
        Self {
            calls: Counter::default(),
            errors: Counter::default(),
            timeouts: Counter::default(),
            events_dropped: Counter::default(),
            misfits: Counter::default(),
            raised: Counter::default(),
            too_slow: Default::default(),
            time: Histogram::new(DELAYS),
        }
    }
}

impl Default for Labelled {
    fn default() -> Self {
        Self::new([])
    }
}

impl Labelled {
    /// Counts the first [`MAX_FIELDS`] of these fields apart.
    pub(crate) fn new(fields: impl IntoIterator<Item = String>) -> Self {
        let mut names: Vec<_> = fields.into_iter().take(MAX_FIELDS).collect();
        let places = names.iter().cloned().zip(0..).collect();
        names.push(OTHER.to_owned());
        Self {
            fields: names.iter().map(|_| FieldSeries::new().into()).collect(),
            names,
            places,
            operations: Mutex::default(),
            connections: Mutex::default(),
            bus: Histogram::new(DELAYS),
        }
    }

    fn place(&self, field: &str) -> usize {
        let other = self.names.len() - 1;
        self.places.get(field).copied().unwrap_or(other)
    }

    /// The counters of a field's resolver.
    pub(crate) fn field(&self, field: &str) -> Arc<FieldSeries> {
        self.fields
            .get(self.place(field))
            .cloned()
            .unwrap_or_else(|| FieldSeries::new().into())
    }

    /// The counters of an operation. Looked up once for each.
    pub(crate) fn operation(
        &self,
        field: &str,
        protocol: &'static str,
        worker: u32,
    ) -> Arc<OperationSeries> {
        let key = OperationKey {
            field: self.place(field),
            protocol,
            shard: worker % SHARDS,
        };
        let mut operations = self.operations.lock();
        let series = operations.entry(key);
        series
            .or_insert_with(|| OperationSeries::new().into())
            .clone()
    }

    /// The counters of the connections of a protocol.
    pub(crate) fn connections(&self, protocol: &'static str) -> Arc<ConnectionSeries> {
        let mut connections = self.connections.lock();
        let series = connections.entry(protocol).or_insert_with(|| {
            Arc::new(ConnectionSeries {
                open: Gauge::default(),
                age: Histogram::new(AGES),
            })
        });
        series.clone()
    }

    /// Reads what is counted of operations, by field and protocol, in the order of their names.
    pub(super) fn operations(&self) -> Vec<((&str, &'static str), OperationCounts)> {
        let mut sums = std::collections::BTreeMap::<_, OperationCounts>::new();
        for (key, series) in self.operations.lock().iter() {
            let name = self.names.get(key.field).map_or(OTHER, String::as_str);
            let counts = OperationCounts::of(series);
            match sums.entry((name, key.protocol)) {
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(counts);
                }
                std::collections::btree_map::Entry::Occupied(mut sum) => sum.get_mut().add(&counts),
            }
        }
        sums.into_iter().collect()
    }

    /// The counters of the resolvers that were called, and the names of their fields.
    pub(super) fn resolvers(&self) -> impl Iterator<Item = (&str, &FieldSeries)> {
        let names = self.names.iter().map(String::as_str);
        let fields = names.zip(self.fields.iter().map(|series| &**series));
        fields.filter(|(_, series)| series.calls.get() > 0)
    }

    /// The counters of fields that have had an operation, and the names of the fields.
    pub(super) fn used_fields(&self) -> Vec<(&str, &FieldSeries)> {
        let used: HashSet<usize> = self.operations.lock().keys().map(|key| key.field).collect();
        let names = self.names.iter().map(String::as_str);
        let fields = names.zip(self.fields.iter().map(|series| &**series));
        let is_used = |(place, (_, series)): &(usize, (_, &FieldSeries))| {
            used.contains(place) || series.has_failed()
        };
        let fields = fields.enumerate().filter(is_used);
        fields.map(|(_, field)| field).collect()
    }

    /// The counters of connections, in the order of their protocols.
    pub(super) fn protocols(&self) -> Vec<(&'static str, Arc<ConnectionSeries>)> {
        let mut connections: Vec<_> = self
            .connections
            .lock()
            .iter()
            .map(|(protocol, series)| (*protocol, series.clone()))
            .collect();
        connections.sort_by_key(|(protocol, _)| *protocol);
        connections
    }

    fn sum_of_operations(&self, count: impl Fn(&OperationSeries) -> u64) -> u64 {
        self.operations.lock().values().map(|s| count(s)).sum()
    }

    fn sum_of_fields(&self, count: impl Fn(&FieldSeries) -> u64) -> u64 {
        self.fields.iter().map(|series| count(series)).sum()
    }

    /// Adds the sums to the counters without labels.
    pub(crate) fn add_sums(&self, snapshot: &mut super::Snapshot) {
        snapshot.results_sent += self.sum_of_operations(|s| s.results.get());
        snapshot.resolver_calls += self.sum_of_fields(|s| s.calls.get());
        snapshot.resolver_errors += self.sum_of_fields(|s| s.errors.get());
        snapshot.resolver_timeouts += self.sum_of_fields(|s| s.timeouts.get());
        snapshot.events_dropped += self.sum_of_fields(|s| s.events_dropped.get());
    }
}

/// What is counted of operations, at one moment.
pub(super) struct OperationCounts {
    pub(super) started: u64,
    pub(super) running: i64,
    pub(super) results: u64,
    pub(super) dropped: u64,
    pub(super) delivery: HistogramSnapshot,
    pub(super) exemplars: Vec<Option<Exemplar>>,
}

impl OperationCounts {
    fn of(series: &OperationSeries) -> Self {
        Self {
            started: series.started.get(),
            running: series.running.signed(),
            results: series.results.get(),
            dropped: series.dropped.get(),
            delivery: series.delivery.snapshot(),
            exemplars: series.exemplars.read(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.running += other.running;
        self.results += other.results;
        self.dropped += other.dropped;
        self.delivery.add(&other.delivery);
        merge(&mut self.exemplars, &other.exemplars);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_past_the_bound_are_counted_together() {
        let labelled = Labelled::new((0..MAX_FIELDS + 10).map(|n| format!("field{n}")));
        for n in 0..MAX_FIELDS + 10 {
            let series = labelled.operation(&format!("field{n}"), "http", 0);
            series.started.add(1);
        }
        let counts = labelled.operations();
        assert_eq!(counts.len(), MAX_FIELDS + 1);
        let started: Vec<_> = counts
            .iter()
            .filter(|(labels, _)| labels.0 == OTHER)
            .map(|(_, counts)| counts.started)
            .collect();
        assert_eq!(started, [10]);
    }

    #[test]
    fn workers_of_one_field_are_added() {
        let labelled = Labelled::new(["order".to_owned()]);
        for worker in 0..3 {
            let series = labelled.operation("order", "http", worker);
            series.results.add(2);
        }
        let counts = labelled.operations();
        assert_eq!(counts.len(), 1);
        assert_eq!(counts[0].1.results, 6);
    }
}
