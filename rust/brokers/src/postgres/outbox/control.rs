//! Messages between nodes: rows of a table, so that an open transaction does not delay them as it delays
//! events.
//!
//! Not here: their content (`bus::cluster`).

use std::sync::Arc;
use std::time::Duration;

use bus::engine::{Control, ControlArrivals, ControlError, Pending, Role};
use bytes::Bytes;
use tokio_postgres::Client;

use super::super::fault::Fault;
use super::super::{control, revocations};
use super::Outbox;
use super::page::column;
use super::shared::OutboxShared;

const LAST: &str = "SELECT fraiseql_subs.last_message()";
const READ: &str = "SELECT id, message FROM fraiseql_subs.read_messages($1)";

impl Control for Outbox {
    fn join(&self, node: &str, arrivals: Arc<dyn ControlArrivals>) {
        // A node joins once.
        self.shared.control.set((node.into(), arrivals)).ok();
        self.shared.wants.changed.notify_one();
    }

    fn send(&self, to: Option<&str>, message: Bytes) -> Pending<Result<Option<u64>, ControlError>> {
        let shared = self.shared.clone();
        let written = control::address(to, &message);
        Box::pin(async move {
            let written = written?;
            let call = "SELECT fraiseql_subs.send_message($1)";
            let link = shared.link(Role::Publisher);
            revocations::ask(link, shared.config.times.answer, call, &[&&written[..]]).await?;
            shared.messages.notify_one();
            Ok(None)
        })
    }

    fn revoke(&self, entry: Bytes, lasts: Duration) -> Pending<Result<(), ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let link = shared.link(Role::Publisher);
            revocations::revoke(link, shared.config.times.answer, &entry, lasts).await
        })
    }

    fn revocations(&self) -> Pending<Result<Vec<(Bytes, Duration)>, ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let link = shared.link(Role::Reader);
            revocations::current(link, shared.config.times.answer).await
        })
    }
}

/// Returns the newest message: those after it are for this link.
pub(super) async fn last(client: &Client) -> Result<i64, Fault> {
    let row = client.query_one(LAST, &[]).await;
    column(&row.map_err(|error| Fault::of_sql(&error))?, 0)
}

/// Delivers the messages after one. Returns the newest of them.
pub(super) async fn read(shared: &OutboxShared, client: &Client, after: i64) -> Result<i64, Fault> {
    let mut last = after;
    loop {
        let rows = client.query(READ, &[&last]).await;
        let rows = rows.map_err(|error| Fault::of_sql(&error))?;
        if rows.is_empty() {
            return Ok(last);
        }
        for row in &rows {
            let message: &[u8] = column(row, 1)?;
            control::deliver(&shared.control, &Bytes::copy_from_slice(message));
            last = column(row, 0)?;
        }
    }
}
