//! Counters of one manager. Written by all threads, read by `metrics()` and at `/metrics`.

mod exemplars;
mod families;
mod series;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bus::Event;
use graphql::FieldFault;
use security::Check;

use crate::timings::Timings;

pub use exemplars::Exemplar;
pub(crate) use families::Reading;
pub use families::{Family, Kind, Sample, Value};

pub(crate) use series::{
    FieldSeries, IN_PROCESS, Labelled, OTHER, OperationSeries, RunningOperation, TooSlow,
};
pub use text::Format;

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $kind:ident $name:ident),* $(,)?) => {
        /// Live counters; see [`Snapshot`] for their meanings.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $doc])* pub $name: $kind,)*
            /// Those with labels. Their sums are in the [`Snapshot`] of the manager's state.
            pub(crate) labelled: Labelled,
            /// What has ended, for spans of tracing; `None`: it is off.
            pub(crate) timings: Option<Arc<Timings>>,
        }

        /// The counters at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Snapshot { $($(#[doc = $doc])* pub $name: u64,)* }

        impl Metrics {
            /// Reads all counters.
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                let mut snapshot = Snapshot { $($name: self.$name.get(),)* };
                self.labelled.add_sums(&mut snapshot);
                snapshot
            }
        }

        impl Snapshot {
            /// The counters, with what is known of them.
            pub(crate) fn counters(&self) -> impl Iterator<Item = Described> {
                [$(Described {
                    name: stringify!($name),
                    help: concat!($($doc),*),
                    is_gauge: stringify!($kind) == "Gauge",
                    value: self.$name,
                },)*].into_iter()
            }

            /// Name and value of each counter.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

/// A counter, and what is known of it.
pub(crate) struct Described {
    pub(crate) name: &'static str,
    /// What it counts.
    pub(crate) help: &'static str,
    /// Whether it goes up and down.
    pub(crate) is_gauge: bool,
    pub(crate) value: u64,
}

/// A counter that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Metrics {
    /// Creates the counters of a manager that serves these fields.
    pub(crate) fn of_fields(
        fields: impl IntoIterator<Item = String>,
        timings: Option<Arc<Timings>>,
    ) -> Self {
        Self {
            timings,
            labelled: Labelled::new(fields),
            ..Self::default()
        }
    }

    /// Counts a connection that was opened.
    pub(crate) fn connected(&self, protocol: &'static str) {
        self.connections.add(1);
        self.labelled.connections(protocol).open.add(1);
    }

    /// Counts a connection that has ended.
    pub(crate) fn disconnected(&self, protocol: &'static str, age: Duration) {
        self.connections.add(-1);
        let series = self.labelled.connections(protocol);
        series.open.add(-1);
        series.age.observe(age);
    }

    /// Counts the delay of an event that has come to a worker with subscriptions to it.
    pub(crate) fn delivered(&self, event: &Event) {
        if let Some(delay) = event.at.received.elapsed() {
            self.labelled.bus.observe(delay);
        }
        if let Some(timings) = &self.timings {
            timings.routed(event);
        }
    }

    /// Counts a denial.
    pub fn denied(&self, check: Check) {
        let counter = match check {
            Check::Origin => &self.denied_origin,
            Check::Host => &self.denied_host,
            Check::Authentication => &self.denied_authentication,
            Check::Scope => &self.denied_scope,
            Check::Rbac => &self.denied_rbac,
            Check::Tenant => &self.denied_tenant,
            Check::Rows => &self.denied_rows,
            Check::Federation => &self.denied_federation,
            Check::Rate => &self.denied_rate,
        };
        counter.add(1);
    }
}

impl Metrics {
    /// Notes how much is kept (count, bytes).
    pub(crate) fn set_history(&self, (events, bytes): (usize, usize)) {
        self.history_events.set(events);
        self.history_bytes.set(bytes);
    }
}

impl Metrics {
    /// Counts a subscriber of a field that is ended because it is too slow.
    pub(crate) fn too_slow(&self, field: &str, reason: TooSlow) {
        self.slow_consumer_disconnects.add(1);
        self.labelled.field(field).too_slow(reason).add(1);
    }

    /// Counts the faults of a result of this field of the root.
    pub(crate) fn count_faults(&self, root: &str, faults: &[FieldFault]) {
        if faults.is_empty() {
            return;
        }
        let series = self.labelled.field(root);
        for FieldFault { count, fault, .. } in faults {
            self.field_errors.add(*count);
            let counter = match fault.cause {
                Some(_) => &series.raised,
                None => &series.misfits,
            };
            counter.add(*count);
        }
    }

    /// Counts the faults of a result that the host did not make, and writes them to the log.
    pub(crate) fn report(&self, root: &str, faults: &[FieldFault], event: &Event) {
        self.count_faults(root, faults);
        for FieldFault { field, fault, .. } in faults {
            let (problem, detail) = (&*fault.problem, &*fault.detail);
            tracing::error!(name: "value.misfit", target: "fraiseql_subs", field, problem, detail, event = &*event.id.text(), "the data of an event does not fit the schema");
        }
    }
}

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Log records of this process that were not written, as there were too many.
pub static UNWRITTEN: Counter = Counter(AtomicU64::new(0));

/// The process's count of [`UNWRITTEN`]: the log is not one manager's.
#[derive(Debug, Default)]
pub struct Unwritten;

impl Unwritten {
    #[expect(clippy::unused_self, reason = "read as the other counters are")]
    fn get(&self) -> u64 {
        UNWRITTEN.get()
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Sets the number.
    pub fn set(&self, n: usize) {
        self.0.store(i64::try_from(n).unwrap_or(i64::MAX), Relaxed);
    }

    /// Reads the number, which is a part of a sum.
    fn signed(&self) -> i64 {
        self.0.load(Relaxed)
    }

    /// Reads the number; never below zero.
    #[must_use]
    pub fn get(&self) -> u64 {
        u64::try_from(self.0.load(Relaxed)).unwrap_or(0)
    }
}

metrics! {
    /// Open client connections.
    Gauge connections,
    /// Running subscriptions, in-process ones included.
    Gauge subscriptions,
    /// Events the bus has taken from publishers.
    Counter events_accepted,
    /// Events the bus has broadcast.
    Counter events_published,
    /// Events that reached at least one subscription, counted for each worker.
    Counter events_matched,
    /// Results handed to subscribers.
    Counter results_sent,
    /// Resolver calls started.
    Counter resolver_calls,
    /// Resolver calls that raised.
    Counter resolver_errors,
    /// Resolver calls ended by their timeout.
    Counter resolver_timeouts,
    /// Fields that could not be read, or whose value does not fit the schema.
    Counter field_errors,
    /// Subscribers ended because they were too slow.
    Counter slow_consumer_disconnects,
    /// Results dropped because their subscriber was too slow.
    Counter results_dropped,
    /// Events dropped before their resolver, because it was too slow.
    Counter events_dropped,
    /// Handshakes and requests refused for their `Origin`.
    Counter denied_origin,
    /// Handshakes and requests refused for their `Host`.
    Counter denied_host,
    /// Clients refused by their token, by the application or by a revocation.
    Counter denied_authentication,
    /// Subscriptions refused for an argument that is not the identity's.
    Counter denied_scope,
    /// Subscriptions refused for a missing permission.
    Counter denied_rbac,
    /// Subscriptions refused for want of a tenant.
    Counter denied_tenant,
    /// Subscriptions refused by a row filter, for want of an identity.
    Counter denied_rows,
    /// Subscriptions refused because they are another subgraph's.
    Counter denied_federation,
    /// Subscriptions and connections refused for their rate.
    Counter denied_rate,
    /// Connections closed because they did not begin as those of a trusted proxy.
    Counter denied_proxy,
    /// Times the process had no file descriptor left for another client.
    Counter descriptors_exhausted,
    /// Connections ended because their identity had.
    Counter connections_expired,
    /// Clients that were refused, and connections that were closed, because they are revoked.
    Counter connections_revoked,
    /// Connections that were ended, and whose socket the server that holds it could not be made to
    /// close.
    Counter connections_not_cut,
    /// Events without a tenant under tenant isolation, which are dropped.
    Counter events_without_tenant,
    /// Events kept back from a subscription by its guard.
    Counter events_denied,
    /// Results dropped because their rate was too high.
    Counter results_rate_limited,
    /// Log records of this process that were counted in place of being written.
    Unwritten log_records_unwritten,
    /// Events that are kept for clients that return.
    Gauge history_events,
    /// Approximate size of the events that are kept (bytes).
    Gauge history_bytes,
    /// Subscriptions that resumed and received the events that they missed.
    Counter subscriptions_resumed,
    /// Subscriptions that could not resume because the missed events are no longer kept.
    Counter resumes_too_late,
    /// Missed events that were sent to a subscription.
    Counter events_replayed,
    /// Passthrough groups: subscriptions with equal plan and arguments on one worker.
    Gauge groups,
    /// Projections made for a group, each shared by all its members.
    Counter group_projections,
    /// Whether all links to the engine work: 1 or 0; 0 where there is none.
    Gauge bus_is_live,
    /// How often a link to the engine was lost while all worked.
    Counter bus_links_lost,
    /// Streams whose events the engine delivers to this process.
    Gauge bus_streams,
    /// Events that the engine delivered again, and that were dropped.
    Counter bus_duplicates,
    /// Gaps that were noticed in what the engine delivers.
    Counter bus_gaps,
    /// Events that were read from the engine's history to fill gaps.
    Counter bus_gap_events,
    /// Gaps that could not be filled: the subscribers of the stream were told.
    Counter bus_missed,
    /// Reads of the engine's history.
    Counter bus_reads,
    /// Events from other processes that cannot be read, and were skipped.
    Counter bus_unreadable,
    /// Events that name another tenant or channel than they came on, and were dropped.
    Counter bus_other_stream,
    /// Events that the engine has taken from this process.
    Counter bus_published,
    /// Attempts to publish that followed a failed one.
    Counter bus_retried,
    /// Events that could not be published.
    Counter bus_not_sent,
    /// Events that were sent, and not answered in time.
    Counter bus_unknown,
    /// Queued events that were never published.
    Counter bus_lost,
    /// Events that wait to be published.
    Gauge bus_queue_events,
    /// Size of the events that wait to be published (bytes).
    Gauge bus_queue_bytes,
    /// Whether each source is read, by this process or another one: 1 or 0; 0 where there is none.
    Gauge source_is_live,
    /// Sources that this process reads for all.
    Gauge source_reads,
    /// Events that this process has published from sources.
    Counter source_events,
    /// What sources keep because it is not published yet (bytes).
    Gauge source_lag_bytes,
    /// Up to where in their logs sources are published (bytes).
    Gauge source_confirmed,
    /// How many times this process has told that events of sources were lost.
    Counter source_losses,
    /// Nodes that are known, this one among them; 0 where there is no engine.
    Gauge bus_nodes,
    /// Messages of nodes that could not be read, or found no room.
    Counter bus_control_unreadable,
    /// Revocations that this process knows of.
    Gauge revocations,
}
