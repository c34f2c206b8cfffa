//! Counters in the text format of Prometheus.

use std::fmt::Write as _;

use crate::metrics::Snapshot;

/// Writes all counters; each has a line about its kind before it.
#[must_use]
pub fn prometheus(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for (name, is_gauge, value) in snapshot.kinds() {
        let (suffix, kind) = if is_gauge {
            ("", "gauge")
        } else {
            ("_total", "counter")
        };
        // Writing to a string does not fail.
        writeln!(text, "# TYPE fraiseql_subs_{name}{suffix} {kind}").ok();
        writeln!(text, "fraiseql_subs_{name}{suffix} {value}").ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_gauges_are_told_apart() {
        let snapshot = Snapshot {
            connections: 3,
            results_sent: 7,
            ..Snapshot::default()
        };
        let text = prometheus(&snapshot);
        let gauge = "# TYPE fraiseql_subs_connections gauge\nfraiseql_subs_connections 3\n";
        assert!(text.starts_with(gauge));
        assert!(text.contains("\nfraiseql_subs_results_sent_total 7\n"));
    }
}
