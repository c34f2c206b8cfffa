//! A byte stream with a limit of bytes that are read in one turn of its task.
//!
//! Small frames cost much time for their size, and decoders read as long as there is data. Without
//! the limit a flood of small frames would block a worker for all other clients.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use crate::write_through::write_through;

/// Bytes that are read in one turn.
const TURN: usize = 16 * 1024;

/// Begins the turns of a [`Turns`].
#[derive(Clone)]
pub(crate) struct Turn(Rc<Cell<usize>>);

impl Turn {
    /// Starts the next turn.
    pub(crate) fn begin(&self) {
        self.0.set(TURN);
    }
}

/// The stream with the limit.
pub(crate) struct Turns<T> {
    io: T,
    /// Bytes that may still be read in this turn.
    left: Rc<Cell<usize>>,
}

impl<T> Turns<T> {
    pub(crate) fn new(io: T) -> (Self, Turn) {
        let left = Rc::new(Cell::new(TURN));
        let turn = Turn(left.clone());
        (Self { io, left }, turn)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Turns<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.get() == 0 {
            // Read the rest in the next turn, after other tasks.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        self.left.set(self.left.get().saturating_sub(bytes));
        read
    }
}

write_through!(Turns);
