//! An HTTP/1.1 transport that passes on no byte of an ambiguous message, or of a body past its
//! limit.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

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
    /// Set when a body was refused: remaining input is dropped.
    refused: Option<Linger>,
}

impl<T> Wire<T> {
    /// Creates the transport; chunked bodies may have `max_body` bytes on the wire. The reader of a
    /// refused body is notified by `socket`.
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

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(linger) = &mut this.refused {
            return linger.poll(&mut this.io, cx);
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
                buf.set_filled(before + at);
                this.refused = Some(Linger::new());
                this.socket.refuse_body(request, fault);
                if at > 0 {
                    read
                } else {
                    Pin::new(this).poll_read(cx, buf)
                }
            }
        }
    }
}

write_through!(Wire);
