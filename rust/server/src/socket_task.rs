//! The task that drives the socket of a WebSocket: what waits in the outbox goes out, what comes in
//! goes to the connection actor.
//!
//! After the handshake the socket no longer belongs to actix-http, so an idle WebSocket has no
//! buffers.
//! Not here: messages and their frames (`ws_decoder`, `ws_encoder`).

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Release};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use actix_rt::time::timeout;
use bytes::Buf;
use futures_util::task::AtomicWaker;
use runtime::{Connection, Flow, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::AbortHandle;

use crate::allowance::Allowance;
use crate::deflate::Deflate;
use crate::gather::Gathered;
use crate::newcomers::Newcomers;
use crate::ws_encoder::{encode, encode_ping};

/// How long a client has to read the close frame and to close its side. Otherwise its input in that
/// time would cause a reset, which could destroy the close frame.
const LINGER: Duration = Duration::from_secs(1);

/// Pieces of one write (count).
const WRITE_SLICES: usize = 16;

/// Bytes between two pings to a client with pending data.
const ASK_BYTES: usize = 256 * 1024;

/// The task that drives the socket of a connection, as the connection sees it.
#[derive(Clone)]
pub(crate) struct SocketTask(Rc<TaskState>);

struct TaskState {
    /// The client's allowance of frames, including answers to pings.
    allowance: Rc<Allowance>,
    /// Compresses its messages, if the client has agreed.
    deflate: Option<Deflate>,
    /// Ends it; set once it runs.
    abort: OnceCell<AbortHandle>,
    /// Whether the socket is full.
    is_full: Cell<bool>,
    /// Whether the client has read pending data since the last query of the flow.
    has_moved: Cell<bool>,
    /// Whether the socket was full in this turn.
    was_full: Cell<bool>,
    /// Bytes written since the last ping while data was pending.
    unasked: Cell<usize>,
}

impl SocketTask {
    pub(crate) fn new(allowance: Rc<Allowance>, deflate: Option<Deflate>) -> Self {
        Self(Rc::new(TaskState {
            allowance,
            deflate,
            abort: OnceCell::new(),
            is_full: Cell::default(),
            has_moved: Cell::default(),
            was_full: Cell::default(),
            unasked: Cell::default(),
        }))
    }

    /// Polls a write until it is done.
    async fn write<R>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>) -> R {
        poll_fn(|cx| {
            let written = poll(cx);
            if written.is_pending() {
                self.0.is_full.set(true);
                self.0.was_full.set(true);
            } else if self.0.is_full.take() {
                // The kernel has room again, so the client has acknowledged data.
                self.0.has_moved.set(true);
            }
            written
        })
        .await
    }

    /// Whether a ping is due after a turn that has written `bytes`. A client with pending data is
    /// pinged in between, so that it answers while it reads, even if the network hides its
    /// progress.
    fn has_to_ask(&self, bytes: usize, is_more_waiting: bool) -> bool {
        let is_behind = self.0.was_full.take() || is_more_waiting;
        let unasked = if is_behind {
            self.0.unasked.get() + bytes
        } else {
            0
        };
        let is_due = unasked >= ASK_BYTES;
        self.0.unasked.set(if is_due { 0 } else { unasked });
        is_due
    }
}

impl Transport for SocketTask {
    /// Ends the task, even with unwritten data.
    fn shut_down(&self) {
        if let Some(handle) = self.0.abort.get() {
            handle.abort();
        }
    }

    fn has_pings(&self) -> bool {
        true
    }

    fn flow(&self) -> Flow {
        match (self.0.has_moved.take(), self.0.is_full.get()) {
            (true, _) => Flow::Moving,
            (false, true) => Flow::Stuck,
            (false, false) => Flow::Idle,
        }
    }

    fn is_behind(&self) -> bool {
        self.0.is_full.get()
    }
}

/// A socket that the actor reads and the socket task writes, on one thread.
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

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(cx)
    }
}

/// Wakes the task and marks that the actor has to be polled; a result of an operation does not need
/// this.
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

/// Drives a socket in a task of this thread until the actor, the client or `task` ends it.
/// The actor runs while `actor` is polled.
pub(crate) fn spawn<T>(
    actor: impl Future<Output = ()> + 'static,
    socket: SharedSocket<T>,
    connection: Rc<Connection>,
    task: &SocketTask,
    newcomers: Newcomers,
) where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let driven = task.clone();
    // A future that is passed by value has room in the state of each function that it passes.
    let actor = Box::pin(actor);
    let running = actix_rt::spawn(async move {
        // An error means that the client is gone.
        let closed = write_and_close(actor, socket, &connection, &driven);
        newcomers.take_turns(closed).await.ok();
    });
    // This is the only place that sets it.
    task.0.abort.set(running.abort_handle()).ok();
}

async fn write_and_close<T: AsyncRead + AsyncWrite + Unpin>(
    actor: Pin<Box<impl Future<Output = ()>>>,
    mut socket: SharedSocket<T>,
    connection: &Connection,
    task: &SocketTask,
) -> io::Result<()> {
    // This drops the actor and ends the operations: no message follows a close.
    write(actor, &mut socket, connection, task).await?;
    // In its own allocation, so that only a connection that closes has room for it.
    let close = Box::pin(timeout(LINGER, close(socket, connection, task)));
    close.await.unwrap_or(Ok(()))
}

/// Writes what waits, closes our side and reads until the client has closed its own.
async fn close<T: AsyncRead + AsyncWrite + Unpin>(
    mut socket: SharedSocket<T>,
    connection: &Connection,
    task: &SocketTask,
) -> io::Result<()> {
    while connection.outbox().is_closed() && !connection.outbox().is_empty() {
        write_waiting(&mut socket, connection, task).await?;
    }
    socket.shutdown().await?;
    let mut unread = [0; 1024];
    while socket.read(&mut unread).await? > 0 {}
    Ok(())
}

/// Writes until the actor ends.
async fn write<T: AsyncWrite + Unpin>(
    mut actor: Pin<Box<impl Future<Output = ()>>>,
    socket: &mut SharedSocket<T>,
    connection: &Connection,
    task: &SocketTask,
) -> io::Result<()> {
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
                let polled = actor.as_mut().poll(&mut Context::from_waker(&waker));
                if polled.is_ready() {
                    return Poll::Ready(true);
                }
            }
            signal.poll_set(cx).map(|()| false)
        })
        .await;
        if is_over {
            return Ok(());
        }
        write_waiting(socket, connection, task).await?;
        if !connection.outbox().is_empty() {
            // The actor is polled first, so that outbound traffic cannot starve inbound messages.
            signal.set();
        }
    }
}

/// Writes the outbox to the socket, up to the limit of one turn.
async fn write_waiting<T: AsyncWrite + Unpin>(
    socket: &mut SharedSocket<T>,
    connection: &Connection,
    task: &SocketTask,
) -> io::Result<()> {
    let outbox = connection.outbox();
    let mut frames = Gathered::default();
    let allowance = &task.0.allowance;
    allowance.earn(encode(outbox, task.0.deflate.as_ref(), &mut frames));
    let length = frames.remaining();
    write_all(socket, &mut frames, task).await?;
    if task.has_to_ask(length, !outbox.is_empty())
        && connection.is_kept_alive()
        && !outbox.is_closed()
    {
        allowance.earn(1);
        encode_ping(&mut frames);
        write_all(socket, &mut frames, task).await?;
    }
    task.write(|cx| Pin::new(&mut *socket).poll_flush(cx)).await
}

async fn write_all<T: AsyncWrite + Unpin>(
    socket: &mut SharedSocket<T>,
    frames: &mut Gathered,
    task: &SocketTask,
) -> io::Result<()> {
    while frames.has_remaining() {
        let written = task.write(|cx| {
            let socket = Pin::new(&mut *socket);
            let is_one_piece = frames.chunk().len() == frames.remaining();
            if is_one_piece || !socket.is_write_vectored() {
                return socket.poll_write(cx, frames.chunk());
            }
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let count = frames.chunks_vectored(&mut slices);
            socket.poll_write_vectored(cx, &slices[..count])
        });
        match written.await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => frames.advance(written),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Socket;
    use tokio::net::TcpStream;

    type Actor = Pin<Box<std::future::Pending<()>>>;

    fn output_size<A, F>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_an_idle_socket_is_small() {
        let size = output_size(
            |(actor, socket, connection, task): (
                Actor,
                SharedSocket<Socket<TcpStream>>,
                Rc<Connection>,
                SocketTask,
            )| async move {
                write_and_close(actor, socket, &connection, &task)
                    .await
                    .ok();
            },
        );
        // tokio adds some hundred bytes, and rounds up to 128.
        assert!(
            size <= 500,
            "{size} bytes: what is kept only while it closes belongs in a `Box`"
        );
        let socket = size_of::<Socket<TcpStream>>();
        assert!(socket <= 144, "{socket} bytes");
    }
}
