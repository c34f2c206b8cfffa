//! How further threads join a started manager as workers.

use std::rc::Rc;
use std::sync::Arc;

use super::event_bus::ShardList;
use crate::engine::Engine;
use crate::transport::{Responder, Streams};
use crate::worker::Worker;

/// Makes workers on threads that the runtime does not own, such as those of a web server.
#[derive(Clone)]
pub struct WorkerFactory {
    engine: Arc<Engine>,
    shards: Arc<ShardList>,
    streams: Arc<Streams>,
}

impl WorkerFactory {
    pub(super) fn new(engine: Arc<Engine>, shards: Arc<ShardList>, streams: Arc<Streams>) -> Self {
        Self {
            engine,
            shards,
            streams,
        }
    }

    /// What all threads of the manager share.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Starts a worker on the current thread, which must be inside an actix arbiter.
    #[must_use]
    pub fn start_worker(&self) -> (Rc<Worker>, Responder) {
        let (worker, shard) = Worker::start(self.engine.clone());
        let responder = Responder::new(self.engine.clone(), self.streams.clone(), shard.clone());
        self.shards.add(shard);
        (worker, responder)
    }
}
