//! Wakes an event loop from any thread, through a socket that the loop watches (`add_reader`). So only
//! the loop's own thread takes the GIL.
//!
//! Not here: other systems than Unix (`loop_wake_by_thread`), whose loops watch no such socket.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use pyo3::prelude::*;

/// The way to wake one event loop.
pub(crate) struct LoopWake {
    wake: UnixStream,
    woken: UnixStream,
}

impl LoopWake {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(Self { wake, woken })
    }

    /// Lets the loop call `turn` until each wake-up is taken; must be called on its thread.
    pub(crate) fn watch<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        turn: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        event_loop.call_method1("add_reader", (self.woken.as_raw_fd(), turn))?;
        Ok(())
    }

    /// Ends this; must be called on the loop's thread.
    pub(crate) fn unwatch(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        event_loop.call_method1("remove_reader", (self.woken.as_raw_fd(),))?;
        Ok(())
    }

    /// Wakes the loop. There may be one wake-up that is not taken, so there is room for it.
    pub(crate) fn wake(&self) {
        (&self.wake).write_all(&[1]).ok();
    }

    /// Takes a wake-up. Returns whether there was one.
    pub(crate) fn take(&self) -> bool {
        (&self.woken).read_exact(&mut [0]).is_ok()
    }
}
