//! The wanted streams, and which of them the subscriber has not handled yet.

use std::collections::HashSet;
use std::sync::Arc;

use bus::{Epoch, Position, StreamKey};
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
    /// The newest position that was reported: of an event, or of the head.
    pub(super) newest: Option<Position>,
    /// Where the store has no event of the stream.
    pub(super) quiet: Option<Quiet>,
}

/// A part of a store that has no event of a stream, as the leader has said. It does not depend on what
/// was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quiet {
    pub(super) epoch: Epoch,
    /// The sequence before the part.
    pub(super) from: u64,
    /// The last sequence of the part.
    pub(super) to: u64,
}

impl Wanted {
    fn note(&mut self, position: Position) {
        let newest = self
            .newest
            .filter(|newest| newest.epoch == position.epoch && newest.offset > position.offset);
        self.newest = newest.or(Some(position));
    }

    /// Up to which sequence there is no event of the stream after `after`, as far as this is known.
    pub(super) fn quiet_to(&self, epoch: Epoch, after: u64) -> u64 {
        let known = self.quiet.filter(|quiet| {
            let part = quiet.from..=quiet.to;
            quiet.epoch == epoch && part.contains(&after)
        });
        known.map_or(after, |quiet| quiet.to)
    }
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
    /// Adds a want, unless the stream is wanted already. `newest`: the position after which its events
    /// come, if that is known.
    pub(super) fn want(
        &self,
        subject: Arc<str>,
        partition: u32,
        stream: &StreamKey,
        newest: Option<Position>,
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
            quiet: None,
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

    /// Notes an event that is about to be delivered, at the position that `position` returns. Returns
    /// the stream and the position; `None` if it is not wanted.
    pub(super) fn deliver(
        &self,
        subject: &str,
        position: impl FnOnce() -> Position,
    ) -> Option<(StreamKey, Position)> {
        let mut state = self.state.lock();
        let wanted = state.wanted.get_mut(subject)?;
        let position = position();
        wanted.note(position);
        Some((wanted.stream.clone(), position))
    }

    /// Notes the head that is about to be reported. Returns false if the want was withdrawn or renewed.
    pub(super) fn ready(&self, subject: &str, generation: u64, head: Position) -> bool {
        let mut state = self.state.lock();
        let wanted = state.wanted.get_mut(subject);
        let Some(wanted) = wanted.filter(|wanted| wanted.generation == generation) else {
            return false;
        };
        wanted.note(head);
        true
    }

    /// Notes where a store has no event of a stream.
    pub(super) fn note_quiet(&self, subject: &str, quiet: Quiet) {
        if let Some(wanted) = self.state.lock().wanted.get_mut(subject) {
            let is_older = |known: Quiet| known.epoch == quiet.epoch && known.to >= quiet.to;
            if !wanted.quiet.is_some_and(is_older) {
                wanted.quiet = Some(quiet);
            }
        }
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

    /// The wanted streams of a partition.
    pub(super) fn of_partition(&self, partition: u32) -> Vec<(Arc<str>, StreamKey)> {
        let state = self.state.lock();
        let wanted = state.wanted.iter();
        wanted
            .filter(|(_, wanted)| wanted.partition == partition)
            .map(|(subject, wanted)| (subject.clone(), wanted.stream.clone()))
            .collect()
    }

    pub(super) fn has_changed(&self) -> bool {
        !self.state.lock().changed.is_empty()
    }

    /// Takes some of the changed subjects.
    pub(super) fn take(&self, limit: usize) -> Vec<Arc<str>> {
        let mut state = self.state.lock();
        let taken: Vec<_> = state.changed.iter().take(limit).cloned().collect();
        for subject in &taken {
            state.changed.remove(subject);
        }
        taken
    }
}
