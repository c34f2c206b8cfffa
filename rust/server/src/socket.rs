//! The socket of a client, with what bounds it in time and what can end it from outside.
//!
//! The one descriptor of a client is here, below TLS and HTTP: whoever has to end a socket that is
//! stuck has a [`SocketHandle`] of it, which wakes the task that reads and writes it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use runtime::{ByteBudget, Limits, Place};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::deadline::{Deadline, Pace};
use crate::scan::BodyFault;

/// What the kernel takes beyond what is on its way (bytes). What waits past it stays in the outbox,
/// where the slow-consumer policy can reach it, and a client that reads slowly is seen to read: the
/// socket can be written again when half of this has left, not when a third of megabytes has.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 * 1024;

/// What is kept of the responses of one connection: so many times `Limits.max_pending_bytes`, and so
/// much at least (bytes). Past it a further response is refused.
const KEPT_FACTOR: usize = 16;
const MIN_MAX_KEPT: usize = 16 * 1024 * 1024;

/// What is accepted from a listener.
pub(crate) trait Accepted: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Address of the peer, where it has one.
    fn peer(&self) -> Option<SocketAddr>;
    /// Sets what holds for all sockets of clients.
    fn set_up(&self);
    /// Has the kernel end it when the network acknowledges nothing of what was written for `time`.
    fn end_when_unacknowledged(&self, time: Duration);
    /// Makes the close that follows drop what was not sent.
    fn reset(&self);
}

// Options fail only on a socket that is gone, which the next read tells.
impl Accepted for TcpStream {
    fn peer(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }

    fn set_up(&self) {
        // Results are small and must not wait for more of them.
        self.set_nodelay(true).ok();
        #[cfg(target_os = "linux")]
        SockRef::from(self).set_tcp_notsent_lowat(UNSENT_BYTES).ok();
    }

    fn end_when_unacknowledged(&self, time: Duration) {
        #[cfg(target_os = "linux")]
        SockRef::from(self).set_tcp_user_timeout(Some(time)).ok();
        // Elsewhere the system decides.
        #[cfg(not(target_os = "linux"))]
        let _ = time;
    }

    fn reset(&self) {
        SockRef::from(self).set_linger(Some(Duration::ZERO)).ok();
    }
}

// The kernel keeps nothing back here, neither before nor after the close.
impl Accepted for UnixStream {
    fn peer(&self) -> Option<SocketAddr> {
        None
    }

    fn set_up(&self) {}

    fn end_when_unacknowledged(&self, _: Duration) {}

    fn reset(&self) {}
}

/// The socket of one client.
pub(crate) struct Socket<T> {
    stream: T,
    state: Arc<SocketState>,
    request_timeout: Duration,
    /// Until the head of a request is there, when none runs.
    head: Option<Deadline>,
    /// The requests that had come when `head` began (count).
    begun: u64,
    /// How fast the client takes what is written.
    pace: Pace,
}

/// What a socket and its handles have in common.
#[derive(Default)]
struct SocketState {
    is_ended: AtomicBool,
    /// Others watch over it.
    is_unwatched: AtomicBool,
    /// Requests whose responses are not complete (count).
    requests: AtomicUsize,
    /// Requests that have come (count).
    begun: AtomicU64,
    /// Reads that brought something (count).
    reads: AtomicU64,
    /// What was written (bytes).
    sent: AtomicU64,
    /// Time the network has to acknowledge what was written (ms), to be set; 0: nothing is.
    unacknowledged: AtomicU64,
    /// The task that reads and writes.
    task: AtomicWaker,
    /// Of requests whose responses are complete, but perhaps not written.
    written: Mutex<Vec<Place>>,
    /// The request whose body is refused, counted from 1, and why.
    refused_body: Mutex<Option<(u64, BodyFault)>>,
    /// Who reads a body.
    body: AtomicWaker,
    /// Of what goes on for as long as the socket does.
    lasting: Mutex<Option<Place>>,
    /// What is kept of responses until their client takes it, and the most that may be (bytes).
    budget: Arc<ByteBudget>,
}

/// Acts on a socket from anywhere.
#[derive(Clone)]
pub(crate) struct SocketHandle(Arc<SocketState>);

impl SocketHandle {
    /// Ends the socket at once, whatever still waits to be written.
    pub(crate) fn shut_down(&self) {
        self.0.is_ended.store(true, Release);
        self.0.task.wake();
    }

    /// A request has come; it runs until what this returns is dropped.
    pub(crate) fn begin_request(&self) -> RunningRequest {
        self.0.requests.fetch_add(1, Relaxed);
        self.0.begun.fetch_add(1, Relaxed);
        RunningRequest(self.clone())
    }

    /// Which request of the connection runs, of those that are answered one after the other;
    /// counted from 1.
    pub(crate) fn request(&self) -> u64 {
        self.0.begun.load(Relaxed)
    }

    /// Nothing of the body of a request is handed on any more.
    pub(crate) fn refuse_body(&self, request: u64, fault: BodyFault) {
        self.0.refused_body.lock().replace((request, fault));
        self.0.body.wake();
    }

    /// Ready when the body of a request is refused.
    pub(crate) fn poll_body_refused(&self, cx: &Context<'_>, request: u64) -> Poll<BodyFault> {
        self.0.body.register(cx.waker());
        match *self.0.refused_body.lock() {
            Some((refused, fault)) if refused == request => Poll::Ready(fault),
            _ => Poll::Pending,
        }
    }

    /// Has the kernel end the socket when the network acknowledges nothing for `time`. Of a client
    /// that answers nothing, as those of HTTP, nothing else tells that it is gone.
    pub(crate) fn end_when_unacknowledged(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.unacknowledged.store(milliseconds, Relaxed);
    }

    /// Changes whenever the client has sent something.
    pub(crate) fn heard(&self) -> u64 {
        self.0.reads.load(Relaxed)
    }

    /// What the socket has taken so far (bytes).
    pub(crate) fn sent(&self) -> u64 {
        self.0.sent.load(Relaxed)
    }

    /// Gives a place back once all that waits to be written now is written.
    pub(crate) fn free_when_written(&self, place: Place) {
        self.0.written.lock().push(place);
    }

    /// What may be kept for its clients until they take it.
    pub(crate) fn budget(&self) -> &Arc<ByteBudget> {
        &self.0.budget
    }

    /// The socket has a protocol that has bounds of its own, and keeps its place.
    pub(crate) fn hand_over(&self, place: Place) {
        self.0.is_unwatched.store(true, Relaxed);
        self.0.lasting.lock().replace(place);
    }
}

/// A request whose response is not complete.
pub(crate) struct RunningRequest(SocketHandle);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.0.requests.fetch_sub(1, Relaxed);
    }
}

impl<T: Accepted> Socket<T> {
    pub(crate) fn new(stream: T, limits: &Limits) -> Self {
        let max_kept = limits.max_pending_bytes.saturating_mul(KEPT_FACTOR);
        let budget = ByteBudget::new(max_kept.max(MIN_MAX_KEPT));
        Self {
            stream,
            state: Arc::new(SocketState {
                budget,
                ..SocketState::default()
            }),
            request_timeout: limits.request_timeout,
            head: None,
            begun: 0,
            pace: Pace::new(limits.send_timeout),
        }
    }

    pub(crate) fn handle(&self) -> SocketHandle {
        SocketHandle(self.state.clone())
    }

    /// An error once the socket was ended; else the task is woken when it is.
    fn poll_ended(&self, cx: &Context<'_>) -> io::Result<()> {
        if self.is_unwatched() {
            return Ok(());
        }
        self.state.task.register(cx.waker());
        if self.state.is_ended.load(Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    fn is_unwatched(&self) -> bool {
        self.state.is_unwatched.load(Relaxed)
    }

    /// An error when the client takes too long to send the head of a request.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.is_unwatched() || self.state.requests.load(Relaxed) > 0 {
            self.head = None;
            return Ok(());
        }
        // One that was answered before the next read was never seen running.
        let begun = self.state.begun.load(Relaxed);
        if begun != self.begun {
            self.begun = begun;
            self.head = None;
        }
        let span = self.request_timeout;
        let head = self.head.get_or_insert_with(|| Deadline::new(span));
        if head.poll(cx).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Sets before a write what was asked for by a handle.
    fn set_options(&self) {
        let asked = self.state.unacknowledged.swap(0, Relaxed);
        if asked > 0 {
            let time = Duration::from_millis(asked);
            self.stream.end_when_unacknowledged(time);
        }
    }

    /// An error when the client takes nothing for too long, or too little.
    fn watch(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.is_unwatched() {
            return written;
        }
        if let Poll::Ready(written) = written {
            let bytes = written.as_ref().map_or(0, |bytes| *bytes as u64);
            self.pace.take(bytes);
            self.state.sent.fetch_add(bytes, Relaxed);
            return Poll::Ready(written);
        }
        if self.pace.poll(cx).is_ready() {
            self.stream.reset();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<T: Accepted> AsyncRead for Socket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_ended(cx)?;
        self.poll_head(cx)?;
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.state.reads.fetch_add(1, Relaxed);
        }
        read
    }
}

impl<T: Accepted> AsyncWrite for Socket<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_ended(cx)?;
        self.set_options();
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_ended(cx)?;
        self.set_options();
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Layers above flush when they have written all they have.
        self.state.written.lock().clear();
        self.pace.rest();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
