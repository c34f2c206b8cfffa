//! What is still read of a client whose connection ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_codec::{AsyncRead, ReadBuf};

use crate::deadline::{Deadline, LINGER};

/// What is read at once (bytes).
const DROPPED: usize = 16 * 1024;

/// Reads and drops what a client still sends, for so long.
pub(crate) struct Linger(Deadline);

impl Linger {
    pub(crate) fn new() -> Self {
        Self(Deadline::new(LINGER))
    }

    /// Ready when the client has closed its side, or has had its time.
    pub(crate) fn poll<T: AsyncRead + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0; DROPPED];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                ended => return ended,
            }
        }
    }
}
