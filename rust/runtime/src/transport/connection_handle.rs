//! A handle for a connection on a worker whose transport is on another thread: a Python server, or
//! the task that writes an HTTP response.
//!
//! Two small bounded buffers, each under a lock, connect the threads. A side that finds its buffer
//! empty or full leaves a callback. Frames that the transport has not taken stay in the
//! connection's outbox, where they are counted and the slow-consumer policy applies.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use actix::Addr;
use futures_util::Stream;
use parking_lot::Mutex;
use protocol::{Action, Close, OperationId, Session};
use tokio::sync::oneshot;

use crate::catalog::PreparedRequest;
use crate::client::Client;
use crate::connection::{Connection, Flow, Outgoing, SignalStream, Transport, Verdict};
use crate::subscription::Callback;
use crate::worker::{RunOnWorker, ShardActor};

/// Bytes that are passed on at once; further messages stay in the outbox.
const BATCH_BYTES: usize = 64 * 1024;

/// Messages of a client that may wait for the worker (bytes). Past it the transport should wait.
const INCOMING_BYTES: usize = 64 * 1024;

/// A message of a transport to the connection.
pub(crate) enum HandoffMessage {
    Text(String),
    Binary,
    /// The client has opened its reserved stream.
    Open,
    Start {
        id: OperationId,
        prepared: Arc<PreparedRequest>,
        /// Receives whether it was started.
        reply: oneshot::Sender<bool>,
    },
    /// Requests the host executor's errors for a document.
    Judge {
        prepared: Arc<PreparedRequest>,
        reply: oneshot::Sender<Verdict>,
    },
    Stop(OperationId),
}

/// Overhead of a message in addition to its text (bytes).
const MESSAGE_BYTES: usize = 64;

impl HandoffMessage {
    fn len(&self) -> usize {
        let text = match self {
            Self::Text(text) => text.len(),
            Self::Binary | Self::Open | Self::Start { .. } | Self::Judge { .. } | Self::Stop(_) => {
                0
            }
        };
        MESSAGE_BYTES + text
    }
}

#[derive(Default)]
struct HandoffState {
    incoming: VecDeque<HandoffMessage>,
    incoming_bytes: usize,
    incoming_room: Option<Callback>,
    outgoing: Vec<Outgoing>,
    /// Number of times that the transport has taken messages.
    taken: u64,
    outgoing_filled: Option<Callback>,
    pump: Option<Waker>,
    /// The transport has dropped the connection.
    is_abandoned: bool,
    /// The worker has dropped the connection.
    is_over: bool,
}

/// State that both threads share.
#[derive(Default)]
pub(crate) struct Handoff(Mutex<HandoffState>);

impl Handoff {
    /// Passes a message on; false if the transport should wait before the next.
    pub(crate) fn push(&self, incoming: HandoffMessage) -> bool {
        let mut state = self.0.lock();
        if state.is_over {
            return true;
        }
        state.incoming_bytes += incoming.len();
        state.incoming.push_back(incoming);
        let has_room = state.incoming_bytes < INCOMING_BYTES;
        wake(state);
        has_room
    }

    /// Whether the worker has dropped the connection.
    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().is_over
    }

    /// Removes the next message of the transport, which may make room for another.
    fn next(&self) -> Option<HandoffMessage> {
        let mut state = self.0.lock();
        let incoming = state.incoming.pop_front()?;
        state.incoming_bytes -= incoming.len();
        let has_room = state.incoming_bytes < INCOMING_BYTES;
        let room = state.incoming_room.take_if(|_| has_room);
        drop(state);
        if let Some(room) = room {
            room();
        }
        Some(incoming)
    }

    fn end(&self) {
        let mut state = self.0.lock();
        state.is_over = true;
        state.incoming.clear();
        let callbacks = [state.incoming_room.take(), state.outgoing_filled.take()];
        drop(state);
        callbacks
            .into_iter()
            .flatten()
            .for_each(|callback| callback());
    }
}

/// Releases the lock, then wakes the pump.
fn wake(mut state: parking_lot::MutexGuard<'_, HandoffState>) {
    let pump = state.pump.take();
    drop(state);
    if let Some(pump) = pump {
        pump.wake();
    }
}

/// The transport's side of a connection; dropping it ends the connection.
pub struct ConnectionHandle {
    slot: Arc<Handoff>,
    /// Counts the connection for its worker's load.
    _load: Arc<()>,
}

/// Returns a number that has increased if the transport's event loop has run since the last call.
pub type Pulse = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The transport of a connection, as the connection acts on it; used on any thread.
pub struct TransportHandle {
    /// Aborts the transport even with unwritten data; called at most once.
    pub shut_down: Callback,
    /// The pulse of a transport whose event loop may be blocked. While it does not run, nothing is
    /// known about the client.
    pub pulse: Option<Pulse>,
}

/// The configuration of a connection.
pub struct ConnectionConfig {
    /// The client of the handshake or the request.
    pub client: Client,
    /// The session of the protocol.
    pub session: Session,
    /// Closes the connection at once, such as one without a subprotocol.
    pub close: Option<Close>,
    /// What sends and receives its messages.
    pub transport: TransportHandle,
    /// Called once when the connection has ended, on any thread.
    pub ended: Callback,
}

impl ConnectionHandle {
    /// Opens a connection on a worker.
    #[must_use]
    pub(crate) fn open(worker: &Addr<ShardActor>, config: ConnectionConfig, load: Arc<()>) -> Self {
        let slot = Arc::<Handoff>::default();
        let end = End {
            slot: slot.clone(),
            ended: Some(config.ended),
        };
        let (client, session, close) = (config.client, config.session, config.close);
        let TransportHandle { shut_down, pulse } = config.transport;
        worker.do_send(RunOnWorker(Box::new(move |worker| {
            let limits = &worker.state().limits;
            let limit = limits.max_message_bytes;
            let transport = HandleTransport {
                slot: end.slot.clone(),
                shut_down: Cell::new(Some(shut_down)),
                pulse: pulse.map(|pulse| (pulse, Cell::new(None))),
                observed: Cell::default(),
            };
            let connection =
                Connection::open(worker.registry(), client, session, Box::new(transport));
            if let Some(close) = close {
                connection.close(close);
            }
            actix::spawn(Pump {
                signal: SignalStream::new(connection.outbox().signal()),
                max_message_bytes: limit,
                connection,
                end,
            });
        })));
        Self { slot, _load: load }
    }

    pub(crate) fn slot(&self) -> &Arc<Handoff> {
        &self.slot
    }

    /// Passes on one text message; false if the transport should wait for [`Self::when_room`].
    #[must_use]
    pub fn receive_text(&self, text: String) -> bool {
        self.slot.push(HandoffMessage::Text(text))
    }

    /// Passes on one binary message.
    pub fn receive_binary(&self) {
        self.slot.push(HandoffMessage::Binary);
    }

    /// Calls `callback` once there is room for a message, at once if there is.
    pub fn when_room(&self, callback: Callback) {
        let mut state = self.slot.0.lock();
        if state.is_over || state.incoming_bytes < INCOMING_BYTES {
            drop(state);
            return callback();
        }
        state.incoming_room = Some(callback);
    }

    /// Takes all that is ready; `None` once nothing comes any more. When there is nothing yet,
    /// `callback` makes the function that is called once there may be.
    pub fn take_or_wait(&self, callback: impl FnOnce() -> Callback) -> Poll<Option<Vec<Outgoing>>> {
        let mut state = self.slot.0.lock();
        if !state.outgoing.is_empty() {
            let taken = std::mem::take(&mut state.outgoing);
            state.taken += 1;
            wake(state);
            return Poll::Ready(Some(taken));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        state.outgoing_filled = Some(callback());
        Poll::Pending
    }

    /// Like [`Self::take_or_wait`], for a task.
    pub fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<Vec<Outgoing>>> {
        self.take_or_wait(|| {
            let waker = cx.waker().clone();
            Box::new(move || waker.wake())
        })
    }

    /// Records that the client has read some data of the transport.
    pub fn progressed(&self) {
        self.slot.0.lock().taken += 1;
    }

    /// Records that the transport is closed.
    pub fn closed(&self) {
        let mut state = self.slot.0.lock();
        state.is_abandoned = true;
        wake(state);
    }
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        self.closed();
    }
}

/// Implements the connection's `Transport` for a handle.
struct HandleTransport {
    slot: Arc<Handoff>,
    shut_down: Cell<Option<Callback>>,
    /// The pulse, with its previous value.
    pulse: Option<(Pulse, Cell<Option<u64>>)>,
    observed: Cell<Observed>,
}

/// State at the last query of the flow.
#[derive(Clone, Copy, Default)]
struct Observed {
    /// Whether messages waited for the transport.
    was_waiting: bool,
    taken: u64,
}

impl Transport for HandleTransport {
    fn shut_down(&self) {
        if let Some(shut_down) = self.shut_down.take() {
            shut_down();
        }
        let mut state = self.slot.0.lock();
        state.is_abandoned = true;
        wake(state);
    }

    fn has_pings(&self) -> bool {
        false
    }

    /// A transport takes the next batch when its server has room for it. This is progress of the
    /// client only if the server had no room before, because the server may buffer the batch.
    fn flow(&self) -> Flow {
        if let Some((pulse, last)) = &self.pulse {
            let turn = pulse();
            if last.replace(Some(turn)) == Some(turn) {
                return Flow::Paused;
            }
        }
        let state = self.slot.0.lock();
        let now = Observed {
            was_waiting: !state.outgoing.is_empty(),
            taken: state.taken,
        };
        drop(state);
        let before = self.observed.replace(now);
        match (before.was_waiting, now.taken != before.taken) {
            (true, true) => Flow::Moving,
            (true, false) => Flow::Stuck,
            (false, _) => Flow::Idle,
        }
    }

    fn is_behind(&self) -> bool {
        !self.slot.0.lock().outgoing.is_empty()
    }
}

/// Notifies the transport when the worker drops the connection, also if the worker was never
/// reached.
struct End {
    slot: Arc<Handoff>,
    ended: Option<Callback>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.slot.end();
        if let Some(ended) = self.ended.take() {
            ended();
        }
    }
}

/// Moves messages between the shared state and the connection, on the worker.
struct Pump {
    connection: Rc<Connection>,
    signal: SignalStream,
    max_message_bytes: usize,
    end: End,
}

impl Pump {
    fn receive(&self, incoming: HandoffMessage) {
        let connection = &self.connection;
        match incoming {
            HandoffMessage::Text(text) if text.len() > self.max_message_bytes => {
                connection.close(Close::message_too_big(self.max_message_bytes));
            }
            HandoffMessage::Text(text) => connection.receive_text(&text),
            HandoffMessage::Binary => connection.receive_binary(),
            HandoffMessage::Open => connection.open_stream(),
            HandoffMessage::Start {
                id,
                prepared,
                reply,
            } => {
                // Fails only if its own request is gone.
                reply.send(connection.start(id, &prepared)).ok();
            }
            HandoffMessage::Judge { prepared, reply } => connection.judge(&prepared, reply),
            HandoffMessage::Stop(id) => connection.stop(id),
        }
    }

    /// Removes ready messages, up to the size of a batch.
    fn batch(&self) -> Vec<Outgoing> {
        let outbox = self.connection.outbox();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES {
            match outbox.pop() {
                None => break,
                Some(Outgoing::Close(close)) => {
                    let actions = self.connection.closing_actions(&close);
                    batch.extend(actions.into_iter().filter_map(|action| match action {
                        Action::Respond(head) => Some(Outgoing::Head(head)),
                        Action::Send(message) => Some(Outgoing::Text(message.into())),
                        _ => None,
                    }));
                    batch.push(Outgoing::Close(close));
                    break;
                }
                Some(outgoing) => {
                    bytes += outgoing.len();
                    batch.push(outgoing);
                }
            }
        }
        batch
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.end.slot.0.lock();
        state.pump = Some(cx.waker().clone());
        let is_abandoned = state.is_abandoned;
        drop(state);
        if is_abandoned {
            return Poll::Ready(());
        }
        // Passes on each message after the connection has handled the previous one.
        while self.connection.poll_ready(cx).is_ready()
            && let Some(incoming) = self.end.slot.next()
        {
            self.receive(incoming);
        }
        // Registers its waker with the signal.
        while let Poll::Ready(Some(())) = Pin::new(&mut self.signal).poll_next(cx) {}
        let slot = &self.end.slot;
        if slot.0.lock().outgoing.is_empty() {
            let batch = self.batch();
            let mut state = slot.0.lock();
            state.outgoing = batch;
            let is_filled = !state.outgoing.is_empty();
            let filled = state.outgoing_filled.take_if(|_| is_filled);
            drop(state);
            if let Some(filled) = filled {
                filled();
            }
        }
        Poll::Pending
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.connection.closed();
    }
}
