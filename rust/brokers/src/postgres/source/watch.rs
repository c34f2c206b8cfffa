//! The slot of a source, and the node that reads it, as every node sees them by SQL.

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::super::fault::Fault;
use super::super::slot::place;
use super::state::State;

/// What a node sees.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Who holds the lock: the process of PostgreSQL, the program and its address.
    pub(super) reader: Option<String>,
    /// Whether that is no node: any role may take the lock, and reads nothing.
    pub(super) is_no_node: bool,
    pub(super) kept: Option<SlotState>,
}

/// How much of the log is kept for the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotState {
    /// `wal_status` of the slot.
    pub(super) status: String,
    /// What is not confirmed (bytes).
    pub(super) lag: u64,
    /// Up to where all is confirmed.
    pub(super) confirmed: u64,
}

/// The lock of a source.
pub(super) struct Lock(u64);

impl Lock {
    /// The lock of a slot: the same number in all programs (FNV-1a).
    pub(super) fn of(slot: &str) -> Self {
        let bytes = "fraiseql_subs ".bytes().chain(slot.bytes());
        Self(bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        }))
    }

    /// The query that takes the lock, for as long as the connection lasts.
    pub(super) fn take(&self) -> String {
        format!("SELECT pg_catalog.pg_try_advisory_lock({})", self.0 as i64)
    }
}

/// Looks at the slot and its reader.
pub(super) async fn look(state: &State, client: &Client) -> Result<Seen, Fault> {
    let key = Lock::of(&state.slot).0;
    let (high, low) = (key >> 32, key & u64::from(u32::MAX));
    let query = format!(
        "SELECT pg_catalog.concat_ws(' ', 'process', l.pid::text, a.application_name, a.client_addr::text), \
         (r.pid IS NULL)::text, \
         (SELECT wal_status FROM pg_catalog.pg_replication_slots WHERE slot_name = '{slot}'), \
         (SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), confirmed_flush_lsn) \
         FROM pg_catalog.pg_replication_slots WHERE slot_name = '{slot}'), \
         (SELECT confirmed_flush_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = '{slot}'), \
         l.pid::text FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_locks AS l ON \
         l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = {high} AND \
         l.objid = {low} AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = \
         pg_catalog.current_database()) LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid \
         LEFT JOIN pg_catalog.pg_stat_replication AS r ON r.pid = l.pid \
         ORDER BY r.pid IS NULL LIMIT 1",
        slot = state.slot
    );
    let answer = tokio::time::timeout(state.config.times.answer, client.simple_query(&query)).await;
    let answer = answer.map_err(|_| Fault::away("PostgreSQL has not answered in time"))?;
    let answer = answer.map_err(|error| Fault::of_sql(&error))?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let seen = row.map(seen).unwrap_or_default();
    let (lag, confirmed) = match &seen.kept {
        Some(kept) => (kept.lag, kept.confirmed),
        None => (0, 0),
    };
    state.is_behind(lag, confirmed);
    Ok(seen)
}

fn seen(row: &SimpleQueryRow) -> Seen {
    let text = |index: usize| row.try_get(index).ok().flatten();
    let kept = text(2).map(|status| SlotState {
        status: status.to_owned(),
        // Negative for a moment after a confirmation.
        lag: text(3).and_then(|lag| lag.parse().ok()).unwrap_or_default(),
        confirmed: text(4).and_then(place).unwrap_or_default(),
    });
    Seen {
        reader: text(5).and(text(0)).map(str::to_owned),
        is_no_node: text(5).is_some() && text(1) == Some("true"),
        kept,
    }
}

/// Logs when a slot is about to be lost, and when it is not any more.
#[derive(Default)]
pub(super) struct Warnings {
    status: Option<String>,
}

impl Warnings {
    pub(super) fn update(&mut self, slot: &str, kept: Option<&SlotState>) {
        let Some(SlotState { status, lag, .. }) = kept else {
            return;
        };
        let before = self.status.replace(status.clone());
        let before = before.as_deref().unwrap_or("reserved");
        if before == status {
            return;
        }
        match &**status {
            "unreserved" => tracing::error!(
                name: "slot.endangered",
                target: "fraiseql_subs",
                slot,
                lag_bytes = lag,
                "the replication slot is about to be lost: it keeps more log than max_slot_wal_keep_size; \
                 its events are lost at the next checkpoint unless they are published before"
            ),
            "extended" => tracing::warn!(
                name: "slot.behind",
                target: "fraiseql_subs",
                slot,
                lag_bytes = lag,
                "PostgreSQL keeps more log for the replication slot than max_wal_size: events are \
                 published more slowly than they are committed"
            ),
            "reserved" => tracing::info!(
                name: "slot.caught_up",
                target: "fraiseql_subs",
                slot,
                lag_bytes = lag,
                "the replication slot keeps no more log than max_wal_size again"
            ),
            _ => {}
        }
    }
}
