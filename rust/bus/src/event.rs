//! Events, and what is made of them: drafts before, receipts and stream items after.

use std::any::Any;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use indexed_json::{IndexedJson, JsonRef};

use crate::{LocalPosition, Position, Stream, TraceContext};

/// An event before it is accepted: it has no position yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Routing key, at least one character.
    pub channel: Arc<str>,
    /// The type, which `event_types` of a subscription selects.
    pub event_type: Option<Arc<str>>,
    /// The tenant this event belongs to.
    pub tenant_id: Option<Arc<str>>,
    /// The publisher's id; `None`: the position becomes the id.
    pub id: Option<Arc<str>>,
    /// The published data.
    pub data: IndexedJson,
    /// The span that publishes it; `None`: it is not traced.
    pub trace: Option<Box<TraceContext>>,
}

/// One published event, shared by everything that handles it.
#[derive(Debug)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// The stream it belongs to.
    pub stream: Arc<Stream>,
    /// Where it is in its stream.
    pub at: LocalPosition,
    /// The transaction of a database that it is part of; `None`: the engine has none.
    pub transaction: Option<u64>,
    /// Routing key.
    pub channel: Arc<str>,
    /// The type, which `event_types` of a subscription selects.
    pub event_type: Option<Arc<str>>,
    /// The tenant this event belongs to.
    pub tenant_id: Option<Arc<str>>,
    /// The published data.
    pub data: IndexedJson,
    /// The span that published it; `None`: it is not traced.
    pub trace: Option<Box<TraceContext>>,
    /// The event as an object of the host language, created on first use.
    pub host: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Event {
    /// Creates the event of a draft that was accepted at a position of a stream.
    #[must_use]
    pub fn new(draft: Draft, stream: Arc<Stream>, at: LocalPosition) -> Self {
        let id = draft.id.map_or(EventId::At(at.position), EventId::Given);
        Self {
            id,
            stream,
            at,
            transaction: None,
            channel: draft.channel,
            event_type: draft.event_type,
            tenant_id: draft.tenant_id,
            data: draft.data,
            trace: draft.trace,
            host: OnceLock::new(),
        }
    }

    /// The event as part of a transaction.
    #[must_use]
    pub fn in_transaction(self, transaction: Option<u64>) -> Self {
        Self {
            transaction,
            ..self
        }
    }

    /// Returns the value at a path of the data, such as `user.id`; `None`: there is none.
    #[must_use]
    pub fn field(&self, path: &[Box<str>]) -> Option<JsonRef<'_>> {
        self.data.at(path)
    }
}

/// The id of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventId {
    /// The publisher's.
    Given(Arc<str>),
    /// Its position as text, which is written when it is asked for.
    At(Position),
    /// It has no id yet.
    None,
}

impl EventId {
    /// Returns its text; empty if there is none.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Given(text) => Cow::Borrowed(text),
            Self::At(position) => Cow::Owned(position.to_string()),
            Self::None => Cow::Borrowed(""),
        }
    }

    /// Returns the memory of its text (bytes).
    pub(crate) fn kept_bytes(&self) -> usize {
        match self {
            Self::Given(text) => text.len(),
            Self::At(_) | Self::None => 0,
        }
    }
}

/// The result of publishing an event: its id and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Id of the event.
    pub event_id: EventId,
    /// Where it is in its stream, on every node; `None`: it is queued for the engine, or the engine does not
    /// say it.
    pub position: Option<Position>,
}

/// An item of a stream, in the order in which items are recorded and delivered.
#[derive(Debug, Clone)]
pub enum StreamItem {
    /// An event.
    Event(Arc<Event>),
    /// Events are missing at this place.
    Gap(Arc<Gap>),
}

/// A gap: events of a stream are missing.
#[derive(Debug)]
pub struct Gap {
    /// The stream.
    pub stream: Arc<Stream>,
    /// The position after which the stream goes on.
    pub at: LocalPosition,
}

impl StreamItem {
    /// The channel it belongs to.
    #[must_use]
    pub fn channel(&self) -> &str {
        match self {
            Self::Event(event) => &event.channel,
            Self::Gap(gap) => &gap.stream.key().channel,
        }
    }

    /// The event, if it is one.
    #[must_use]
    pub fn event(&self) -> Option<&Arc<Event>> {
        match self {
            Self::Event(event) => Some(event),
            Self::Gap(_) => None,
        }
    }

    /// The stream it belongs to.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        match self {
            Self::Event(event) => &event.stream,
            Self::Gap(gap) => &gap.stream,
        }
    }
}
