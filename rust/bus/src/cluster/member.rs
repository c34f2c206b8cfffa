//! This node: announces itself, sends and answers requests, and reads revocations.
//!
//! Its tasks run on the thread of the link. Requests may be awaited on any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::host::NodeHost;
use super::incoming::{Incoming, Reply};
use super::losses::{self, KnownLosses, LossNotice, STORED_FOR, StoredRead};
use super::message::{
    Answer, Asked, Content, ListedConnection, Message, decode_revocation, encode_revocation, pages,
    size,
};
use super::nodes::{NodeId, NodeInfo};
use super::requests::{MAX_ANSWER_BYTES, RequestAnswers};
use super::revocations::{Revocation, Revocations};
use crate::engine::{ControlError, Engine, Health, Role};
use crate::source::Lost;

/// Mean time between two announcements. Each interval is random, within a fifth of this.
const ANNOUNCE: Duration = Duration::from_secs(5);

/// Longest pause before a failed call is repeated.
const RETRY: Duration = Duration::from_millis(500);

/// Pause after the engine has refused a call: time alone does not solve it.
const REFUSED: Duration = Duration::from_secs(15);

/// How often revocations are read when nothing requires it.
const REVIEW: Duration = Duration::from_secs(30);

/// How often `started` checks for the first links.
const LOOK: Duration = Duration::from_millis(10);

/// Timeout of sending one message.
const SEND: Duration = Duration::from_secs(5);

/// Limit of the requests of other nodes that are answered at once (count).
const ANSWERS_AT_ONCE: usize = 16;

/// Longest time for which connections can be revoked.
pub const MAX_REVOKE_FOR: Duration = Duration::from_hours(30 * 24);

/// The parts of an announcement that do not change.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// Its id.
    pub id: NodeId,
    /// Its name, at most [`MAX_NAME_BYTES`](super::MAX_NAME_BYTES).
    pub name: Arc<str>,
    /// The version of its package.
    pub version: Arc<str>,
    /// When the node was started (seconds since the epoch).
    pub started_at: f64,
}

/// This node, and what it knows of the others.
pub struct Cluster {
    own: NodeIdentity,
    engine: Arc<dyn Engine>,
    revocations: Arc<Revocations>,
    incoming: Arc<Incoming>,
    /// Taken when the tasks start.
    replies: Mutex<Option<mpsc::Receiver<(NodeId, Reply)>>>,
    /// Limits the requests for lists of connections: each answer may be large.
    lists: Semaphore,
    /// The list of this node's connections that is built and sent at a time.
    own_list: Semaphore,
    losses: Mutex<KnownLosses>,
    made_at: std::time::Instant,
    is_leaving: AtomicBool,
    is_refusal_logged: AtomicBool,
}

/// The answers of other nodes to a request.
#[derive(Debug, Default, PartialEq)]
pub struct ClusterAnswers<T> {
    /// The nodes that have answered, with their answers.
    pub answered: Vec<(NodeInfo, T)>,
    /// The nodes that have not answered in time.
    pub unanswered: Vec<NodeInfo>,
    /// Whether all nodes were asked and have answered.
    pub is_complete: bool,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = &self.own.id;
        f.debug_struct("Cluster")
            .field("id", id)
            .finish_non_exhaustive()
    }
}

impl NodeIdentity {
    /// Returns the announcement of this node with its current status.
    #[must_use]
    pub fn info(&self, host: &dyn NodeHost) -> NodeInfo {
        NodeInfo {
            id: self.id.clone(),
            name: self.name.clone(),
            version: self.version.clone(),
            started_at: self.started_at,
            status: host.status(),
        }
    }
}

impl Cluster {
    /// Joins the nodes of an engine. Call it before the engine is started.
    #[must_use]
    pub fn join(own: NodeIdentity, engine: Arc<dyn Engine>, revocations: Arc<Revocations>) -> Self {
        let (incoming, replies) = Incoming::new(own.id.clone());
        let incoming = Arc::new(incoming);
        engine.control().join(own.id.as_str(), incoming.clone());
        Self {
            own,
            engine,
            revocations,
            incoming,
            replies: Mutex::new(Some(replies)),
            lists: Semaphore::new(1),
            own_list: Semaphore::new(1),
            losses: Mutex::default(),
            made_at: std::time::Instant::now(),
            is_leaving: AtomicBool::new(false),
            is_refusal_logged: AtomicBool::new(false),
        }
    }

    /// The engine that the nodes share.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Runs the tasks of the node until the future is dropped. Call it once.
    pub async fn run(&self, host: &dyn NodeHost) {
        let Some(replies) = self.replies.lock().take() else {
            return;
        };
        tokio::join!(
            self.announce(host),
            self.answer(replies, host),
            self.keep_to_revocations(host)
        );
    }

    /// The other nodes that are alive.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeInfo> {
        self.incoming.live()
    }

    /// Waits until all other nodes are known: at most one second after this one has joined.
    pub async fn known(&self) {
        self.incoming.known().await;
    }

    /// Messages of other nodes that could not be read or for which there was no room (count).
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.incoming.unreadable()
    }

    /// Stores a revocation for all nodes, also for nodes that cannot be reached now.
    ///
    /// # Errors
    ///
    /// [`ControlError`]. If there was no answer, the revocation may have been stored.
    pub async fn revoke(
        &self,
        revocation: &Revocation,
        lasts: Duration,
        until: Instant,
    ) -> Result<(), ControlError> {
        let entry = encode_revocation(revocation);
        let kept = async {
            self.started().await;
            self.engine.control().revoke(entry, lasts).await
        };
        timeout_at(until, kept).await.unwrap_or_else(|_| {
            let late = "it has not answered in time";
            Err(ControlError::Unavailable(late.to_owned()))
        })
    }

    /// Asks the other nodes to close connections. Each answers how many it has closed.
    pub async fn disconnect(
        &self,
        revocation: Revocation,
        revoke_for: Option<Duration>,
        until: Instant,
    ) -> ClusterAnswers<u64> {
        let asked = |_| Asked::Disconnect {
            revocation,
            revoke_for,
        };
        let (answers, is_complete) = self.ask(asked, until).await;
        self.outcome(answers, is_complete, |answer| answer.closed)
    }

    /// Asks the other nodes for their open connections.
    pub async fn connections(&self, until: Instant) -> ClusterAnswers<Vec<ListedConnection>> {
        let turn = timeout_at(until, self.lists.acquire()).await;
        let (answers, is_complete) = match turn {
            Ok(_turn) => {
                let asked = |within| Asked::Connections { within };
                self.ask(asked, until).await
            }
            Err(_) => (self.all_unanswered(), false),
        };
        self.outcome(answers, is_complete, |answer| answer.connections)
    }

    /// Tells all subscribers of the cluster that events were lost before they reached the engine. A loss of
    /// any stream is stored, so that nodes that are cut off now tell it when
    /// they are back. Resolves when it is stored, and the nodes that can be reached have told it, before
    /// anything that is published later reaches them.
    pub async fn tell_loss(&self, lost: Lost, host: &dyn NodeHost) {
        let loss = LossNotice::new(lost);
        if loss.is_of_history {
            // At first: who tells it has told what is stored.
            self.store_loss(&loss).await;
        }
        self.note_loss(&loss, host);
        let asked = |_| Asked::TellLoss { loss };
        self.ask(asked, Instant::now() + SEND).await;
    }

    /// Stores a loss for nodes that do not hear of it now, however long it takes.
    async fn store_loss(&self, loss: &LossNotice) {
        loop {
            let stored = self.engine.control().revoke(loss.encode(), STORED_FOR);
            match timeout(SEND, stored).await {
                Ok(Ok(())) => return,
                Ok(Err(ControlError::Unavailable(_))) | Err(_) => sleep(retry_pause()).await,
                Ok(Err(error)) => {
                    tracing::error!(
                        name: "cluster.unreachable",
                        target: "fraiseql_subs",
                        reason = %error,
                        "events were lost, and nodes that cannot be reached now do not learn it"
                    );
                    return;
                }
            }
        }
    }

    /// Announces to the other nodes that this one leaves.
    pub async fn leave(&self, limit: Duration) {
        self.is_leaving.store(true, Relaxed);
        // If it fails, the other nodes notice that this one is silent.
        timeout(limit, self.send(None, Content::Leaving)).await.ok();
    }

    /// Waits for the first links: a manager that has just started has none yet.
    async fn started(&self) {
        while *self.engine.health().worst() == Health::Starting {
            sleep(LOOK).await;
        }
    }

    /// Asks all other nodes. Returns their answers, and whether all have answered.
    async fn ask(
        &self,
        asked: impl FnOnce(Duration) -> Asked,
        until: Instant,
    ) -> (RequestAnswers, bool) {
        timeout_at(until, self.started()).await.ok();
        let Some(waiting) = self.incoming.begin() else {
            return (self.all_unanswered(), false);
        };
        let content = Content::Request {
            request: waiting.request,
            asked: asked(until.saturating_duration_since(Instant::now())),
        };
        let answered = async {
            // Without a link no answer can come.
            let receivers = self.send(None, content).await?;
            // The count includes this node.
            waiting.sent(receivers.map(|count| count.saturating_sub(1)));
            waiting.complete().await;
            Ok::<_, ControlError>(())
        };
        let is_complete = matches!(timeout_at(until, answered).await, Ok(Ok(())));
        (waiting.end(), is_complete)
    }

    fn all_unanswered(&self) -> RequestAnswers {
        let live = self.incoming.live().into_iter();
        RequestAnswers {
            unanswered: live.map(|node| node.id).collect(),
            ..RequestAnswers::default()
        }
    }

    fn outcome<T>(
        &self,
        answers: RequestAnswers,
        is_complete: bool,
        read: impl Fn(super::requests::NodeAnswer) -> T,
    ) -> ClusterAnswers<T> {
        let mut answered = Vec::with_capacity(answers.answered.len());
        for (id, answer) in answers.answered {
            // A node that has not announced itself is known only by its id.
            let node = self.incoming.node(&id).unwrap_or_else(|| NodeInfo {
                name: id.as_str().into(),
                id,
                version: "".into(),
                started_at: 0.0,
                status: super::nodes::NodeStatus::default(),
            });
            answered.push((node, read(answer)));
        }
        let missing = answers.unanswered.iter();
        let mut unanswered: Vec<_> = missing.filter_map(|id| self.incoming.node(id)).collect();
        let silent = self.incoming.silent().into_iter();
        let is_new = |node: &NodeInfo| {
            let is_in = |other: &NodeInfo| other.id == node.id;
            !answered.iter().any(|(other, _)| is_in(other))
                && !answers.unanswered.contains(&node.id)
        };
        unanswered.extend(silent.filter(is_new));
        answered.sort_by(|(a, _), (b, _)| a.started_at.total_cmp(&b.started_at));
        unanswered.sort_by(|a, b| a.started_at.total_cmp(&b.started_at));
        ClusterAnswers {
            is_complete: is_complete && unanswered.is_empty(),
            answered,
            unanswered,
        }
    }

    /// Sends a message. Returns how many nodes it was sent to, if the engine knows.
    async fn send(
        &self,
        to: Option<&NodeId>,
        content: Content,
    ) -> Result<Option<u64>, ControlError> {
        let message = Message {
            from: self.own.id.clone(),
            content,
        };
        let to = to.map(NodeId::as_str);
        let sent = self.engine.control().send(to, message.encode());
        timeout(SEND, sent).await.unwrap_or_else(|_| {
            let late = "it has not answered in time";
            Err(ControlError::Unavailable(late.to_owned()))
        })
    }

    /// Sends announcements periodically.
    async fn announce(&self, host: &dyn NodeHost) {
        let mut joined = self.incoming.joined();
        let mut heard = 0;
        loop {
            let health = self.engine.health();
            self.incoming
                .listening(health.of(Role::Subscriber).is_live());
            self.revocations.expire(std::time::Instant::now());
            let times = joined.borrow_and_update().times;
            let mut pause = ANNOUNCE.mul_f64(0.8 + 0.4 * fastrand::f64());
            if times > 0 && !self.is_leaving.load(Relaxed) {
                let asks = times != heard;
                match self.send(None, self.announcement(host, asks)).await {
                    Ok(receivers) => {
                        if asks {
                            let others = receivers.map(|count| count.saturating_sub(1));
                            self.incoming.found(others);
                        }
                        heard = times;
                    }
                    Err(ControlError::Unavailable(_)) => pause = retry_pause(),
                    Err(error) => {
                        self.log_refused(&error);
                        pause = REFUSED;
                    }
                }
            }
            // The sender belongs to this node, so the channel cannot be closed.
            timeout(pause, joined.changed()).await.ok();
        }
    }

    fn announcement(&self, host: &dyn NodeHost, asks: bool) -> Content {
        let info = self.own.info(host);
        Content::Announcement { info, asks }
    }

    /// Logs that the engine refuses messages, once for each time that this node joins.
    fn log_refused(&self, error: &ControlError) {
        if self.is_refusal_logged.swap(true, Relaxed) {
            return;
        }
        tracing::warn!(
            name: "cluster.refused",
            target: "fraiseql_subs",
            reason = %error,
            "nodes cannot exchange messages: the bus refuses them"
        );
    }

    /// Answers the requests of other nodes.
    async fn answer(&self, mut replies: mpsc::Receiver<(NodeId, Reply)>, host: &dyn NodeHost) {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some((to, reply)) = replies.recv(), if under_way.len() < ANSWERS_AT_ONCE => {
                    under_way.push(self.answer_one(to, reply, host));
                }
                Some(()) = under_way.next() => {}
                else => return,
            }
        }
    }

    async fn answer_one(&self, to: NodeId, reply: Reply, host: &dyn NodeHost) {
        // A node that has just started may be asked before it can send anything.
        timeout(SEND, self.started()).await.ok();
        // If sending fails, the other node times out.
        match reply {
            Reply::Announcement => {
                let announcement = self.announcement(host, false);
                self.send(Some(&to), announcement).await.ok();
            }
            Reply::Answer { request, asked } => match asked {
                Asked::Disconnect {
                    revocation,
                    revoke_for,
                } => {
                    if let Some(time) = revoke_for {
                        self.note(revocation.clone(), time);
                    }
                    let Revocation { selector, closing } = revocation;
                    let closed = host.disconnect(selector, closing).await;
                    let answer = Answer::Disconnected { closed };
                    let answer = Content::Answer { request, answer };
                    self.send(Some(&to), answer).await.ok();
                }
                Asked::TellLoss { loss } => {
                    self.note_loss(&loss, host);
                    let answer = Answer::LossTold;
                    let answer = Content::Answer { request, answer };
                    self.send(Some(&to), answer).await.ok();
                }
                Asked::Connections { within } => {
                    let list = self.send_list(&to, request, host);
                    timeout(within, list).await.ok();
                }
            },
        }
    }

    async fn send_list(&self, to: &NodeId, request: u64, host: &dyn NodeHost) {
        // An end of it cannot come.
        let Ok(_turn) = self.own_list.acquire().await else {
            return;
        };
        let connections = host.connections().await;
        if connections.iter().map(size).sum::<usize>() > MAX_ANSWER_BYTES {
            // The node that asks has no room for it.
            return;
        }
        for (page, (connections, is_last)) in (0..).zip(pages(connections)) {
            let answer = Answer::Connections {
                page,
                is_last,
                connections,
            };
            let sent = self.send(Some(to), Content::Answer { request, answer });
            if sent.await.is_err() {
                return;
            }
        }
    }

    /// Reads the revocations each time the node has joined, and periodically. Closes revoked
    /// connections.
    async fn keep_to_revocations(&self, host: &dyn NodeHost) {
        let mut joined = self.incoming.joined();
        let mut read = 0;
        loop {
            // The sender belongs to this node, so the channel cannot be closed.
            let joins = joined.wait_for(|joined| joined.times != read);
            match timeout(REVIEW, joins).await {
                Ok(joined) => read = joined.map_or(read, |joined| joined.times),
                // A periodic read also covers a request to disconnect that was dropped because a queue
                // was full.
                Err(_) if read > 0 => {}
                Err(_) => continue,
            }
            self.is_refusal_logged.store(false, Relaxed);
            loop {
                let begin = std::time::Instant::now();
                let read = timeout(SEND, self.engine.control().revocations()).await;
                match read {
                    Ok(Ok(entries)) => {
                        let end = std::time::Instant::now();
                        let has_any = !entries.is_empty();
                        for (entry, left) in entries {
                            if let Some(revocation) = decode_revocation(&entry) {
                                self.note(revocation, left);
                            } else if LossNotice::decode(&entry).is_some() {
                                let age = losses::age(left);
                                self.note_stored_loss(age, StoredRead { begin, end }, host);
                            } else {
                                self.incoming.count_unreadable();
                            }
                        }
                        self.losses.lock().expire(std::time::Instant::now());
                        if has_any {
                            host.close_revoked().await;
                        }
                        break;
                    }
                    Ok(Err(ControlError::Unavailable(_))) | Err(_) => sleep(retry_pause()).await,
                    Ok(Err(error)) => {
                        self.log_refused(&error);
                        sleep(REFUSED).await;
                    }
                }
            }
        }
    }

    /// Tells the subscribers of this node of a loss, once.
    fn note_loss(&self, loss: &LossNotice, host: &dyn NodeHost) {
        if !self.losses.lock().add(loss, std::time::Instant::now()) {
            return;
        }
        if loss.is_of_history {
            host.distrust_history(losses::lossy_for(Duration::ZERO));
        }
        host.events_lost(loss.stream.as_ref());
    }

    /// Tells the subscribers of this node of a loss of any stream that is stored, once. One from before this
    /// node was made matters to those alone who have gone on here from a position in the history.
    fn note_stored_loss(&self, age: Duration, read: StoredRead, host: &dyn NodeHost) {
        if !self.losses.lock().add_stored(age, read) {
            return;
        }
        let lossy_for = losses::lossy_for(age);
        host.distrust_history(lossy_for);
        if age <= self.made_at.elapsed() || !lossy_for.is_zero() {
            host.events_lost(None);
        }
    }

    fn note(&self, revocation: Revocation, lasts: Duration) {
        let now = std::time::Instant::now();
        let until = now + lasts.min(MAX_REVOKE_FOR);
        if self.revocations.add(revocation, until, now).is_err() {
            self.incoming.count_unreadable();
        }
    }
}

fn retry_pause() -> Duration {
    RETRY.mul_f64(0.5 + 0.5 * fastrand::f64())
}
