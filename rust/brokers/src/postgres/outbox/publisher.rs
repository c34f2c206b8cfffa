//! Publishes events, in one transaction for a batch.

use bus::engine::{AttemptError, Outgoing, Role};
use bus::{Envelope, Position};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::super::fault::Fault;
use super::super::publisher::Attempt;
use super::page::{column, epoch};
use super::shared::{OutboxShared, offset};

/// The function by which nodes publish.
pub(in crate::postgres) const CHECK: &str =
    "fraiseql_subs.publish_events(text[], text[], text[], bytea[])";
const PUBLISH: &str = "SELECT epoch, tx, n FROM fraiseql_subs.publish_events($1, $2, $3, $4)";

/// Publishes events in this order. All of them are committed, or none.
pub(super) async fn publish(shared: &OutboxShared, batch: &[Outgoing]) -> Vec<Attempt> {
    let fail = |error: AttemptError| vec![Err(error); batch.len()];
    let client = match shared.link(Role::Publisher) {
        Ok(client) => client,
        Err(fault) => return fail(fault.attempt(false)),
    };
    let channels: Vec<&str> = batch.iter().map(|event| &*event.stream.channel).collect();
    let tenants: Vec<Option<&str>> = batch.iter().map(tenant).collect();
    let ids: Vec<&str> = batch.iter().map(|event| &*event.id).collect();
    let envelopes: Vec<&[u8]> = batch.iter().map(|event| &*event.envelope).collect();
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (&channels, Type::TEXT_ARRAY),
        (&tenants, Type::TEXT_ARRAY),
        (&ids, Type::TEXT_ARRAY),
        (&envelopes, Type::BYTEA_ARRAY),
    ];
    let sent = client.query_typed(PUBLISH, &parameters);
    let rows = match tokio::time::timeout(shared.config.times.answer, sent).await {
        Ok(Ok(rows)) => rows,
        Ok(Err(error)) => return fail(Fault::of_sql(&error).attempt(true)),
        Err(_) => {
            let seconds = shared.config.times.answer.as_secs_f64();
            let reason = format!("PostgreSQL has not answered within {seconds} seconds");
            return fail(AttemptError::Unknown(reason));
        }
    };
    // A node of its own does not wait for the NOTIFY.
    shared.look.notify_one();
    let mut positions: Vec<Attempt> = rows
        .iter()
        .map(|row| Ok(position(row).unwrap_or(Position::UNKNOWN)))
        .collect();
    positions.resize(batch.len(), Ok(Position::UNKNOWN));
    positions
}

/// The tenant that the publisher has named: nodes that do not isolate tenants name it in the envelope
/// alone.
fn tenant(event: &Outgoing) -> Option<&str> {
    match &event.stream.tenant {
        Some(tenant) => Some(tenant),
        None => Envelope::read(&event.envelope, false).ok()?.tenant,
    }
}

fn position(row: &Row) -> Result<Position, Fault> {
    Ok(Position {
        epoch: epoch(row, 0)?,
        offset: offset(column(row, 1)?, column(row, 2)?),
    })
}
