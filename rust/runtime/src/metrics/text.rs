//! Metrics as text: in the format of Prometheus, version 0.0.4, and in that of `OpenMetrics`.

use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use super::exemplars::Exemplar;
use super::families::{Family, Kind, Value};

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// That of Prometheus, version 0.0.4.
    Prometheus,
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format that an `Accept` header asks for: `OpenMetrics`, if it is preferred to plain text.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        let quality = |kind: &str| {
            let ranges = accept.unwrap_or_default().split(',');
            let found = ranges.filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let is_meant = parts.next()?.eq_ignore_ascii_case(kind);
                let mut quality = 1.0;
                for parameter in parts {
                    let (name, value) = parameter.split_once('=')?;
                    match (name.trim(), value.trim().trim_matches('"')) {
                        ("q", value) => quality = value.parse::<f32>().ok()?,
                        // Readers of a later version alone do not read this one.
                        ("version", version)
                            if kind.ends_with("openmetrics-text")
                                && !matches!(version, "0.0.1" | "1.0.0") =>
                        {
                            return None;
                        }
                        _ => {}
                    }
                }
                is_meant.then_some(quality)
            });
            found.fold(0.0, f32::max)
        };
        let open = quality("application/openmetrics-text");
        let plain = quality("text/plain");
        match open > 0.0 && open >= plain {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// The type of its content.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Writes metrics.
    #[must_use]
    pub fn write(self, families: &[Family]) -> String {
        let mut text = String::new();
        for family in families {
            self.write_family(family, &mut text);
        }
        if self == Self::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    fn write_family(self, family: &Family, text: &mut String) {
        let name = format!("fraiseql_subs_{}", family.name);
        let (suffix, kind) = match family.kind {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
            Kind::Histogram => ("", "histogram"),
        };
        // The family of a counter has the suffix in one of the formats, its samples in both.
        let described = match self {
            Self::Prometheus => format!("{name}{suffix}"),
            Self::OpenMetrics => name.clone(),
        };
        // Writing to a string does not fail.
        writeln!(text, "# TYPE {described} {kind}").ok();
        if let Some(unit) = family.unit().filter(|_| self == Self::OpenMetrics) {
            writeln!(text, "# UNIT {described} {unit}").ok();
        }
        writeln!(text, "# HELP {described} {}", escaped(family.help)).ok();
        for sample in &family.samples {
            let labels: Vec<_> = sample
                .labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            let labels = labels.join(",");
            match &sample.value {
                Value::Number(number) => {
                    writeln!(text, "{name}{suffix}{} {number}", in_braces(&labels)).ok();
                }
                Value::Histogram(histogram) => {
                    let comma = if labels.is_empty() { "" } else { "," };
                    let mut count = 0;
                    let bounds = histogram.bounds.iter().copied().map(Some).chain([None]);
                    for (place, (bucket, bound)) in histogram.buckets.iter().zip(bounds).enumerate()
                    {
                        count += bucket;
                        let bound = match bound {
                            Some(micros) => {
                                let bound = std::time::Duration::from_micros(micros);
                                format!("{:?}", bound.as_secs_f64())
                            }
                            None => "+Inf".to_owned(),
                        };
                        let exemplar = sample.exemplars.get(place).copied().flatten();
                        let exemplar = exemplar.filter(|_| self == Self::OpenMetrics);
                        let exemplar = exemplar.map(written).unwrap_or_default();
                        writeln!(
                            text,
                            "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}{exemplar}"
                        )
                        .ok();
                    }
                    let labels = in_braces(&labels);
                    let sum = histogram.sum.as_secs_f64();
                    writeln!(text, "{name}_sum{labels} {sum}").ok();
                    writeln!(text, "{name}_count{labels} {count}").ok();
                }
            }
        }
    }
}

fn written(exemplar: Exemplar) -> String {
    let trace_id = u128::from_be_bytes(exemplar.trace_id);
    let delay = exemplar.delay.as_secs_f64();
    let at = exemplar.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!(
        " # {{trace_id=\"{trace_id:032x}\"}} {delay} {at:.3}",
        at = at.as_secs_f64()
    )
}

fn in_braces(labels: &str) -> String {
    match labels.is_empty() {
        true => String::new(),
        false => format!("{{{labels}}}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_prefers_openmetrics_reads_it() {
        let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for (accept, format) in [
            (None, Format::Prometheus),
            (Some("*/*"), Format::Prometheus),
            (Some("text/plain"), Format::Prometheus),
            (Some(of_prometheus), Format::OpenMetrics),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            (
                Some("application/openmetrics-text; version=1.0.0; charset=utf-8"),
                Format::OpenMetrics,
            ),
            (
                Some("application/openmetrics-text; version=2.0.0"),
                Format::Prometheus,
            ),
            (Some("application/openmetrics-text;q=0"), Format::Prometheus),
            (
                Some("text/plain, application/openmetrics-text;q=0.5"),
                Format::Prometheus,
            ),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept:?}");
        }
    }
}
