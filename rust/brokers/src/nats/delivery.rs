//! Delivers the messages of subscriptions.

use std::sync::Arc;
use std::time::Instant;

use async_nats::{Message, Subscriber};
use bus::engine::{Arrival, ControlArrivals};
use bus::{Offset, Position, Throttle};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::messages::number;
use super::shared::Shared;

/// A task that delivers the messages of one subscription. It ends when this is dropped.
pub(super) struct Delivery(AbortHandle);

impl Drop for Delivery {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Delivery {
    /// Delivers the events of a stream. `unreadable`: limits a warning.
    pub(super) fn of_events(
        shared: Arc<Shared>,
        unreadable: Arc<Mutex<Throttle>>,
        subject: Arc<str>,
        mut messages: Subscriber,
    ) -> Self {
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                if deliver(&shared, &subject, message) {
                    continue;
                }
                shared.arrivals().unreadable();
                if let Some(suppressed) = unreadable.lock().admit(Instant::now()) {
                    tracing::warn!(
                        name: "event.unreadable",
                        target: "fraiseql_subs",
                        subject = &*subject,
                        suppressed,
                        "a message on a subject of the bus has no position, and is dropped: another program publishes there"
                    );
                }
            }
        });
        Self(task.abort_handle())
    }

    /// Delivers the messages of nodes.
    pub(super) fn of_control(arrivals: Arc<dyn ControlArrivals>, mut messages: Subscriber) -> Self {
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                arrivals.message(message.payload);
            }
        });
        Self(task.abort_handle())
    }
}

/// Delivers a message. Returns false if it has no position.
fn deliver(shared: &Shared, subject: &str, message: Message) -> bool {
    let Some(want) = shared.wants.get(subject) else {
        return true;
    };
    let (epoch, before, offset) = match shared.stores.get(want.partition as usize) {
        None => (shared.epoch, None, None),
        Some(store) => {
            let is_of_store = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get("Nats-Stream"))
                .is_some_and(|name| name.as_str() == store.name);
            let sequences = (
                number(&message, "Nats-Sequence"),
                number(&message, "Nats-Last-Sequence"),
            );
            let (true, (Some(sequence), Some(before))) = (is_of_store, sequences) else {
                return false;
            };
            let Some(epoch) = store.known().epoch else {
                return true;
            };
            let offset = Offset::new(sequence);
            if want
                .newest
                .is_some_and(|newest| newest.epoch == epoch && offset < newest.offset)
            {
                // The store may be another one, or have lost its newest events.
                shared.refresh.notify_one();
            }
            (epoch, Some(Offset::new(before)), Some(sequence))
        }
    };
    let position = || Position::new(epoch, offset.unwrap_or_else(|| shared.count()));
    if let Some((stream, position)) = shared.wants.deliver(subject, position) {
        shared.arrivals().event(Arrival {
            stream,
            position,
            before,
            transaction: None,
            envelope: message.payload,
        });
    }
    true
}
