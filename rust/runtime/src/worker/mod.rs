//! One worker thread: its subscriptions, its connections, and the actor in front of both.

mod messages;
mod shard_actor;

use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, Addr};

use crate::connection::Registry;
use crate::operation::Opener;
use crate::routing::WorkerNumber;
use crate::state::RuntimeState;
use crate::subscription::{WokenWorker, WorkerAddress};

pub(crate) use messages::RunOnWorker;
pub(crate) use messages::{
    Broadcast, CloseConnections, CloseRevoked, DrainConnections, ListPaths, StopWorker, Turn,
};
pub use shard_actor::ShardActor;

/// State that the connections and subscriptions of one thread share.
pub struct Worker {
    opener: Rc<Opener>,
    registry: Rc<Registry>,
}

impl Worker {
    /// Starts a worker on the current thread and returns it with the address of its actor.
    ///
    /// Must be called inside an actix arbiter, as its actors run there.
    #[must_use]
    pub fn start(state: Arc<RuntimeState>) -> (Rc<Self>, Addr<ShardActor>) {
        let opener = Rc::new(Opener::new(state));
        let registry = Rc::new(Registry::new(opener.clone()));
        let worker = Rc::new(Self { opener, registry });
        let shard = ShardActor::new(worker.clone()).start();
        let subscriptions = worker.opener.subscriptions();
        subscriptions.set_address(worker.address(&shard));
        (worker, shard)
    }

    /// Returns the state that all threads share.
    #[must_use]
    pub fn state(&self) -> &Arc<RuntimeState> {
        self.opener.state()
    }

    /// The number of the worker.
    #[must_use]
    pub fn number(&self) -> WorkerNumber {
        self.opener.subscriptions().channels().number()
    }

    /// Returns the address of the worker for messages about its subscriptions. `shard`: its actor.
    pub(crate) fn address(&self, shard: &Addr<ShardActor>) -> WorkerAddress {
        WorkerAddress {
            channels: self.opener.subscriptions().channels().clone(),
            groups: shard.clone().recipient(),
            wakes: WokenWorker::new(shard.clone().recipient()),
        }
    }

    /// Returns the connections of this thread.
    #[must_use]
    pub fn registry(&self) -> &Rc<Registry> {
        &self.registry
    }

    /// Returns the opener of operations on this thread.
    pub(crate) fn opener(&self) -> &Rc<Opener> {
        &self.opener
    }
}
