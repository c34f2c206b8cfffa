//! The streams that are wanted, and which of them the subscriber has yet to look at.
//!
//! Each want has a generation: an answer to an older one is not told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bus::StreamKey;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A want that has not been taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stream: StreamKey,
    pub(super) generation: u64,
}

/// The streams that are wanted, by channel.
#[derive(Debug, Default)]
pub(super) struct Wants {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    wanted: HashMap<Arc<str>, Wanted>,
    /// The channels that are not yet as they are wanted: never more than are wanted or subscribed.
    changed: HashSet<Arc<str>>,
    generation: u64,
}

impl Wants {
    /// Wants the stream of a channel; wanted twice is wanted once.
    pub(super) fn want(&self, channel: Arc<str>, stream: &StreamKey) {
        {
            let mut state = self.state.lock();
            if state.wanted.contains_key(&channel) {
                return;
            }
            state.generation += 1;
            let generation = state.generation;
            let stream = stream.clone();
            state
                .wanted
                .insert(channel.clone(), Wanted { stream, generation });
            state.changed.insert(channel);
        }
        self.changed.notify_one();
    }

    /// Does not want it any more.
    pub(super) fn unwant(&self, channel: Arc<str>) {
        {
            let mut state = self.state.lock();
            if state.wanted.remove(&channel).is_none() {
                return;
            }
            state.changed.insert(channel);
        }
        self.changed.notify_one();
    }

    /// The stream of a channel, where it is wanted.
    pub(super) fn stream(&self, channel: &str) -> Option<StreamKey> {
        let state = self.state.lock();
        state
            .wanted
            .get(channel)
            .map(|wanted| wanted.stream.clone())
    }

    /// What is wanted of a channel now.
    pub(super) fn get(&self, channel: &str) -> Option<Wanted> {
        self.state.lock().wanted.get(channel).cloned()
    }

    /// Whether a want has not been taken back since.
    pub(super) fn is_current(&self, channel: &str, generation: u64) -> bool {
        let state = self.state.lock();
        state
            .wanted
            .get(channel)
            .is_some_and(|wanted| wanted.generation == generation)
    }

    /// Nothing is subscribed any more: all that is wanted is to be looked at, and nothing else.
    pub(super) fn restart(&self) {
        let mut state = self.state.lock();
        state.changed = state.wanted.keys().cloned().collect();
    }

    /// A want could not be answered yet.
    pub(super) fn look_again(&self, channel: &Arc<str>) {
        let mut state = self.state.lock();
        if state.wanted.contains_key(channel) {
            state.changed.insert(channel.clone());
        }
    }

    /// Takes all channels that have changed.
    pub(super) fn take(&self) -> Vec<Arc<str>> {
        self.state.lock().changed.drain().collect()
    }

    /// Waits for a change.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
