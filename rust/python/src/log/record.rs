//! One record of an event, with its texts cut to a limit.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// Limits of the message, and of the value of a field, which clients may choose (bytes).
const MESSAGE_BYTES: usize = 1024;
const VALUE_BYTES: usize = 256;

/// Name of the records of libraries.
pub(super) const LIBRARY_FAULT: &str = "library.failed";

/// Fields in which two occurrences of the same error differ. As in `_log_record.py`.
const OCCURRENCE: [&str; 7] = [
    "detail",
    "connection",
    "operation",
    "event",
    "user",
    "tenant",
    "trace",
];

/// Marks a cut text.
const CUT: &str = "…";

#[derive(Debug)]
pub(super) struct Record {
    pub(super) level: Level,
    pub(super) target: &'static str,
    /// The name of the event in the catalogue.
    pub(super) name: &'static str,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, String)>,
    /// Occurrences since the last write.
    pub(super) count: usize,
}

impl Record {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut record = Self {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            name: event.metadata().name(),
            message: String::new(),
            fields: Vec::new(),
            count: 1,
        };
        event.record(&mut record);
        record
    }

    /// Replaces the name, the message and the level of a library; the original message becomes a
    /// detail. What a library calls an error need not be one here: faults of the server have
    /// records of their own.
    pub(super) fn rename(&mut self, message: &str) {
        self.name = LIBRARY_FAULT;
        self.level = Level::WARN;
        let theirs = std::mem::replace(&mut self.message, message.to_owned());
        self.fields.push(("detail", cut(&theirs, VALUE_BYTES)));
    }

    /// Returns its size while it waits (bytes).
    pub(super) fn len(&self) -> usize {
        let values = self.fields.iter().map(|(_, value)| value.len());
        size_of::<Self>() + self.message.len() + values.sum::<usize>()
    }

    /// Whether two records are the same error, which has occurred twice.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        let place = |record: &Self| {
            let fields = record.fields.iter();
            fields
                .filter(|(name, _)| !OCCURRENCE.contains(name))
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

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = cut(value, MESSAGE_BYTES);
        } else {
            self.fields.push((field.name(), cut(value, VALUE_BYTES)));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Bounded(String::new());
        // Fails if the text is cut.
        write!(text, "{value:?}").ok();
        self.record_str(field, &text.0);
    }
}

fn cut(text: &str, limit_bytes: usize) -> String {
    if text.len() <= limit_bytes {
        return text.to_owned();
    }
    let kept = &text[..text.floor_char_boundary(limit_bytes - CUT.len())];
    [kept, CUT].concat()
}

/// Collects a text up to slightly more than the limit, so that cutting can be detected.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = (MESSAGE_BYTES + 1).saturating_sub(self.0.len());
        let kept = text.len().min(room);
        // Cuts at a character boundary: at most three bytes more.
        let kept = (kept..=text.len()).find(|at| text.is_char_boundary(*at));
        self.0.push_str(&text[..kept.unwrap_or(text.len())]);
        if self.0.len() > MESSAGE_BYTES {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// The check in an event of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Check(pub(super) Box<str>);

impl Check {
    pub(super) fn of(event: &Event<'_>) -> Option<Self> {
        struct Find(Option<Check>);
        impl Visit for Find {
            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "check" {
                    self.0 = Some(Check(value.into()));
                }
            }

            fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
        }
        event.metadata().fields().field("check")?;
        let mut find = Find(None);
        event.record(&mut find);
        find.0
    }
}
