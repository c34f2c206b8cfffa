//! The slot of a link that reads the log: checks the server, and starts the slot.

use std::time::Duration;

use bus::Epoch;
use bus::engine::Role;

use super::fault::{Fault, FaultKind};
use super::install::PUBLICATION;
use super::shared::Shared;
use super::sql;
use super::tables::Types;
use super::wire::Wire;

/// After this time a slot that has not started is reported.
const SLOT_PATIENCE: Duration = Duration::from_secs(3);

/// A slot that has started.
pub(super) struct StartedSlot {
    pub(super) wire: Wire,
    pub(super) epoch: Epoch,
    /// All that is committed after this place in the log arrives.
    pub(super) start: u64,
    pub(super) types: Types,
}

/// Connects, and checks the server.
pub(super) async fn open(shared: &Shared) -> Result<Wire, Fault> {
    let mut wire = Wire::connect(&shared.config).await.map_err(of_login)?;
    let checks = format!(
        "SELECT current_setting('wal_level'), current_setting('server_version_num'), \
         pg_catalog.pg_is_in_recovery()::text, current_setting('max_slot_wal_keep_size'), \
         (EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = '{PUBLICATION}'))::text"
    );
    let rows = wire.query(&checks).await.map_err(Fault::of_link)?;
    let texts: Vec<&str> = rows
        .iter()
        .flatten()
        .map(|text| text.as_deref().unwrap_or(""))
        .collect();
    let [level, version, is_standby, kept, is_installed] = texts[..] else {
        return Err(Fault::away(
            "PostgreSQL has answered the checks in another form",
        ));
    };
    if version
        .parse::<u32>()
        .is_ok_and(|version| version < 140_000)
    {
        return Err(Fault::configuration(
            "the server is older than PostgreSQL 14, which cannot pass on messages of the log",
        ));
    }
    if is_standby == "true" {
        return Err(Fault::away(
            "the server is a standby: name the primary in the URL of the bus",
        ));
    }
    if level != "logical" {
        return Err(Fault::configuration(format!(
            "wal_level is {level}: set wal_level = logical in postgresql.conf (on a managed server its \
             setting for logical replication), and restart PostgreSQL"
        )));
    }
    if is_installed != "true" {
        return Err(sql::not_installed());
    }
    if kept == "-1" {
        tracing::warn!(
            target: "fraiseql_subs",
            "max_slot_wal_keep_size is -1: a program that is connected and does not read can fill the \
             disk of PostgreSQL; set it, for example to 10GB"
        );
    }
    for table in &shared.config.tables {
        let rows = wire
            .query(&table.check_sql())
            .await
            .map_err(Fault::of_link)?;
        table.check(&rows).map_err(Fault::configuration)?;
    }
    Ok(wire)
}

/// Refusals of a login in replication mode.
fn of_login(fault: Fault) -> Fault {
    if fault.reason.contains("max_wal_senders") {
        return Fault {
            kind: FaultKind::Configuration,
            ..fault
        }
        .advise("each node takes one: raise max_wal_senders");
    }
    match fault.kind {
        FaultKind::Denied => fault.of_link().advise(
            "run ALTER ROLE ... REPLICATION for the role of the nodes, as an administrator",
        ),
        FaultKind::Configuration if fault.reason.contains("no encryption") => {
            fault.advise("write sslmode=verify-full in the URL of the bus")
        }
        _ => fault.of_link(),
    }
}

/// Starts a slot. Waits for the transactions that are open.
pub(super) async fn start(shared: &Shared, mut wire: Wire) -> Result<StartedSlot, Fault> {
    let system = wire
        .query("IDENTIFY_SYSTEM")
        .await
        .map_err(Fault::of_link)?;
    let number =
        |index: usize| -> Option<u64> { system.first()?.get(index)?.as_deref()?.parse().ok() };
    let (Some(id), Some(timeline)) = (number(0), number(1)) else {
        return Err(Fault::away("PostgreSQL has not said which system it is"));
    };
    // A server that was promoted goes on in another timeline: its places in the log are other places.
    let epoch = Epoch(id.wrapping_add(timeline.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let types = Types::of_rows(&wire.query(Types::SQL).await.map_err(Fault::of_link)?);

    let name = format!("{PUBLICATION}_{:016x}", fastrand::u64(..));
    let create =
        format!("CREATE_REPLICATION_SLOT \"{name}\" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT");
    let created = {
        let mut created = std::pin::pin!(wire.query(&create));
        tokio::select! {
            created = &mut created => created,
            () = tokio::time::sleep(SLOT_PATIENCE) => {
                let waits = Fault::away(
                    "PostgreSQL starts to send the log when the transactions have ended that are open \
                     now: look for old ones in pg_stat_activity",
                );
                shared.health.away(Role::Subscriber, &waits, shared.arrivals());
                created.await
            }
        }
    };
    let created = created.map_err(Fault::of_link)?;
    let place = created
        .first()
        .and_then(|row| row.get(1)?.as_deref().and_then(place));
    let Some(start) = place else {
        return Err(Fault::away("PostgreSQL has not said where the slot starts"));
    };
    let next = wire
        .query("SELECT pg_catalog.pg_current_xact_id()::text")
        .await
        .map_err(Fault::of_link)?;
    let next = next
        .first()
        .and_then(|row| row.first()?.as_deref()?.parse().ok());
    let Some(next) = next else {
        return Err(Fault::away(
            "PostgreSQL has not said which transaction is next",
        ));
    };
    shared.commits.begin(next);
    let begin = format!(
        "START_REPLICATION SLOT \"{name}\" LOGICAL 0/0 (proto_version '1', publication_names \
         '{PUBLICATION}', messages 'true')"
    );
    // A row has its values before and after a change.
    let limit = 2 * shared.config.max_event_bytes + 64 * 1024;
    wire.start(&begin, limit).await.map_err(Fault::of_link)?;
    Ok(StartedSlot {
        wire,
        epoch,
        start,
        types,
    })
}

/// Reads a place in the log, such as `16/B374D848`.
fn place(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let high = u32::from_str_radix(high, 16).ok()?;
    let low = u32::from_str_radix(low, 16).ok()?;
    Some(u64::from(high) << 32 | u64::from(low))
}
