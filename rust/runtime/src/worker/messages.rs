//! Messages of other threads to a worker.

use std::rc::Rc;
use std::sync::Arc;

use actix::Message;
use bus::StreamItem;
use bus::cluster::Selector;
use protocol::Close;
use tokio::time::Instant;

use super::Worker;
use crate::connection::ClientPath;

/// A batch that is under way. The next one is sent when the last shard has dropped it.
pub trait Turn: Send + Sync {
    /// Whether there are events for a next batch.
    fn is_followed(&self) -> bool;
}

/// Command: deliver each event to the subscriptions of one worker.
/// Sender: the broadcast, which sends the next batch when all shards have dropped the `turn` of this
/// one. Reply: `()`.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct Broadcast {
    /// Events and gaps, in the order of their streams.
    pub items: Arc<[StreamItem]>,
    /// Kept until the shard is done.
    pub turn: Arc<dyn Turn>,
}

/// Command: run a function on the worker's own thread.
/// Sender: the runtime, for operations without a socket of the worker. Reply: `()`.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RunOnWorker(pub WorkerJob);

/// The function of [`RunOnWorker`].
pub(crate) type WorkerJob = Box<dyn FnOnce(&Rc<Worker>) + Send>;

/// Question: which connections a worker has.
/// Sender: the runtime when it drains. Reply: their keys, and the ways to their clients.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<(u64, ClientPath)>")]
pub(crate) struct ListPaths;

/// Command: close connections of a worker, one after the other.
/// Sender: the runtime when it drains. Reply: `()`; connections close after their running
/// operations.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DrainConnections {
    /// Their keys, and when their turn is, in this order.
    pub departures: Vec<(u64, Instant)>,
}

/// Command: end the worker's actor, which owns the worker.
/// Sender: the runtime when it is dropped. Reply: `()`.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopWorker;

/// Command: close the connections of a worker that are revoked.
/// Sender: the node, when it has read what is revoked. Reply: the number of closed connections.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "usize")]
pub struct CloseRevoked;

/// Command: close the connections of a worker that `selector` matches.
/// Sender: `disconnect()`, of this node or another one. Reply: the number of closed connections.
#[derive(Debug, Clone, Message)]
#[rtype(result = "usize")]
pub struct CloseConnections {
    /// Which connections.
    pub selector: Selector,
    /// The close code and reason.
    pub close: Close,
}
