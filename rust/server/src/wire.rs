//! An HTTP/1.1 transport that passes on no byte of an ambiguous message, of a body past its limit,
//! or after the last request of the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_codec::{AsyncRead, ReadBuf};

use crate::linger::Linger;
use crate::scan::{Fault, Scanner};
use crate::socket::SocketHandle;
use crate::write_through::write_through;

/// A byte that no head may contain, so that the parser refuses the head with 400.
const REFUSED: u8 = 0;

/// The transport, in both directions.
pub(crate) struct Wire<T> {
    io: T,
    scanner: Scanner,
    socket: SocketHandle,
    /// Set when remaining input is dropped.
    dropping: Option<Dropping>,
}

/// Why the input is dropped.
enum Dropping {
    /// A body was refused.
    Refused(Linger),
    /// The client has announced its last request, whose response may take any time.
    AfterClose {
        /// Bytes that are still dropped; past them the client counts as gone.
        left: usize,
    },
}

/// Bytes that a client may send after its last request. Read and dropped, because the system resets
/// a connection that is closed with unread input, and the client loses the response.
const AFTER_CLOSE: usize = 64 * 1024;

impl<T> Wire<T> {
    /// Creates the transport; chunked bodies may have `max_body` bytes on the wire. The reader of a
    /// refused body is notified by `socket`.
    pub(crate) fn new(io: T, socket: SocketHandle, max_body: usize) -> Self {
        Self {
            io,
            scanner: Scanner::new(max_body),
            socket,
            dropping: None,
        }
    }

    /// Returns the transport below, for another protocol: nothing more is scanned.
    pub(crate) fn into_inner(self) -> T {
        self.io
    }

    pub(crate) fn socket(&self) -> &SocketHandle {
        &self.socket
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.dropping {
            Some(Dropping::Refused(linger)) => return linger.poll(&mut this.io, cx).map(Ok),
            Some(Dropping::AfterClose { left }) => return drop_input(&mut this.io, left, cx),
            None => {}
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
                // The head may be in the same read.
                this.dropping = Some(Dropping::Refused(Linger::new()));
                this.socket.refuse_body(request, fault);
                this.pass_on(before, at, cx, buf)
            }
            Err(Fault::AfterClose(at)) => {
                this.dropping = Some(Dropping::AfterClose { left: AFTER_CLOSE });
                this.pass_on(before, at, cx, buf)
            }
        }
    }
}

impl<T: AsyncRead + Unpin> Wire<T> {
    /// Passes on the first `at` bytes of a read that began after `before` bytes of the buffer.
    fn pass_on(
        &mut self,
        before: usize,
        at: usize,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buf.set_filled(before + at);
        if at > 0 {
            Poll::Ready(Ok(()))
        } else {
            // A read without bytes would be the end of the connection.
            Pin::new(self).poll_read(cx, buf)
        }
    }
}

/// Drops input; ready when the client has closed its side, or has sent too much.
fn drop_input<T: AsyncRead + Unpin>(
    io: &mut T,
    left: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let mut bytes = [0; 4 * 1024];
    while *left > 0 {
        let mut buf = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut buf))?;
        if buf.filled().is_empty() {
            break;
        }
        *left = left.saturating_sub(buf.filled().len());
    }
    Poll::Ready(Ok(()))
}

write_through!(Wire);
