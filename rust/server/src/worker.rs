//! State that the requests of one thread share.

use std::rc::Rc;

use runtime::{Responder, Worker, WorkerFactory};

use crate::forwarded::TrustedProxies;
use crate::newcomers::Newcomers;

/// The worker of the thread.
pub(crate) struct CurrentWorker {
    pub(crate) worker: Rc<Worker>,
    pub(crate) responder: Responder,
    pub(crate) newcomers: Newcomers,
    pub(crate) proxies: TrustedProxies,
}

impl CurrentWorker {
    pub(crate) fn start(factory: &WorkerFactory, proxies: TrustedProxies) -> Self {
        let (worker, responder) = factory.start_worker();
        Self {
            worker,
            responder,
            newcomers: Newcomers::start(),
            proxies,
        }
    }
}
