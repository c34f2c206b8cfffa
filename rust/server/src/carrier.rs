//! The task that carries the socket of a WebSocket: what waits in the outbox goes out, what comes in
//! goes to the connection actor.
//!
//! The socket has left actix-http with the handshake, and with it that connection's buffers: an
//! idle WebSocket holds none. Not here: frames and messages (`frames`, `messages`).

use std::cell::{OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Release};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use actix_rt::time::timeout;
use bytes::{Buf, BytesMut};
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use runtime::{Connection, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::AbortHandle;

use crate::frames::encode;

/// How long a client has to take our close and to close its side. What it sends meanwhile would
/// otherwise be answered with a reset, and it might lose the close frame by that.
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

/// Wakes the task, and tells that it was for the actor: a result of an operation need not be.
struct ActorWaker {
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for ActorWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Release);
        self.task.wake();
    }
}

/// Carries a socket in a task of this thread until the actor, the client or `ending` ends it.
/// The actor runs while `actor` is polled.
pub(crate) fn carry<T>(
    actor: impl Stream + 'static,
    socket: SharedSocket<T>,
    connection: Rc<Connection>,
    ending: &Ending,
) where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let task = actix_rt::spawn(async move {
        // An error means that the client is gone.
        write_and_close(actor, socket, &connection).await.ok();
    });
    // It is set nowhere else.
    ending.0.set(task.abort_handle()).ok();
}

async fn write_and_close<T: AsyncRead + AsyncWrite + Unpin>(
    actor: impl Stream,
    mut socket: SharedSocket<T>,
    connection: &Connection,
) -> io::Result<()> {
    // The actor is dropped by it, and the operations end: nothing comes behind a close.
    write(actor, &mut socket, connection).await?;
    let close = async {
        while connection.outbox().is_closed() && !connection.outbox().is_empty() {
            write_waiting(&mut socket, connection).await?;
        }
        socket.shutdown().await?;
        let mut unread = [0; 1024];
        while socket.read(&mut unread).await? > 0 {}
        Ok(())
    };
    timeout(LINGER, close).await.unwrap_or(Ok(()))
}

/// Writes until the actor ends.
async fn write<T: AsyncWrite + Unpin>(
    actor: impl Stream,
    socket: &mut SharedSocket<T>,
    connection: &Connection,
) -> io::Result<()> {
    let mut actor = pin!(actor);
    let signal = connection.outbox().signal();
    let woken = Arc::new(ActorWaker {
        is_woken: AtomicBool::new(true),
        task: AtomicWaker::new(),
    });
    let waker = Waker::from(woken.clone());
    loop {
        let is_over = poll_fn(|cx| {
            woken.task.register(cx.waker());
            if woken.is_woken.swap(false, AcqRel) {
                match actor.as_mut().poll_next(&mut Context::from_waker(&waker)) {
                    Poll::Ready(None) => return Poll::Ready(true),
                    // It has something to say to nobody.
                    Poll::Ready(Some(_)) => woken.wake_by_ref(),
                    Poll::Pending => {}
                }
            }
            signal.poll_set(cx).map(|()| false)
        })
        .await;
        if is_over {
            return Ok(());
        }
        write_waiting(socket, connection).await?;
        if !connection.outbox().is_empty() {
            // The actor has its turn before: a client is heard however much it is sent.
            signal.set();
        }
    }
}

/// Writes what waits in the outbox, or as much of it as one turn may.
async fn write_waiting<T: AsyncWrite + Unpin>(
    socket: &mut SharedSocket<T>,
    connection: &Connection,
) -> io::Result<()> {
    let mut frames = BytesMut::new();
    encode(connection.outbox(), &mut frames);
    while !frames.is_empty() {
        let written = write_some(socket, &frames, connection).await?;
        frames.advance(written);
    }
    socket.flush().await
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
