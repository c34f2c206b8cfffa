//! The thread of the link to an engine. It has its own so that a slow fan-out does not delay the
//! engine's answers, and the link's work does not delay clients.
//!
//! One for each manager with an engine. It ends with the manager. Not here: what the link does
//! (`bus::EngineLink`), and what nodes tell each other (`bus::cluster`).

use std::sync::Arc;
use std::thread::JoinHandle;

use bus::EngineLink;
use bus::cluster::{Cluster, NodeHost};
use bus::engine::Pending;
use bus::source::{Losses, Lost, Source, SourceTarget};
use futures_util::future::{join, join_all};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::RuntimeError;

/// This process among those that share the engine.
pub(crate) struct Node {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) host: Arc<dyn NodeHost>,
    /// What enters the engine through one of the nodes, and where it is published.
    pub(crate) sources: Vec<Arc<dyn Source>>,
    pub(crate) target: SourceTarget,
}

/// Tells the subscribers of all nodes what was lost.
pub(crate) struct ClusterLosses {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) host: Arc<dyn NodeHost>,
}

impl Losses for ClusterLosses {
    fn tell(&self, lost: Lost) -> Pending<()> {
        let (cluster, host) = (self.cluster.clone(), self.host.clone());
        Box::pin(async move { cluster.tell_loss(lost, &*host).await })
    }
}

/// Keeps the thread of a link alive.
pub(crate) struct LinkThread {
    stop: Option<oneshot::Sender<()>>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl LinkThread {
    /// Starts the thread. `node`: `None` for a program that only publishes.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Thread`] when the operating system refuses the thread.
    pub(crate) fn start(link: Arc<EngineLink>, node: Option<Node>) -> Result<Self, RuntimeError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(RuntimeError::Thread)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("fraiseql-bus".into())
            .spawn(move || {
                // The runtime of this thread alone: no coroutine of Python is awaited here.
                runtime.block_on(async {
                    let node = async {
                        if let Some(node) = &node {
                            let sources = node.sources.iter();
                            let sources = sources.map(|source| source.run(node.target.clone()));
                            join(node.cluster.run(&*node.host), join_all(sources)).await;
                        }
                    };
                    tokio::select! {
                        ((), ()) = join(link.run(), node) => {}
                        _ = stopped => {}
                    }
                });
                // Ends the tasks of the engine. Does not wait for a name look-up that blocks.
                runtime.shutdown_background();
            })
            .map_err(RuntimeError::Thread)?;
        Ok(Self {
            stop: Some(stop),
            handle,
            thread: Some(thread),
        })
    }

    /// Runs a future on the thread, until the thread ends.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(future));
    }
}

impl Drop for LinkThread {
    /// Ends the thread and waits for it, unless it is dropped on that very thread.
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!(name: "thread.failed", "the thread of the link to the engine panicked");
        }
    }
}
