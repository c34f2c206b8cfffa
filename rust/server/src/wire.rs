//! A stream of HTTP/1.1 that hands on no byte of a message which may be read in two ways, or whose
//! body has no end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_codec::{AsyncRead, ReadBuf};

use crate::deadline::{Deadline, LINGER};
use crate::scan::{Fault, Scanner};
use crate::socket::SocketHandle;
use crate::write_through::write_through;

/// No head has it, so what parses the head refuses it with 400.
const REFUSED: u8 = 0;

/// What is read of a body that was refused, at once (bytes).
const DROPPED: usize = 16 * 1024;

/// The stream, in both directions.
pub(crate) struct Wire<T> {
    io: T,
    scanner: Scanner,
    socket: SocketHandle,
    /// Until nothing is read any more, when a body was refused.
    refused: Option<Deadline>,
}

impl<T> Wire<T> {
    /// Chunked bodies may have `max_body` bytes on the wire; who reads one is told by `socket`.
    pub(crate) fn new(io: T, socket: SocketHandle, max_body: usize) -> Self {
        Self {
            io,
            scanner: Scanner::new(max_body),
            socket,
            refused: None,
        }
    }

    pub(crate) fn socket(&self) -> &SocketHandle {
        &self.socket
    }
}

impl<T: AsyncRead + Unpin> Wire<T> {
    /// Reads and drops what is still sent, so that no reset overtakes the response, then ends.
    fn poll_drop(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self
            .refused
            .as_mut()
            .is_some_and(|end| end.poll(cx).is_ready())
        {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0; DROPPED];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                ended => return ended,
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refused.is_some() {
            return this.poll_drop(cx);
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        let fresh = &mut buf.filled_mut()[before..];
        match this.scanner.read(fresh) {
            Ok(()) => read,
            Err(Fault::Head(at)) => {
                fresh[at] = REFUSED;
                read
            }
            Err(Fault::Body { request, fault, at }) => {
                // The head may have come with it.
                buf.set_filled(before + at);
                this.refused = Some(Deadline::new(LINGER));
                this.socket.refuse_body(request, fault);
                if at > 0 { read } else { this.poll_drop(cx) }
            }
        }
    }
}

write_through!(Wire);
