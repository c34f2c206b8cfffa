//! Watches the tables whose changes are events: one may be renamed, dropped or left out of the publication
//! while the node runs, which the log does not say.
//!
//! The health of the link that reads names what is wrong, from the start on. The other channels go on. When it
//! is mended, the streams of the table are told that they lack events.

use std::convert::Infallible;
use std::time::Duration;

use bus::Offset;
use bus::engine::{Role, Scope};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::config::Config;
use super::cursor::TextRow;
use super::fault::Fault;
use super::shared::Shared;
use super::tables::Table;

/// Pause while there is no connection.
const AWAY_PAUSE: Duration = Duration::from_millis(100);

/// Looks at the tables again and again, as soon as there is a connection.
pub(super) async fn watch(shared: &Shared) -> Infallible {
    let config = &shared.config;
    if config.tables.is_empty() {
        return std::future::pending().await;
    }
    let mut problems: Vec<Option<String>> = vec![None; config.tables.len()];
    loop {
        let is_linked = shared.link(Role::Reader).is_ok();
        // Without a link nothing is known.
        if let Ok(client) = shared.link(Role::Reader)
            && let Ok(found) = look(config, &client).await
        {
            let before = std::mem::replace(&mut problems, found);
            for ((table, before), now) in config.tables.iter().zip(before).zip(&problems) {
                if before.is_some() && now.is_none() {
                    mended(shared, table);
                }
                if before.is_some() || now.is_some() {
                    report(shared, &problems);
                }
            }
        }
        let pause = match is_linked {
            true => config.times.watch,
            false => config.times.watch.min(AWAY_PAUSE),
        };
        sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
    }
}

/// Returns what is wrong with each table.
pub(super) async fn look(config: &Config, client: &Client) -> Result<Vec<Option<String>>, Fault> {
    let mut problems = Vec::new();
    for table in &config.tables {
        let sql = table.check_sql();
        let answer = client.simple_query(&sql);
        let late = |_| Fault::away("PostgreSQL has not answered in time");
        let answer = timeout(config.times.answer, answer).await;
        let answer = answer
            .map_err(late)?
            .map_err(|error| Fault::of_sql(&error))?;
        let rows: Vec<TextRow> = answer.iter().filter_map(texts).collect();
        problems.push(table.check(&rows).err());
    }
    Ok(problems)
}

fn texts(message: &SimpleQueryMessage) -> Option<TextRow> {
    let SimpleQueryMessage::Row(row) = message else {
        return None;
    };
    let text = |index| row.try_get(index).ok().flatten().map(str::to_owned);
    Some((0..row.len()).map(text).collect())
}

fn report(shared: &Shared, problems: &[Option<String>]) {
    if shared.link(Role::Reader).is_err() {
        return;
    }
    match reason(problems) {
        None => shared.health.live(Role::Reader, shared.arrivals()),
        Some(reason) => {
            let fault = Fault::configuration(reason);
            shared.health.away(Role::Reader, &fault, shared.arrivals());
        }
    }
}

/// What is wrong, for the log; `None`: nothing.
pub(super) fn reason(problems: &[Option<String>]) -> Option<String> {
    let wrong: Vec<&str> = problems.iter().flatten().map(String::as_str).collect();
    let all = wrong.join("; ");
    (!wrong.is_empty())
        .then(|| format!("{all}; until then its changes reach nobody, and other channels go on"))
}

/// What was committed in the meantime did not arrive.
fn mended(shared: &Shared, table: &Table) {
    let end = shared.progress.borrow().map_or(0, |progress| progress.end);
    let is_meant = |channel: &str| table.may_be_on(channel);
    shared.recent.lose_of(Offset::new(end), is_meant);
    for stream in shared.wants.matching(is_meant) {
        shared.arrivals().doubt(Scope::Stream(stream));
    }
}
