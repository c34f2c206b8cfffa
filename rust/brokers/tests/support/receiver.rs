//! Receives from an engine, and records all calls.

use std::time::Instant;

use bus::engine::{Arrival, Arrivals, Health, Role, Scope};
use bus::{Position, StreamKey};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::PATIENCE;

/// One recorded call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Happened {
    Ready(StreamKey, Position),
    Event(StreamKey, Position, String),
    Doubt(Scope),
    Unreadable,
    Health(Health),
}

#[derive(Default)]
pub(crate) struct Receiver {
    all: Mutex<Vec<Happened>>,
    changed: Notify,
}

impl Receiver {
    pub(crate) fn all(&self) -> Vec<Happened> {
        self.all.lock().clone()
    }

    pub(crate) fn clear(&self) {
        self.all.lock().clear();
    }

    /// Waits until the record has something, from its beginning.
    pub(crate) async fn wait<T>(
        &self,
        what: &str,
        mut find: impl FnMut(&[Happened]) -> Option<T>,
    ) -> T {
        let start = Instant::now();
        loop {
            let changed = self.changed.notified();
            if let Some(found) = find(&self.all.lock()) {
                return found;
            }
            let in_time = tokio::time::timeout(PATIENCE, changed).await;
            assert!(
                in_time.is_ok() && start.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {what}; happened: {:?}",
                self.all.lock()
            );
        }
    }

    /// Waits until a stream is ready.
    pub(crate) async fn ready(&self, stream: &StreamKey) -> Position {
        self.wait("the stream is ready", |all| {
            all.iter().rev().find_map(|happened| match happened {
                Happened::Ready(of, head) if of == stream => Some(*head),
                _ => None,
            })
        })
        .await
    }

    /// Waits for a number of events of a stream.
    pub(crate) async fn events(&self, stream: &StreamKey, count: usize) -> Vec<(Position, String)> {
        self.wait("the events arrive", |all| {
            let events = events(all, stream);
            (events.len() >= count).then_some(events)
        })
        .await
    }

    /// Waits until one event has arrived.
    pub(crate) async fn event(&self, stream: &StreamKey, text: &str) -> Position {
        self.wait("the event arrives", |all| {
            events(all, stream)
                .into_iter()
                .find(|(_, of)| of == text)
                .map(|(position, _)| position)
        })
        .await
    }
}

fn events(all: &[Happened], stream: &StreamKey) -> Vec<(Position, String)> {
    all.iter()
        .filter_map(|happened| match happened {
            Happened::Event(of, position, text) if of == stream => Some((*position, text.clone())),
            _ => None,
        })
        .collect()
}

impl Receiver {
    fn note(&self, happened: Happened) {
        self.all.lock().push(happened);
        self.changed.notify_waiters();
    }
}

impl Arrivals for Receiver {
    fn ready(&self, stream: &StreamKey, head: Position) {
        self.note(Happened::Ready(stream.clone(), head));
    }

    fn event(&self, arrival: Arrival) {
        let text = String::from_utf8_lossy(&arrival.envelope).into_owned();
        self.note(Happened::Event(arrival.stream, arrival.position, text));
    }

    fn doubt(&self, scope: Scope) {
        self.note(Happened::Doubt(scope));
    }

    fn unreadable(&self) {
        self.note(Happened::Unreadable);
    }

    fn health(&self, _: Role, health: Health) {
        self.note(Happened::Health(health));
    }
}
