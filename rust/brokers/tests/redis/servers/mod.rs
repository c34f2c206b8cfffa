//! Private Redis servers, and nodes that use them.

mod cluster;
mod server;

pub(crate) use cluster::Cluster;
pub(crate) use server::Server;

use std::time::Duration;

use brokers::redis::{Config, Redis, Times};

pub(crate) use crate::support::{
    Happened, PATIENCE, Process, Receiver, batch, event, eventually, free_port, stream,
};

pub(crate) type Node = crate::support::Node<Redis>;

impl Node {
    /// Starts an engine with a configuration.
    pub(crate) fn start(config: Config) -> Self {
        Self::over(Redis::new(config).unwrap())
    }

    /// Starts an engine and waits until it is live.
    pub(crate) async fn live(config: Config) -> Self {
        let node = Self::start(config);
        node.is_live().await;
        node
    }
}

/// Short times, which still leave enough for a slow machine.
pub(crate) fn quick() -> Times {
    Times {
        backoff_limit: Duration::from_millis(200),
        configuration_pause: Duration::from_secs(2),
        ..Times::default()
    }
}
