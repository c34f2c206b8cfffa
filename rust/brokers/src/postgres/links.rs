//! Keeps links for statements: connects, and connects again when a link has ended.
//!
//! Not here: links that deliver events (`subscriber`, `outbox::subscriber`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::engine::{Arrivals, Role};
use tokio_postgres::Client;

use super::config::Config;
use super::fault::Fault;
use super::health::HealthBoard;
use super::shared::LinkPlace;
use super::sql;
use crate::backoff::Backoff;

/// What links need.
#[derive(Clone, Copy)]
pub(super) struct Links<'a> {
    pub(super) config: &'a Config,
    pub(super) health: &'a HealthBoard,
    pub(super) arrivals: &'a Arc<dyn Arrivals>,
}

impl Links<'_> {
    /// Keeps a link for statements. `check`: whether the role can do its work.
    pub(super) async fn keep(
        self,
        role: Role,
        place: &LinkPlace,
        check: impl AsyncFn(&Client) -> Result<(), Fault>,
    ) -> Infallible {
        let mut backoff = Backoff::new(self.config.times.pauses());
        loop {
            let mut start = Instant::now();
            let fault = self.client(role, place, &check, &mut start).await.of_link();
            self.away(role, &fault, &mut backoff, start.elapsed()).await;
        }
    }

    /// Makes a link for statements, and keeps it until it ends. Returns why.
    async fn client(
        self,
        role: Role,
        place: &LinkPlace,
        check: &impl AsyncFn(&Client) -> Result<(), Fault>,
        start: &mut Instant,
    ) -> Fault {
        let (client, connection) = match sql::connect(self.config).await {
            Ok(connected) => connected,
            Err(fault) => return fault,
        };
        let patience = self.config.times.connect;
        let work = async {
            let checks = async {
                sql::check(&client, self.config).await?;
                check(&client).await
            };
            match tokio::time::timeout(patience, checks).await {
                Err(_) => return late(patience),
                Ok(Err(fault)) => return fault,
                Ok(Ok(())) => {}
            }
            *start = Instant::now();
            let (client, _placed) = place.put(client);
            self.health.live(role, self.arrivals);
            let times = self.config.times;
            sql::silent(&client, times.ping, times.answer).await
        };
        tokio::select! {
            fault = work => fault,
            fault = connection.ended() => fault,
        }
    }

    /// Reports that there is no link, and pauses.
    pub(super) async fn away(
        self,
        role: Role,
        fault: &Fault,
        backoff: &mut Backoff,
        lived: Duration,
    ) {
        tracing::debug!(name: "bus.link_lost", target: "fraiseql_subs", ?role, reason = fault.reason, "no link to PostgreSQL");
        self.health.away(role, fault, self.arrivals);
        tokio::time::sleep(backoff.after(lived, fault.is_configuration())).await;
    }
}

pub(super) fn late(patience: Duration) -> Fault {
    let seconds = patience.as_secs_f64();
    Fault::away(format!(
        "PostgreSQL has not answered within {seconds} seconds"
    ))
}
