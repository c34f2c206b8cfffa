//! Forwards `tracing` events to Python's `logging`. Threads that emit events do not take the GIL.
//!
//! Records wait in one bounded queue. The event loop of any manager writes some of them in each of
//! its turns. Records of a kind past its rate are counted instead of written (ADR 0052).

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use runtime::UNWRITTEN;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::bridge::Bridge;
use crate::exit::is_exit;
use crate::fork::is_forked;

mod foreign;
mod kinds;
mod levels;
mod loops;
mod queue;
mod record;

use kinds::{KINDS, Kind};
pub(crate) use kinds::{RECORDS_AT_ONCE, RECORDS_PER_SECOND};
use levels::LEVELS;
pub(crate) use levels::watch as watch_levels;
use loops::{LOOPS, Place, RecordTurn};
use queue::QUEUE;
use record::{Check, Record};

/// Records that one turn of the event loop writes (count), and its time limit.
const TURN_RECORDS: usize = 16;
const TURN: Duration = Duration::from_millis(2);

/// Time for which counts are collected before they are written (seconds).
pub(crate) const TOLD_AFTER: f64 = 1.0;

/// Forwards the events of this process to Python's loggers, on the loop of this bridge.
pub(crate) fn attach(py: Python<'_>, bridge: &Arc<Bridge>) -> PyResult<()> {
    LOOPS.add(bridge);
    listen(py)?;
    schedule();
    Ok(())
}

/// Collects the events of this process. Without a manager [`flush_without_loop`] writes them.
pub(crate) fn listen(py: Python<'_>) -> PyResult<()> {
    // Fails if it is already set, which is fine.
    tracing::subscriber::set_global_default(ToLogging).ok();
    levels::refresh(py)
}

/// Called in a forked child: removes the parent's loops, and the waiting records, which the parent
/// writes.
pub(crate) fn after_fork() {
    LOOPS.forget();
    QUEUE.clear();
}

/// Schedules writing on each event loop of a manager that has not scheduled it yet. Some loops may
/// be stopped or blocked; the first that runs writes the records.
fn schedule() {
    let has_records = !QUEUE.is_empty();
    if !has_records && !KINDS.has_suppressed() {
        return;
    }
    for place in LOOPS.idle(has_records) {
        let Some(bridge) = place.bridge() else {
            continue;
        };
        if let Some(turn) = place.begin() {
            bridge.push(Box::new(move |py| hand_over(py, turn)));
        }
    }
}

/// Writes the records of one turn of the event loop; schedules another turn for the rest.
fn hand_over(py: Python<'_>, turn: RecordTurn) {
    let Some(bridge) = turn.place().bridge() else {
        return;
    };
    start_timer(py, turn.place(), &bridge);
    let started = Instant::now();
    let mut written = 0;
    while written < TURN_RECORDS
        && let Some(record) = QUEUE.pop()
    {
        written += 1;
        outcome(py, write(py, record), Some(&bridge));
        if started.elapsed() > TURN {
            break;
        }
    }
    if written > 0 {
        // Also if no record is left, so that records that arrive now are not written in this turn.
        return bridge.push_later(Box::new(move |py| hand_over(py, turn)));
    }
    drop(turn);
    schedule();
}

/// Writes all waiting records when a manager ends, because its event loop may be the last one.
pub(crate) fn flush(py: Python<'_>, bridge: Option<&Arc<Bridge>>) {
    while let Some(record) = QUEUE.pop() {
        outcome(py, write(py, record), bridge);
    }
    for kind in KINDS.take_suppressed(usize::MAX) {
        outcome(py, tell(py, &kind), bridge);
    }
}

/// Writes all waiting records where no loop of a manager does: in a program that only publishes.
pub(crate) fn flush_without_loop(py: Python<'_>) {
    if LOOPS.is_empty() {
        flush(py, None);
    }
}

/// Like [`flush`], at any time; called at the end of the interpreter.
#[pyfunction]
pub(crate) fn flush_log(py: Python<'_>) {
    // A forked child has the parent's records, perhaps locked by a thread that does not exist here.
    if !is_forked() {
        flush(py, None);
    }
}

/// Counts records that Python has not written.
#[pyfunction]
pub(crate) fn count_unwritten(count: u64) {
    UNWRITTEN.add(count);
}

fn start_timer(py: Python<'_>, place: &Place, bridge: &Arc<Bridge>) {
    if !KINDS.has_suppressed() || !place.takes_timer() {
        return;
    }
    let timer = Timer(place.clone());
    let event_loop = bridge.event_loop(py);
    let started = event_loop.call_method1("call_later", (TOLD_AFTER, timer));
    if started.is_err() {
        place.timer_ended();
    }
    outcome(py, started.map(drop), Some(bridge));
}

/// A timer callback that writes the counts.
#[pyclass(frozen)]
struct Timer(Place);

#[pymethods]
impl Timer {
    fn __call__(&self, py: Python<'_>) {
        self.0.timer_ended();
        let bridge = self.0.bridge();
        for kind in KINDS.take_suppressed(TURN_RECORDS) {
            outcome(py, tell(py, &kind), bridge.as_ref());
        }
        schedule();
    }
}

fn write(py: Python<'_>, record: Record) -> PyResult<()> {
    let fields = PyDict::new(py);
    for (name, value) in record.fields {
        fields.set_item(name, value)?;
    }
    let level = record.level.as_str();
    let arguments = (
        level,
        record.target,
        record.name,
        record.message,
        fields,
        record.count,
    );
    let module = py.import("fraiseql_subs._logging")?;
    module.call_method1("write", arguments).map(drop)
}

fn tell(py: Python<'_>, kind: &Kind) -> PyResult<()> {
    let check = kind.check.as_deref();
    let arguments = (
        kind.level,
        kind.target,
        kind.name,
        &kind.message,
        check,
        kind.suppressed,
    );
    let module = py.import("fraiseql_subs._logging")?;
    module.call_method1("write_count", arguments).map(drop)
}

/// Handles an exception of a log handler: propagates it if it ends the program, otherwise writes a
/// line to stderr.
fn outcome(py: Python<'_>, result: PyResult<()>, bridge: Option<&Arc<Bridge>>) {
    match (result, bridge) {
        (Ok(()), _) => {}
        (Err(error), Some(bridge)) if is_exit(py, &error) => bridge.interrupt(error),
        (Err(error), _) => error.write_unraisable(py, None),
    }
}

struct ToLogging;

impl Subscriber for ToLogging {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        LEVELS.admit(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LEVELS.lowest())
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        // Spans are not used; an id must not be zero.
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let text = foreign::text(metadata.target());
        // Errors of this package are faults: Python counts their repetitions.
        let is_fault = *metadata.level() == Level::ERROR && text.is_none();
        let check = Check::of(event);
        if !is_fault && !KINDS.take(event, check.as_ref(), text) {
            UNWRITTEN.add(1);
            return schedule();
        }
        let mut record = Record::of(event);
        if foreign::is_told_otherwise(&record) {
            return;
        }
        if let Some(text) = text {
            record.rename(text);
        }
        if QUEUE.push(record).is_err() {
            KINDS.count(event, check.as_ref(), text);
            UNWRITTEN.add(1);
        }
        schedule();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[cfg(test)]
mod tests;
