//! The one OS thread that owns the actix `System`.
//!
//! It starts with the first manager of the process, is shared by all, ends with the last, and
//! can start again.

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
    /// Joins the running system's thread or starts one.
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
                // The receiver waits for exactly this; without it the system is not wanted.
                if started.send((system, arbiter)).is_ok()
                    && let Err(error) = runner.run()
                {
                    let cause = causes::of_system(&error);
                    tracing::error!(cause, "the thread of the actors ended");
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

    /// Forgets the running system: its thread did not come along into a forked process.
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
            tracing::error!("the thread of the actors panicked");
        }
    }
}
