//! A transport whose writes do not fail when its client is gone.
//!
//! `h2` ends a connection for a reason, such as a malformed frame. If the client has left before it
//! was told, `h2` reports the failed write in place of the reason, and the refusal would not count.
//! Here the end of the client is reported to the reader alone.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The transport.
pub(super) struct Unfailing<T> {
    io: T,
    /// Whether a write has failed.
    is_gone: bool,
}

impl<T> Unfailing<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io, is_gone: false }
    }

    /// Replaces the error of a write by success.
    fn succeed<R>(
        &mut self,
        cx: &Context<'_>,
        written: Poll<io::Result<R>>,
        success: R,
    ) -> Poll<io::Result<R>> {
        if let Poll::Ready(Err(_)) = written {
            self.is_gone = true;
            // The reader may wait for a client that is gone.
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(success));
        }
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Unfailing<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            // Its end, after what it had sent.
            Poll::Pending | Poll::Ready(Err(_)) if self.is_gone => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Unfailing<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_gone {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.succeed(cx, written, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        if self.is_gone {
            return Poll::Ready(Ok(length));
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.succeed(cx, written, length)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_gone {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.succeed(cx, flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_gone {
            return Poll::Ready(Ok(()));
        }
        let closed = Pin::new(&mut self.io).poll_shutdown(cx);
        self.succeed(cx, closed, ())
    }
}
