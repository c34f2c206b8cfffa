//! Looks at the store of each partition, and at the newest positions of its streams.
//!
//! Partitions are looked at apart, each once at a time: a store that does not answer keeps up no other.
//! Not here: what follows from a look (`subscriber`).

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Position, StreamKey};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::fault::Fault;
use super::heads::heads_in;
use super::link::Link;
use super::shared::Shared;
use super::store::Store;
use super::wants::Wanted;

/// Limit of the streams in one look (count).
const STREAMS: usize = 100;
/// After which time a store that could not answer is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// The answer to a look.
pub(super) struct Look {
    pub(super) partition: usize,
    pub(super) answer: Result<Vec<Answered>, Fault>,
    streams: Vec<Asked>,
}

/// A wanted stream, by the subject of its events.
type Asked = (Arc<str>, Wanted);

/// The head of a stream.
pub(super) type Answered = (Arc<str>, Wanted, Result<Position, Fault>);

/// The looks at all partitions.
pub(super) struct Looks<'a> {
    shared: &'a Arc<Shared>,
    link: &'a Arc<Link>,
    partitions: Vec<Partition>,
    running: FuturesUnordered<Pin<Box<dyn Future<Output = Look> + Send + 'a>>>,
}

/// The looks at one partition.
#[derive(Default)]
struct Partition {
    /// The subjects of streams whose heads are to be asked for.
    waiting: VecDeque<Arc<str>>,
    /// It is to be looked at, also if no stream waits.
    is_due: bool,
    is_looked_at: bool,
    /// Its settings were checked on this link.
    is_checked: bool,
    not_before: Option<Instant>,
    state: Readiness,
}

/// What the newest look has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Readiness {
    #[default]
    Unknown,
    Ready,
    /// Such as without a leader.
    Unready(Fault),
}

impl<'a> Looks<'a> {
    /// All partitions are to be looked at.
    pub(super) fn new(shared: &'a Arc<Shared>, link: &'a Arc<Link>) -> Self {
        let mut looks = Self {
            shared,
            link,
            partitions: shared.stores.iter().map(|_| Partition::default()).collect(),
            running: FuturesUnordered::new(),
        };
        looks.refresh();
        looks
    }

    /// All partitions are to be looked at again.
    pub(super) fn refresh(&mut self) {
        for partition in &mut self.partitions {
            partition.is_due = true;
        }
    }

    /// The head of a stream is to be asked for.
    pub(super) fn ask(&mut self, partition: u32, subject: Arc<str>) {
        if let Some(partition) = self.partitions.get_mut(partition as usize) {
            partition.waiting.push_back(subject);
        }
    }

    /// Starts what is due. Returns when the next look can be started, if one has to wait.
    pub(super) fn start(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            let has_work = partition.is_due || !partition.waiting.is_empty();
            if partition.is_looked_at || !has_work {
                continue;
            }
            if let Some(at) = partition.not_before.filter(|at| *at > now) {
                next = Some(next.map_or(at, |next| next.min(at)));
                continue;
            }
            let Some(store) = self.shared.stores.get(index) else {
                continue;
            };
            let count = partition.waiting.len().min(STREAMS);
            let subjects = partition.waiting.drain(..count);
            let streams = subjects
                .filter_map(|subject| Some((subject.clone(), self.shared.wants.get(&subject)?)))
                .collect();
            partition.is_due = false;
            partition.is_looked_at = true;
            let look = look(self.shared, self.link, store, partition.is_checked, streams);
            self.running.push(Box::pin(look));
        }
        next
    }

    /// Waits for the answer to a look. Nothing is lost when this future is dropped.
    pub(super) async fn next(&mut self) -> Look {
        match self.running.next().await {
            Some(look) => look,
            None => std::future::pending().await,
        }
    }

    /// Notes an answer. Returns the state of the partition before. Streams that were not answered wait
    /// for the next look.
    pub(super) fn note(&mut self, look: &Look) -> Readiness {
        let Some(partition) = self.partitions.get_mut(look.partition) else {
            return Readiness::Unknown;
        };
        partition.is_looked_at = false;
        let state = match &look.answer {
            Ok(_) => {
                partition.is_checked = true;
                partition.not_before = None;
                Readiness::Ready
            }
            Err(fault) => {
                let subjects = look.streams.iter().map(|(subject, _)| subject.clone());
                partition.waiting.extend(subjects);
                partition.is_due = true;
                partition.not_before = Some(Instant::now() + RETRY);
                Readiness::Unready(fault.clone())
            }
        };
        std::mem::replace(&mut partition.state, state)
    }

    /// The state of all partitions together: ready if one is.
    pub(super) fn state(&self) -> Readiness {
        let mut all = Readiness::Ready;
        for partition in &self.partitions {
            match &partition.state {
                Readiness::Ready => return Readiness::Ready,
                state => {
                    if all != Readiness::Unknown {
                        all = state.clone();
                    }
                }
            }
        }
        all
    }
}

/// Asks for the state of a store, and for the heads of streams.
async fn look(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    store: &Store,
    is_checked: bool,
    streams: Vec<Asked>,
) -> Look {
    let answer = async {
        let refreshed = if is_checked {
            match store.refresh(link).await {
                // It may have been deleted.
                Err(fault) if fault.is_of_store() => None,
                state => Some(state?),
            }
        } else {
            None
        };
        let state = match refreshed {
            Some(state) => state,
            None => store.ensure(&shared.config, link).await?,
        };
        let keys: Vec<StreamKey> = streams
            .iter()
            .map(|(_, want)| want.stream.clone())
            .collect();
        heads_in(shared, link, store, &state, &keys).await
    };
    let answer = answer.await;
    let (answer, streams) = match answer {
        Ok(heads) => {
            let answered = streams.into_iter().zip(heads);
            let answered = answered.map(|((subject, want), head)| (subject, want, head));
            (Ok(answered.collect()), Vec::new())
        }
        Err(fault) => (Err(fault), streams),
    };
    Look {
        partition: store.partition as usize,
        answer,
        streams,
    }
}
