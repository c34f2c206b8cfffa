//! Reads the rows that the functions of the schema return.

use bus::{Epoch, Offset, Position};
use bytes::Bytes;
use tokio_postgres::types::FromSql;
use tokio_postgres::{Client, Row};

use super::super::fault::Fault;
use super::shared::{offset, place};

/// The events of one read (count).
const MAX_ROWS: i32 = 512;
/// After this size a read ends with the event that exceeds it (bytes).
pub(super) const MAX_BYTES: i64 = 1024 * 1024;

const OPEN: &str = "SELECT epoch, newest_tx, newest_n FROM fraiseql_subs.open_outbox()";
const READ: &str = "SELECT tx, n, channel, tenant, envelope, epoch, is_known, waits, is_open \
    FROM fraiseql_subs.read_outbox($1, $2, $3, $4, $5)";
const SLEEP: &str = "SELECT pg_try_advisory_lock_shared(fraiseql_subs.sleeping())";
const WAKE: &str = "SELECT pg_advisory_unlock_shared(fraiseql_subs.sleeping())";
const RENEW: &str = "SELECT fraiseql_subs.renew_outbox($1, $2, $3)";

/// New events of all streams.
pub(super) struct NewEvents {
    pub(super) events: Vec<Row>,
    pub(super) status: Status,
    /// Whether there may be more.
    pub(super) is_full: bool,
}

/// What the last row of a read says.
pub(super) struct Status {
    pub(super) epoch: Epoch,
    /// All events after it are kept.
    pub(super) floor: Offset,
    /// Whether the position after which was read is one of this epoch.
    pub(super) is_known: bool,
    /// For how long the oldest event has waited that is committed and cannot be read yet (seconds).
    pub(super) waits: Option<f64>,
    /// Whether transactions were open that may have left out a `NOTIFY`.
    pub(super) is_open: bool,
}

/// An event of a read.
pub(super) struct Event<'a> {
    pub(super) at: Offset,
    pub(super) channel: &'a str,
    pub(super) tenant: Option<&'a str>,
    /// Empty if it is larger than `max_event_bytes`.
    pub(super) envelope: Bytes,
}

impl<'a> Event<'a> {
    pub(super) fn of_row(row: &'a Row) -> Result<Self, Fault> {
        let envelope: &[u8] = column(row, 4)?;
        Ok(Self {
            at: offset(column(row, 0)?, column(row, 1)?),
            channel: column(row, 2)?,
            tenant: column(row, 3)?,
            envelope: Bytes::copy_from_slice(envelope),
        })
    }
}

/// Returns the newest position. Begins another epoch if the server is another one than before.
pub(super) async fn open(client: &Client) -> Result<Position, Fault> {
    let row = client.query_one(OPEN, &[]).await;
    let row = row.map_err(|error| Fault::of_sql(&error))?;
    Ok(Position {
        epoch: epoch(&row, 0)?,
        offset: offset(column(&row, 1)?, column(&row, 2)?),
    })
}

/// Reads the events after a position.
pub(super) async fn read(
    client: &Client,
    after: Offset,
    max_event_bytes: usize,
) -> Result<NewEvents, Fault> {
    let (tx, n) = place(after);
    let limit = max_event_bytes as i64;
    let rows = client
        .query(READ, &[&tx, &n, &MAX_ROWS, &MAX_BYTES, &limit])
        .await;
    let mut events = rows.map_err(|error| Fault::of_sql(&error))?;
    let last = events.pop().ok_or_else(unexpected)?;
    let status = Status {
        floor: offset(column(&last, 0)?, column(&last, 1)?),
        epoch: epoch(&last, 5)?,
        is_known: column(&last, 6)?,
        waits: column(&last, 7)?,
        is_open: column(&last, 8)?,
    };
    let bytes: usize = events
        .iter()
        .map(|row| column::<&[u8]>(row, 4).map_or(0, <[u8]>::len))
        .sum();
    Ok(NewEvents {
        is_full: events.len() >= MAX_ROWS as usize || bytes >= MAX_BYTES as usize,
        events,
        status,
    })
}

/// Begins another epoch, as the server does not have a position that it had.
pub(super) async fn renew(client: &Client, read: Position) -> Result<(), Fault> {
    let (tx, n) = place(read.offset);
    let epoch = read.epoch.0.cast_signed();
    let renewed = client.execute(RENEW, &[&epoch, &tx, &n]).await;
    renewed.map(drop).map_err(|error| Fault::of_sql(&error))
}

/// Says whether this node waits for a `NOTIFY`. Returns false if it could not be said.
pub(super) async fn say_sleeping(client: &Client, sleeps: bool) -> Result<bool, Fault> {
    let row = client
        .query_one(if sleeps { SLEEP } else { WAKE }, &[])
        .await;
    column(&row.map_err(|error| Fault::of_sql(&error))?, 0)
}

pub(super) fn epoch(row: &Row, index: usize) -> Result<Epoch, Fault> {
    Ok(Epoch(column::<i64>(row, index)?.cast_unsigned()))
}

pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Fault> {
    row.try_get(index).map_err(|_| unexpected())
}

pub(super) fn unexpected() -> Fault {
    Fault::away("PostgreSQL has sent an answer that its schema does not return")
}
