//! Worker threads for connections that an adapter accepts in another server.
//!
//! They start with the first such connection and end with their manager. Each has its own shard, as
//! the threads of the embedded server do.

use std::sync::mpsc;
use std::thread::ThreadId;

use actix_rt::Arbiter;

use super::worker_factory::WorkerFactory;
use crate::causes;
use crate::transport::Responder;

/// The threads of one manager.
#[derive(Default)]
pub(crate) struct WorkerPool(Vec<PooledWorker>);

struct PooledWorker {
    arbiter: Arbiter,
    thread: ThreadId,
    responder: Responder,
}

impl WorkerPool {
    /// Starts `count` threads, or as many as the operating system allows. Blocks until they run.
    ///
    /// Must be called on the system's thread: arbiters belong to the system of their thread.
    pub(crate) fn start(count: usize, factory: &WorkerFactory) -> Self {
        let mut workers = Self::default();
        for _ in 0..count {
            match PooledWorker::start(factory) {
                Ok(worker) => workers.0.push(worker),
                Err(error) => {
                    let cause = causes::of_system(&error);
                    tracing::error!(name: "thread.failed", cause, "a worker thread cannot be started");
                    break;
                }
            }
        }
        workers
    }

    /// Returns the responder of the thread with the least load; `None` when there is no thread.
    pub(crate) fn least_loaded(&self) -> Option<Responder> {
        let workers = self.0.iter().map(|worker| &worker.responder);
        workers.min_by_key(|responder| responder.load()).cloned()
    }
}

impl Drop for WorkerPool {
    /// Ends the threads and waits for them, unless it is dropped on one of them.
    fn drop(&mut self) {
        for worker in self.0.drain(..) {
            worker.arbiter.stop();
            if worker.thread != std::thread::current().id() && worker.arbiter.join().is_err() {
                tracing::error!(name: "thread.failed", "a worker thread panicked");
            }
        }
    }
}

impl PooledWorker {
    fn start(factory: &WorkerFactory) -> std::io::Result<Self> {
        let arbiter = Arbiter::try_new()?;
        let (started, worker) = mpsc::sync_channel(1);
        let factory = factory.clone();
        arbiter.spawn_fn(move || {
            let (_, responder) = factory.start_worker();
            // The receiver waits below, so this does not fail.
            started.send((std::thread::current().id(), responder)).ok();
        });
        let (thread, responder) = worker
            .recv()
            .map_err(|_| std::io::Error::other("its worker did not start"))?;
        Ok(Self {
            arbiter,
            thread,
            responder,
        })
    }
}
