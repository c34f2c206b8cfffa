//! What a worker is sent by other threads.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use bus::StreamItem;
use protocol::Close;
use tokio::sync::OwnedSemaphorePermit;

use super::Worker;
use crate::client::Selector;

/// Command: hand each event to the subscriptions of one worker.
/// Sender: `EventBusActor`, which sends the next batch when no shard holds the turn of this one any
/// more. Reply: `()`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Broadcast {
    /// Events and gaps, in the order of their streams.
    pub items: Arc<[StreamItem]>,
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

/// Command: end the worker's actor, which holds the worker.
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
    /// What their clients are told.
    pub close: Close,
}
