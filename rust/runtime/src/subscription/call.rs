//! One call of a resolver: its input and its outcome. Not here: when it is made (`lane`).

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use bus::Event;
use bytes::Bytes;
use graphql::Plan;
use parking_lot::Mutex;
use protocol::{Amendment, JsonObject, OperationId, OperationKind};

use crate::catalog::Definition;
use crate::client::Client;

/// What stays the same for all calls of one subscription.
#[derive(Debug)]
pub struct SubscriptionInfo {
    /// The declared subscription.
    pub definition: Arc<Definition>,
    /// Coerced arguments by GraphQL name; for a delegated operation the request. The host takes
    /// them when it prepares the lane.
    pub arguments: Mutex<Option<JsonObject>>,
    /// Projects values to responses; `None` for a delegated operation, whose host returns whole
    /// responses.
    pub plan: Option<Arc<Plan>>,
    /// What the operation is; `None`: its document was refused.
    pub operation_kind: Option<OperationKind>,
    /// Name of the operation in the client's document.
    pub operation_name: Option<Arc<str>>,
    /// Id of the operation in its connection; `None`: it is in process, or shared.
    pub operation: Option<OperationId>,
    /// Who subscribed.
    pub client: Arc<Client>,
    /// State that the host keeps for this subscription.
    pub host: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl SubscriptionInfo {
    /// Returns its client, the id of its operation and its field, for the log.
    pub(crate) fn labels(&self) -> (&Client, Option<&str>, &str) {
        let operation = self.operation.as_ref().map(OperationId::as_str);
        (&self.client, operation, &self.definition.field)
    }
}

/// Identifies a call; unique within the process, and larger than those of earlier calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

impl CallId {
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Relaxed))
    }
}

/// The input of a call.
#[derive(Debug, Clone)]
pub enum CallInput {
    /// Asks for the initial value. The host calls [`crate::Lane::initial_begins`] right before it
    /// calls the function for it.
    Initial,
    /// One event.
    Event(Arc<Event>),
    /// Starts the source stream. The host passes its items to [`crate::Lane::item`] and its end to
    /// [`crate::Lane::settle`].
    Stream,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Sends one response, which is serialised.
    Response(Bytes),
    /// Sends one response with errors: the resolver has failed.
    Failed(Bytes),
    /// As `Failed`, for an initial value: it is made again later, as the client needs it.
    Retry(Bytes),
    /// Sends nothing.
    Skip,
    /// Ends the subscription with these errors: a JSON array.
    Refused(Bytes),
    /// Ends the subscription: its source stream has ended, or the host has stopped.
    End,
    /// An outcome that also sets the status or headers of the HTTP response.
    Headed(Box<(Amendment, Outcome)>),
}

impl Outcome {
    /// Whether an item of a source stream is counted as an error of its resolver.
    pub(crate) fn has_failed(&self) -> bool {
        match self {
            Self::Failed(_) | Self::Retry(_) => true,
            Self::Headed(headed) => {
                let (amendment, outcome) = &**headed;
                amendment.status.is_some_and(|status| status >= 500) || outcome.has_failed()
            }
            _ => false,
        }
    }
}
