//! Worker threads for connections that another server carries.
//!
//! Started with the first such connection, ended with their manager. Each has a shard of its own,
//! as the threads of the embedded server have.

use std::sync::mpsc;
use std::thread::ThreadId;

use actix_rt::Arbiter;

use super::worker_factory::WorkerFactory;
use crate::causes;
use crate::transport::Responder;

/// The threads of one manager.
#[derive(Default)]
pub(crate) struct Carriers(Vec<Carrier>);

struct Carrier {
    arbiter: Arbiter,
    thread: ThreadId,
    responder: Responder,
}

impl Carriers {
    /// Starts `count` threads, or as many as the operating system allows. Blocks until they run.
    ///
    /// Must be called on the system's thread, as arbiters belong to its system.
    pub(crate) fn start(count: usize, factory: &WorkerFactory) -> Self {
        let mut carriers = Self::default();
        for _ in 0..count {
            match Carrier::start(factory) {
                Ok(carrier) => carriers.0.push(carrier),
                Err(error) => {
                    let cause = causes::of_system(&error);
                    tracing::error!(cause, "a worker thread cannot be started");
                    break;
                }
            }
        }
        carriers
    }

    /// What answers for the thread that carries least; `None` when there is no thread.
    pub(crate) fn least_loaded(&self) -> Option<Responder> {
        let carriers = self.0.iter().map(|carrier| &carrier.responder);
        carriers
            .min_by_key(|responder| responder.carried())
            .cloned()
    }
}

impl Drop for Carriers {
    /// Ends the threads and waits for them, unless it is dropped on one of them.
    fn drop(&mut self) {
        for carrier in self.0.drain(..) {
            carrier.arbiter.stop();
            if carrier.thread != std::thread::current().id() && carrier.arbiter.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

impl Carrier {
    fn start(factory: &WorkerFactory) -> std::io::Result<Self> {
        let arbiter = Arbiter::try_new()?;
        let (started, worker) = mpsc::sync_channel(1);
        let factory = factory.clone();
        arbiter.spawn_fn(move || {
            let (_, responder) = factory.start_worker();
            // The receiver waits for exactly this.
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
