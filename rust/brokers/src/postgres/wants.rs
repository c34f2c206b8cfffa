//! The streams that are wanted.
//!
//! The server sends what all streams have; this says what is passed on.

use std::collections::HashSet;

use bus::{Position, StreamKey};
use hashbrown::{Equivalent, HashMap};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The streams that are wanted.
#[derive(Default)]
pub(super) struct Wants {
    state: Mutex<WantsState>,
    /// Notified when a stream waits for its answer, or the first one is wanted.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct WantsState {
    streams: HashMap<StreamKey, Want>,
    /// Wanted streams whose want was not answered.
    unanswered: HashSet<StreamKey>,
    was_used: bool,
}

#[derive(Default)]
struct Want {
    /// The newest event that was delivered, or the head of the last answer; `None`: not answered yet.
    newest: Option<Position>,
}

/// A stream by its borrowed names. It hashes as [`StreamKey`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct StreamName<'a> {
    pub(super) tenant: Option<&'a str>,
    pub(super) channel: &'a str,
}

impl StreamName<'_> {
    /// The key of the stream.
    pub(super) fn key(&self) -> StreamKey {
        StreamKey {
            tenant: self.tenant.map(Into::into),
            channel: self.channel.into(),
        }
    }
}

impl Equivalent<StreamKey> for StreamName<'_> {
    fn equivalent(&self, key: &StreamKey) -> bool {
        self.tenant == key.tenant.as_deref() && self.channel == &*key.channel
    }
}

impl Wants {
    pub(super) fn want(&self, stream: &StreamKey) {
        let mut state = self.state.lock();
        state.was_used = true;
        state.streams.entry_ref(stream).or_default();
        state.unanswered.insert(stream.clone());
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn unwant(&self, stream: &StreamKey) {
        let mut state = self.state.lock();
        state.streams.remove(stream);
        state.unanswered.remove(stream);
    }

    /// Whether a stream was ever wanted.
    pub(super) fn were_used(&self) -> bool {
        self.state.lock().was_used
    }

    /// Returns the key of a wanted stream.
    pub(super) fn find(&self, name: StreamName<'_>) -> Option<StreamKey> {
        let state = self.state.lock();
        state
            .streams
            .get_key_value(&name)
            .map(|(key, _)| key.clone())
    }

    /// Whether a stream is wanted.
    pub(super) fn has(&self, stream: &StreamKey) -> bool {
        self.state.lock().streams.contains_key(stream)
    }

    /// Notes that an event was delivered.
    pub(super) fn delivered(&self, stream: &StreamKey, at: Position) {
        if let Some(want) = self.state.lock().streams.get_mut(stream) {
            want.newest = Some(at);
        }
    }

    /// Takes the streams whose want was not answered, and notes the answer.
    pub(super) fn answer(&self, head: Position) -> HashSet<StreamKey> {
        let mut state = self.state.lock();
        let WantsState {
            streams,
            unanswered,
            ..
        } = &mut *state;
        for stream in unanswered.iter() {
            if let Some(want) = streams.get_mut(stream) {
                want.newest = Some(head);
            }
        }
        std::mem::take(unanswered)
    }

    /// All wants need a new answer: the link was lost.
    pub(super) fn ask_again(&self) {
        let mut state = self.state.lock();
        state.unanswered = state.streams.keys().cloned().collect();
    }

    /// The newest position of a stream; `None`: it is not wanted, or not answered.
    pub(super) fn newest(&self, stream: &StreamKey) -> Option<Position> {
        self.state
            .lock()
            .streams
            .get(stream)
            .and_then(|want| want.newest)
    }

    /// The wanted streams whose channel is of a kind.
    pub(super) fn matching(&self, is_meant: impl Fn(&str) -> bool) -> Vec<StreamKey> {
        let state = self.state.lock();
        let meant = state
            .streams
            .keys()
            .filter(|stream| is_meant(&stream.channel));
        meant.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_come_and_go_without_a_link_are_not_kept() {
        let wants = Wants::default();
        let (kept, gone) = (StreamKey::of_channel("kept"), StreamKey::of_channel("gone"));
        for _ in 0..3 {
            wants.want(&kept);
            wants.want(&gone);
            wants.unwant(&gone);
        }
        assert_eq!(wants.answer(Position::default()), HashSet::from([kept]));
        assert!(wants.answer(Position::default()).is_empty());
    }
}
