//! Watches the tables whose changes are events: one may be renamed, dropped or left out of the publication
//! while the node runs, which the log does not say.
//!
//! The log names what is wrong, from the start on. The other channels go on, and so the links are healthy: the
//! tables of each node are the same, so no client is better off at another one. When it is mended, the streams of the table are told that they lack events: when the log was read up to there,
//! which may be later.

use std::convert::Infallible;
use std::time::Duration;

use bus::Offset;
use bus::engine::{Role, Scope};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::config::Config;
use super::cursor::TextRow;
use super::fault::Fault;
use super::shared::{Progress, Shared};
use super::slot::place;
use super::tables::Table;

/// Pause while there is no connection.
const AWAY_PAUSE: Duration = Duration::from_millis(100);

/// What is wrong with a table; if nothing is, what changes when it was not published in between.
pub(super) type TableState = Result<String, String>;

/// A table that was mended.
struct Mended<'a> {
    table: &'a Table,
    /// Up to here events may be missing.
    until: u64,
    /// The link that had read less than that.
    link: u64,
}

/// Looks at the tables again and again, as soon as there is a connection.
pub(super) async fn watch(shared: &Shared) -> Infallible {
    let config = &shared.config;
    if config.tables.is_empty() {
        return std::future::pending().await;
    }
    let mut states: Vec<Option<TableState>> = vec![None; config.tables.len()];
    let mut mended = Vec::new();
    let mut log = TableLog::default();
    loop {
        let is_linked = shared.link(Role::Reader).is_ok();
        // Without a link nothing is known.
        if let Ok(client) = shared.link(Role::Reader)
            && let Ok(found) = look(config, &client).await
            && let Ok(until) = written(config, &client).await
        {
            for ((table, before), now) in config.tables.iter().zip(&states).zip(&found) {
                // Without a stream of the log another one begins, and tells all streams.
                if let Some(before) = before
                    && is_mended(before.as_ref().ok(), now)
                    && let Some(Progress { link, .. }) = *shared.progress.borrow()
                {
                    mended.push(Mended { table, until, link });
                }
            }
            log.update(None, &found);
            states = found.into_iter().map(Some).collect();
        }
        let pause = match is_linked {
            true => config.times.watch,
            false => config.times.watch.min(AWAY_PAUSE),
        };
        let pause = pause.mul_f64(0.8 + 0.4 * fastrand::f64());
        tell(shared, &mut mended, Instant::now() + pause).await;
    }
}

/// Whether a table is right, and was not so for a time. `before`: its state when it was seen before; `None`: it
/// was wrong.
pub(super) fn is_mended(before: Option<&String>, now: &TableState) -> bool {
    now.as_ref().is_ok_and(|now| before != Some(now))
}

/// Returns the state of each table.
pub(super) async fn look(config: &Config, client: &Client) -> Result<Vec<TableState>, Fault> {
    let mut states = Vec::new();
    for table in &config.tables {
        let rows = ask(config, client, &table.check_sql()).await?;
        states.push(table.check(&rows));
    }
    Ok(states)
}

/// Returns up to where the log is written now.
async fn written(config: &Config, client: &Client) -> Result<u64, Fault> {
    let rows = ask(config, client, "SELECT pg_catalog.pg_current_wal_lsn()").await?;
    let text = rows.into_iter().flatten().flatten().next();
    let written = text.as_deref().and_then(place);
    written.ok_or_else(|| Fault::away("PostgreSQL does not say how far its log is written"))
}

async fn ask(config: &Config, client: &Client, sql: &str) -> Result<Vec<TextRow>, Fault> {
    let late = |_| Fault::away("PostgreSQL has not answered in time");
    let answer = timeout(config.times.answer, client.simple_query(sql)).await;
    let answer = answer
        .map_err(late)?
        .map_err(|error| Fault::of_sql(&error))?;
    Ok(answer.iter().filter_map(texts).collect())
}

fn texts(message: &SimpleQueryMessage) -> Option<TextRow> {
    let SimpleQueryMessage::Row(row) = message else {
        return None;
    };
    let text = |index| row.try_get(index).ok().flatten().map(str::to_owned);
    Some((0..row.len()).map(text).collect())
}

/// Logs what is wrong with the tables, once, and that they are right again.
#[derive(Default)]
pub(super) struct TableLog {
    reason: Option<String>,
}

impl TableLog {
    /// `slot`: of a source.
    pub(super) fn update(&mut self, slot: Option<&str>, states: &[TableState]) {
        let wrong = states.iter().filter_map(|state| state.as_ref().err());
        let wrong: Vec<&str> = wrong.map(String::as_str).collect();
        let reason = (!wrong.is_empty()).then(|| wrong.join("; "));
        if reason == self.reason {
            return;
        }
        match &reason {
            Some(reason) => tracing::error!(
                name: "table.wrong",
                target: "fraiseql_subs",
                slot,
                reason,
                "a table whose changes are events is wrong: correct it, or the configuration; other channels go on"
            ),
            None => tracing::info!(
                name: "table.right",
                target: "fraiseql_subs",
                slot,
                "all tables whose changes are events are right again"
            ),
        }
        self.reason = reason;
    }
}

/// Tells what was mended when the log was read up to there, until a moment.
async fn tell(shared: &Shared, mended: &mut Vec<Mended<'_>>, until: Instant) {
    let mut progress = shared.progress.subscribe();
    while let Some(next) = mended.iter().map(|one| one.until).min() {
        let link = mended.first().map(|one| one.link);
        let is_due = |now: &Option<Progress>| {
            now.is_none_or(|now| now.end >= next || Some(now.link) != link)
        };
        let reached = tokio::select! {
            reached = progress.wait_for(is_due) => reached.map_or(None, |reached| *reached),
            () = sleep_until(until) => return,
        };
        mended.retain(|one| {
            let is_of_link = reached.is_some_and(|now| now.link == one.link);
            let is_reached = reached.is_some_and(|now| now.end >= one.until);
            if is_of_link && is_reached {
                lack(shared, one);
            }
            is_of_link && !is_reached
        });
    }
    sleep_until(until).await;
}

/// What was committed in the meantime did not arrive.
fn lack(shared: &Shared, mended: &Mended<'_>) {
    let is_meant = |channel: &str| mended.table.may_be_on(channel);
    shared.recent.lose_of(Offset::new(mended.until), is_meant);
    for stream in shared.wants.matching(is_meant) {
        shared.arrivals().doubt(Scope::Stream(stream));
    }
}
