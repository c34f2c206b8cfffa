//! A wake-up between two tasks of one thread: several sets cause one wake-up.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

/// Wakes a task of the same thread.
#[derive(Debug, Default)]
pub struct Signal {
    set: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Signal {
    /// Requests one turn of the listening task.
    pub fn set(&self) {
        if !self.set.replace(true)
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    /// Ready once after one or more [`Self::set`] calls.
    pub fn poll_set(&self, cx: &Context<'_>) -> Poll<()> {
        if self.set.take() {
            return Poll::Ready(());
        }
        self.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// Yields once after one or more [`Signal::set`] calls.
///
/// After an item it is pending once, so that a listener that sets the signal again does not block
/// its thread: the socket is written between two turns.
#[derive(Debug)]
pub struct SignalStream {
    signal: Rc<Signal>,
    pausing: bool,
}

impl SignalStream {
    /// Creates a stream for `signal`; a signal has one listener.
    #[must_use]
    pub fn new(signal: Rc<Signal>) -> Self {
        Self {
            signal,
            pausing: false,
        }
    }
}

impl Stream for SignalStream {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        if self.pausing {
            self.pausing = false;
            if self.signal.set.get() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        } else if self.signal.set.take() {
            self.pausing = true;
            return Poll::Ready(Some(()));
        }
        self.signal.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}
