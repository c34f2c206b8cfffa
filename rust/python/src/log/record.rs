//! One record: what is left of an event, each of its texts cut to a bound.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// What is kept of the message, and of the value of a field (bytes). Clients choose values.
const MESSAGE_BYTES: usize = 1024;
const VALUE_BYTES: usize = 256;

/// Put where something was cut.
const CUT: &str = "…";

#[derive(Debug)]
pub(super) struct Record {
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, String)>,
    /// How often it came since the last hand-over.
    pub(super) count: usize,
}

impl Record {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut record = Self {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: String::new(),
            fields: Vec::new(),
            count: 1,
        };
        event.record(&mut record);
        record
    }

    /// Puts a message of ours in the place of one that a library has made, which is a detail then.
    pub(super) fn rename(&mut self, message: &str) {
        let theirs = std::mem::replace(&mut self.message, message.to_owned());
        self.fields.push(("detail", cut(&theirs, VALUE_BYTES)));
    }

    /// What it takes while it waits (bytes).
    pub(super) fn len(&self) -> usize {
        let values = self.fields.iter().map(|(_, value)| value.len());
        size_of::<Self>() + self.message.len() + values.sum::<usize>()
    }

    /// Whether two are the same error: what differs is in `detail` alone.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        let place = |record: &Self| {
            let fields = record.fields.iter();
            fields
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
        // Fails where it is cut.
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

/// Takes no more of a text than can be kept of any, and so much that it is seen to be cut.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = (MESSAGE_BYTES + 1).saturating_sub(self.0.len());
        let kept = text.len().min(room);
        // A character that is cut in two is left whole: at most three bytes more.
        let kept = (kept..=text.len()).find(|at| text.is_char_boundary(*at));
        self.0.push_str(&text[..kept.unwrap_or(text.len())]);
        if self.0.len() > MESSAGE_BYTES {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// The check that an event of the audit log is about.
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
