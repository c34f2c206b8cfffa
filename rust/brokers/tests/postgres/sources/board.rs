//! An engine of a test, which keeps what is published, and recognizes ids.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bus::engine::{
    Arrivals, AttemptError, Capabilities, Control, ControlArrivals, ControlError, Engine,
    EngineHealth, Health, HistoryKind, Numbering, Outgoing, Page, Pending, ReadError, Role,
};
use bus::source::{Losses, Lost};
use bus::{Epoch, Position, StreamKey};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use crate::servers::{eventually, json};

/// What was published, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Posted {
    Event(StreamKey, Value),
    Loss(Lost),
}

/// What the board does with events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    #[default]
    Accept,
    /// It cannot be reached.
    Away,
    /// It accepts events, and its answers do not arrive.
    Silent,
    /// It refuses each event for good.
    Refuse,
}

/// The engine of all nodes of a test.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    mode: watch::Sender<Mode>,
}

#[derive(Default)]
struct State {
    posted: Vec<Posted>,
    ids: HashSet<String>,
    envelopes: HashMap<String, Bytes>,
    duplicates: usize,
    bytes: usize,
}

impl Board {
    pub(crate) fn set(&self, mode: Mode) {
        self.0.mode.send_replace(mode);
    }

    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.0.state.lock().posted.clone()
    }

    /// Events that were published again (count).
    pub(crate) fn duplicates(&self) -> usize {
        self.0.state.lock().duplicates
    }

    pub(crate) fn envelopes(&self) -> Vec<Bytes> {
        self.0.state.lock().envelopes.values().cloned().collect()
    }

    /// Forgets what was published; not the ids.
    pub(crate) fn clear(&self) {
        self.0.state.lock().posted.clear();
    }

    /// The data of the events of a channel.
    pub(crate) fn data(&self, channel: &str) -> Vec<Value> {
        let state = self.0.state.lock();
        let of = |posted: &Posted| match posted {
            Posted::Event(stream, data) if &*stream.channel == channel => Some(data.clone()),
            _ => None,
        };
        state.posted.iter().filter_map(of).collect()
    }

    /// The numbers in the events of `orders`.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        let number = |data: &Value| data["n"].as_u64().unwrap() as usize;
        self.data("orders").iter().map(number).collect()
    }

    /// Waits for the numbers 0 to `count` in the events of `orders`.
    pub(crate) async fn has(&self, count: usize) {
        eventually("all events are published", || self.numbers().len() >= count).await;
        assert_eq!(self.numbers(), (0..count).collect::<Vec<_>>());
    }

    pub(crate) fn losses(&self) -> usize {
        let posted = self.posted();
        let is_loss = |posted: &&Posted| matches!(posted, Posted::Loss(_));
        posted.iter().filter(is_loss).count()
    }

    fn post(&self, batch: &[Outgoing]) {
        let mut state = self.0.state.lock();
        for event in batch {
            if !state.ids.insert(event.id.to_string()) {
                state.duplicates += 1;
                continue;
            }
            state.bytes += event.envelope.len();
            state
                .envelopes
                .insert(event.id.to_string(), event.envelope.clone());
            let data = json(&String::from_utf8_lossy(&event.envelope));
            state.posted.push(Posted::Event(event.stream.clone(), data));
        }
    }
}

impl Losses for Board {
    fn tell(&self, lost: Lost) -> Pending<()> {
        self.0.state.lock().posted.push(Posted::Loss(lost));
        Box::pin(async {})
    }
}

impl Engine for Board {
    fn capabilities(&self) -> &Capabilities {
        const ALL: Capabilities = Capabilities {
            numbering: Numbering::Dense,
            history: Some(HistoryKind::Shared),
            idempotency: Some(Duration::from_mins(5)),
            max_event_bytes: 10_000,
            transactions: None,
            is_read_only: false,
        };
        &ALL
    }

    fn start(&self, _: Arc<dyn Arrivals>) {}

    fn partition(&self, _: &StreamKey) -> u32 {
        0
    }

    fn publish(&self, batch: Arc<[Outgoing]>) -> Pending<Vec<Result<Position, AttemptError>>> {
        let board = self.clone();
        Box::pin(async move {
            let all = |answer: Result<Position, AttemptError>| vec![answer; batch.len()];
            match *board.0.mode.borrow() {
                Mode::Away => return all(Err(AttemptError::NotSent("it is away".to_owned()))),
                Mode::Refuse => {
                    return all(Err(AttemptError::Refused("it is refused".to_owned())));
                }
                Mode::Accept | Mode::Silent => board.post(&batch),
            }
            let mut mode = board.0.mode.subscribe();
            let _ = mode.wait_for(|mode| *mode != Mode::Silent).await;
            all(Ok(Position::new(Epoch(1), 1)))
        })
    }

    fn want(&self, _: &StreamKey) {}

    fn unwant(&self, _: &StreamKey) {}

    fn read(&self, _: &StreamKey, _: Position, _: usize) -> Pending<Result<Page, ReadError>> {
        Box::pin(async { Err(ReadError::Unavailable("no test reads".to_owned())) })
    }

    fn heads(&self, streams: Arc<[StreamKey]>) -> Pending<Vec<Result<Position, ReadError>>> {
        Box::pin(async move { vec![Ok(Position::UNKNOWN); streams.len()] })
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

impl Control for Board {
    fn join(&self, _: &str, _: Arc<dyn ControlArrivals>) {}

    fn send(&self, _: Option<&str>, _: Bytes) -> Pending<Result<Option<u64>, ControlError>> {
        Box::pin(async { Ok(None) })
    }

    fn revoke(&self, _: Bytes, _: Duration) -> Pending<Result<(), ControlError>> {
        Box::pin(async { Ok(()) })
    }

    fn revocations(&self) -> Pending<Result<Vec<(Bytes, Duration)>, ControlError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
