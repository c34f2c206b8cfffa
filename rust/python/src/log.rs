//! From `tracing` to Python's `logging`, without the GIL on the threads that have something to say.
//!
//! Events wait in one bounded queue until the event loop of any running manager takes them.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Acquire, Release},
};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::bridge::Bridge;
use crate::failure::is_exit;

/// Events that wait for an event loop (count). Past it the newest are dropped and counted, as a
/// flood begins with what is worth reading.
const CAPACITY: usize = 1024;

/// How many of the latest records an error is compared with, so that one that repeats takes one
/// place (count).
const COMPARED: usize = 16;

static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    records: VecDeque::new(),
    dropped: 0,
});
static BRIDGES: Mutex<Vec<Weak<Bridge>>> = Mutex::new(Vec::new());
static IS_SCHEDULED: AtomicBool = AtomicBool::new(false);

struct Waiting {
    records: VecDeque<Record>,
    dropped: usize,
}

struct Record {
    level: Level,
    target: &'static str,
    message: String,
    fields: Vec<(&'static str, String)>,
    /// How often it came since the last hand-over.
    count: usize,
}

impl Record {
    /// Whether two are the same error: what differs is in `detail` alone.
    fn repeats(&self, other: &Self) -> bool {
        let place = |record: &Self| {
            record
                .fields
                .iter()
                .filter(|(name, _)| *name != "detail")
                .cloned()
                .collect::<Vec<_>>()
        };
        self.level == Level::ERROR
            && self.level == other.level
            && self.target == other.target
            && self.message == other.message
            && place(self) == place(other)
    }
}

/// Lets the events of this process reach Python's loggers, by the loop of this bridge.
pub(crate) fn attach(bridge: &Arc<Bridge>) {
    let mut bridges = BRIDGES.lock();
    bridges.retain(|known| known.strong_count() > 0);
    bridges.push(Arc::downgrade(bridge));
    drop(bridges);
    // Fails when it is set already, which is all that is wanted.
    tracing::subscriber::set_global_default(ToLogging).ok();
    schedule();
}

fn schedule() {
    if WAITING.lock().records.is_empty() || IS_SCHEDULED.swap(true, AcqRel) {
        return;
    }
    let bridges: Vec<_> = BRIDGES.lock().iter().filter_map(Weak::upgrade).collect();
    for bridge in bridges {
        let (turn, taker) = (Turn, Arc::downgrade(&bridge));
        bridge.push(Box::new(move |py| hand_over(py, &taker, turn)));
        if IS_SCHEDULED.load(Acquire) {
            return;
        }
        // The bridge was detached and dropped the job: another may be there.
        IS_SCHEDULED.store(true, Release);
    }
    IS_SCHEDULED.store(false, Release);
}

/// One hand-over on its way; when it is gone the next may be scheduled.
struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        IS_SCHEDULED.store(false, Release);
    }
}

fn hand_over(py: Python<'_>, bridge: &Weak<Bridge>, turn: Turn) {
    drop(turn);
    let (records, dropped) = {
        let mut waiting = WAITING.lock();
        (
            std::mem::take(&mut waiting.records),
            std::mem::take(&mut waiting.dropped),
        )
    };
    let written = py.import("fraiseql_subs._logging").and_then(|module| {
        for record in records {
            let fields = PyDict::new(py);
            for (name, value) in record.fields {
                fields.set_item(name, value)?;
            }
            let level = record.level.as_str();
            let arguments = (level, record.target, record.message, fields, record.count);
            module.call_method1("write", arguments)?;
        }
        if dropped > 0 {
            module.call_method1("write_dropped", (dropped,))?;
        }
        Ok(())
    });
    match written {
        // Raised by a handler.
        Err(error) if is_exit(py, &error) => {
            if let Some(bridge) = bridge.upgrade() {
                bridge.interrupt(error);
            }
        }
        Err(error) => error.write_unraisable(py, None),
        Ok(()) => {}
    }
}

struct ToLogging;

impl Subscriber for ToLogging {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_warning = *metadata.level() <= Level::WARN;
        // What helps to find a mistake of the application, each said a bounded number of times.
        is_warning || (*metadata.level() <= Level::DEBUG && metadata.target() == "fraiseql_subs")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        // Spans are of no use here; an id must not be zero.
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if is_told_otherwise(event.metadata(), &fields.message) {
            return;
        }
        let record = Record {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: fields.message,
            fields: fields.others,
            count: 1,
        };
        let mut waiting = WAITING.lock();
        let latest = waiting.records.iter_mut().rev().take(COMPARED);
        if let Some(same) = latest.into_iter().find(|known| known.repeats(&record)) {
            same.count += 1;
            return;
        }
        if waiting.records.len() >= CAPACITY {
            waiting.dropped += 1;
            return;
        }
        waiting.records.push_back(record);
        drop(waiting);
        schedule();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Whether it is an attempt of the listener for want of a descriptor: there are two a second, and
/// `server::descriptors` tells once.
fn is_told_otherwise(metadata: &Metadata<'_>, message: &str) -> bool {
    metadata.target() == "actix_server::accept" && message.contains("Too many open files")
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.others.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut text = String::new();
        // Writing to a string does not fail.
        write!(text, "{value:?}").ok();
        self.record_str(field, &text);
    }
}
