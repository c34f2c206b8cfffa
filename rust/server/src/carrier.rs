//! The task that carries the socket of a WebSocket: what the connection actor gives goes out, what
//! comes in goes to the actor.
//!
//! The socket has left actix-http with the handshake, and with it that connection's buffers: an
//! idle WebSocket holds none. Not here: frames and messages (`websocket`, `messages`).

use std::cell::{OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_rt::time::timeout;
use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use runtime::{Connection, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::AbortHandle;

/// How long a client has to close its side after we have closed ours. What it sends meanwhile
/// would otherwise answer our close with a reset, and it might lose the close frame by that.
const LINGER: Duration = Duration::from_secs(1);

/// Ends the task that carries a connection, whatever still waits to be written.
#[derive(Clone, Default)]
pub(crate) struct Ending(Rc<OnceCell<AbortHandle>>);

impl Transport for Ending {
    fn shut_down(&self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }

    fn has_pings(&self) -> bool {
        true
    }
}

/// A socket that is read by the actor, and written around it, on one thread.
pub(crate) struct SharedSocket<T>(Rc<RefCell<T>>);

impl<T> SharedSocket<T> {
    pub(crate) fn new(socket: T) -> Self {
        Self(Rc::new(RefCell::new(socket)))
    }
}

impl<T> Clone for SharedSocket<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for SharedSocket<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for SharedSocket<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(cx)
    }
}

/// Carries a socket in a task of this thread until the actor, the client or `ending` ends it.
/// `frames` runs the actor.
pub(crate) fn carry<T, E>(
    frames: impl Stream<Item = Result<Bytes, E>> + 'static,
    socket: SharedSocket<T>,
    connection: Rc<Connection>,
    ending: &Ending,
) where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    E: 'static,
{
    let task = actix_rt::spawn(async move {
        // An error means that the client is gone, and the actor has ended with its frames.
        write(frames, socket, &connection).await.ok();
    });
    // It is set nowhere else.
    ending.0.set(task.abort_handle()).ok();
}

async fn write<T, E>(
    frames: impl Stream<Item = Result<Bytes, E>>,
    mut socket: SharedSocket<T>,
    connection: &Connection,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    {
        let mut frames = std::pin::pin!(frames);
        while let Some(Ok(mut bytes)) = frames.next().await {
            while !bytes.is_empty() {
                let written = write_some(&mut socket, &bytes, connection).await?;
                bytes.advance(written);
            }
            socket.flush().await?;
        }
    }
    socket.shutdown().await?;
    let mut unread = [0; 1024];
    let drain = async {
        while socket.read(&mut unread).await? > 0 {}
        Ok(())
    };
    timeout(LINGER, drain).await.unwrap_or(Ok(()))
}

async fn write_some<T: AsyncWrite + Unpin>(
    socket: &mut SharedSocket<T>,
    bytes: &[u8],
    connection: &Connection,
) -> io::Result<usize> {
    let mut was_full = false;
    let written = poll_fn(|cx| {
        let written = Pin::new(&mut *socket).poll_write(cx, bytes);
        was_full |= written.is_pending();
        written
    })
    .await?;
    if was_full {
        // The client has taken something: it is slow, not dead.
        connection.receive_pong();
    }
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(written)
}
