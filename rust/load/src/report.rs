//! The result of a run: as JSON for programs, as a table for people.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::arrivals::Arrivals;
use crate::driver::ConnectionDriver;
use crate::options::{Mode, Options};
use crate::plan::{Plan, Role};
use crate::processes::Usage;
use crate::storm::Outcome;
use crate::tracker::Counts;

/// CPU time and memory of the server's processes at one time.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Time since the measurement began.
    pub seconds: f64,
    /// CPU time since the processes began, and memory.
    #[serde(flatten)]
    pub usage: Usage,
}

/// Times from publishing to reading (microseconds); absent without `sentAt` in the results.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// Half of the deliveries took at most this.
    pub p50: u64,
    /// 99 % took at most this.
    pub p99: u64,
    /// 99.9 % took at most this.
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
    /// The arithmetic mean.
    pub mean: f64,
}

/// CPU time and memory of the processes of `--pid`.
#[derive(Debug, Clone, Serialize)]
pub struct Server {
    /// User and system time during the measurement, in steps of 10 ms.
    pub cpu_seconds: f64,
    /// The same for one delivery, if there was any.
    pub cpu_us_per_delivery: Option<f64>,
    /// The same for one event, if there was any.
    pub cpu_us_per_event: Option<f64>,
    /// Resident memory before the first connection.
    pub rss_before_bytes: u64,
    /// Resident memory after the measurement, with all connections.
    pub rss_after_bytes: u64,
    /// Proportional set size, measured with `rss_before_bytes`: shared pages are divided.
    pub pss_before_bytes: Option<u64>,
    /// Proportional set size, measured with `rss_after_bytes`: shared pages are divided.
    pub pss_after_bytes: Option<u64>,
    /// Added resident memory for each connection.
    pub bytes_per_connection: f64,
}

/// CPU time and delays of the load generator.
#[derive(Debug, Clone, Serialize)]
pub struct Client {
    /// CPU time of its loop during the measurement.
    pub cpu_seconds: f64,
    /// The same for one delivery, if there was any.
    pub cpu_us_per_delivery: Option<f64>,
    /// Bytes that its connections received during the measurement.
    pub received_bytes: u64,
    /// Longest delay with which a due event was published.
    pub late_us_max: u64,
}

/// Clients that never read.
#[derive(Debug, Clone, Serialize)]
pub struct Slow {
    /// Number of slow connections.
    pub connections: u32,
    /// Number of them that the server disconnected.
    pub disconnected: u32,
}

/// Clients that disconnected and reconnected.
#[derive(Debug, Clone, Serialize)]
pub struct Churn {
    /// Number of disconnects.
    pub left: u32,
}

/// Handshakes of TLS.
#[derive(Debug, Clone, Serialize)]
pub struct TlsHandshakes {
    /// Number of those that resumed the session of an earlier connection.
    pub resumed: u32,
    /// Number of the others.
    pub full: u32,
}

/// Clients that connected at once.
#[derive(Debug, Clone, Serialize)]
pub struct Storm {
    /// Number of clients.
    pub connections: u32,
    /// Number of those that received a result.
    pub arrived: u32,
    /// Time from the first connection to the last first result.
    pub seconds: f64,
    /// Clients that received their first result in a second.
    pub per_second: f64,
    /// Time from connecting to `connection_ack`.
    pub acknowledged_us: Option<Latency>,
    /// Time from connecting to the first result.
    pub first_result_us: Option<Latency>,
    /// CPU time of the server for each client, with that for live delivery.
    pub server_cpu_us_per_connection: Option<f64>,
    /// CPU time of the load generator for each client.
    pub client_cpu_us_per_connection: f64,
    /// Handshakes of TLS; absent without TLS.
    pub tls: Option<TlsHandshakes>,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The mode of the run.
    pub mode: Mode,
    /// The options of the run.
    pub options: Options,
    /// Connections of all roles.
    pub connections: u32,
    /// Subscriptions of all connections.
    pub subscriptions: u64,
    /// Events published in the measurement.
    pub events: u64,
    /// Deliveries; see [`Counts`].
    #[serde(flatten)]
    pub counts: Counts,
    /// Time from the first event to the last delivery.
    pub seconds: f64,
    /// Latencies of deliveries.
    pub latency_us: Option<Latency>,
    /// CPU time and memory of the server, with `--pid`.
    pub server: Option<Server>,
    /// CPU time of the load generator.
    pub client: Client,
    /// Set in slow and mixed.
    pub slow: Option<Slow>,
    /// Set in churn and mixed.
    pub churn: Option<Churn>,
    /// Set in storm.
    pub storm: Option<Storm>,
    /// Handshakes of TLS of the other connections; absent without TLS.
    pub tls: Option<TlsHandshakes>,
    /// Memory and CPU time during the run, with `--pid`.
    pub samples: Vec<Sample>,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Errors of connections, each with its count.
    pub errors: Vec<String>,
}

/// Memory of the server's processes before the first connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    pub(crate) usage: Usage,
    pub(crate) pss: Option<u64>,
}

/// The measurements of a run in addition to deliveries.
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) results: u64,
    pub(crate) before: Before,
    pub(crate) after: Usage,
    pub(crate) pss_after: Option<u64>,
    pub(crate) server_cpu_seconds: f64,
    pub(crate) client_cpu_seconds: f64,
    pub(crate) lateness: Duration,
    pub(crate) samples: Vec<Sample>,
    pub(crate) storm: Option<Outcome>,
    pub(crate) interrupted: bool,
}

impl Report {
    pub(crate) fn new(plan: &Plan, driver: &ConnectionDriver<'_>, measured: Measured) -> Self {
        let options = plan.options.clone();
        let (tracker, mode) = (&driver.record.tracker, options.mode);
        let each = |seconds: f64, count: u64| (count > 0).then(|| seconds * 1e6 / count as f64);
        let (before, after) = (measured.before, measured.after);
        let connections = match mode {
            Mode::Storm => options.connections + options.live,
            _ => options.connections,
        };
        let added = after.rss_bytes as f64 - before.usage.rss_bytes as f64;
        let server = (!options.pid.is_empty()).then(|| Server {
            cpu_seconds: measured.server_cpu_seconds,
            cpu_us_per_delivery: each(measured.server_cpu_seconds, measured.results),
            cpu_us_per_event: each(measured.server_cpu_seconds, tracker.events()),
            rss_before_bytes: before.usage.rss_bytes,
            rss_after_bytes: after.rss_bytes,
            pss_before_bytes: before.pss,
            pss_after_bytes: measured.pss_after,
            bytes_per_connection: added / f64::from(connections),
        });
        let storm = measured.storm.as_ref();
        let mut errors = driver.record.errors();
        errors.extend(storm.into_iter().flat_map(|storm| storm.errors.clone()));
        let handshakes = |arrivals: &Arrivals| {
            plan.tls.is_some().then_some(TlsHandshakes {
                resumed: arrivals.resumed,
                full: arrivals.full,
            })
        };
        let storm = storm.map(|storm| Storm {
            connections: options.connections,
            arrived: storm.arrived,
            seconds: storm.time.as_secs_f64(),
            per_second: f64::from(storm.arrived) / storm.time.as_secs_f64().max(1e-9),
            acknowledged_us: latency(&storm.arrivals.acknowledged),
            first_result_us: latency(&storm.arrivals.first_results),
            server_cpu_us_per_connection: server
                .as_ref()
                .and_then(|server| each(server.cpu_seconds, u64::from(options.connections))),
            client_cpu_us_per_connection: storm.cpu.as_secs_f64() * 1e6
                / f64::from(options.connections),
            tls: handshakes(&storm.arrivals),
        });
        let counts = driver.counts;
        let slow = driver.roles().iter().filter(|role| **role == Role::Slow);
        Self {
            mode,
            connections: plan.connections(),
            subscriptions: u64::from(plan.connections()) * u64::from(options.subscriptions),
            events: tracker.events(),
            counts: tracker.counts(),
            seconds: measured.seconds,
            latency_us: latency(&driver.record.latencies),
            server,
            client: Client {
                cpu_seconds: measured.client_cpu_seconds,
                cpu_us_per_delivery: each(measured.client_cpu_seconds, measured.results),
                received_bytes: driver.record.received,
                late_us_max: measured.lateness.as_micros() as u64,
            },
            slow: matches!(mode, Mode::Slow | Mode::Mixed).then_some(Slow {
                connections: slow.count() as u32,
                disconnected: counts.slow_ended,
            }),
            churn: matches!(mode, Mode::Churn | Mode::Mixed).then_some(Churn { left: counts.left }),
            storm,
            tls: handshakes(&driver.record.arrivals),
            samples: measured.samples,
            interrupted: measured.interrupted,
            errors,
            options,
        }
    }

    /// Whether every delivery arrived once, in order, and there were no errors.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let counts = &self.counts;
        counts.lost + counts.duplicated + counts.reordered + counts.misrouted == 0
            && self.errors.is_empty()
    }
}

fn latency(histogram: &Histogram<u64>) -> Option<Latency> {
    (!histogram.is_empty()).then(|| Latency {
        p50: histogram.value_at_quantile(0.5),
        p99: histogram.value_at_quantile(0.99),
        p99_9: histogram.value_at_quantile(0.999),
        max: histogram.max(),
        mean: histogram.mean(),
    })
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |us: u64| us as f64 / 1000.0;
        write!(
            f,
            "p50 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2}",
            milliseconds(self.p50),
            milliseconds(self.p99),
            milliseconds(self.p99_9),
            milliseconds(self.max)
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<24}{value}");
        let per_second = |count: u64| count as f64 / self.seconds.max(1e-9);
        row("connections", format!("{}", self.connections))?;
        row("subscriptions", format!("{}", self.subscriptions))?;
        let time = format!(
            "{:.2} s{}",
            self.seconds,
            if self.interrupted {
                ", stopped early"
            } else {
                ""
            }
        );
        row("time", time)?;
        if self.mode != Mode::Idle {
            let counts = &self.counts;
            row(
                "events",
                format!("{} ({:.0} a second)", self.events, per_second(self.events)),
            )?;
            let delivered = per_second(counts.delivered);
            row(
                "delivered",
                format!(
                    "{} of {} ({delivered:.0} a second)",
                    counts.delivered, counts.expected
                ),
            )?;
            row("lost", format!("{}", counts.lost))?;
            row("duplicated", format!("{}", counts.duplicated))?;
            row("reordered", format!("{}", counts.reordered))?;
            row("misrouted", format!("{}", counts.misrouted))?;
            if counts.unchecked > 0 {
                row("delivered, unchecked", format!("{}", counts.unchecked))?;
            }
        }
        if let Some(latency) = &self.latency_us {
            row("latency, ms", latency.to_string())?;
        }
        if let Some(storm) = &self.storm {
            let arrived = format!(
                "{} of {} in {:.2} s ({:.0} a second)",
                storm.arrived, storm.connections, storm.seconds, storm.per_second
            );
            row("connected at once", arrived)?;
            for (name, latency) in [
                ("acknowledged, ms", &storm.acknowledged_us),
                ("first result, ms", &storm.first_result_us),
            ] {
                if let Some(latency) = latency {
                    row(name, latency.to_string())?;
                }
            }
            if let Some(us) = storm.server_cpu_us_per_connection {
                row("server CPU", format!("{us:.1} us a connection"))?;
            }
            let us = storm.client_cpu_us_per_connection;
            row("client CPU", format!("{us:.1} us a connection"))?;
        }
        let storm = self.storm.as_ref().and_then(|storm| storm.tls.as_ref());
        for tls in self.tls.iter().chain(storm) {
            let handshakes = format!("{} full, {} resumed", tls.full, tls.resumed);
            row("TLS handshakes", handshakes)?;
        }
        if let Some(slow) = &self.slow {
            row(
                "slow clients",
                format!(
                    "{}, disconnected {} times",
                    slow.connections, slow.disconnected
                ),
            )?;
        }
        if let Some(churn) = &self.churn {
            row("left and returned", format!("{} times", churn.left))?;
        }
        let each =
            |us: Option<f64>| us.map_or(String::new(), |us| format!(", {us:.2} us a delivery"));
        if let Some(server) = &self.server {
            let cpu = each(server.cpu_us_per_delivery);
            row("server CPU", format!("{:.2} s{cpu}", server.cpu_seconds))?;
            let mebibytes = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
            let memory = format!(
                "{:.1} MiB before, {:.1} MiB after, {:.1} KiB a connection",
                mebibytes(server.rss_before_bytes),
                mebibytes(server.rss_after_bytes),
                server.bytes_per_connection / 1024.0
            );
            row("server memory", memory)?;
        }
        let client = &self.client;
        let cpu = each(client.cpu_us_per_delivery);
        row("client CPU", format!("{:.2} s{cpu}", client.cpu_seconds))?;
        let received = client.received_bytes as f64 / (1024.0 * 1024.0);
        row("received", format!("{received:.1} MiB"))?;
        if self.options.rate.is_some() || client.late_us_max > 0 {
            row(
                "latest event, ms",
                format!("{:.2}", client.late_us_max as f64 / 1000.0),
            )?;
        }
        self.errors
            .iter()
            .try_for_each(|error| row("error", error.clone()))
    }
}
