//! Messages that cross actors.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use actix::Message;
use bus::Event;
use futures_util::future::{Either, select};
use graphql::GraphQLError;
use protocol::Close;
use security::Identity;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::actors::Subscribing;
use crate::resolver::{Client, Refused};
use crate::shared::{Delivery, SharedOutcome};
use crate::worker::Worker;

/// Command: hand each event to the subscriptions of one worker.
/// Sender: `EventBusActor`, which sends the next batch when no shard holds the turn of this one any
/// more. Reply: `()`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Broadcast {
    /// The events, in the order of their offsets.
    pub events: Arc<[Arc<Event>]>,
    /// Held until the shard is done.
    pub turn: Arc<OwnedSemaphorePermit>,
}

/// Command: do something on the worker's own thread.
/// Sender: the runtime, for operations that no socket of the worker asked for. Reply: `()`.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RunOnWorker(pub WorkerJob);

/// What [`RunOnWorker`] does.
pub(crate) type WorkerJob = Box<dyn FnOnce(&Rc<Worker>) + Send>;

/// Command: let the connections of a worker leave, one after the other.
/// Sender: the runtime when it drains. Reply: `()`; connections end in their own time.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct DrainConnections {
    /// The time over which they leave, so that their clients do not all return at once.
    pub window: Duration,
}

/// Command: end the worker's actor, which drops the worker.
/// Sender: the runtime when it is dropped. Reply: `()`.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopWorker;

/// Command: close the connections of a worker that `selector` selects.
/// Sender: `disconnect()`. Reply: how many were closed (a count).
#[derive(Debug, Clone, Message)]
#[rtype(result = "usize")]
pub struct CloseConnections {
    /// Which connections.
    pub selector: Selector,
    /// What their clients are sent.
    pub close: Close,
}

/// Selects connections; every member that is set has to match.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// User id of the identity.
    pub user_id: Option<String>,
    /// Tenant of the identity.
    pub tenant_id: Option<String>,
    /// The connection itself.
    pub connection_id: Option<String>,
}

impl Selector {
    /// Whether a connection is selected. A connection without identity has no user and no tenant.
    #[must_use]
    pub fn selects(&self, connection_id: &str, identity: Option<&Identity>) -> bool {
        let matches = |wanted: &Option<String>, actual: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == actual
        };
        matches(&self.user_id, identity.map(|i| i.user_id.as_str()))
            && matches(
                &self.tenant_id,
                identity.and_then(|i| i.tenant_id.as_deref()),
            )
            && matches(&self.connection_id, Some(connection_id))
    }
}

/// Command: hand an outcome to the members of a group that a worker hosts.
/// Sender: the group, at most [`SHARED_IN_FLIGHT`](crate::config::SHARED_IN_FLIGHT) of them at
/// once. Reply: `()`.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct DeliverShared {
    pub(crate) group: u64,
    pub(crate) outcome: SharedOutcome,
    pub(crate) _delivery: Delivery,
}

/// Command: wake actors of one worker, on its own thread.
/// Sender: the host's thread, which sends the next ones when these are under way. Reply: `()`.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WakeActors(pub(crate) Vec<Waker>);

/// Command: decide whether this client may connect, and who it is.
/// Sender: a connection whose client has asked; then each check to the next. Reply: `()`; the
/// decision goes to `reply`. Its receiver is dropped when the client has left or its time is over,
/// and whatever is under way for it ends then.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Connect {
    pub(crate) client: Client,
    pub(crate) reply: oneshot::Sender<Decision>,
}

/// The client, completed, unless it is refused.
pub(crate) type Decision = (Client, Result<(), Refused>);

impl Connect {
    /// Does `work` for the client; `None` as soon as the decision is not awaited.
    pub(crate) async fn wanted<T>(
        reply: &mut oneshot::Sender<Decision>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        match select(pin!(work), pin!(reply.closed())).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }
}

/// Query: may this subscription start, and what has to hold for its events?
/// Sender: `worker::Worker::open`; then each check to the next. Reply: the subscription with its
/// guard, or the errors that the client is sent.
#[derive(Debug, Message)]
#[rtype(result = "Result<Box<Subscribing>, Vec<GraphQLError>>")]
pub(crate) struct Subscribe(pub Box<Subscribing>);

/// Command: end a subscription without a word.
/// Sender: its connection, when the client has ended it or has left. Reply: `()`.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopSubscription;

/// Command: take no further event, send what is under way, then end as drained. Whatever ends by
/// itself (a query, a mutation, a source stream) goes on.
/// Sender: the connection when it leaves; the runtime for in-process operations. Reply: `()`.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct FinishSubscription;
