//! Metrics as Python values.

use std::sync::{Arc, Weak};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use runtime::{Family, Kind, RuntimeState, Value};

/// Lists the samples of metrics as tuples.
pub(crate) fn samples<'py>(py: Python<'py>, families: &[Family]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for family in families {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        for sample in &family.samples {
            let labels = PyDict::new(py);
            for (name, value) in &sample.labels {
                labels.set_item(name, value)?;
            }
            let (count, sum, buckets) = match &sample.value {
                Value::Number(number) => (*number, 0.0, Vec::new()),
                Value::Histogram(histogram) => {
                    let bounds = histogram.bounds.iter();
                    let seconds = bounds
                        .map(|micros| std::time::Duration::from_micros(*micros).as_secs_f64());
                    let bounds = seconds.chain([f64::INFINITY]);
                    let buckets = bounds.zip(histogram.buckets.iter().copied()).collect();
                    (histogram.count(), histogram.sum.as_secs_f64(), buckets)
                }
            };
            list.append((family.name, kind, labels, count, sum, buckets))?;
        }
    }
    Ok(list)
}

/// A function that reads the metrics of a started manager, also while it ends.
#[pyclass(frozen, module = "fraiseql_subs._core")]
pub(crate) struct SampleReader(Weak<RuntimeState>);

impl SampleReader {
    pub(crate) fn new(state: &Arc<RuntimeState>) -> Self {
        Self(Arc::downgrade(state))
    }
}

#[pymethods]
impl SampleReader {
    /// Samples as tuples; none after the end.
    fn __call__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let state = self.0.upgrade();
        let families = state.map(|state| state.families()).unwrap_or_default();
        samples(py, &families)
    }
}
