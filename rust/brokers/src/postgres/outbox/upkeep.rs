//! Frees what need not be kept, and watches the queue of `NOTIFY`.

use std::convert::Infallible;
use std::time::Instant;

use bus::Throttle;
use bus::engine::Role;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::super::fault::Fault;
use super::page::column;
use super::shared::OutboxShared;

/// Above this part of the queue of `NOTIFY` a warning is logged.
const QUEUE_WARNING: f64 = 0.5;

const MAINTAIN: &str = "SELECT fraiseql_subs.maintain_outbox($1 * interval '1 second')";
const QUEUE: &str = "SELECT pg_catalog.pg_notification_queue_usage()";

/// Works again and again, on the link for reading.
pub(super) async fn run(shared: &OutboxShared) -> Infallible {
    let mut warned = Throttle::new();
    let mut failed = Throttle::new();
    let pause = shared.config.times.upkeep.min(shared.kept_for() / 8);
    loop {
        sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
        let Ok(client) = shared.link(Role::Reader) else {
            continue;
        };
        let done = timeout(shared.config.times.answer, work(shared, &client)).await;
        let is_filling = matches!(done, Ok(Ok(usage)) if usage > QUEUE_WARNING);
        if is_filling && warned.admit(Instant::now()).is_some() {
            tracing::warn!(
                name: "outbox.queue_fills",
                target: "fraiseql_subs",
                "the queue of NOTIFY of PostgreSQL fills: a session that listens has a transaction open, look \
                 in pg_stat_activity; when the queue is full, publishing fails"
            );
        }
        if let Ok(Err(fault)) = done
            && !fault.ends_link()
            && failed.admit(Instant::now()).is_some()
        {
            tracing::warn!(
                name: "outbox.not_trimmed",
                target: "fraiseql_subs",
                reason = fault.reason,
                "the outbox of PostgreSQL keeps events for longer than it needs to"
            );
        }
    }
}

/// Returns which part of the queue is used.
async fn work(shared: &OutboxShared, client: &Client) -> Result<f64, Fault> {
    let failed = |error: tokio_postgres::Error| Fault::of_sql(&error);
    let seconds = shared.kept_for().as_secs_f64();
    client
        .execute(MAINTAIN, &[&seconds])
        .await
        .map_err(failed)?;
    let row = client.query_one(QUEUE, &[]).await.map_err(failed)?;
    column(&row, 0)
}
