//! Receives the messages of other nodes.
//!
//! The tasks of the engine call it and must not wait, so requests go into a bounded queue. Not here:
//! sending answers (`member`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout_at;

use super::message::{Asked, Content, Message};
use super::nodes::{NodeId, NodeInfo, Nodes};
use super::requests::{RequestAnswers, Requests};
use crate::engine::ControlArrivals;

/// Limit of the replies that wait to be sent (count). Requests beyond it are not answered.
const QUEUE: usize = 256;

/// A reply to send to another node.
#[derive(Debug)]
pub(super) enum Reply {
    /// An announcement of this node.
    Announcement,
    /// The answer to a request.
    Answer { request: u64, asked: Asked },
}

/// Time after which all other nodes have announced themselves to a node that joins.
const SETTLED: Duration = Duration::from_secs(1);

/// Receives messages, and keeps what they say: the other nodes, and the answers to requests.
pub(super) struct Incoming {
    own: NodeId,
    state: Mutex<IncomingState>,
    replies: mpsc::Sender<(NodeId, Reply)>,
    /// Notified when an answer arrives, and when a node joins or leaves.
    changed: Notify,
    /// How many times this node has joined, and since when it is joined.
    joined: watch::Sender<Joined>,
    unreadable: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Joined {
    pub(super) times: u64,
    pub(super) at: Option<Instant>,
}

#[derive(Default)]
struct IncomingState {
    nodes: Nodes,
    requests: Requests,
    /// How many other nodes there were when this one joined; `None` if the engine does not know.
    others: Option<u64>,
}

/// A request that waits for answers. Ends when it is dropped.
pub(super) struct Waiting<'a> {
    incoming: &'a Incoming,
    pub(super) request: u64,
}

impl Incoming {
    pub(super) fn new(own: NodeId) -> (Self, mpsc::Receiver<(NodeId, Reply)>) {
        let (replies, received) = mpsc::channel(QUEUE);
        let incoming = Self {
            own,
            state: Mutex::default(),
            replies,
            changed: Notify::new(),
            joined: watch::Sender::default(),
            unreadable: AtomicU64::new(0),
        };
        (incoming, received)
    }

    /// Starts a request to all nodes; `None` if too many are open.
    pub(super) fn begin(&self) -> Option<Waiting<'_>> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let asked = state.nodes.live(now).into_iter().map(|node| node.id);
        let just_left = state.nodes.just_left(now);
        let request = state.requests.begin(asked, just_left)?;
        let incoming = self;
        Some(Waiting { incoming, request })
    }

    /// Sets whether messages can arrive now.
    pub(super) fn listening(&self, is_listening: bool) {
        self.state
            .lock()
            .nodes
            .listening(is_listening, Instant::now());
    }

    /// The other nodes that are alive.
    pub(super) fn live(&self) -> Vec<NodeInfo> {
        self.state.lock().nodes.live(Instant::now())
    }

    /// The nodes that have stopped sending, without leaving.
    pub(super) fn silent(&self) -> Vec<NodeInfo> {
        self.state.lock().nodes.silent(Instant::now())
    }

    /// The last announcement of a node.
    pub(super) fn node(&self, id: &NodeId) -> Option<NodeInfo> {
        self.state.lock().nodes.get(id).cloned()
    }

    pub(super) fn joined(&self) -> watch::Receiver<Joined> {
        self.joined.subscribe()
    }

    /// Sets how many other nodes there were when this one joined; `None` if the engine does not know.
    pub(super) fn found(&self, others: Option<u64>) {
        self.state.lock().others = others;
        self.changed.notify_waiters();
    }

    /// Waits until all other nodes are known.
    pub(super) async fn known(&self) {
        self.wait_until(|state, is_settled| {
            let known = || state.nodes.live(Instant::now()).len() as u64;
            is_settled || state.others.is_some_and(|others| known() >= others)
        })
        .await;
    }

    /// Waits until a condition on the state is true. Checks it again after each change, and at the time
    /// when all other nodes are known.
    async fn wait_until(&self, holds: impl Fn(&IncomingState, bool) -> bool) {
        loop {
            let changed = self.changed.notified();
            let (now, settles_at) = (Instant::now(), self.settles_at());
            let is_settled = settles_at.is_some_and(|at| at <= now);
            if holds(&self.state.lock(), is_settled) {
                return;
            }
            match settles_at {
                Some(at) if at > now => timeout_at(at.into(), changed).await.unwrap_or_default(),
                Some(_) | None => changed.await,
            }
        }
    }

    /// When all other nodes are known, at the latest; `None` if this node has not joined.
    fn settles_at(&self) -> Option<Instant> {
        self.joined.borrow().at.map(|at| at + SETTLED)
    }

    /// Counts a message that cannot be read.
    pub(super) fn count_unreadable(&self) {
        self.unreadable.fetch_add(1, Relaxed);
    }

    /// Messages that could not be read or for which there was no room (count).
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable.load(Relaxed)
    }

    fn take(&self, Message { from, content }: Message) -> bool {
        match content {
            Content::Announcement { info, asks } => {
                let has_room = self.state.lock().nodes.announced(info, Instant::now());
                self.changed.notify_waiters();
                has_room && (!asks || self.replies.try_send((from, Reply::Announcement)).is_ok())
            }
            Content::Leaving => {
                let mut state = self.state.lock();
                state.nodes.left(&from, Instant::now());
                state.requests.left(&from);
                drop(state);
                self.changed.notify_waiters();
                true
            }
            Content::Request { request, asked } => {
                let reply = Reply::Answer { request, asked };
                self.replies.try_send((from, reply)).is_ok()
            }
            Content::Answer { request, answer } => {
                self.state.lock().requests.answered(request, &from, answer);
                self.changed.notify_waiters();
                true
            }
        }
    }
}

impl ControlArrivals for Incoming {
    fn joined(&self) {
        self.joined.send_modify(|joined| {
            joined.times += 1;
            joined.at = Some(Instant::now());
        });
    }

    fn message(&self, message: Bytes) {
        let is_taken = match Message::decode(&message) {
            // A message to all nodes also arrives at its sender.
            Some(message) if message.from == self.own => true,
            Some(message) => self.take(message),
            None => false,
        };
        if !is_taken {
            self.count_unreadable();
        }
    }
}

impl Waiting<'_> {
    /// Notes that the request was sent, and to how many other nodes if the engine knows.
    pub(super) fn sent(&self, asked: Option<u64>) {
        let mut state = self.incoming.state.lock();
        state.requests.sent(self.request, asked);
    }

    /// Waits until all nodes have answered, and have announced themselves: without its announcement
    /// the name of a node is not known.
    pub(super) async fn complete(&self) {
        let is_complete = |state: &IncomingState, is_settled| {
            let mut answered = state.requests.answered_by(self.request);
            state.requests.is_complete(self.request, is_settled)
                && (is_settled || answered.all(|node| state.nodes.get(node).is_some()))
        };
        self.incoming.wait_until(is_complete).await;
    }

    /// Ends the request.
    pub(super) fn end(self) -> RequestAnswers {
        self.incoming.state.lock().requests.end(self.request)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.incoming.state.lock().requests.end(self.request);
    }
}
