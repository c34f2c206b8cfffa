//! A client that resumes from the history of an engine receives each event once and in order, however its
//! replay, the delivery of events, and events of other streams interleave.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bus::engine::{
    Arrival, Arrivals, AttemptError, Capabilities, Control, ControlArrivals, ControlError, Engine,
    EngineHealth, HistoryKind, Numbering, Outgoing, Page, Transactions,
};
use bus::publishing::PublishOptions;
use bus::{
    Epoch, History, HistoryLimits, Intake, Interest, LinkOptions, StreamItem, StreamKey, Streams,
};
use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::super::{HistoryRead, HistorySources, Missed, RemoteRead};
use super::*;
use crate::metrics::Metrics;
use crate::routing::Route;

const EPOCH: Epoch = Epoch(7);

/// An engine whose offsets count the events of two streams together.
#[derive(Debug, Default)]
struct Board(Mutex<BoardState>);

#[derive(Default)]
struct BoardState {
    /// Whether each event is one of the stream that is read, or of the other one.
    events: Vec<bool>,
    /// How many of them were delivered.
    delivered: usize,
    arrivals: OnceLock<Arc<dyn Arrivals>>,
}

impl std::fmt::Debug for BoardState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.events.fmt(f)
    }
}

fn at(number: usize) -> Position {
    Position::new(EPOCH, number as u64)
}

fn quiet() -> StreamKey {
    StreamKey::of_channel("quiet")
}

impl Board {
    fn publish(&self, is_meant: bool) {
        self.0.lock().events.push(is_meant);
    }

    fn len(&self) -> usize {
        self.0.lock().events.len()
    }

    fn arrivals(&self) -> Arc<dyn Arrivals> {
        self.0.lock().arrivals.get().unwrap().clone()
    }

    /// Delivers up to `count` events to the node.
    fn deliver(&self, count: usize, is_wanted: bool) {
        for _ in 0..count {
            let mut state = self.0.lock();
            let Some(is_meant) = state.events.get(state.delivered).copied() else {
                return;
            };
            state.delivered += 1;
            let number = state.delivered;
            drop(state);
            if is_meant && is_wanted {
                self.arrivals().event(Arrival {
                    stream: quiet(),
                    position: at(number),
                    before: None,
                    transaction: None,
                    envelope: envelope(number),
                });
            }
        }
    }
}

fn envelope(number: usize) -> Bytes {
    format!(r#"{{"n":{number}}}"#).into()
}

struct SharedBoard {
    board: Arc<Board>,
    capabilities: Capabilities,
}

impl Engine for SharedBoard {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn start(&self, arrivals: Arc<dyn Arrivals>) {
        self.board.0.lock().arrivals.set(arrivals).ok();
    }

    fn partition(&self, _: &StreamKey) -> u32 {
        0
    }

    fn publish(&self, _: Arc<[Outgoing]>) -> Pending<Vec<Result<Position, AttemptError>>> {
        Box::pin(std::future::pending())
    }

    fn want(&self, _: &StreamKey) {}

    fn unwant(&self, _: &StreamKey) {}

    fn read(
        &self,
        _: &StreamKey,
        after: Position,
        limit: usize,
    ) -> Pending<Result<Page, ReadError>> {
        let state = self.board.0.lock();
        let first = usize::try_from(after.offset.major).unwrap();
        let meant = state.events.iter().zip(1..).skip(first);
        let meant = meant.filter(|(is_meant, _)| **is_meant).take(limit);
        let events: Vec<_> = meant.map(|(_, n)| (at(n), envelope(n))).collect();
        let head = events.last().map_or(after, |(at, _)| *at);
        let missing = first.saturating_sub(state.delivered);
        drop(state);
        if events.is_empty() {
            // As the engine promises.
            self.board.deliver(missing, true);
        }
        Box::pin(std::future::ready(Ok(Page { events, head })))
    }

    fn heads(&self, _: Arc<[StreamKey]>) -> Pending<Vec<Result<Position, ReadError>>> {
        Box::pin(std::future::pending())
    }

    fn control(&self) -> &dyn Control {
        self
    }

    fn health(&self) -> EngineHealth {
        EngineHealth::default()
    }

    fn close(&self, _: Duration) -> Pending<()> {
        Box::pin(std::future::ready(()))
    }
}

impl Control for SharedBoard {
    fn join(&self, _: &str, _: Arc<dyn ControlArrivals>) {}

    fn send(&self, _: Option<&str>, _: Bytes) -> Pending<Result<Option<u64>, ControlError>> {
        Box::pin(std::future::pending())
    }

    fn revoke(&self, _: Bytes, _: Duration) -> Pending<Result<(), ControlError>> {
        Box::pin(std::future::pending())
    }

    fn revocations(&self) -> Pending<Result<Vec<(Bytes, Duration)>, ControlError>> {
        Box::pin(std::future::pending())
    }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let new = || Builder::new_current_thread().enable_all().build().unwrap();
    RUNTIME.get_or_init(new)
}

/// A node, and a client that resumes at it.
struct World {
    board: Arc<Board>,
    link: Arc<EngineLink>,
    intake: Arc<Intake>,
    history: Arc<History>,
    _interest: Interest,
    replay: Replaying,
    received: Vec<u64>,
}

enum Replaying {
    Reads(Missed, Option<Pending<Result<ReadPage, ReadError>>>),
    /// It receives the events after this sequence.
    Live(u64),
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Publish(bool),
    Deliver(usize),
    /// Broadcasts what has arrived.
    Broadcast(usize),
    Replay(usize),
}

impl World {
    /// `before`: the events when the client has left; `seen`: the position that it has; `start`: where the
    /// node begins to receive the stream.
    fn new(before: &[bool], seen: usize, start: usize) -> Self {
        let board = Arc::<Board>::default();
        for is_meant in before {
            board.publish(*is_meant);
        }
        let capabilities = Capabilities {
            numbering: Numbering::Sparse,
            history: Some(HistoryKind::Shared),
            idempotency: None,
            max_event_bytes: 1 << 20,
            transactions: Some(Transactions::InOffset),
            is_read_only: false,
        };
        let engine = Arc::new(SharedBoard {
            board: board.clone(),
            capabilities,
        });
        let streams = Arc::new(Streams::new([1; 16], false).of_engine());
        let intake = Arc::new(Intake::new(streams.clone(), 10_000));
        let options = LinkOptions {
            publish: PublishOptions::default(),
            publish_timeout: Duration::from_secs(5),
            accept_raw: true,
        };
        let link = EngineLink::new(engine, &options, streams.clone(), intake.clone());
        let link = Arc::new(link);
        // It starts the engine.
        let _context = runtime().enter();
        let _ = Box::pin(link.clone().run()).now_or_never();
        let stream = streams.of("quiet", None);
        let interest = link.interest(&stream);
        board.deliver(start, false);
        board.arrivals().ready(&quiet(), at(start));
        let limits = HistoryLimits {
            events: 10_000,
            age: Duration::from_secs(1_000),
            bytes: usize::MAX,
        };
        let history = Arc::new(History::new(limits));
        let sources = HistorySources {
            history: Some(&history),
            link: Some(&link),
            metrics: &Arc::<Metrics>::default(),
        };
        let route = Route::new("quiet".into(), None, Vec::new());
        let missed = Missed::find(sources, &at(seen).to_string(), Some(&(route, stream)), None);
        Self {
            replay: Replaying::Reads(missed.unwrap(), None),
            board,
            link,
            intake,
            history,
            _interest: interest,
            received: Vec::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Publish(is_meant) => self.board.publish(is_meant),
            Step::Deliver(count) => self.board.deliver(count, true),
            Step::Broadcast(count) => self.broadcast(count),
            Step::Replay(steps) => (0..steps).for_each(|_| self.replay()),
        }
    }

    fn broadcast(&mut self, count: usize) {
        let items = self.intake.take(count);
        self.history.record(&items, Instant::now());
        let Replaying::Live(after) = self.replay else {
            return;
        };
        for item in &items {
            if let StreamItem::Event(event) = item
                && event.at.sequence > after
            {
                self.received.push(event.at.position.offset.major);
            }
        }
    }

    fn replay(&mut self) {
        let Replaying::Reads(missed, asked) = &mut self.replay else {
            return;
        };
        if let Some(answer) = asked.take() {
            assert_ne!(
                missed.answered(answer.now_or_never().unwrap()),
                RemoteRead::TooLate
            );
        } else if let Some(event) = missed.next() {
            self.received.push(event.at.position.offset.major);
        } else {
            match missed.read_on() {
                HistoryRead::More => {}
                HistoryRead::TooLate => panic!("all is kept"),
                HistoryRead::Remote => *asked = missed.ask(),
                HistoryRead::CaughtUp(after) => self.replay = Replaying::Live(after),
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<bool>().prop_map(Step::Publish),
        2 => (1..4usize).prop_map(Step::Deliver),
        2 => (1..4usize).prop_map(Step::Broadcast),
        4 => (1..5usize).prop_map(Step::Replay),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_client_that_resumes_receives_each_event_of_the_engine_once(
        before in prop::collection::vec(prop::bool::weighted(0.3), 1..12),
        seen in any::<prop::sample::Index>(),
        start in any::<prop::sample::Index>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let seen = seen.index(before.len() + 1);
        let mut world = World::new(&before, seen, start.index(before.len() + 1));
        for step in steps {
            world.take(step);
        }
        // It goes live although nothing is published any more.
        for _ in 0..100 {
            let all = world.board.len();
            for step in [Step::Deliver(all), Step::Broadcast(1000), Step::Replay(3)] {
                world.take(step);
            }
        }
        prop_assert!(matches!(world.replay, Replaying::Live(_)));
        world.board.publish(true);
        world.take(Step::Deliver(1));
        world.take(Step::Broadcast(10));
        let state = world.board.0.lock();
        let meant = state.events.iter().zip(1u64..).skip(seen);
        let meant: Vec<u64> = meant.filter(|(is_meant, _)| **is_meant).map(|(_, n)| n).collect();
        prop_assert_eq!(&world.received, &meant);
        prop_assert!(world.link.is_sparse());
    }
}
