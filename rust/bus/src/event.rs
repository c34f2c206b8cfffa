//! Events, and what is made of them: drafts before, receipts and stream items after.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::{LocalPosition, Position, Stream};

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
    pub data: Value,
}

/// One published event, shared by everything that handles it.
#[derive(Debug)]
pub struct Event {
    /// Id: the publisher's, or else the position as text.
    pub id: Arc<str>,
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
    pub data: Value,
    /// The event as an object of the host language, created on first use.
    pub host: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Event {
    /// Creates the event of a draft that was accepted at a position of a stream.
    #[must_use]
    pub fn new(draft: Draft, stream: Arc<Stream>, at: LocalPosition) -> Self {
        let id = draft.id.unwrap_or_else(|| at.position.to_string().into());
        Self {
            id,
            stream,
            at,
            transaction: None,
            channel: draft.channel,
            event_type: draft.event_type,
            tenant_id: draft.tenant_id,
            data: draft.data,
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
    pub fn field(&self, path: &[Box<str>]) -> Option<&Value> {
        path.iter()
            .try_fold(&self.data, |value, key| value.as_object()?.get(&**key))
    }
}

/// The result of publishing an event: its id and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Id of the event.
    pub event_id: Arc<str>,
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
