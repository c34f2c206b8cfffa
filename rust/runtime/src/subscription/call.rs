//! One call of the host: what it is made for, and how it ended. Not here: when it is made (`lane`).

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use bus::Event;
use bytes::Bytes;
use graphql::Plan;
use parking_lot::Mutex;
use protocol::{Amendment, JsonObject};

use crate::catalog::Definition;
use crate::client::Client;

/// What stays the same for all calls of one subscription.
#[derive(Debug)]
pub struct SubscriptionInfo {
    /// What is called.
    pub definition: Arc<Definition>,
    /// Coerced arguments by GraphQL name; of a delegated operation the request. The host takes them
    /// when it makes itself ready.
    pub arguments: Mutex<Option<JsonObject>>,
    /// How values become responses; `None` for a delegated operation, whose responses come whole.
    pub plan: Option<Arc<Plan>>,
    /// Name of the operation in the client's document.
    pub operation_name: Option<Arc<str>>,
    /// Who subscribed.
    pub client: Arc<Client>,
    /// The host language's state of this subscription.
    pub host: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// Identifies a call; unique within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(u64);

impl CallId {
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Relaxed))
    }
}

/// What a call is made for.
#[derive(Debug, Clone)]
pub enum CallInput {
    /// The value that is sent before any event; [`crate::Lane::initial_begins`] goes before it.
    Initial,
    /// One event.
    Event(Arc<Event>),
    /// The source stream itself: its items go to [`crate::Lane::item`], its end to [`crate::Lane::settle`].
    Stream,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// One response, already serialised.
    Response(Bytes),
    /// One response that says what went wrong.
    Failed(Bytes),
    /// Nothing is sent.
    Skip,
    /// The subscription ends with these errors: a JSON array.
    Refused(Bytes),
    /// The subscription ends: its source has, or the host is gone.
    End,
    /// An outcome that says of the response over HTTP what its head is like.
    Headed(Box<(Amendment, Outcome)>),
}

impl Outcome {
    /// Whether a resolver is at fault, as far as an item of a stream tells.
    pub(crate) fn has_failed(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Headed(headed) => {
                let (amendment, outcome) = &**headed;
                amendment.status.is_some_and(|status| status >= 500) || outcome.has_failed()
            }
            _ => false,
        }
    }
}
