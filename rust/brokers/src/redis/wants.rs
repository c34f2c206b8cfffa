//! The wanted streams, and which of them a subscriber has not handled yet.
//!
//! Each want has a generation: an answer to an older one is ignored.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bus::StreamKey;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// A want that has not been withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stream: StreamKey,
    pub(super) partition: u32,
    pub(super) generation: u64,
}

/// The streams that are wanted, by channel.
#[derive(Debug)]
pub(super) struct Wants(Mutex<State>);

#[derive(Debug)]
struct State {
    wanted: HashMap<Arc<str>, Wanted>,
    partitions: Vec<Partition>,
    generation: u64,
}

#[derive(Debug, Clone, Default)]
struct Partition {
    /// Channels whose subscription does not match the wants yet; never more than are wanted or
    /// subscribed.
    changed: HashSet<Arc<str>>,
    /// The number of the master whose subscriber handles the partition.
    subscriber: Option<u64>,
}

impl Wants {
    pub(super) fn new(partitions: u32) -> Self {
        Self(Mutex::new(State {
            wanted: HashMap::new(),
            partitions: vec![Partition::default(); partitions as usize],
            generation: 0,
        }))
    }

    /// Adds a want for the stream of a channel. Returns false if it is wanted already.
    pub(super) fn want(&self, channel: Arc<str>, partition: u32, stream: &StreamKey) -> bool {
        let mut state = self.0.lock();
        if state.wanted.contains_key(&channel) {
            return false;
        }
        state.generation += 1;
        let wanted = Wanted {
            stream: stream.clone(),
            partition,
            generation: state.generation,
        };
        state.wanted.insert(channel.clone(), wanted);
        state.partitions[partition as usize].changed.insert(channel);
        true
    }

    /// Withdraws a want. Returns its partition; `None` if it was not wanted.
    pub(super) fn unwant(&self, channel: Arc<str>) -> Option<u32> {
        let mut state = self.0.lock();
        let partition = state.wanted.remove(&channel)?.partition;
        let changes = &mut state.partitions[partition as usize];
        if changes.subscriber.is_some() {
            changes.changed.insert(channel);
        } else {
            changes.changed.remove(&channel);
        }
        Some(partition)
    }

    /// The stream of a channel; `None` if it is not wanted.
    pub(super) fn stream(&self, channel: &str) -> Option<StreamKey> {
        let state = self.0.lock();
        let wanted = state.wanted.get(channel)?;
        Some(wanted.stream.clone())
    }

    /// The want of a channel; `None` if it is not wanted.
    pub(super) fn get(&self, channel: &str) -> Option<Wanted> {
        self.0.lock().wanted.get(channel).cloned()
    }

    /// Whether a want has not been withdrawn or renewed since, and the subscriber of a master still
    /// handles it.
    pub(super) fn is_current(&self, channel: &str, generation: u64, master: u64) -> bool {
        let state = self.0.lock();
        let wanted = state.wanted.get(channel);
        wanted.is_some_and(|wanted| {
            let partition = &state.partitions[wanted.partition as usize];
            wanted.generation == generation && partition.subscriber == Some(master)
        })
    }

    /// Returns the partitions that the subscriber of a master has not started with, or that another
    /// subscriber has started with since.
    pub(super) fn not_of(&self, master: u64, partitions: &BTreeSet<u32>) -> BTreeSet<u32> {
        let state = self.0.lock();
        let subscriber = |partition: u32| state.partitions[partition as usize].subscriber;
        let others = partitions.iter().copied();
        others
            .filter(|one| subscriber(*one) != Some(master))
            .collect()
    }

    /// Removes the subscriber of a master from all other partitions.
    pub(super) fn keep(&self, master: u64, partitions: &BTreeSet<u32>) {
        for (number, partition) in (0..).zip(&mut self.0.lock().partitions) {
            if partition.subscriber == Some(master) && !partitions.contains(&number) {
                *partition = Partition::default();
            }
        }
    }

    /// Starts the subscriber of a master with these partitions, of which it has nothing subscribed. All
    /// their wants, and nothing else, need to be handled. Returns the wanted streams.
    pub(super) fn begin(&self, master: u64, partitions: &BTreeSet<u32>) -> Vec<StreamKey> {
        let mut state = self.0.lock();
        let State {
            wanted,
            partitions: all,
            ..
        } = &mut *state;
        for partition in partitions {
            all[*partition as usize] = Partition {
                changed: HashSet::new(),
                subscriber: Some(master),
            };
        }
        let its = wanted
            .iter()
            .filter(|(_, wanted)| partitions.contains(&wanted.partition));
        its.map(|(channel, wanted)| {
            all[wanted.partition as usize]
                .changed
                .insert(channel.clone());
            wanted.stream.clone()
        })
        .collect()
    }

    /// Removes the subscriber of a master from all partitions.
    pub(super) fn end(&self, master: u64) {
        self.keep(master, &BTreeSet::new());
    }

    /// Marks a channel to be handled again: its want could not be answered yet.
    pub(super) fn mark_changed(&self, channel: &Arc<str>) {
        let mut state = self.0.lock();
        if let Some(partition) = state.wanted.get(channel).map(|wanted| wanted.partition) {
            state.partitions[partition as usize]
                .changed
                .insert(channel.clone());
        }
    }

    /// Takes the changed channels of some partitions, for the subscriber of a master. Leaves those that
    /// another subscriber has started with.
    pub(super) fn take(&self, master: u64, partitions: &BTreeSet<u32>) -> Vec<Arc<str>> {
        let mut state = self.0.lock();
        let mut taken = Vec::new();
        for partition in partitions {
            let partition = &mut state.partitions[*partition as usize];
            if partition.subscriber == Some(master) {
                taken.extend(partition.changed.drain());
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().copied().map(Arc::from).collect()
    }

    fn stream(name: &str) -> StreamKey {
        StreamKey::of_channel(name)
    }

    #[test]
    fn the_wants_of_a_partition_are_handled_by_its_subscriber() {
        let wants = Wants::new(2);
        assert!(wants.want("a".into(), 0, &stream("a")));
        assert!(!wants.want("a".into(), 0, &stream("a")));
        assert!(wants.want("b".into(), 1, &stream("b")));
        let (first, both) = (BTreeSet::from([0]), BTreeSet::from([0, 1]));
        assert_eq!(wants.begin(7, &first), [stream("a")]);
        assert_eq!(wants.take(7, &both), channels(&["a"]));
        assert!(wants.take(7, &both).is_empty());
        // The partition has moved, and its former subscriber does not know that yet.
        assert_eq!(wants.begin(8, &both).len(), 2);
        assert!(wants.take(7, &first).is_empty());
        assert_eq!(wants.take(8, &both).len(), 2);
    }

    #[test]
    fn a_partition_that_left_and_came_back_unnoticed_is_started_again() {
        let wants = Wants::new(2);
        wants.want("a".into(), 0, &stream("a"));
        let generation = wants.get("a").unwrap().generation;
        let both = BTreeSet::from([0, 1]);
        wants.begin(1, &both);
        assert!(wants.is_current("a", generation, 1));
        // The partition was on another master for a moment.
        wants.begin(2, &BTreeSet::from([0]));
        assert!(!wants.is_current("a", generation, 1));
        wants.keep(2, &BTreeSet::new());
        assert_eq!(wants.not_of(1, &both), BTreeSet::from([0]));
        wants.keep(1, &both);
        assert_eq!(wants.begin(1, &BTreeSet::from([0])), [stream("a")]);
        assert!(wants.not_of(1, &both).is_empty());
        assert_eq!(wants.take(1, &both), channels(&["a"]));
    }

    #[test]
    fn withdrawn_wants_are_removed_while_there_is_no_subscriber() {
        let wants = Wants::new(1);
        let all = BTreeSet::from([0]);
        wants.want("a".into(), 0, &stream("a"));
        assert_eq!(wants.unwant("a".into()), Some(0));
        assert_eq!(wants.unwant("a".into()), None);
        wants.want("b".into(), 0, &stream("b"));
        wants.begin(1, &all);
        assert_eq!(wants.take(1, &all), channels(&["b"]));
        wants.unwant("b".into());
        assert_eq!(wants.take(1, &all), channels(&["b"]));
        // Another subscriber has started before the first one ends.
        wants.begin(2, &all);
        wants.end(1);
        wants.want("c".into(), 0, &stream("c"));
        wants.unwant("c".into());
        assert_eq!(wants.take(2, &all), channels(&["c"]));
        wants.end(2);
        for name in ["d", "e", "f"] {
            wants.want(name.into(), 0, &stream(name));
            wants.unwant(name.into());
        }
        assert!(wants.0.lock().partitions[0].changed.is_empty());
    }
}
