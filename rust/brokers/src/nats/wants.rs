//! The wanted streams, and which of them the subscriber has not handled yet.

use std::collections::HashSet;
use std::sync::Arc;

use bus::StreamKey;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A want that has not been withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stream: StreamKey,
    pub(super) partition: u32,
    /// An answer to an older want is ignored.
    pub(super) generation: u64,
    /// The newest offset that was reported: of an event, or of the head.
    pub(super) newest: Option<u64>,
}

/// The streams that are wanted, by the subject of their events.
#[derive(Debug, Default)]
pub(super) struct Wants {
    state: Mutex<State>,
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    wanted: HashMap<Arc<str>, Wanted>,
    changed: HashSet<Arc<str>>,
    generation: u64,
    has_subscriber: bool,
}

impl Wants {
    /// Adds a want, unless the stream is wanted already. `newest`: the offset after which its events
    /// come, if that is known.
    pub(super) fn want(
        &self,
        subject: Arc<str>,
        partition: u32,
        stream: &StreamKey,
        newest: Option<u64>,
    ) {
        let mut state = self.state.lock();
        if state.wanted.contains_key(&subject) {
            return;
        }
        state.generation += 1;
        let wanted = Wanted {
            stream: stream.clone(),
            partition,
            generation: state.generation,
            newest,
        };
        state.wanted.insert(subject.clone(), wanted);
        state.changed.insert(subject);
        drop(state);
        self.changed.notify_one();
    }

    /// Withdraws a want.
    pub(super) fn unwant(&self, subject: Arc<str>) {
        let mut state = self.state.lock();
        if state.wanted.remove(&subject).is_none() {
            return;
        }
        if state.has_subscriber {
            state.changed.insert(subject);
            drop(state);
            self.changed.notify_one();
        } else {
            state.changed.remove(&subject);
        }
    }

    pub(super) fn get(&self, subject: &str) -> Option<Wanted> {
        self.state.lock().wanted.get(subject).cloned()
    }

    /// Notes an event that is about to be delivered, at the offset that `offset` returns. Returns the
    /// stream and the offset; `None` if it is not wanted.
    pub(super) fn deliver(
        &self,
        subject: &str,
        offset: impl FnOnce() -> u64,
    ) -> Option<(StreamKey, u64)> {
        let mut state = self.state.lock();
        let wanted = state.wanted.get_mut(subject)?;
        let offset = offset();
        wanted.newest = wanted.newest.max(Some(offset));
        Some((wanted.stream.clone(), offset))
    }

    /// Notes the head that is about to be reported. Returns false if the want was withdrawn or renewed.
    pub(super) fn ready(&self, subject: &str, generation: u64, head: u64) -> bool {
        let mut state = self.state.lock();
        let wanted = state.wanted.get_mut(subject);
        let Some(wanted) = wanted.filter(|wanted| wanted.generation == generation) else {
            return false;
        };
        wanted.newest = wanted.newest.max(Some(head));
        true
    }

    /// Starts a subscriber, which has nothing subscribed.
    pub(super) fn begin(&self) {
        let mut state = self.state.lock();
        state.has_subscriber = true;
        state.changed = state.wanted.keys().cloned().collect();
    }

    /// Ends the subscriber.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.has_subscriber = false;
        state.changed.clear();
    }

    /// Marks the wanted streams of a partition to be handled again, in another numbering.
    pub(super) fn mark_partition_changed(&self, partition: u32) {
        let mut state = self.state.lock();
        let State {
            wanted, changed, ..
        } = &mut *state;
        for (subject, wanted) in wanted.iter_mut() {
            if wanted.partition == partition {
                wanted.newest = None;
                changed.insert(subject.clone());
            }
        }
    }

    /// Marks a stream to be handled again.
    pub(super) fn mark_changed(&self, subject: &Arc<str>) {
        self.state.lock().changed.insert(subject.clone());
    }

    /// Takes the changed subjects.
    pub(super) fn take(&self) -> Vec<Arc<str>> {
        self.state.lock().changed.drain().collect()
    }
}
