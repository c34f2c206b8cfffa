//! The event: what a channel carries.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::{LocalPosition, Position, Stream};

/// An event on its way into the bus, before it has an offset.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Routing key, at least one character.
    pub channel: Arc<str>,
    /// What subscribers select by `event_types`.
    pub event_type: Option<Arc<str>>,
    /// The tenant this event belongs to.
    pub tenant_id: Option<Arc<str>>,
    /// The publisher's own id; the bus makes one when there is none.
    pub id: Option<Arc<str>>,
    /// The published data.
    pub data: Value,
}

/// One published event, shared by everything that handles it.
#[derive(Debug)]
pub struct Event {
    /// Unique id: the publisher's, or its position.
    pub id: Arc<str>,
    /// The stream it belongs to.
    pub stream: Arc<Stream>,
    /// Where it is in its stream.
    pub at: LocalPosition,
    /// Routing key.
    pub channel: Arc<str>,
    /// What subscribers select by `event_types`.
    pub event_type: Option<Arc<str>>,
    /// The tenant this event belongs to.
    pub tenant_id: Option<Arc<str>>,
    /// The published data.
    pub data: Value,
    /// The host language's view of this event, built when it is first asked for.
    pub host: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Event {
    /// The event that a draft becomes at a position of a stream.
    #[must_use]
    pub fn new(draft: Draft, stream: Arc<Stream>, at: LocalPosition) -> Self {
        let id = draft.id.unwrap_or_else(|| at.position.to_string().into());
        Self {
            id,
            stream,
            at,
            channel: draft.channel,
            event_type: draft.event_type,
            tenant_id: draft.tenant_id,
            data: draft.data,
            host: OnceLock::new(),
        }
    }

    /// Follows a dotted path (`user.id`) through the data; `None` when it leads nowhere.
    #[must_use]
    pub fn field(&self, path: &[Box<str>]) -> Option<&Value> {
        path.iter()
            .try_fold(&self.data, |value, key| value.as_object()?.get(&**key))
    }
}

/// What a publisher gets back: the event's id and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Id of the event.
    pub event_id: Arc<str>,
    /// Where it is in its stream, on every node; `None`: it is queued, and has no place yet.
    pub position: Option<Position>,
}

/// One step of a stream: what is kept, and handed to every worker, in this order.
#[derive(Debug, Clone)]
pub enum StreamItem {
    /// An event.
    Event(Arc<Event>),
    /// Events are missing here.
    Gap(Arc<Gap>),
}

/// Events of a stream were lost between the one before and the one after.
#[derive(Debug)]
pub struct Gap {
    /// The stream.
    pub stream: Arc<Stream>,
    /// Where the stream goes on: the next event has a later sequence.
    pub at: LocalPosition,
}

impl StreamItem {
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
