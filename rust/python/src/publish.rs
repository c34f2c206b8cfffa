//! Publishes events from Python, and returns their receipts.

use std::borrow::Cow;
use std::sync::{Arc, mpsc};

use brokers::postgres::{MAX_PUBLISHED_BYTES, jsonb_bytes};
use bus::{BatchError, BusError, Draft, EngineLink, Envelope, EventId};
use pyo3::prelude::*;
use pyo3::types::PyList;
use runtime::INTAKE_CAPACITY;

use crate::classes::Classes;
use crate::drafts::drafts;
use crate::error::{batch_error, bus_error, exceptions, manager_closed, publish_error};
use crate::future::{Publication, future, running_loop};
use crate::running::Running;
use crate::unread::Outcome;

/// Id of a published event and its position in its stream.
#[pyclass(module = "fraiseql_subs", frozen, eq)]
#[derive(PartialEq)]
pub(crate) struct Receipt(bus::Receipt);

#[pymethods]
impl Receipt {
    /// The publisher's id, or one that the bus created.
    #[getter]
    fn event_id(&self) -> Cow<'_, str> {
        self.0.event_id.text()
    }

    /// Position among the events of its channel, under tenant isolation of its tenant there;
    /// counted from 1.
    #[getter]
    fn offset(&self) -> u64 {
        self.0.position.map_or(0, |position| position.offset.major)
    }

    /// Where the event is in its stream, as clients see it in ids: `<epoch>-<offset>`. With an
    /// engine it means the same on every node. None: the event is queued, and has no position yet;
    /// or the engine does not say it.
    #[getter]
    fn position(&self) -> Option<String> {
        self.0.position.map(|position| position.to_string())
    }

    fn __repr__(&self) -> String {
        let position = self.position();
        let position = position.map_or("None".to_owned(), |position| format!("{position:?}"));
        let event_id = self.event_id();
        format!("Receipt(event_id={event_id:?}, position={position})")
    }
}

/// How what becomes of a call is told.
#[derive(Clone, Copy)]
struct Told {
    result: fn(Python<'_>, Vec<bus::Receipt>) -> PyResult<Py<PyAny>>,
    /// The error of a call of which nothing was published.
    refused: fn(&BatchError) -> PyErr,
}

const ONE: Told = Told {
    result: to_receipt,
    refused: |refused| bus_error(&refused.error),
};

const MANY: Told = Told {
    result: to_receipts,
    refused: batch_error,
};

/// Publishes one event: done already unless the bus is behind, or an engine has to answer.
pub(crate) fn one(
    py: Python<'_>,
    running: &Arc<Running>,
    mut draft: Draft,
) -> PyResult<Publication> {
    let Some(spans) = &running.spans else {
        return publish_one(py, running, draft);
    };
    let span = spans.publish(py, std::slice::from_mut(&mut draft), false);
    let published = publish_one(py, running, draft);
    if let Some(span) = span {
        span.follow(py, &published);
    }
    published
}

fn publish_one(py: Python<'_>, running: &Arc<Running>, draft: Draft) -> PyResult<Publication> {
    if let Some(link) = &running.runtime.state().link {
        return publish_to_engine(py, running, link, vec![draft], ONE);
    }
    let intake = &running.runtime.state().intake;
    match intake
        .try_publish(draft)
        .map_err(|error| bus_error(&error))?
    {
        Ok(receipt) => Ok(Publication::done(
            Receipt(receipt).into_pyobject(py)?.into_any().unbind(),
        )),
        Err(draft) => publish_later(py, running, vec![draft], ONE),
    }
}

/// Publishes a batch; with `tenant_id`, all events for that tenant.
pub(crate) fn many(
    py: Python<'_>,
    running: &Arc<Running>,
    classes: &Classes,
    events: &Bound<'_, PyAny>,
    tenant_id: Option<&str>,
) -> PyResult<Publication> {
    let mut drafts = drafts(events, Some(classes), true)?;
    if let Some(tenant) = tenant_id {
        for (index, draft) in drafts.iter_mut().enumerate() {
            bind_tenant(index, draft, tenant)?;
        }
    }
    let Some(spans) = &running.spans else {
        return publish_many(py, running, drafts);
    };
    let span = spans.publish(py, &mut drafts, true);
    let published = publish_many(py, running, drafts);
    if let Some(span) = span {
        span.follow(py, &published);
    }
    published
}

fn publish_many(
    py: Python<'_>,
    running: &Arc<Running>,
    drafts: Vec<Draft>,
) -> PyResult<Publication> {
    let intake = &running.runtime.state().intake;
    if let Some(link) = &running.runtime.state().link {
        return publish_to_engine(py, running, link, drafts, MANY);
    }
    match intake
        .try_publish_many(drafts)
        .map_err(|error| batch_error(&error))?
    {
        Ok(receipts) => Ok(Publication::done(to_receipts(py, receipts)?)),
        Err(drafts) => publish_later(py, running, drafts, MANY),
    }
}

/// Sets the tenant of a draft; refuses another one.
fn bind_tenant(index: usize, draft: &mut Draft, tenant: &str) -> PyResult<()> {
    match &draft.tenant_id {
        Some(named) if **named != *tenant => Err(exceptions::PublishError::new_err(format!(
            "events[{index}]: tenant_id={named:?} is not the tenant that this publisher is bound to: leave it out"
        ))),
        _ => {
            draft.tenant_id = Some(tenant.into());
            Ok(())
        }
    }
}

/// Publishes to the engine; awaiting it is how the publisher waits for its answer. Where nothing can
/// be awaited the thread waits.
fn publish_to_engine(
    py: Python<'_>,
    running: &Arc<Running>,
    link: &EngineLink,
    mut drafts: Vec<Draft>,
    told: Told,
) -> PyResult<Publication> {
    let state = running.runtime.state();
    let checked = state.check_published(&mut drafts);
    checked.map_err(|error| (told.refused)(&error))?;
    let outcome = outcome(running, &drafts);
    let work = link
        .publish(drafts)
        .map_err(|error| (told.refused)(&error))?;
    if running_loop(py).is_ok() {
        return wait(py, running, work, &outcome, told.result);
    }
    let finish = move |py: Python<'_>, published: Published| {
        (told.result)(py, published.map_err(|error| bus_error(&error))?)
    };
    let (answer, answered) = mpsc::sync_channel(1);
    let is_running = running.runtime.spawn(async move {
        // The publisher waits for exactly this.
        answer.send(work.await).ok();
    });
    let published = py.detach(move || answered.recv());
    match published {
        Ok(published) if is_running => finish(py, published).map(Publication::done),
        _ => Err(manager_closed()),
    }
}

/// Returns an awaitable that publishes when the bus has room.
///
/// On a thread that cannot wait, nothing is published, so that the call can be repeated.
fn publish_later(
    py: Python<'_>,
    running: &Arc<Running>,
    drafts: Vec<Draft>,
    told: Told,
) -> PyResult<Publication> {
    if running_loop(py).is_err() {
        return Err(cannot_wait(drafts.len()));
    }
    let outcome = outcome(running, &drafts);
    let intake = running.runtime.state().intake.clone();
    let work = async move { intake.publish_in_parts(drafts).await };
    wait(py, running, work, &outcome, told.result)
}

/// What publishing ends with.
type Published = Result<Vec<bus::Receipt>, BusError>;

fn outcome(running: &Running, drafts: &[Draft]) -> Arc<Outcome> {
    let channel = drafts.first().map(|draft| draft.channel.clone());
    Outcome::new(channel.unwrap_or_default(), running.unread.clone())
}

/// Returns an awaitable of what publishing ends with. A failure that nothing awaits is logged.
fn wait(
    py: Python<'_>,
    running: &Running,
    work: impl Future<Output = Published> + Send + 'static,
    outcome: &Arc<Outcome>,
    result: fn(Python<'_>, Vec<bus::Receipt>) -> PyResult<Py<PyAny>>,
) -> PyResult<Publication> {
    let (of_work, state) = (outcome.clone(), running.runtime.state().clone());
    let work = async move {
        let published = work.await;
        let failure = published.as_ref().err().map(ToString::to_string);
        of_work.settle(failure, state.intake.is_closed());
        published
    };
    let finish = move |py: Python<'_>, published: Published| {
        result(py, published.map_err(|error| bus_error(&error))?)
    };
    let future = future(py, &running.bridge, &running.runtime, work, finish)?;
    Publication::waiting(&future, outcome)
}

/// Returns the error that nothing was published, because no event loop on this thread can wait for
/// the bus.
fn cannot_wait(count: usize) -> PyErr {
    const REMEDY: &str =
        "publish on an event loop, as with asyncio.run_coroutine_threadsafe, which waits";
    if count > INTAKE_CAPACITY {
        let problem = format!(
            "nothing was published: a thread without an event loop can publish at most {INTAKE_CAPACITY} events at once, not {count}: {REMEDY}, or publish smaller batches"
        );
        return exceptions::BusError::new_err((problem, false));
    }
    let problem = format!(
        "nothing was published: the bus is behind, and no event loop runs on this thread that could wait for it: {REMEDY}, or try again later"
    );
    exceptions::BusError::new_err((problem, true))
}

/// The fields of an event that something else publishes: channel, data as JSON, tenant, type, id and
/// `traceparent`.
pub(crate) type PreparedFields = (
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

/// Checks an event of a manager that something else publishes. Returns its receipt, and its fields.
pub(crate) fn prepare(
    py: Python<'_>,
    running: &Running,
    mut draft: Draft,
) -> PyResult<(Receipt, PreparedFields)> {
    let Some(spans) = &running.spans else {
        return check_and_prepare(running, draft);
    };
    let span = spans.publish(py, std::slice::from_mut(&mut draft), false);
    let prepared = check_and_prepare(running, draft);
    if let Some(span) = span {
        // It is published when its transaction commits.
        span.end(py, prepared.as_ref().err());
    }
    prepared
}

fn check_and_prepare(running: &Running, mut draft: Draft) -> PyResult<(Receipt, PreparedFields)> {
    let state = running.runtime.state();
    let checked = state.check_published(std::slice::from_mut(&mut draft));
    checked.map_err(|refused| bus_error(&refused.error))?;
    prepared(draft)
}

/// Returns the receipt of a checked event that something else publishes, and its fields.
pub(crate) fn prepared(draft: Draft) -> PyResult<(Receipt, PreparedFields)> {
    // Refuses what no envelope can have.
    let envelope = Envelope::write(&draft, 0, 0).map_err(|error| bus_error(&error.into()))?;
    let data = draft.data.to_string();
    let most = jsonb_bytes(&data).map_err(|error| publish_error(error.to_string()))?;
    let bytes = envelope.len() + most.saturating_sub(data.len());
    if bytes > MAX_PUBLISHED_BYTES {
        return Err(publish_error(format!(
            "the event has {bytes} bytes as PostgreSQL writes it, and may have {MAX_PUBLISHED_BYTES}: \
             publish a key, and read the rest from a table"
        )));
    }
    let owned = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let fields = (
        draft.channel.to_string(),
        data,
        owned(&draft.tenant_id),
        owned(&draft.event_type),
        owned(&draft.id),
        draft.trace.as_ref().map(|trace| trace.traceparent()),
    );
    let receipt = Receipt(bus::Receipt {
        event_id: draft.id.map_or(EventId::None, EventId::Given),
        position: None,
    });
    Ok((receipt, fields))
}

pub(crate) fn to_receipts(py: Python<'_>, receipts: Vec<bus::Receipt>) -> PyResult<Py<PyAny>> {
    let receipts = receipts.into_iter().map(Receipt);
    let receipts = receipts
        .map(|receipt| Bound::new(py, receipt))
        .collect::<PyResult<Vec<_>>>()?;
    Ok(PyList::new(py, receipts)?.into_any().unbind())
}

fn to_receipt(py: Python<'_>, receipts: Vec<bus::Receipt>) -> PyResult<Py<PyAny>> {
    let receipt = receipts.into_iter().next().map(Receipt);
    Ok(receipt.into_pyobject(py)?.into_any().unbind())
}
