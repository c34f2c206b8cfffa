//! Reads events again, and the newest positions of streams.

use std::time::Duration;

use bus::engine::{Page, ReadError, Role};
use bus::{Epoch, Position, StreamKey};
use bytes::Bytes;
use tokio::time::{Instant, timeout};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::fault::Fault;
use super::page::{MAX_BYTES, column, epoch, unexpected};
use super::shared::{OutboxProgress, OutboxShared, offset, place};

/// How often it is asked again for what was committed.
const ASK: Duration = Duration::from_millis(500);

const READ: &str = "SELECT tx, n, envelope, epoch, is_known, is_kept \
    FROM fraiseql_subs.read_stream($1, $2, $3, $4, $5, $6, $7, $8)";

/// Returns the events of a stream after a position.
pub(super) async fn read(
    shared: &OutboxShared,
    stream: &StreamKey,
    after: Position,
    limit: usize,
) -> Result<Page, ReadError> {
    if shared.config.history.is_none() {
        let reason = "there is no history".to_owned();
        return Err(ReadError::Unavailable(reason));
    }
    let unavailable = |fault: Fault| ReadError::Unavailable(fault.reason);
    let rows = rows(shared, stream, after, limit)
        .await
        .map_err(unavailable)?;
    let page = page(rows, after).map_err(unavailable)??;
    if page.events.is_empty() && shared.wants.has(stream) {
        // Another node may have read it earlier.
        has_arrived(shared, after).await.map_err(unavailable)?;
    }
    Ok(page)
}

/// Waits until this node has read all events up to a position that could be read already.
async fn has_arrived(shared: &OutboxShared, at: Position) -> Result<(), Fault> {
    let progress = *shared.progress.borrow();
    let is_past = progress.is_some_and(|progress| {
        progress.read.epoch == at.epoch && progress.read.offset >= at.offset
    });
    if !is_past {
        caught_up(shared, shared.config.times.answer).await?;
    }
    Ok(())
}

async fn rows(
    shared: &OutboxShared,
    stream: &StreamKey,
    after: Position,
    limit: usize,
) -> Result<Vec<Row>, Fault> {
    let client = shared.link(Role::Reader)?;
    let (tx, n) = place(after.offset);
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let largest = shared.config.max_event_bytes as i64;
    let (channel, tenant) = (&*stream.channel, stream.tenant.as_deref());
    let by_tenant = shared.config.by_tenant;
    let parameters: [&(dyn ToSql + Sync); 8] = [
        &channel, &tenant, &by_tenant, &tx, &n, &limit, &MAX_BYTES, &largest,
    ];
    let asked = client.query(READ, &parameters);
    match timeout(shared.config.times.answer, asked).await {
        Ok(rows) => rows.map_err(|error| Fault::of_sql(&error)),
        Err(_) => Err(Fault::away("PostgreSQL has not answered")),
    }
}

fn page(mut rows: Vec<Row>, after: Position) -> Result<Result<Page, ReadError>, Fault> {
    let last = rows.pop().ok_or_else(unexpected)?;
    let now: Epoch = epoch(&last, 3)?;
    let at = |row: &Row| -> Result<Position, Fault> {
        Ok(Position {
            epoch: now,
            offset: offset(column(row, 0)?, column(row, 1)?),
        })
    };
    let head = at(&last)?;
    if now != after.epoch || !column::<bool>(&last, 4)? {
        return Ok(Err(ReadError::OtherEpoch { head }));
    }
    if !column::<bool>(&last, 5)? {
        return Ok(Err(ReadError::TooLate { head }));
    }
    let event = |row: &Row| -> Result<(Position, Bytes), Fault> {
        Ok((at(row)?, Bytes::copy_from_slice(column(row, 2)?)))
    };
    let events = rows.iter().map(event).collect::<Result<Vec<_>, _>>()?;
    // Without events the stream has nothing after the position.
    let head = if events.is_empty() { after } else { head };
    Ok(Ok(Page { events, head }))
}

/// Returns the newest position of each stream, after all that could be read before has arrived.
pub(super) async fn heads(
    shared: &OutboxShared,
    streams: &[StreamKey],
) -> Vec<Result<Position, ReadError>> {
    match caught_up(shared, shared.config.times.answer).await {
        Ok(progress) => {
            let head = |stream| shared.wants.newest(stream).unwrap_or(progress.read);
            streams.iter().map(|stream| Ok(head(stream))).collect()
        }
        Err(fault) => vec![Err(ReadError::Unavailable(fault.reason)); streams.len()],
    }
}

/// Waits until a read that begins after this call has found all that there was.
async fn caught_up(shared: &OutboxShared, patience: Duration) -> Result<OutboxProgress, Fault> {
    let until = Instant::now() + patience;
    let mut progress = shared.progress.subscribe();
    let next = shared.next_read();
    let no_link = || shared.health.fault(Role::Subscriber);
    loop {
        shared.look.notify_one();
        let reached =
            progress.wait_for(|progress| progress.is_none_or(|read| read.complete >= next));
        match timeout(ASK, reached).await {
            Ok(Ok(progress)) => return progress.ok_or_else(no_link),
            Ok(Err(_)) => return Err(no_link()),
            Err(_) if Instant::now() > until => {
                return Err(Fault::away("what is committed does not arrive in time"));
            }
            Err(_) => {}
        }
    }
}
