//! A client that reconnects receives each event once, for any interleaving of publishing,
//! broadcasting, disconnecting and resuming.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bus::{Draft, HistoryLimits, LocalPosition, StreamItem, Streams};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::routing::WorkerChannels;
use crate::subscription::ProjectionKey;
use crate::subscription::shard::tests::{dense, plan};
use crate::subscription::shard::{Membership, Shard};

const CLIENTS: usize = 3;

#[derive(Default)]
struct Received(RefCell<Vec<u64>>);

impl ResponseSink for Received {
    fn next(&self, _: &Bytes) {}

    fn next_of(&self, _: &Bytes, at: Option<LocalPosition>) {
        self.0.borrow_mut().extend(at.map(|at| at.sequence));
    }

    fn poll_room(&self, _: &Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn error(&self, _: &[u8]) {}

    fn complete(&self) {}
}

#[derive(Debug, Clone)]
enum Step {
    /// Publish an event of a tenant; the last number stands for a tenant without a client.
    Publish(usize),
    /// Broadcast up to this many events.
    Broadcast(usize),
    Leave(usize),
    Return(usize),
    /// A client that resumes makes up to this many steps of its replay.
    CatchUp(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..=CLIENTS).prop_map(Step::Publish),
        3 => (1..4usize).prop_map(Step::Broadcast),
        1 => (0..CLIENTS).prop_map(Step::Leave),
        2 => (0..CLIENTS).prop_map(Step::Return),
        3 => (0..CLIENTS, 1..5usize).prop_map(|(client, steps)| Step::CatchUp(client, steps)),
    ]
}

enum Phase {
    Away,
    CatchingUp(Missed),
    Live(#[expect(dead_code, reason = "held")] Registration),
}

/// A client. Each has its own tenant.
struct TestClient {
    received: Rc<Received>,
    phase: Phase,
}

struct World {
    history: Arc<History>,
    stream: Arc<Stream>,
    metrics: Arc<Metrics>,
    shard: Rc<Shard>,
    plan: Arc<Plan>,
    queued: VecDeque<StreamItem>,
    clients: Vec<TestClient>,
    tenants: Vec<usize>,
}

impl World {
    fn new() -> Self {
        let metrics = Arc::<Metrics>::default();
        let limits = HistoryLimits {
            events: 1_000,
            age: Duration::from_secs(1_000),
            bytes: usize::MAX,
        };
        let away = || TestClient {
            received: Rc::default(),
            phase: Phase::Away,
        };
        Self {
            history: Arc::new(History::new(limits)),
            stream: Streams::new([1; 16], false).of("orders", None),
            shard: Rc::new(Shard::new(WorkerChannels::default(), metrics.clone())),
            metrics,
            plan: plan(),
            queued: VecDeque::new(),
            clients: std::iter::repeat_with(away).take(CLIENTS).collect(),
            tenants: Vec::new(),
        }
    }

    fn publish(&mut self, tenant: usize) {
        self.tenants.push(tenant);
        let draft = Draft {
            channel: "orders".into(),
            event_type: None,
            tenant_id: Some(tenant.to_string().into()),
            id: None,
            data: json!({"n": 1}).into(),
            trace: None,
        };
        let event = StreamItem::Event(Arc::new(Event::new(
            draft,
            self.stream.clone(),
            dense(self.tenants.len() as u64),
        )));
        self.history
            .record(std::slice::from_ref(&event), Instant::now());
        self.queued.push_back(event);
    }

    fn broadcast(&mut self, count: usize) {
        let count = count.min(self.queued.len());
        for event in self.queued.drain(..count) {
            self.shard.deliver(&event);
        }
    }

    fn missed(&self, client: usize) -> Missed {
        let mut guard = Guard::default();
        let tenant: Arc<str> = client.to_string().into();
        guard.bind_tenant(tenant.clone());
        Missed {
            history: self.history.clone(),
            stream: self.stream.clone(),
            metrics: self.metrics.clone(),
            route: Route::new("orders".into(), None, Vec::new()),
            guard: Some(Arc::new(guard)),
            sequence: self.clients[client]
                .received
                .0
                .borrow()
                .last()
                .copied()
                .unwrap_or(0),
            remote: None,
            read: VecDeque::new(),
        }
    }

    fn catch_up(&mut self, client: usize) {
        let sink = self.clients[client].received.clone();
        let Phase::CatchingUp(missed) = &mut self.clients[client].phase else {
            return;
        };
        if let Some(event) = missed.next() {
            return sink.next_of(&Bytes::new(), Some(event.at));
        }
        match missed.read_on() {
            HistoryRead::More => {}
            HistoryRead::TooLate | HistoryRead::Remote => panic!("all is kept"),
            HistoryRead::CaughtUp(after) => {
                let key = ProjectionKey {
                    definition: 0,
                    route: missed.route.clone(),
                    plan: self.plan.clone(),
                    guard: missed.guard.clone(),
                };
                let registration = self.shard.register_passthrough(key, (after, sink));
                self.clients[client].phase = Phase::Live(registration);
            }
        }
    }

    fn come_back(&mut self, client: usize) {
        if let Phase::Away = self.clients[client].phase {
            self.clients[client].phase = Phase::CatchingUp(self.missed(client));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_client_that_resumes_receives_each_of_its_events_once_and_in_order(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Publish(tenant) => world.publish(tenant),
                Step::Broadcast(count) => world.broadcast(count),
                Step::Leave(client) => world.clients[client].phase = Phase::Away,
                Step::Return(client) => world.come_back(client),
                Step::CatchUp(client, steps) => (0..steps).for_each(|_| world.catch_up(client)),
            }
        }
        for client in 0..CLIENTS {
            world.come_back(client);
            while let Phase::CatchingUp(_) = world.clients[client].phase {
                world.catch_up(client);
            }
        }
        world.broadcast(usize::MAX);
        for (client, returning) in world.clients.iter().enumerate() {
            let offsets = (1..).zip(&world.tenants);
            let own: Vec<u64> = offsets.filter(|(_, t)| **t == client).map(|(n, _)| n).collect();
            prop_assert_eq!(&*returning.received.0.borrow(), &own);
        }
    }
}

/// A call group that runs on another thread. An event is recorded, and reaches that thread, while a
/// subscription joins it.
struct GroupElsewhere {
    world: Rc<RefCell<World>>,
    events: RefCell<usize>,
}

impl LiveSource for GroupElsewhere {
    fn register(&self, _: u64, _: &Rc<dyn ResponseSink>) -> Registration {
        let mut world = self.world.borrow_mut();
        let events = &mut *self.events.borrow_mut();
        if *events > 0 {
            *events -= 1;
            world.publish(0);
        }
        world.shard.register_member(Box::new(Joined))
    }

    fn plan(&self) -> Option<&Arc<Plan>> {
        None
    }
}

struct Joined;

impl Membership for Joined {
    fn last(&self) -> u64 {
        0
    }

    fn has_received(&self, _: u64) -> bool {
        true
    }
}

#[test]
fn an_event_that_is_recorded_while_a_call_group_is_joined_is_replayed() {
    let mut world = World::new();
    world.publish(0);
    let missed = world.missed(0);
    let world = Rc::new(RefCell::new(world));
    let source = GroupElsewhere {
        world: world.clone(),
        events: RefCell::new(1),
    };
    let mut replay = Replay::new(missed, Box::new(source));
    let sink: Rc<dyn ResponseSink> = Rc::<Received>::default();
    let mut replayed = Vec::new();
    let registration = loop {
        replayed.extend(std::iter::from_fn(|| replay.missed.next()).map(|e| e.at.sequence));
        match replay.missed.read_on() {
            HistoryRead::More => {}
            HistoryRead::CaughtUp(after) => {
                if let Some(registration) = replay.go_live(after, &sink) {
                    break registration;
                }
            }
            HistoryRead::TooLate | HistoryRead::Remote => panic!("all is kept"),
        }
    };
    assert_eq!(replayed, [1, 2]);
    drop(registration);
}
