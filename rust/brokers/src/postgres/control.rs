//! Messages between nodes, in the log as events are; revocations, in a table.
//!
//! Not here: their content (`bus::cluster`).

use std::sync::Arc;
use std::time::Duration;

use bus::engine::{Control, ControlArrivals, ControlError, MAX_REVOCATIONS, Pending, Role};
use bytes::{BufMut, Bytes, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Postgres;
use super::fault::Fault;
use super::shared::Shared;

/// The prefix of messages between nodes.
pub(super) const PREFIX: &str = "fs1.control";

impl Control for Postgres {
    fn join(&self, node: &str, arrivals: Arc<dyn ControlArrivals>) {
        // A node joins once.
        self.shared.control.set((node.into(), arrivals)).ok();
        self.shared.wants.changed.notify_one();
    }

    fn send(&self, to: Option<&str>, message: Bytes) -> Pending<Result<Option<u64>, ControlError>> {
        let shared = self.shared.clone();
        let to = to.unwrap_or_default();
        let Ok(length) = u8::try_from(to.len()) else {
            let reason = format!("the name of the node {to:?} is too long");
            return Box::pin(async move { Err(ControlError::Refused(reason)) });
        };
        let mut written = BytesMut::with_capacity(1 + to.len() + message.len());
        written.put_u8(length);
        written.put(to.as_bytes());
        written.put(message);
        Box::pin(async move {
            let call = "SELECT fraiseql_subs.send_message($1)";
            ask(&shared, Role::Publisher, call, &[&&written[..]]).await?;
            Ok(None)
        })
    }

    fn revoke(&self, entry: Bytes, lasts: Duration) -> Pending<Result<(), ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let milliseconds = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
            let maximum = MAX_REVOCATIONS as i64;
            let call = "SELECT fraiseql_subs.revoke($1, $2, $3)";
            let parameters: [&(dyn ToSql + Sync); 3] = [&&entry[..], &milliseconds, &maximum];
            let rows = ask(&shared, Role::Publisher, call, &parameters).await?;
            match rows.first().map(|row| row.try_get(0)) {
                Some(Ok(true)) => Ok(()),
                Some(Ok(false)) => Err(ControlError::Full),
                _ => Err(unexpected()),
            }
        })
    }

    fn revocations(&self) -> Pending<Result<Vec<(Bytes, Duration)>, ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let call = "SELECT entry, milliseconds FROM fraiseql_subs.current_revocations()";
            let rows = ask(&shared, Role::Reader, call, &[]).await?;
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
        })
    }
}

/// Delivers a message if it is for this node.
pub(super) fn deliver(shared: &Shared, content: &Bytes) {
    let Some((node, arrivals)) = shared.control.get() else {
        return;
    };
    let Some((&length, rest)) = content.split_first() else {
        return;
    };
    let Some((to, message)) = rest.split_at_checked(length.into()) else {
        return;
    };
    if to.is_empty() || to == node.as_bytes() {
        arrivals.message(content.slice_ref(message));
    }
}

async fn ask(
    shared: &Shared,
    role: Role,
    call: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, ControlError> {
    // The health of the engine reports why there is no link.
    let unavailable = |fault: Fault| ControlError::Unavailable(fault.reason);
    let client = shared.link(role).map_err(unavailable)?;
    match tokio::time::timeout(shared.config.times.answer, client.query(call, parameters)).await {
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
