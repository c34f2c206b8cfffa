//! How further threads join a started manager as workers.

use std::rc::Rc;
use std::sync::Arc;

use super::event_bus::ShardList;
use crate::state::RuntimeState;
use crate::transport::{Responder, Streams};
use crate::worker::Worker;

/// Makes workers on threads that the runtime does not own, such as those of a web server.
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

    /// What all threads of the manager share.
    #[must_use]
    pub fn state(&self) -> &Arc<RuntimeState> {
        &self.state
    }

    /// Starts a worker on the current thread, which must be inside an actix arbiter.
    #[must_use]
    pub fn start_worker(&self) -> (Rc<Worker>, Responder) {
        let (worker, shard) = Worker::start(self.state.clone());
        let responder = Responder::new(self.state.clone(), self.streams.clone(), shard.clone());
        self.shards.add(shard);
        (worker, responder)
    }
}
