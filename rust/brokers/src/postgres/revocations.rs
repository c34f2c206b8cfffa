//! Revocations, in a table of PostgreSQL with the clock of the server.
//!
//! Not here: their content (`bus::cluster`).

use std::sync::Arc;
use std::time::Duration;

use bus::engine::{ControlError, MAX_REVOCATIONS};
use bytes::Bytes;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::fault::Fault;

/// Stores an entry for some time.
pub(super) async fn revoke(
    link: Result<Arc<Client>, Fault>,
    patience: Duration,
    entry: &[u8],
    lasts: Duration,
) -> Result<(), ControlError> {
    let milliseconds = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
    let maximum = MAX_REVOCATIONS as i64;
    let call = "SELECT fraiseql_subs.revoke($1, $2, $3)";
    let parameters: [&(dyn ToSql + Sync); 3] = [&entry, &milliseconds, &maximum];
    let rows = ask(link, patience, call, &parameters).await?;
    match rows.first().map(|row| row.try_get(0)) {
        Some(Ok(true)) => Ok(()),
        Some(Ok(false)) => Err(ControlError::Full),
        _ => Err(unexpected()),
    }
}

/// Returns all entries, each with its remaining time.
pub(super) async fn current(
    link: Result<Arc<Client>, Fault>,
    patience: Duration,
) -> Result<Vec<(Bytes, Duration)>, ControlError> {
    let call = "SELECT entry, milliseconds FROM fraiseql_subs.current_revocations()";
    let rows = ask(link, patience, call, &[]).await?;
    let entry = |row: &Row| {
        let entry: Vec<u8> = row.try_get(0).ok()?;
        let milliseconds: i64 = row.try_get(1).ok()?;
        let left = Duration::from_millis(u64::try_from(milliseconds).ok()?);
        Some((Bytes::from(entry), left))
    };
    rows.iter()
        .map(entry)
        .collect::<Option<_>>()
        .ok_or_else(unexpected)
}

/// Runs a statement for a node.
pub(super) async fn ask(
    link: Result<Arc<Client>, Fault>,
    patience: Duration,
    call: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, ControlError> {
    // The health of the engine reports why there is no link.
    let client = link.map_err(|fault| ControlError::Unavailable(fault.reason))?;
    match tokio::time::timeout(patience, client.query(call, parameters)).await {
        Ok(Ok(rows)) => Ok(rows),
        Ok(Err(error)) => Err(Fault::of_sql(&error).control()),
        Err(_) => Err(ControlError::Unavailable(
            "PostgreSQL has not answered".to_owned(),
        )),
    }
}

fn unexpected() -> ControlError {
    ControlError::Unavailable(
        "PostgreSQL has sent an answer that its schema does not return".to_owned(),
    )
}
