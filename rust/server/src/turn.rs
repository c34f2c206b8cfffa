//! A stream of bytes that is read for a limited number of bytes in one turn of its task.
//!
//! Small frames cost time out of all proportion to their bytes, and what decodes them reads as long
//! as there is something: a flood of them would keep a worker from everybody else.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use crate::write_through::write_through;

/// What is read in one turn (bytes).
const TURN: usize = 16 * 1024;

/// Begins the turns of a [`Turns`].
#[derive(Clone)]
pub(crate) struct Turn(Rc<Cell<usize>>);

impl Turn {
    /// A further turn.
    pub(crate) fn begin(&self) {
        self.0.set(TURN);
    }
}

/// The stream.
pub(crate) struct Turns<T> {
    io: T,
    /// What may still be read in this turn (bytes).
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
            // The rest when others had their turns.
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
