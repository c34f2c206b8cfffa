//! Publishing where no server runs: what `Publisher` and `SyncPublisher` are made of.
//!
//! Not here: event loops (`fraiseql_subs.publisher`).

use std::sync::mpsc;
use std::time::Duration;

use bus::publishing::PublishError;
use bus::{BatchError, BusError, Draft, Receipt};
use pyo3::prelude::*;
use runtime::EnginePublisher;

use crate::bus::PyBusOptions;
use crate::drafts::{Content, draft, drafts};
use crate::error::{batch_error, bus_error, config_error, publish_error, runtime_error};
use crate::fork;
use crate::log;
use crate::policy::PyTenantIsolation;
use crate::publish::{self, PreparedFields, prepared, to_receipts};
use crate::setup::PyHistory;
use crate::spans::{PyTrace, read_trace, set_trace};

/// A link to an engine, which publishes.
#[pyclass(module = "fraiseql_subs._core", frozen)]
pub(crate) struct PublisherCore {
    /// Taken when it is dropped.
    publisher: Option<EnginePublisher>,
    forks: u32,
}

impl PublisherCore {
    fn publisher(&self) -> PyResult<&EnginePublisher> {
        let is_here = self.forks == fork::count();
        let publisher = self.publisher.as_ref().filter(|_| is_here);
        publisher.ok_or_else(|| refused(&BusError::Closed))
    }
}

impl Drop for PublisherCore {
    fn drop(&mut self) {
        let Some(publisher) = self.publisher.take() else {
            return;
        };
        if self.forks == fork::count() {
            // The thread that is waited for may itself wait for the GIL.
            Python::attach(|py| py.detach(|| drop(publisher)));
        } else {
            // Its thread is in the parent process.
            std::mem::forget(publisher);
        }
    }
}

#[pymethods]
impl PublisherCore {
    #[new]
    fn new(
        py: Python<'_>,
        bus: PyBusOptions,
        history: Option<PyHistory>,
        tenant: Option<PyTenantIsolation>,
    ) -> PyResult<Self> {
        let history = history.map(|history| history.read()).transpose()?;
        let config = bus.read()?.ok_or_else(|| {
            config_error(
                "bus: memory:// reaches no other process: pass the URL of the engine that the servers use, such as redis://127.0.0.1:6379".to_owned(),
            )
        })?;
        let tenant = tenant.map(|tenant| tenant.read()).transpose()?;
        let engine = config.engine(history.as_ref(), tenant.is_some())?;
        log::listen(py)?;
        let publisher = py.detach(|| EnginePublisher::start(engine, tenant));
        let publisher = publisher.map_err(|error| runtime_error(&error))?;
        Ok(Self {
            publisher: Some(publisher),
            forks: fork::count(),
        })
    }

    /// Publishes a batch and blocks until it is answered. Errors name the event if the caller has
    /// given a batch, `is_batch`. `trace`: the span that publishes them.
    fn publish(
        &self,
        py: Python<'_>,
        events: &Bound<'_, PyAny>,
        is_batch: bool,
        trace: Option<PyTrace>,
    ) -> PyResult<Py<PyAny>> {
        let events = traced_drafts(events, is_batch, trace)?;
        let (answer, answered) = mpsc::sync_channel(1);
        // The receiver waits for exactly this.
        let done = move |result| drop(answer.send(result));
        self.publisher()?
            .publish(events, done)
            .map_err(|error| refused_at_call(&error, is_batch))?;
        let published = py.detach(move || answered.recv());
        log::flush_without_loop(py);
        finish(py, published.unwrap_or(Err(BusError::Closed)))
    }

    /// Publishes a batch; calls `done(receipts, error)` on another thread once it is answered.
    fn publish_then(
        &self,
        events: &Bound<'_, PyAny>,
        is_batch: bool,
        trace: Option<PyTrace>,
        done: Py<PyAny>,
    ) -> PyResult<()> {
        let drafts = traced_drafts(events, is_batch, trace)?;
        let done = move |published: Result<Vec<Receipt>, BusError>| {
            Python::attach(|py| {
                let called = match finish(py, published) {
                    Ok(receipts) => done.call1(py, (receipts, py.None())),
                    Err(error) => done.call1(py, (py.None(), error.into_value(py))),
                };
                if let Err(error) = called {
                    error.write_unraisable(py, Some(done.bind(py)));
                }
            });
        };
        let published = self.publisher()?.publish(drafts, done);
        log::flush_without_loop(events.py());
        published.map_err(|error| refused_at_call(&error, is_batch))
    }

    /// Checks one event that something else publishes. Returns its receipt, and its fields. `is_json`:
    /// whether the data are the text of a JSON value.
    #[allow(
        clippy::too_many_arguments,
        reason = "positional parameters of one private Python call"
    )]
    fn prepare(
        &self,
        channel: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        event_type: Option<&Bound<'_, PyAny>>,
        tenant_id: Option<&Bound<'_, PyAny>>,
        event_id: Option<&Bound<'_, PyAny>>,
        is_json: bool,
        trace: Option<PyTrace>,
    ) -> PyResult<(publish::Receipt, PreparedFields)> {
        let data = Content::of(data, is_json);
        let mut draft = draft((channel, data, event_type, tenant_id, event_id), None)?;
        draft.trace = trace.and_then(read_trace).map(Box::new);
        self.publisher()?
            .check(std::slice::from_mut(&mut draft))
            .map_err(|error| refused(&error.error))?;
        log::flush_without_loop(channel.py());
        prepared(draft)
    }

    /// Waits until what was published is answered, at most for `drain` seconds, and ends the link.
    fn close(&self, py: Python<'_>, drain: f64) {
        let drain = Duration::try_from_secs_f64(drain).unwrap_or_default();
        if let Ok(publisher) = self.publisher() {
            py.detach(|| publisher.close(drain));
        }
        log::flush_without_loop(py);
    }
}

/// Reads a batch that a span publishes.
fn traced_drafts(
    events: &Bound<'_, PyAny>,
    is_batch: bool,
    trace: Option<PyTrace>,
) -> PyResult<Vec<Draft>> {
    let mut drafts = drafts(events, None, is_batch)?;
    if let Some(trace) = trace.and_then(read_trace) {
        set_trace(&mut drafts, &trace);
    }
    Ok(drafts)
}

fn finish(py: Python<'_>, published: Result<Vec<Receipt>, BusError>) -> PyResult<Py<PyAny>> {
    to_receipts(py, published.map_err(|error| refused(&error))?)
}

fn refused_at_call(refused_batch: &BatchError, is_batch: bool) -> PyErr {
    match refused_batch.index {
        Some(_) if is_batch => batch_error(refused_batch),
        _ => refused(&refused_batch.error),
    }
}

fn refused(error: &BusError) -> PyErr {
    match error {
        BusError::Closed | BusError::Publish(PublishError::Closed) => publish_error(
            "the publisher is closed: publish inside of its `with` block, or create another one"
                .to_owned(),
        ),
        error => bus_error(error),
    }
}
