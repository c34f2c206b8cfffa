//! Reads and drops the input of a client whose connection is being closed.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_codec::{AsyncRead, ReadBuf};

use crate::deadline::{Deadline, LINGER};

/// Bytes of one read.
const DROPPED: usize = 16 * 1024;

/// Reads and drops the input of a client until the deadline.
pub(crate) struct Linger(Deadline);

impl Linger {
    pub(crate) fn new() -> Self {
        Self(Deadline::new(LINGER))
    }

    /// Ready when the client has closed its side or is gone, or the deadline has passed.
    pub(crate) fn poll<T: AsyncRead + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.0.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut bytes = [0; DROPPED];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                ended => return ended.map(drop),
            }
        }
    }
}
