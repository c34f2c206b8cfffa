//! Slots of links that read the log: checks the server, creates slots, and starts them.
//!
//! Not here: the slot that lasts longer than its link (`source`).

use std::time::Duration;

use bus::Epoch;
use bus::engine::Role;

use super::config::Config;
use super::fault::{Fault, FaultKind, WITH_OUTBOX};
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

/// A connection to a server that was checked.
pub(super) struct Opened {
    pub(super) wire: Wire,
    /// The version of the server, such as 150004.
    pub(super) version: u32,
    /// Whether the log that slots need has no limit.
    pub(super) keeps_all: bool,
}

/// Which log a server has.
pub(super) struct System {
    /// The identifier of the system.
    pub(super) id: u64,
    /// Of the system, and its timeline: places of two epochs are other places.
    pub(super) epoch: Epoch,
}

/// Connects, and checks the server.
pub(super) async fn open(config: &Config) -> Result<Opened, Fault> {
    let mut wire = Wire::connect(config).await.map_err(of_login)?;
    let checks = format!(
        "SELECT current_setting('wal_level'), current_setting('server_version_num'), \
         pg_catalog.pg_is_in_recovery()::text, current_setting('max_slot_wal_keep_size'), \
         (EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = '{PUBLICATION}'))::text, \
         (EXISTS (SELECT FROM pg_catalog.pg_proc AS f JOIN pg_catalog.pg_namespace AS n ON n.oid = \
         f.pronamespace WHERE nspname = 'fraiseql_subs' AND proname = 'read_outbox'))::text"
    );
    let rows = wire.query(&checks).await.map_err(Fault::of_link)?;
    let texts: Vec<&str> = rows
        .iter()
        .flatten()
        .map(|text| text.as_deref().unwrap_or(""))
        .collect();
    let [level, version, is_standby, kept, is_installed, has_outbox] = texts[..] else {
        return Err(Fault::away(
            "PostgreSQL has answered the checks in another form",
        ));
    };
    let version = version.parse().unwrap_or(u32::MAX);
    if version < 140_000 {
        return Err(Fault::configuration(
            "the server is older than PostgreSQL 14, which cannot pass on messages of the log",
        ));
    }
    if is_standby == "true" {
        return Err(Fault::away(
            "the server is a standby: name the primary in the URL of PostgreSQL",
        ));
    }
    // The form may have been changed under a program that runs.
    if is_installed != "true" && has_outbox == "true" {
        return Err(Fault::configuration(WITH_OUTBOX));
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
    let keeps_all = kept == "-1";
    Ok(Opened {
        wire,
        version,
        keeps_all,
    })
}

/// Asks which log the server has.
pub(super) async fn identify(wire: &mut Wire) -> Result<System, Fault> {
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
    Ok(System { id, epoch })
}

/// Asks for the types of columns.
pub(super) async fn types(wire: &mut Wire) -> Result<Types, Fault> {
    let rows = wire.query(Types::SQL).await.map_err(Fault::of_link)?;
    Ok(Types::of_rows(&rows))
}

/// Creates a temporary slot. Waits for the transactions that are open, and calls `waits` if that takes
/// long. Returns where it starts: all that is committed after this place in the log arrives.
pub(super) async fn create(
    wire: &mut Wire,
    name: &str,
    waits: impl FnOnce(&Fault),
) -> Result<u64, Fault> {
    let create =
        format!("CREATE_REPLICATION_SLOT \"{name}\" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT");
    let created = {
        let mut created = std::pin::pin!(wire.query(&create));
        tokio::select! {
            created = &mut created => created,
            () = tokio::time::sleep(SLOT_PATIENCE) => {
                waits(&Fault::away(
                    "PostgreSQL starts to send the log when the transactions have ended that are open \
                     now: look for old ones in pg_stat_activity",
                ));
                created.await
            }
        }
    };
    let created = created.map_err(Fault::of_link)?;
    let start = created
        .first()
        .and_then(|row| row.get(1)?.as_deref().and_then(place));
    start.ok_or_else(|| Fault::away("PostgreSQL has not said where the slot starts"))
}

/// Asks for the id of a transaction that begins now.
async fn next_transaction(wire: &mut Wire) -> Result<u64, Fault> {
    let rows = wire
        .query("SELECT pg_catalog.pg_current_xact_id()::text")
        .await
        .map_err(Fault::of_link)?;
    rows.first()
        .and_then(|row| row.first()?.as_deref()?.parse().ok())
        .ok_or_else(|| Fault::away("PostgreSQL has not said which transaction is next"))
}

/// Starts the stream of the log. `from`: what was committed before this place does not arrive; 0: what
/// was confirmed.
pub(super) async fn begin(
    wire: &mut Wire,
    config: &Config,
    name: &str,
    from: u64,
) -> Result<(), Fault> {
    let (high, low) = (from >> 32, from & u64::from(u32::MAX));
    let begin = format!(
        "START_REPLICATION SLOT \"{name}\" LOGICAL {high:X}/{low:X} (proto_version '1', \
         publication_names '{PUBLICATION}', messages 'true')"
    );
    // A row has its values before and after a change.
    let limit = 2 * config.max_event_bytes + 64 * 1024;
    wire.start(&begin, limit).await.map_err(Fault::of_link)
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
            fault.advise("write sslmode=verify-full in the URL of PostgreSQL")
        }
        _ => fault.of_link(),
    }
}

/// Starts a slot. Waits for the transactions that are open.
pub(super) async fn start(shared: &Shared, opened: Opened) -> Result<StartedSlot, Fault> {
    if opened.keeps_all {
        tracing::warn!(
            name: "slot.unbounded",
            target: "fraiseql_subs",
            "max_slot_wal_keep_size is -1: a program that is connected and does not read can fill the \
             disk of PostgreSQL; set it, for example to 10GB"
        );
    }
    let mut wire = opened.wire;
    let System { epoch, .. } = identify(&mut wire).await?;
    let types = types(&mut wire).await?;
    let name = format!("{PUBLICATION}_{:016x}", fastrand::u64(..));
    let waits = |fault: &Fault| {
        shared
            .health
            .away(Role::Subscriber, fault, shared.arrivals());
    };
    let start = create(&mut wire, &name, waits).await?;
    shared.commits.begin(next_transaction(&mut wire).await?);
    begin(&mut wire, &shared.config, &name, 0).await?;
    Ok(StartedSlot {
        wire,
        epoch,
        start,
        types,
    })
}

/// Reads a place in the log, such as `16/B374D848`.
pub(super) fn place(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let high = u32::from_str_radix(high, 16).ok()?;
    let low = u32::from_str_radix(low, 16).ok()?;
    Some(u64::from(high) << 32 | u64::from(low))
}
