//! All metrics at one moment, as families of samples with labels. Not here: how they are written
//! (`text`).

use bus::HistogramSnapshot;

use super::exemplars::Exemplar;
use super::series::{Labelled, OTHER, TooSlow};
use super::{Metrics, Snapshot};

/// What a family counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations, in seconds.
    Histogram,
}

/// Samples that have one meaning, and differ by their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name, without the prefix, and without the suffix of a counter.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// How it is counted.
    pub kind: Kind,
    /// The samples.
    pub samples: Vec<Sample>,
}

/// One number, or one histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Names and values of its labels.
    pub labels: Vec<(&'static str, String)>,
    /// What was counted.
    pub value: Value,
    /// Of a histogram: one for each bucket, or none at all.
    pub exemplars: Vec<Option<Exemplar>>,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// Durations.
    Histogram(HistogramSnapshot),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<HistogramSnapshot> for Value {
    fn from(histogram: HistogramSnapshot) -> Self {
        Self::Histogram(histogram)
    }
}

impl Family {
    fn new(name: &'static str, help: &'static str, kind: Kind) -> Self {
        Self {
            name,
            help,
            kind,
            samples: Vec::new(),
        }
    }

    fn add<const N: usize>(
        &mut self,
        labels: [(&'static str, &str); N],
        value: impl Into<Value>,
    ) -> &mut Self {
        let labels = labels.map(|(name, value)| (name, value.to_owned()));
        self.samples.push(Sample {
            labels: labels.into(),
            value: value.into(),
            exemplars: Vec::new(),
        });
        self
    }

    /// The unit, which is the end of the name.
    pub(super) fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes"]
            .into_iter()
            .find(|unit| self.name.ends_with(unit))
    }
}

/// What is read to make families.
pub(crate) struct Reading<'a> {
    pub(crate) metrics: &'a Metrics,
    /// The counters without labels.
    pub(crate) snapshot: Snapshot,
    /// Name of the engine; `None`: there is one process.
    pub(crate) engine: Option<&'static str>,
    /// How long events took through the engine.
    pub(crate) delays: Option<HistogramSnapshot>,
}

/// Prefix of the denials, whose name goes on with the reason.
const DENIED: &str = "denied_";

/// Prefix of what is counted of the engine.
const BUS: &str = "bus_";

impl Reading<'_> {
    /// All metrics.
    pub(crate) fn families(&self) -> Vec<Family> {
        let mut families = Vec::new();
        let mut denied = Family::new(
            "denied",
            "Clients, requests and subscriptions that were refused, by the check that refused them.",
            Kind::Counter,
        );
        for counter in self.snapshot.counters() {
            let (name, help, value) = (counter.name, counter.help.trim(), counter.value);
            if let Some(reason) = name.strip_prefix(DENIED) {
                denied.add([("reason", reason)], value);
                continue;
            }
            let kind = match counter.is_gauge {
                true => Kind::Gauge,
                false => Kind::Counter,
            };
            let mut family = Family::new(name, help, kind);
            match self.engine.filter(|_| name.starts_with(BUS)) {
                _ if self.add_labelled(&mut family) => {}
                Some(engine) => drop(family.add([("engine", engine)], value)),
                None => drop(family.add([], value)),
            }
            families.push(family);
        }
        families.push(denied);
        families.extend(self.others());
        families
    }

    /// Adds samples with labels in place of their sum. Returns false if there are none of this name.
    fn add_labelled(&self, family: &mut Family) -> bool {
        let labelled = &self.metrics.labelled;
        match family.name {
            "connections" => {
                for (protocol, series) in labelled.protocols() {
                    family.add([("protocol", protocol)], series.open.get());
                }
            }
            "subscriptions" => add_operations(family, labelled, |counts| {
                u64::try_from(counts.running).unwrap_or(0).into()
            }),
            "results_dropped" => add_operations(family, labelled, |counts| counts.dropped.into()),
            "field_errors" => {
                for (field, series) in labelled.used_fields() {
                    let (misfits, raised) = (series.misfits.get(), series.raised.get());
                    family.add([("field", field), ("reason", "misfit")], misfits);
                    family.add([("field", field), ("reason", "raised")], raised);
                }
            }
            "slow_consumer_disconnects" => {
                for (field, series) in labelled.used_fields() {
                    for reason in TooSlow::ALL {
                        let labels = [("field", field), ("reason", reason.reason())];
                        family.add(labels, series.too_slow(reason).get());
                    }
                }
            }
            "results_sent" => add_operations(family, labelled, |counts| counts.results.into()),
            name => {
                for (field, series) in labelled.resolvers() {
                    let count = match name {
                        "resolver_calls" => &series.calls,
                        "resolver_errors" => &series.errors,
                        "resolver_timeouts" => &series.timeouts,
                        "events_dropped" => &series.events_dropped,
                        _ => return false,
                    };
                    family.add([("field", field)], count.get());
                }
                return matches!(
                    name,
                    "resolver_calls" | "resolver_errors" | "resolver_timeouts" | "events_dropped"
                );
            }
        }
        true
    }

    /// What has no sum among the counters without labels.
    fn others(&self) -> Vec<Family> {
        let labelled = &self.metrics.labelled;
        let mut started = Family::new(
            "subscriptions_started",
            "Subscriptions that were started, including in-process ones.",
            Kind::Counter,
        );
        add_operations(&mut started, labelled, |counts| counts.started.into());
        let mut delivery = Family::new(
            "event_to_socket_seconds",
            "From the arrival of an event in this process to the moment its result is written to the socket, or is taken by an in-process subscriber.",
            Kind::Histogram,
        );
        for ((field, protocol), counts) in labelled.operations() {
            delivery.add([("field", field), ("protocol", protocol)], counts.delivery);
            if let Some(sample) = delivery.samples.last_mut() {
                sample.exemplars = counts.exemplars;
            }
        }
        let mut resolver = Family::new(
            "resolver_seconds",
            "Time of resolver calls, without source streams, from their start to their outcome.",
            Kind::Histogram,
        );
        for (field, series) in labelled.resolvers() {
            resolver.add([("field", field)], series.time.snapshot());
        }
        let mut bus = Family::new(
            "bus_delay_seconds",
            "Without an engine, from the acceptance of an event to its worker; with one, from the publishing of an event on any node to its arrival in this process.",
            Kind::Histogram,
        );
        match &self.delays {
            Some(delays) => bus.add([("engine", self.engine.unwrap_or(OTHER))], delays.clone()),
            None => bus.add([("engine", "memory")], labelled.bus.snapshot()),
        };
        let mut age = Family::new(
            "connection_age_seconds",
            "How long connections that have ended were open.",
            Kind::Histogram,
        );
        for (protocol, series) in labelled.protocols() {
            age.add([("protocol", protocol)], series.age.snapshot());
        }
        vec![started, delivery, resolver, bus, age]
    }
}

fn add_operations(
    family: &mut Family,
    labelled: &Labelled,
    value: impl Fn(&super::series::OperationCounts) -> Value,
) {
    for ((field, protocol), counts) in labelled.operations() {
        family.add([("field", field), ("protocol", protocol)], value(&counts));
    }
}
