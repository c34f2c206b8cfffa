//! The OS thread that owns the actix `System`.
//!
//! All managers of a process share it. It starts with the first one and ends with the last one.
//! Another manager can start it again.

use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;

use actix_rt::{ArbiterHandle, System};
use parking_lot::Mutex;

use crate::causes;
use crate::error::RuntimeError;

static CURRENT: Mutex<Weak<SystemThread>> = Mutex::new(Weak::new());

/// Keeps the system's thread alive.
#[derive(Debug)]
pub(crate) struct SystemThread {
    system: System,
    arbiter: ArbiterHandle,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SystemThread {
    /// Returns the running thread, or starts one.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Thread`] when the operating system refuses the thread.
    pub(crate) fn acquire() -> Result<Arc<Self>, RuntimeError> {
        let mut current = CURRENT.lock();
        if let Some(system) = current.upgrade() {
            return Ok(system);
        }
        let (started, handles) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("fraiseql-system".into())
            .spawn(move || {
                let runner = System::new();
                let system = System::current();
                let arbiter = system.arbiter().clone();
                // Without a receiver, the caller has given up and the system is not needed.
                if started.send((system, arbiter)).is_ok()
                    && let Err(error) = runner.run()
                {
                    let cause = causes::of_system(&error);
                    tracing::error!(name: "thread.failed", cause, "the thread of the actors ended");
                }
            })
            .map_err(RuntimeError::Thread)?;
        let (system, arbiter) = handles.recv().map_err(|_| RuntimeError::Closed)?;
        let system = Arc::new(Self {
            system,
            arbiter,
            thread: Mutex::new(Some(thread)),
        });
        *current = Arc::downgrade(&system);
        Ok(system)
    }

    /// Forgets the running system. For a forked process, which does not have its thread.
    pub(crate) fn forget() {
        *CURRENT.lock() = Weak::new();
    }

    /// The arbiter of the system's own thread.
    #[must_use]
    pub(crate) fn arbiter(&self) -> &ArbiterHandle {
        &self.arbiter
    }
}

impl Drop for SystemThread {
    /// Ends the system and waits for its thread, unless it is dropped on that very thread.
    fn drop(&mut self) {
        self.system.stop();
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!(name: "thread.failed", "the thread of the actors panicked");
        }
    }
}
