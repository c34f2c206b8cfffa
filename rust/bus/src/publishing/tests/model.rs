//! A model of an engine. It keeps a log of each stream, recognizes ids, and fails as a script says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::engine::{
    Arrivals, AttemptError, Capabilities, Control, ControlArrivals, ControlError, Engine,
    EngineHealth, Health, HistoryKind, Numbering, Outgoing, Page, Pending, ReadError, Role,
};
use crate::{Epoch, Position, StreamKey};

pub(super) const EPOCH: Epoch = Epoch(1);

/// What the engine does with a batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// Accepts all events.
    Take,
    /// Has no link.
    Away,
    /// Accepts so many events, then has no room.
    Busy(usize),
    /// Accepts so many events, answers so many of them, then loses the link.
    Cut { taken: usize, answered: usize },
    /// Refuses the events at these indexes.
    Refuse(Vec<usize>),
    /// Refuses the program.
    Deny,
    /// Panics.
    Panic,
}

pub(super) struct Model {
    capabilities: Capabilities,
    /// How long a round trip takes.
    pub(super) round_trip: Duration,
    state: Mutex<ModelState>,
}

struct ModelState {
    script: VecDeque<Answer>,
    /// The answer after the end of the script.
    then: Answer,
    health: EngineHealth,
    log: HashMap<StreamKey, Vec<Arc<str>>>,
    known: HashMap<Arc<str>, Position>,
    under_way: HashSet<u32>,
    /// Events of this stream are never accepted.
    stuck: Option<StreamKey>,
    /// The server of this partition is away.
    lost: Option<u32>,
    /// The ids of each batch that was sent.
    batches: Vec<Vec<Arc<str>>>,
}

impl Model {
    pub(super) fn new(script: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            capabilities: Capabilities {
                numbering: Numbering::Dense,
                history: Some(HistoryKind::Shared),
                idempotency: Some(Duration::from_mins(2)),
                max_event_bytes: 1000,
                transactions: None,
                is_read_only: false,
            },
            round_trip: Duration::from_millis(10),
            state: Mutex::new(ModelState {
                script: script.into_iter().collect(),
                then: Answer::Take,
                health: all(&Health::Live),
                log: HashMap::new(),
                known: HashMap::new(),
                under_way: HashSet::new(),
                stuck: None,
                lost: None,
                batches: Vec::new(),
            }),
        }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Capabilities)) -> Self {
        change(&mut self.capabilities);
        self
    }

    pub(super) fn then(&self, answer: Answer) {
        let mut state = self.state.lock();
        state.health = match answer {
            Answer::Away => all(&away()),
            _ => all(&Health::Live),
        };
        state.then = answer;
    }

    /// Sets the links of one role to away, and the others to live.
    pub(super) fn lose(&self, role: Role) {
        let mut health = all(&Health::Live);
        health.set(role, away());
        self.state.lock().health = health;
    }

    /// Sets the server of the stream's partition, and the engine as a whole, to away.
    pub(super) fn lose_partition(&self, stream: &str) {
        let mut state = self.state.lock();
        state.lost = Some(partition(stream));
        state.health = all(&away());
    }

    /// Stops accepting events of a stream, whatever the script says.
    pub(super) fn stick(&self, stream: &str) {
        self.state.lock().stuck = Some(StreamKey::of_channel(stream));
    }

    /// The ids of the events of a stream, in order.
    pub(super) fn log(&self, stream: &str) -> Vec<String> {
        let state = self.state.lock();
        let log = state.log.get(&StreamKey::of_channel(stream));
        log.into_iter().flatten().map(ToString::to_string).collect()
    }

    /// The ids of each batch that was sent, joined.
    pub(super) fn batches(&self) -> Vec<String> {
        let state = self.state.lock();
        state.batches.iter().map(|batch| batch.join(" ")).collect()
    }

    pub(super) fn batch_sizes(&self) -> Vec<usize> {
        self.state.lock().batches.iter().map(Vec::len).collect()
    }
}

impl ModelState {
    fn answer(
        &mut self,
        events: &[Outgoing],
        answer: &Answer,
        knows: bool,
    ) -> Vec<Result<Position, AttemptError>> {
        let answer_one = |(index, event): (usize, &Outgoing)| match answer {
            Answer::Take => Ok(self.take(event, knows)),
            Answer::Away => Err(AttemptError::NotSent("no link".into())),
            Answer::Busy(taken) if index >= *taken => Err(AttemptError::Busy("no memory".into())),
            Answer::Busy(_) => Ok(self.take(event, knows)),
            Answer::Cut { taken, answered } => {
                let position = (index < *taken).then(|| self.take(event, knows));
                let is_answered = index < *answered;
                position
                    .filter(|_| is_answered)
                    .ok_or_else(|| AttemptError::Unknown("the link was lost".into()))
            }
            Answer::Refuse(places) if places.contains(&index) => {
                Err(AttemptError::Refused("no permission".into()))
            }
            Answer::Refuse(_) => Ok(self.take(event, knows)),
            Answer::Deny => Err(AttemptError::Denied("wrong password".into())),
            Answer::Panic => panic!("the fault of the engine that this test is about"),
        };
        events.iter().enumerate().map(answer_one).collect()
    }

    fn take(&mut self, event: &Outgoing, knows: bool) -> Position {
        if let Some(position) = self.known.get(&event.id)
            && knows
        {
            return *position;
        }
        let log = self.log.entry(event.stream.clone()).or_default();
        log.push(event.id.clone());
        let position = Position::new(EPOCH, log.len() as u64);
        self.known.insert(event.id.clone(), position);
        position
    }
}

/// Streams whose names begin with the same character are in one partition.
fn partition(stream: &str) -> u32 {
    stream.bytes().next().unwrap_or_default().into()
}

fn away() -> Health {
    Health::Away {
        since: std::time::Instant::now(),
        reason: "no route".into(),
        is_configuration: false,
    }
}

fn all(health: &Health) -> EngineHealth {
    let mut all = EngineHealth::default();
    for role in Role::ALL {
        all.set(role, health.clone());
    }
    all
}

struct UnderWay(Arc<Model>, u32);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state.lock().under_way.remove(&self.1);
    }
}

/// Implements the trait, whose futures need an `Arc` of the model.
pub(super) struct Handle(pub(super) Arc<Model>);

impl Engine for Handle {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn start(&self, _: Arc<dyn Arrivals>) {}

    fn partition(&self, stream: &StreamKey) -> u32 {
        partition(&stream.channel)
    }

    fn publish(&self, batch: Arc<[Outgoing]>) -> Pending<Vec<Result<Position, AttemptError>>> {
        let partition = self.partition(&batch[0].stream);
        assert!(
            batch
                .iter()
                .all(|event| self.partition(&event.stream) == partition)
        );
        let mut state = self.0.state.lock();
        assert!(
            state.under_way.insert(partition),
            "two batches of one partition"
        );
        let under_way = UnderWay(self.0.clone(), partition);
        state
            .batches
            .push(batch.iter().map(|event| event.id.clone()).collect());
        let answer = state
            .script
            .pop_front()
            .unwrap_or_else(|| state.then.clone());
        let answer = match &state.stuck {
            Some(stuck) if *stuck == batch[0].stream => Answer::Busy(0),
            _ if state.lost == Some(partition) => Answer::Away,
            _ => answer,
        };
        let half = match answer {
            Answer::Away => Duration::ZERO,
            _ => self.0.round_trip / 2,
        };
        let knows = self.0.capabilities.idempotency.is_some();
        Box::pin(async move {
            let UnderWay(model, _) = &under_way;
            sleep(half).await;
            let answers = model.state.lock().answer(&batch, &answer, knows);
            sleep(half).await;
            answers
        })
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
        self.0.state.lock().health.clone()
    }

    fn publisher_health(&self, partition: u32) -> Health {
        let state = self.0.state.lock();
        match state.lost {
            Some(lost) if lost != partition => Health::Live,
            _ => state.health.of(Role::Publisher).clone(),
        }
    }

    fn close(&self, _: Duration) -> Pending<()> {
        Box::pin(async {})
    }
}

/// Publishing sends no messages to other nodes.
impl Control for Handle {
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
