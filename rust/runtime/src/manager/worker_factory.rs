//! Adds workers to a started manager, on threads that it does not own.

use std::rc::Rc;
use std::sync::Arc;

use super::broadcaster::ShardList;
use crate::state::RuntimeState;
use crate::transport::{Responder, Streams};
use crate::worker::Worker;

/// Starts workers on threads that the runtime does not own, such as those of the embedded server.
#[derive(Clone)]
pub struct WorkerFactory {
    state: Arc<RuntimeState>,
    shards: Arc<ShardList>,
    streams: Arc<Streams>,
}

impl WorkerFactory {
    pub(super) fn new(
        state: Arc<RuntimeState>,
        shards: Arc<ShardList>,
        streams: Arc<Streams>,
    ) -> Self {
        Self {
            state,
            shards,
            streams,
        }
    }

    /// Returns the state that all threads of the manager share.
    #[must_use]
    pub fn state(&self) -> &Arc<RuntimeState> {
        &self.state
    }

    /// Starts a worker on the current thread, which must be inside an actix arbiter.
    #[must_use]
    pub fn start_worker(&self) -> (Rc<Worker>, Responder) {
        let (worker, shard) = Worker::start(self.state.clone());
        let responder = Responder::new(self.state.clone(), self.streams.clone(), shard.clone());
        self.shards.add(worker.number(), shard);
        (worker, responder)
    }
}
