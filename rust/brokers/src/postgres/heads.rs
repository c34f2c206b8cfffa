//! The newest positions of streams, and whether the log is read without delay.
//!
//! PostgreSQL does not number streams. What the log has up to now is compared with what was read: after
//! that the newest event of a stream is the last one that was delivered.

use std::convert::Infallible;
use std::time::Duration;

use bus::engine::{ReadError, Role};
use bus::{Offset, Position, Snapshot, StreamKey};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::PgLsn;

use super::fault::Fault;
use super::shared::{Progress, Shared};

/// How often the server is asked again how far it has read the log.
const ASK: Duration = Duration::from_millis(500);
/// Pause between two looks at the commits that are visible.
const LOOK_PAUSE: Duration = Duration::from_millis(2);
/// The same, while there is no connection.
const AWAY_PAUSE: Duration = Duration::from_millis(100);
/// How often it is checked whether the log is read without delay.
const PROBE: Duration = Duration::from_secs(15);

/// Returns the newest position of each stream, after all that was committed before has arrived.
pub(super) async fn heads(
    shared: &Shared,
    streams: &[StreamKey],
) -> Vec<Result<Position, ReadError>> {
    let progress = match caught_up(shared, shared.config.times.answer).await {
        Ok(progress) => progress,
        Err(fault) => return vec![Err(ReadError::Unavailable(fault.reason)); streams.len()],
    };
    let offset = Offset::new(progress.end.saturating_sub(1));
    let read = Position {
        epoch: progress.epoch,
        offset,
    };
    let head = |stream| shared.wants.newest(stream).unwrap_or(read);
    streams.iter().map(|stream| Ok(head(stream))).collect()
}

/// Waits until all was read that is committed now.
async fn caught_up(shared: &Shared, patience: Duration) -> Result<Progress, Fault> {
    let until = Instant::now() + patience;
    let mut progress = shared.progress.subscribe();
    let no_link = || shared.health.fault(Role::Subscriber);
    let link = progress.borrow().ok_or_else(no_link)?.link;
    let client = shared.link(Role::Reader)?;
    let asked = client.query_typed("SELECT pg_catalog.pg_current_wal_flush_lsn()", &[]);
    let late = || Fault::away("what is committed does not arrive in time");
    let rows = timeout(patience, asked).await.map_err(|_| late())?;
    let rows = rows.map_err(|error| Fault::of_sql(&error))?;
    let place = rows.first().and_then(|row| row.try_get::<_, PgLsn>(0).ok());
    let now: u64 = place
        .ok_or_else(|| Fault::away("PostgreSQL has not said how long its log is"))?
        .into();
    loop {
        let reached = progress
            .wait_for(|progress| progress.is_none_or(|at| at.link != link || at.end >= now));
        match timeout(ASK, reached).await {
            Ok(Ok(progress)) => match *progress {
                Some(progress) if progress.link == link => return Ok(progress),
                _ => return Err(Fault::away("the link was lost")),
            },
            Ok(Err(_)) => return Err(no_link()),
            Err(_) if Instant::now() > until => return Err(late()),
            Err(_) => shared.look.notify_one(),
        }
    }
}

/// Checks again and again whether the log is read without delay, and which commits are visible.
pub(super) async fn watch(shared: &Shared) -> Infallible {
    tokio::select! {
        never = watch_link(shared) => never,
        never = watch_commits(shared) => never,
    }
}

/// Looks up which commits are visible, so that those need not be known one by one.
async fn watch_commits(shared: &Shared) -> Infallible {
    loop {
        let _ = timeout(PROBE, shared.look_at_commits.notified()).await;
        let Ok(client) = shared.link(Role::Reader) else {
            sleep(AWAY_PAUSE).await;
            continue;
        };
        let sql = "SELECT pg_catalog.pg_current_snapshot()::text";
        let answer = timeout(shared.config.times.answer, client.query_typed(sql, &[])).await;
        let rows = answer.ok().and_then(Result::ok).unwrap_or_default();
        let text = rows.first().and_then(|row| row.try_get::<_, &str>(0).ok());
        if let Some(Ok(snapshot)) = text.map(str::parse::<Snapshot>) {
            shared.commits.look(&snapshot);
        }
        sleep(LOOK_PAUSE).await;
    }
}

async fn watch_link(shared: &Shared) -> Infallible {
    loop {
        sleep(PROBE.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
        let link = shared.progress.borrow().map(|progress| progress.link);
        let reached = caught_up(shared, shared.config.times.behind).await;
        if link.is_none() || shared.link(Role::Reader).is_err() {
            continue;
        }
        if shared.progress.borrow().map(|progress| progress.link) != link {
            continue;
        }
        match reached {
            Ok(_) => shared.health.live(Role::Subscriber, shared.arrivals()),
            Err(_) => shared.health.silent(Role::Subscriber, shared.arrivals()),
        }
    }
}
