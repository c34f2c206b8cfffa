//! What the tests of all engines share: processes of servers, and nodes that receive events.

mod process;
mod receiver;

pub(crate) use process::{Process, free_port};
pub(crate) use receiver::{Happened, Receiver};

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::engine::{AttemptError, Engine, Health, Outgoing};
use bus::{Position, StreamKey};
use bytes::Bytes;

/// How long a test waits for an expected event.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A started engine, and what it has delivered.
pub(crate) struct Node<E> {
    pub(crate) engine: E,
    pub(crate) received: Arc<Receiver>,
}

impl<E: Engine> Node<E> {
    /// Starts an engine.
    pub(crate) fn over(engine: E) -> Self {
        let received = Arc::new(Receiver::default());
        engine.start(received.clone());
        Self { engine, received }
    }

    pub(crate) async fn is_live(&self) {
        eventually("the engine is live", || self.engine.health().is_live()).await;
    }

    /// Waits until the engine reports a wrong configuration. Returns the reason.
    pub(crate) async fn configuration_error(&self) -> String {
        self.received
            .wait("a wrong configuration is reported", |all| {
                all.iter().find_map(|one| match one {
                    Happened::Health(Health::Away {
                        reason,
                        is_configuration: true,
                        ..
                    }) => Some(reason.clone()),
                    _ => None,
                })
            })
            .await
    }

    /// Wants a stream and waits until it is ready.
    pub(crate) async fn want(&self, stream: &StreamKey) -> Position {
        self.engine.want(stream);
        self.received.ready(stream).await
    }

    /// Publishes events of a stream, each with a new id.
    pub(crate) async fn publish(
        &self,
        stream: &StreamKey,
        texts: &[&str],
    ) -> Vec<Result<Position, AttemptError>> {
        self.engine.publish(batch(stream, texts)).await
    }

    /// Publishes one event, repeatedly until it succeeds.
    pub(crate) async fn publish_for_certain(&self, stream: &StreamKey, text: &str) -> Position {
        let batch = batch(stream, &[text]);
        let start = Instant::now();
        loop {
            let answer = self.engine.publish(batch.clone()).await.remove(0);
            match answer {
                Ok(position) => return position,
                Err(error) => assert!(start.elapsed() < PATIENCE, "not published: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn head(&self, stream: &StreamKey) -> Position {
        let start = Instant::now();
        loop {
            match self
                .engine
                .heads(Arc::new([stream.clone()]))
                .await
                .remove(0)
            {
                Ok(head) => return head,
                Err(error) => assert!(start.elapsed() < PATIENCE, "no head: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Creates events of a stream with new ids.
pub(crate) fn batch(stream: &StreamKey, texts: &[&str]) -> Arc<[Outgoing]> {
    texts
        .iter()
        .map(|text| event(stream, &unique(), text))
        .collect()
}

pub(crate) fn event(stream: &StreamKey, id: &str, text: &str) -> Outgoing {
    Outgoing {
        stream: stream.clone(),
        id: id.into(),
        envelope: Bytes::copy_from_slice(text.as_bytes()),
    }
}

pub(crate) fn stream(channel: &str) -> StreamKey {
    StreamKey::of_channel(channel)
}

fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("id-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until a condition is true.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
