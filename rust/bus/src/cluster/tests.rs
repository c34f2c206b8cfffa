//! Nodes that exchange messages through a test engine. A test can cut its links.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::message::{Content, Message};
use super::*;
use crate::engine::{
    Arrivals, AttemptError, Capabilities, Control, ControlArrivals, ControlError, Engine,
    EngineHealth, Health, Numbering, Outgoing, Page, Pending, ReadError, Role,
};
use crate::source::Lost;
use crate::{Position, StreamKey};

const HOUR: Duration = Duration::from_hours(1);
const SECOND: Duration = Duration::from_secs(1);

/// The state that all engines of a test share.
#[derive(Default)]
struct Hub {
    receivers: Mutex<HashMap<String, Arc<dyn ControlArrivals>>>,
    cut: Mutex<HashSet<String>>,
    kept: Mutex<HashMap<Bytes, std::time::Instant>>,
    duplicates: AtomicBool,
    /// Whether it does not know how many nodes there are.
    counts_nothing: AtomicBool,
}

impl Hub {
    /// Delivers a message. Returns to how many nodes.
    fn deliver(&self, to: Option<&str>, message: &Bytes) -> u64 {
        let mut count = 0;
        let cut = self.cut.lock().clone();
        let receivers: Vec<_> = self.receivers.lock().clone().into_iter().collect();
        for (node, receiver) in receivers {
            if to.is_none_or(|to| to == node) && !cut.contains(&node) {
                count += 1;
                receiver.message(message.clone());
                if self.duplicates.load(Relaxed) {
                    receiver.message(message.clone());
                }
            }
        }
        count
    }

    fn cut(&self, node: &TestNode) {
        self.cut.lock().insert(node.id());
    }

    fn mend(&self, node: &TestNode) {
        self.cut.lock().remove(&node.id());
        let receiver = self.receivers.lock()[&node.id()].clone();
        receiver.joined();
    }
}

/// The engine of one node.
#[derive(Default)]
struct Spoke {
    hub: Arc<Hub>,
    node: OnceLock<String>,
}

impl Spoke {
    fn reached(&self) -> Result<&Hub, ControlError> {
        let node = self.node.get().unwrap();
        match self.hub.cut.lock().contains(node) {
            true => Err(ControlError::Unavailable("it is cut off".to_owned())),
            false => Ok(&self.hub),
        }
    }
}

impl Control for Spoke {
    fn join(&self, node: &str, arrivals: Arc<dyn ControlArrivals>) {
        self.node.set(node.to_owned()).unwrap();
        self.hub.receivers.lock().insert(node.to_owned(), arrivals);
    }

    fn send(&self, to: Option<&str>, message: Bytes) -> Pending<Result<Option<u64>, ControlError>> {
        let sent = self.reached().map(|hub| {
            let count = hub.deliver(to, &message);
            (!hub.counts_nothing.load(Relaxed)).then_some(count)
        });
        Box::pin(async { sent })
    }

    fn revoke(&self, entry: Bytes, lasts: Duration) -> Pending<Result<(), ControlError>> {
        let until = std::time::Instant::now() + lasts;
        let kept = self.reached().map(|hub| {
            let mut kept = hub.kept.lock();
            let stored = kept.entry(entry).or_insert(until);
            *stored = until.max(*stored);
        });
        Box::pin(async { kept })
    }

    fn revocations(&self) -> Pending<Result<Vec<(Bytes, Duration)>, ControlError>> {
        let now = std::time::Instant::now();
        let left = |(entry, until): (&Bytes, &std::time::Instant)| {
            (entry.clone(), until.saturating_duration_since(now))
        };
        let kept = self
            .reached()
            .map(|hub| hub.kept.lock().iter().map(left).collect());
        Box::pin(async { kept })
    }
}

impl Engine for Spoke {
    fn capabilities(&self) -> &Capabilities {
        const NONE: Capabilities = Capabilities {
            numbering: Numbering::Dense,
            history: None,
            idempotency: None,
            max_event_bytes: 0,
            transactions: None,
            is_read_only: true,
        };
        &NONE
    }

    fn start(&self, _: Arc<dyn Arrivals>) {}

    fn partition(&self, _: &StreamKey) -> u32 {
        0
    }

    fn publish(&self, batch: Arc<[Outgoing]>) -> Pending<Vec<Result<Position, AttemptError>>> {
        let refused = AttemptError::Refused("no test publishes".to_owned());
        Box::pin(async move { vec![Err(refused); batch.len()] })
    }

    fn want(&self, _: &StreamKey) {}

    fn unwant(&self, _: &StreamKey) {}

    fn read(&self, _: &StreamKey, _: Position, _: usize) -> Pending<Result<Page, ReadError>> {
        Box::pin(async { Err(ReadError::Unavailable("no test reads".into())) })
    }

    fn heads(&self, streams: Arc<[StreamKey]>) -> Pending<Vec<Result<Position, ReadError>>> {
        let none = Err(ReadError::Unavailable("no test reads".into()));
        Box::pin(async move { vec![none; streams.len()] })
    }

    fn control(&self) -> &dyn Control {
        self
    }

    fn health(&self) -> EngineHealth {
        let mut health = EngineHealth::default();
        for role in Role::ALL {
            health.set(role, Health::Live);
        }
        health
    }

    fn close(&self, _: Duration) -> Pending<()> {
        Box::pin(async {})
    }
}

/// The connections of a node, by their users.
struct Users {
    open: Mutex<Vec<String>>,
    revocations: Arc<Revocations>,
    losses: Mutex<Vec<Option<StreamKey>>>,
    is_lossy: Mutex<bool>,
}

impl Users {
    fn close(&self, is_meant: impl Fn(Owner<'_>) -> bool) -> Pending<u64> {
        let mut open = self.open.lock();
        let before = open.len();
        open.retain(|user| {
            let owner = Owner {
                user_id: Some(user),
                tenant_id: None,
                connection_id: "c",
            };
            !is_meant(owner)
        });
        let closed = before - open.len();
        Box::pin(async move { closed as u64 })
    }
}

impl NodeHost for Users {
    fn status(&self) -> NodeStatus {
        NodeStatus {
            connections: self.open.lock().len() as u64,
            is_live: true,
            ..NodeStatus::default()
        }
    }

    fn connections(&self) -> Pending<Vec<ListedConnection>> {
        let listed = |user: &String| ListedConnection {
            id: "c".to_owned(),
            user_id: Some(user.clone()),
            tenant_id: None,
            peer: None,
            protocol: "http".to_owned(),
            operations: 1,
            since: 0.0,
        };
        let open: Vec<_> = self.open.lock().iter().map(listed).collect();
        Box::pin(async move { open })
    }

    fn disconnect(&self, selector: Selector, _: Closing) -> Pending<u64> {
        self.close(|owner| selector.selects(owner))
    }

    fn close_revoked(&self) -> Pending<u64> {
        let now = std::time::Instant::now();
        self.close(|owner| self.revocations.find(owner, now).is_some())
    }

    fn events_lost(&self, stream: Option<&StreamKey>) {
        self.losses.lock().push(stream.cloned());
    }

    fn distrust_history(&self, lasts: Duration) {
        assert!(lasts <= Duration::from_hours(1));
        *self.is_lossy.lock() |= lasts > Duration::ZERO;
    }
}

struct TestNode {
    cluster: Arc<Cluster>,
    users: Arc<Users>,
    name: String,
    task: JoinHandle<()>,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestNode {
    fn start(hub: &Arc<Hub>, number: u64, users: &[&str]) -> Self {
        let name = format!("n{number}");
        let own = NodeIdentity {
            id: NodeId::new(number),
            name: name.clone().into(),
            version: "1.0".into(),
            started_at: number as f64,
        };
        let engine = Arc::new(Spoke {
            hub: hub.clone(),
            node: OnceLock::new(),
        });
        let revocations = Arc::<Revocations>::default();
        let users = Arc::new(Users {
            open: Mutex::new(users.iter().map(|user| (*user).to_owned()).collect()),
            revocations: revocations.clone(),
            losses: Mutex::default(),
            is_lossy: Mutex::default(),
        });
        let cluster = Arc::new(Cluster::join(own, engine, revocations));
        let (running, host) = (cluster.clone(), users.clone());
        let task = tokio::spawn(async move { running.run(&*host).await });
        let receiver = hub.receivers.lock()[NodeId::new(number).as_str()].clone();
        receiver.joined();
        Self {
            cluster,
            users,
            name,
            task,
        }
    }

    fn id(&self) -> String {
        NodeId::new(self.name[1..].parse().unwrap())
            .as_str()
            .to_owned()
    }

    fn sees(&self) -> Vec<String> {
        names(&self.cluster.nodes())
    }

    fn users(&self) -> Vec<String> {
        self.users.open.lock().clone()
    }

    async fn disconnect(&self, revoke_for: Option<Duration>) -> ClusterAnswers<u64> {
        let revocation = ada();
        if let Some(lasts) = revoke_for {
            let kept = self
                .cluster
                .revoke(&revocation, lasts, Instant::now() + SECOND);
            kept.await.unwrap();
        }
        let until = Instant::now() + HOUR;
        self.cluster.disconnect(revocation, revoke_for, until).await
    }
}

fn ada() -> Revocation {
    Revocation {
        selector: Selector {
            user_id: Some("ada".to_owned()),
            ..Selector::default()
        },
        closing: Closing {
            code: 4403,
            reason: "Forbidden".into(),
        },
    }
}

fn names(nodes: &[NodeInfo]) -> Vec<String> {
    nodes.iter().map(|node| node.name.to_string()).collect()
}

fn answers<T: Clone>(outcome: &ClusterAnswers<T>) -> Vec<(String, T)> {
    let answered = outcome.answered.iter();
    answered
        .map(|(node, answer)| (node.name.to_string(), answer.clone()))
        .collect()
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waited = timeout(Duration::from_mins(1), async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(waited.await.is_ok(), "did not happen in time: {what}");
}

async fn three(hub: &Arc<Hub>) -> [TestNode; 3] {
    let nodes = [
        TestNode::start(hub, 1, &["ada", "bob"]),
        TestNode::start(hub, 2, &["ada", "ada"]),
        TestNode::start(hub, 3, &["eve"]),
    ];
    eventually("all know each other", || {
        nodes.iter().all(|node| node.sees().len() == 2)
    })
    .await;
    nodes
}

#[tokio::test]
async fn nodes_know_each_other_as_soon_as_they_have_joined() {
    let hub = Arc::<Hub>::default();
    let [a, b, c] = three(&hub).await;
    assert_eq!(a.sees(), ["n2", "n3"]);
    assert_eq!(b.sees(), ["n1", "n3"]);
    let seen = a.cluster.nodes();
    assert_eq!(seen[0].status.connections, 2);
    assert_eq!(seen[0].version.as_ref(), "1.0");
    c.cluster.leave(SECOND).await;
    assert_eq!(a.sees(), ["n2"]);
    assert_eq!(a.cluster.unreadable(), 0);
}

#[tokio::test]
async fn all_nodes_are_asked_and_answer_with_their_numbers() {
    let hub = Arc::<Hub>::default();
    let [a, b, c] = three(&hub).await;
    hub.duplicates.store(true, Relaxed);
    let outcome = a.disconnect(None).await;
    assert!(outcome.is_complete);
    let expected = [("n2".to_owned(), 2), ("n3".to_owned(), 0)];
    assert_eq!(answers(&outcome), expected);
    assert!(b.users().is_empty());
    assert_eq!(c.users(), ["eve"]);
    assert_eq!(a.users(), ["ada", "bob"], "its own connections stay open");
}

#[tokio::test]
async fn a_node_that_is_cut_off_is_named_and_closes_when_it_is_back() {
    let hub = Arc::<Hub>::default();
    let [a, b, c] = three(&hub).await;
    hub.cut(&b);
    let until = Instant::now() + SECOND / 5;
    let kept = a.cluster.revoke(&ada(), HOUR, until).await;
    assert_eq!(kept, Ok(()));
    let outcome = a.cluster.disconnect(ada(), Some(HOUR), until).await;
    assert_eq!(names(&outcome.unanswered), ["n2"]);
    assert_eq!(answers(&outcome), [("n3".to_owned(), 0)]);
    assert!(!outcome.is_complete);
    assert_eq!(b.users(), ["ada", "ada"]);
    hub.mend(&b);
    eventually("it closes them", || b.users().is_empty()).await;
    let owner = Owner {
        user_id: Some("ada"),
        ..Owner::default()
    };
    for node in [&b, &c] {
        let found = node
            .users
            .revocations
            .find(owner, std::time::Instant::now());
        assert!(found.is_some(), "{} lets ada in", node.name);
    }
}

#[tokio::test]
async fn a_node_without_a_link_sends_no_request_and_does_not_wait() {
    let hub = Arc::<Hub>::default();
    let [a, _b, _c] = three(&hub).await;
    hub.cut(&a);
    // The deadline of the request is an hour.
    let outcome = a.disconnect(None).await;
    assert_eq!(names(&outcome.unanswered), ["n2", "n3"]);
    assert!(outcome.answered.is_empty() && !outcome.is_complete);
}

#[tokio::test]
async fn a_node_that_leaves_while_it_is_asked_is_not_waited_for() {
    let hub = Arc::<Hub>::default();
    let [a, b, _c] = three(&hub).await;
    b.task.abort();
    let (outcome, ()) = tokio::join!(a.disconnect(None), b.cluster.leave(SECOND));
    assert_eq!(answers(&outcome), [("n3".to_owned(), 0)]);
    assert!(outcome.unanswered.is_empty() && outcome.is_complete);
}

#[tokio::test]
async fn a_node_that_has_just_joined_asks_all_nodes() {
    for counts_nothing in [false, true] {
        let hub = Arc::<Hub>::default();
        hub.counts_nothing.store(counts_nothing, Relaxed);
        let [a, b, _c] = three(&hub).await;
        let late = TestNode::start(&hub, 4, &[]);
        let outcome = late.disconnect(None).await;
        let found: Vec<_> = answers(&outcome)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(found, ["n1", "n2", "n3"]);
        assert!(outcome.is_complete);
        assert_eq!(a.users(), ["bob"]);
        assert!(b.users().is_empty());
        late.cluster.known().await;
        assert_eq!(late.sees(), ["n1", "n2", "n3"]);
    }
}

#[tokio::test]
async fn a_new_node_reads_the_revocations() {
    let hub = Arc::<Hub>::default();
    let [a, _b, _c] = three(&hub).await;
    a.disconnect(Some(HOUR)).await;
    let new = TestNode::start(&hub, 4, &["ada", "bob"]);
    eventually("it closes them", || new.users() == ["bob"]).await;
}

#[tokio::test]
async fn long_lists_of_connections_arrive_complete() {
    let hub = Arc::<Hub>::default();
    let users: Vec<_> = (0..3000).map(|number| format!("user {number}")).collect();
    let users: Vec<&str> = users.iter().map(AsRef::as_ref).collect();
    let a = TestNode::start(&hub, 1, &[]);
    let _many = TestNode::start(&hub, 2, &users);
    eventually("they know each other", || a.sees() == ["n2"]).await;
    let outcome = a.cluster.connections(Instant::now() + HOUR).await;
    let listed = outcome.answered[0].1.iter();
    let found: Vec<_> = listed.filter_map(|one| one.user_id.as_deref()).collect();
    assert_eq!(found, users);
    assert!(outcome.is_complete);
}

#[tokio::test]
async fn unreadable_messages_are_counted_and_change_nothing() {
    let hub = Arc::<Hub>::default();
    let [a, _b, _c] = three(&hub).await;
    let foreign = Message {
        from: NodeId::new(77),
        content: Content::Leaving,
    };
    let future = String::from_utf8(foreign.encode().to_vec()).unwrap();
    let deep = "[".repeat(60_000);
    let large = "x".repeat(100_000);
    let junk = [
        "",
        "{}",
        "null",
        "\u{0}",
        &future.replacen("\"v\":1", "\"v\":9", 1),
        &deep,
        &large,
    ];
    for message in junk {
        hub.deliver(None, &Bytes::copy_from_slice(message.as_bytes()));
    }
    assert_eq!(a.cluster.unreadable(), junk.len() as u64);
    assert!(a.disconnect(None).await.is_complete);
}

#[tokio::test]
async fn the_answers_to_a_flood_of_requests_are_bounded() {
    let hub = Arc::<Hub>::default();
    let [a, _b, _c] = three(&hub).await;
    let asked = super::message::Asked::Connections { within: HOUR };
    let from = NodeId::new(77);
    let content = Content::Request { request: 1, asked };
    let message = Message { from, content }.encode();
    for _ in 0..10_000 {
        hub.deliver(None, &message);
    }
    assert!(a.cluster.unreadable() > 9_000);
    let ask = || {
        a.cluster
            .disconnect(ada(), None, Instant::now() + SECOND / 5)
    };
    let goes_on = async { while !ask().await.is_complete {} };
    assert!(timeout(Duration::from_mins(1), goes_on).await.is_ok());
}

#[tokio::test]
async fn a_loss_is_told_once_by_every_node() {
    let hub = Arc::<Hub>::default();
    let nodes = three(&hub).await;
    let [a, ..] = &nodes;
    let stream = StreamKey::of_channel("c");
    a.cluster.tell_loss(Lost::Events, &*a.users).await;
    let lost = Lost::EventsOf(stream.clone());
    a.cluster.tell_loss(lost, &*a.users).await;
    let is_told = || {
        nodes
            .iter()
            .all(|node| *node.users.losses.lock() == [None, Some(stream.clone())])
    };
    assert!(is_told(), "all have told it when the call returns");
    assert!(nodes.iter().all(|node| *node.users.is_lossy.lock()));
    // What is stored is read again.
    for node in &nodes {
        hub.mend(node);
    }
    let outcome = a
        .cluster
        .disconnect(ada(), None, Instant::now() + SECOND * 20);
    assert!(outcome.await.is_complete);
    assert!(is_told());
}

#[tokio::test]
async fn a_node_that_is_cut_off_tells_a_loss_when_it_is_back() {
    let hub = Arc::<Hub>::default();
    let [a, b, c] = three(&hub).await;
    hub.cut(&b);
    let told = a.cluster.tell_loss(Lost::Events, &*a.users);
    let mended = async {
        eventually("c has told it", || !c.users.losses.lock().is_empty()).await;
        assert!(b.users.losses.lock().is_empty());
        hub.mend(&b);
    };
    tokio::join!(told, mended);
    eventually("b has told it", || *b.users.losses.lock() == [None]).await;
    assert!(*b.users.is_lossy.lock());
}

#[tokio::test]
async fn losses_leave_the_places_of_revocations_free() {
    let hub = Arc::<Hub>::default();
    let [a, b, c] = three(&hub).await;
    for _ in 0..50 {
        a.cluster.tell_loss(Lost::Events, &*a.users).await;
    }
    assert_eq!(hub.kept.lock().len(), 1);
    // Each is told, also to a node that has missed the newest alone.
    assert_eq!(b.users.losses.lock().len(), 50);
    hub.cut(&b);
    let told = a.cluster.tell_loss(Lost::Events, &*a.users);
    let mended = async {
        eventually("c has told it", || c.users.losses.lock().len() == 51).await;
        hub.mend(&b);
    };
    tokio::join!(told, mended);
    eventually("b has told it", || b.users.losses.lock().len() == 51).await;
    assert_eq!(hub.kept.lock().len(), 1);
}
