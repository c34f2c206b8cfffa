//! Passes what has ended on the threads of Rust to `fraiseql_subs._spans`, in batches on the event loop.
//!
//! Not here: what is collected (`runtime::Timings`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
use std::time::{Duration, UNIX_EPOCH};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;
use runtime::{Timed, Timing};

use crate::bridge::Bridge;
use crate::spans::{Spans, trace_to_python};

/// How long what has ended is collected before it is passed on. The event loop of an idle program is not woken.
const EVERY: Duration = Duration::from_millis(500);

fn name(of: Timed) -> &'static str {
    match of {
        Timed::Connection => "connection",
        Timed::Operation => "operation",
        Timed::Routing => "route",
        Timed::Delivery => "deliver",
    }
}

fn to_python<'py>(py: Python<'py>, timing: &Timing) -> PyResult<Bound<'py, PyAny>> {
    let ended = timing.ended.duration_since(UNIX_EPOCH).unwrap_or_default();
    let began = ended.saturating_sub(timing.took);
    let parent = trace_to_python(py, timing.parent.as_ref())?;
    let selected = timing.selected.as_ref();
    let selected = selected.map(|operation| (operation.kind.keyword(), operation.name.as_deref()));
    let told = (
        name(timing.of),
        began.as_nanos(),
        ended.as_nanos(),
        timing.field.as_deref(),
        selected,
        timing.channel.as_deref(),
        timing.connection.clone(),
        timing.reason.as_deref(),
        timing.has_failed,
        parent,
    );
    Ok(told.into_pyobject(py)?.into_any())
}

/// Passes on what has ended.
pub(crate) fn flush(py: Python<'_>, spans: &Spans) {
    let timings = spans.timings().take();
    if timings.is_empty() {
        return;
    }
    let told = || -> PyResult<()> {
        let told = timings.iter().map(|timing| to_python(py, timing));
        let told = PyList::new(py, told.collect::<PyResult<Vec<_>>>()?)?;
        let ended = intern!(py, "ended");
        spans.object(py).call_method1(ended, (told,)).map(drop)
    };
    told().unwrap_or_else(|error| error.write_unraisable(py, None));
}

/// Passes on what has ended, again and again, until the manager ends.
pub(crate) fn watch(
    bridge: &Arc<Bridge>,
    spans: &Arc<Spans>,
) -> impl Future<Output = ()> + Send + 'static {
    let timings = spans.timings().clone();
    let (bridge, spans) = (Arc::downgrade(bridge), Arc::downgrade(spans));
    let is_asked = Arc::new(AtomicBool::new(false));
    async move {
        loop {
            timings.something().await;
            tokio::time::sleep(EVERY).await;
            let Some(bridge) = bridge.upgrade().filter(|bridge| !bridge.is_closed()) else {
                return;
            };
            // The event loop may be blocked, or not run.
            if !is_asked.swap(true, AcqRel) {
                let (is_asked, spans) = (is_asked.clone(), spans.clone());
                bridge.push(Box::new(move |py| {
                    is_asked.store(false, Release);
                    if let Some(spans) = spans.upgrade() {
                        flush(py, &spans);
                    }
                }));
            }
        }
    }
}
