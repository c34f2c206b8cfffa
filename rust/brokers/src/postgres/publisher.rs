//! Publishes events, in one transaction for a batch.

use bus::Position;
use bus::engine::{AttemptError, Outgoing, Role};
use tokio_postgres::Client;
use tokio_postgres::types::{PgLsn, ToSql, Type};

use super::fault::Fault;
use super::shared::Shared;
use super::sql;

/// What became of an event.
pub(super) type Attempt = Result<Position, AttemptError>;

const PUBLISH: &str = "SELECT fraiseql_subs.publish_envelopes($1)";

/// The function by which nodes publish.
pub(super) const CHECK: &str = "fraiseql_subs.publish_envelopes(bytea[])";

/// Checks that the role may publish by a function.
pub(super) async fn check(client: &Client, function: &str) -> Result<(), Fault> {
    let may = client
        .query_one(
            "SELECT has_function_privilege($1::text, 'EXECUTE')",
            &[&function],
        )
        .await
        .map_err(|error| Fault::of_sql(&error).of_link())?;
    if sql::cell(&may, 0)? {
        return Ok(());
    }
    Err(Fault::configuration("the role may not publish").advise(sql::GRANT))
}

/// Publishes events in this order. All of them are committed, or none.
pub(super) async fn publish(shared: &Shared, batch: &[Outgoing]) -> Vec<Attempt> {
    let fail = |error: AttemptError| vec![Err(error); batch.len()];
    let client = match shared.link(Role::Publisher) {
        Ok(client) => client,
        Err(fault) => return fail(fault.attempt(false)),
    };
    let call = shared.echoes.begin();
    let envelopes: Vec<&[u8]> = batch.iter().map(|event| &*event.envelope).collect();
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&envelopes, Type::BYTEA_ARRAY)];
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
    let messages = rows
        .iter()
        .map(|row| row.try_get(0).map(|place: PgLsn| place.into()));
    let Ok(messages) = messages.collect::<Result<Vec<u64>, _>>() else {
        return vec![Ok(Position::UNKNOWN); batch.len()];
    };
    let Some(progress) = *shared.progress.borrow() else {
        // Nothing comes back without a subscriber: the events are published, and it is not known where.
        return vec![Ok(Position::UNKNOWN); batch.len()];
    };
    let patience = shared.config.times.position;
    let positions = call.positions(&messages, progress.end, patience).await;
    positions.into_iter().map(Ok).collect()
}
