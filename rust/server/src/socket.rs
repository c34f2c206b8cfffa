//! The socket of a client, with its time limits, and a handle that can abort it.
//!
//! The only descriptor of a client is here, below TLS and HTTP. Code that has to abort a stuck
//! socket has a [`SocketHandle`], which wakes the task that reads and writes the socket.

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

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use runtime::{ByteBudget, Limits, Place};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::deadline::{Deadline, LINGER, Pace};
use crate::scan::BodyFault;

/// Limit of unsent bytes in the kernel (bytes). Further data stays in the outbox, where the
/// slow-consumer policy applies. It also makes the progress of a slow client visible: the socket is
/// writable again when half of this was sent, not a third of several megabytes.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 * 1024;

/// Limit of the kept responses of one connection: this factor times `Limits.max_pending_bytes`, and
/// at least `MIN_MAX_KEPT`. Past it a further response is refused.
const KEPT_FACTOR: usize = 16;
const MIN_MAX_KEPT: usize = 16 * 1024 * 1024;

/// A connection that a listener has accepted.
pub(crate) trait Accepted: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Returns the address of the peer; `None`: it has connected to a unix socket.
    ///
    /// # Errors
    ///
    /// The peer has gone, so that the kernel knows its address no more. What it has sent may still be
    /// there.
    fn peer(&self) -> io::Result<Option<SocketAddr>>;
    /// Sets the options of all sockets of clients.
    fn set_up(&self);
    /// Lets the kernel abort it if the peer acknowledges no written data for `time`.
    fn end_when_unacknowledged(&self, time: Duration);
    /// Makes the following close drop unsent data.
    fn reset(&self);
}

// Setting options fails only on a lost socket, which the next read reports.
impl Accepted for TcpStream {
    fn peer(&self) -> io::Result<Option<SocketAddr>> {
        self.peer_addr().map(Some)
    }

    fn set_up(&self) {
        // Results are small and must not wait for further ones.
        self.set_nodelay(true).ok();
        #[cfg(target_os = "linux")]
        SockRef::from(self).set_tcp_notsent_lowat(UNSENT_BYTES).ok();
    }

    fn end_when_unacknowledged(&self, time: Duration) {
        #[cfg(target_os = "linux")]
        SockRef::from(self).set_tcp_user_timeout(Some(time)).ok();
        // On other systems the default applies.
        #[cfg(not(target_os = "linux"))]
        let _ = time;
    }

    fn reset(&self) {
        SockRef::from(self).set_linger(Some(Duration::ZERO)).ok();
    }
}

// For unix sockets the kernel buffers no data beyond the peer's queue, neither before nor after the
// close.
#[cfg(unix)]
impl Accepted for UnixStream {
    fn peer(&self) -> io::Result<Option<SocketAddr>> {
        Ok(None)
    }

    fn set_up(&self) {}

    fn end_when_unacknowledged(&self, _: Duration) {}

    fn reset(&self) {}
}

/// The socket of one client.
pub(crate) struct Socket<T> {
    stream: T,
    /// Bytes that were read from the stream already. Few sockets have any, so it is a `Box`.
    first: Option<Box<Bytes>>,
    state: Arc<SocketState>,
    request_timeout: Duration,
    /// Time limit for the head of a request, while none runs.
    head: Option<Deadline>,
    /// Received requests when `head` was started (count).
    begun: u64,
    /// How fast the client reads the written data.
    pace: Pace,
}

/// What a socket and its handles have in common.
#[derive(Default)]
struct SocketState {
    is_ended: AtomicBool,
    /// Whether no further request is expected.
    is_leaving: AtomicBool,
    /// Whether a proxy that passes its bytes on has told no client.
    hides_client: AtomicBool,
    /// Whether another component enforces the time limits.
    is_unwatched: AtomicBool,
    /// Requests whose responses are not complete (count).
    requests: AtomicUsize,
    /// Received requests (count).
    begun: AtomicU64,
    /// Reads that returned data (count).
    reads: AtomicU64,
    /// Written bytes.
    sent: AtomicU64,
    /// Time limit for acknowledgements (ms) that is still to be set; 0: none.
    unacknowledged: AtomicU64,
    /// The task that reads and writes.
    task: AtomicWaker,
    /// Places of requests whose responses are complete, but perhaps not written.
    written: Mutex<Vec<Place>>,
    /// The request whose body is refused, counted from 1, and why.
    refused_body: Mutex<Option<(u64, BodyFault)>>,
    /// The task that reads a body.
    body: AtomicWaker,
    /// Place of the connection itself, kept as long as the socket.
    lasting: Mutex<Option<Place>>,
    /// Bytes of responses that wait for the client, and their limit.
    budget: Arc<ByteBudget>,
}

/// Controls a socket from any thread.
#[derive(Clone)]
pub(crate) struct SocketHandle(Arc<SocketState>);

impl SocketHandle {
    /// Aborts the socket at once, even with unwritten data.
    pub(crate) fn shut_down(&self) {
        self.0.is_ended.store(true, Release);
        self.0.task.wake();
    }

    /// Closes the socket shortly after its requests, as the server drains: the client's next one is for
    /// another server.
    pub(crate) fn leave(&self) {
        self.0.is_leaving.store(true, Relaxed);
    }

    /// Records that its client is not known: a proxy that passes its bytes on has told none.
    pub(crate) fn hide_client(&self) {
        self.0.hides_client.store(true, Relaxed);
    }

    /// Whether [`Self::hide_client`] was called.
    pub(crate) fn hides_client(&self) -> bool {
        self.0.hides_client.load(Relaxed)
    }

    /// Records a request; it runs until the returned guard is dropped.
    pub(crate) fn begin_request(&self) -> RunningRequest {
        self.0.requests.fetch_add(1, Relaxed);
        self.0.begun.fetch_add(1, Relaxed);
        RunningRequest(self.clone())
    }

    /// Returns the number of the running request, for requests that are answered in sequence;
    /// counted from 1.
    pub(crate) fn request(&self) -> u64 {
        self.0.begun.load(Relaxed)
    }

    /// Refuses the body of a request: no further part is passed on.
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

    /// Lets the kernel abort the socket if the peer acknowledges nothing for `time`. For HTTP
    /// clients, which send no answers, this is the only way to detect that they are gone.
    pub(crate) fn end_when_unacknowledged(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.unacknowledged.store(milliseconds, Relaxed);
    }

    /// Returns a number that changes whenever the client has sent data.
    pub(crate) fn heard(&self) -> u64 {
        self.0.reads.load(Relaxed)
    }

    /// Returns the number of bytes written so far.
    pub(crate) fn sent(&self) -> u64 {
        self.0.sent.load(Relaxed)
    }

    /// Releases a place when all data that is pending now was written.
    pub(crate) fn free_when_written(&self, place: Place) {
        self.0.written.lock().push(place);
    }

    /// Returns the budget of bytes that wait for the client.
    pub(crate) fn budget(&self) -> &Arc<ByteBudget> {
        &self.0.budget
    }

    /// The socket has a protocol that has bounds of its own, and keeps its place.
    pub(crate) fn hand_over(&self, place: Place) {
        self.0.is_unwatched.store(true, Relaxed);
        // A waker keeps the memory of its task, which ends with the handshake.
        self.0.task.take();
        self.0.body.take();
        self.0.lasting.lock().replace(place);
    }
}

/// A request whose response is not complete.
pub(crate) struct RunningRequest(SocketHandle);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        if self.0.0.requests.fetch_sub(1, Relaxed) == 1 {
            // The last read may have been before the end of the response: only a further read
            // starts the time limit for the next head.
            self.0.0.task.wake();
        }
    }
}

impl<T: Accepted> Socket<T> {
    /// Creates the socket of a stream; `first` was read from it already.
    pub(crate) fn new(stream: T, first: Bytes, limits: &Limits) -> Self {
        let max_kept = limits.max_pending_bytes.saturating_mul(KEPT_FACTOR);
        let budget = ByteBudget::new(max_kept.max(MIN_MAX_KEPT));
        Self {
            stream,
            first: (!first.is_empty()).then(|| Box::new(first)),
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

    /// Returns an error if the socket was aborted; otherwise registers the task to be woken.
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

    /// Returns an error if the client takes too long to send the head of a request.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.is_unwatched() || self.state.requests.load(Relaxed) > 0 {
            self.head = None;
            return Ok(());
        }
        // A request that was answered before the next read was never seen running.
        let begun = self.state.begun.load(Relaxed);
        if begun != self.begun {
            self.begun = begun;
            self.head = None;
        }
        let is_leaving = self.state.is_leaving.load(Relaxed);
        let longest = if is_leaving { LINGER } else { Duration::MAX };
        let span = self.request_timeout.min(longest);
        let head = self.head.get_or_insert_with(|| Deadline::new(span));
        if head.poll(cx).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Sets the options that a handle has requested, before a write.
    fn set_options(&self) {
        let asked = self.state.unacknowledged.swap(0, Relaxed);
        if asked > 0 {
            let time = Duration::from_millis(asked);
            self.stream.end_when_unacknowledged(time);
        }
    }

    /// Returns an error if the client reads nothing for too long, or too little.
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
        let read = if let Some(mut first) = self.first.take() {
            let count = first.len().min(buf.remaining());
            buf.put_slice(&first.split_to(count));
            self.first = (!first.is_empty()).then_some(first);
            Poll::Ready(Ok(()))
        } else {
            Pin::new(&mut self.stream).poll_read(cx, buf)
        };
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
        // The layers above flush when they have written all their data.
        self.state.written.lock().clear();
        self.pace.rest();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
