//! The event: what a channel carries.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::Stream;

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
    /// Unique id: the publisher's, or that of its place, [`Stream::id`].
    pub id: Arc<str>,
    /// What its offset counts.
    pub stream: Arc<Stream>,
    /// Position in its stream, counted from 1.
    pub offset: u64,
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
    /// Sets the place of a draft in a stream.
    #[must_use]
    pub fn new(draft: Draft, stream: Arc<Stream>, offset: u64) -> Self {
        let id = draft.id.unwrap_or_else(|| stream.id(offset).into());
        Self {
            id,
            stream,
            offset,
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

/// What a publisher gets back: the event's id and its position in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Id of the event.
    pub event_id: Arc<str>,
    /// Position in the stream of the event, counted from 1.
    pub offset: u64,
}
