//! Private NATS servers, and nodes that use them.

mod server;

pub(crate) use server::Server;

use std::time::Duration;

use async_nats::jetstream;
use brokers::nats::{Config, Nats, Times};
use bus::engine::{Engine, Page, ReadError};
use bus::{Position, StreamKey};

pub(crate) use crate::support::{
    Happened, PATIENCE, Process, Receiver, batch, event, eventually, free_port, stream,
};

pub(crate) type Node = crate::support::Node<Nats>;

impl Node {
    /// Starts an engine with a configuration.
    pub(crate) fn start(config: Config) -> Self {
        Self::over(Nats::new(config).unwrap())
    }

    /// Starts an engine and waits until it is live.
    pub(crate) async fn live(config: Config) -> Self {
        let node = Self::start(config);
        node.is_live().await;
        node
    }

    /// Reads, repeatedly until there is an answer.
    pub(crate) async fn read(
        &self,
        stream: &StreamKey,
        after: Position,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let start = std::time::Instant::now();
        loop {
            match self.engine.read(stream, after, limit).await {
                Err(ReadError::Unavailable(reason)) => {
                    assert!(start.elapsed() < PATIENCE, "not read: {reason}");
                }
                answer => return answer,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Short times, which still leave enough for a slow machine.
pub(crate) fn quick() -> Times {
    Times {
        backoff_limit: Duration::from_millis(200),
        configuration_pause: Duration::from_secs(2),
        refresh_after: Duration::from_millis(500),
        ..Times::default()
    }
}

/// The JetStream stream of the bus.
pub(crate) async fn store(client: &async_nats::Client) -> jetstream::stream::Stream {
    let jetstream = jetstream::new(client.clone());
    jetstream.get_stream("fs1").await.unwrap()
}
