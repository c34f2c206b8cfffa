//! Servers of PostgreSQL, and nodes over them.

mod logged;
mod server;

use std::sync::Arc;
use std::time::Duration;

use brokers::postgres::{Config, Postgres, Times};
use bus::engine::Outgoing;
use bus::{Draft, Envelope, StreamKey};
use bytes::Bytes;
use serde_json::Value;

pub(crate) use crate::support::{Happened, PATIENCE, eventually, free_port, stream};
pub(crate) use logged::Logged;
pub(crate) use server::{Server, literal};

/// A node over PostgreSQL.
pub(crate) type Node = crate::support::Node<Postgres>;

impl Node {
    pub(crate) fn start(config: Config) -> Self {
        Self::over(Postgres::new(config).unwrap())
    }

    pub(crate) async fn live(config: Config) -> Self {
        let node = Self::start(config);
        node.is_live().await;
        node
    }

    /// Waits for a number of events of a stream, and returns their data.
    pub(crate) async fn data(&self, stream: &StreamKey, count: usize) -> Vec<Value> {
        let events = self.received.events(stream, count).await;
        events.iter().map(|(_, text)| json(text)).collect()
    }
}

/// Timeouts that suit tests.
pub(crate) fn quick() -> Times {
    Times {
        connect: Duration::from_secs(20),
        answer: Duration::from_secs(20),
        position: Duration::from_secs(20),
        backoff: Duration::from_millis(5),
        backoff_limit: Duration::from_millis(100),
        configuration_pause: Duration::from_millis(200),
        confirm: Duration::from_millis(50),
        look: Duration::from_millis(100),
        watch: Duration::from_millis(100),
        ..Times::default()
    }
}

/// Creates events of a stream.
pub(crate) fn events(stream: &StreamKey, data: impl IntoIterator<Item = Value>) -> Arc<[Outgoing]> {
    data.into_iter().map(|data| event(stream, data)).collect()
}

pub(crate) fn event(stream: &StreamKey, data: Value) -> Outgoing {
    Outgoing {
        stream: stream.clone(),
        id: "id".into(),
        envelope: envelope(stream, data),
    }
}

fn envelope(stream: &StreamKey, data: Value) -> Bytes {
    let draft = Draft {
        channel: stream.channel.clone(),
        event_type: None,
        tenant_id: stream.tenant.clone(),
        id: None,
        data: data.into(),
        trace: None,
    };
    Envelope::write(&draft, 0, 0).unwrap()
}

/// The data of an envelope that was recorded as a text: an object at its end.
pub(crate) fn json(envelope: &str) -> Value {
    let starts = envelope.match_indices('{').map(|(at, _)| at);
    let mut read = starts.filter_map(|at| serde_json::from_str(&envelope[at..]).ok());
    read.next()
        .unwrap_or_else(|| panic!("no data: {envelope:?}"))
}
