//! The slot that lasts: finds it, or makes it again when it was lost.
//!
//! A slot that is made starts at now: what was committed before is lost to subscribers, and they are
//! told. So that no crash comes between, the slot is temporary until they are told, and is then copied
//! under its name: a node that finds the slot can rely on it. A table says whether there was a slot before:
//! the first one of all is no loss.

use bus::Epoch;
use bus::source::{Lost, SourceTarget};

use super::super::fault::{Fault, FaultKind};
use super::super::slot::{self, Opened, System};
use super::super::sql;
use super::super::tables::Types;
use super::super::wire::Wire;
use super::state::{Mark, Published, State};

/// The stream of the log from the slot that lasts.
pub(super) struct Started {
    pub(super) wire: Wire,
    pub(super) system: System,
    pub(super) types: Types,
    /// What this node has published before.
    pub(super) published: Mark,
}

/// The first version whose slots can be kept up to date on standbys.
const HAS_FAILOVER: u32 = 170_000;

/// Starts the stream of the log. This node holds the lock.
pub(super) async fn start(
    state: &State,
    target: &SourceTarget,
    opened: Opened,
) -> Result<Started, Fault> {
    if opened.keeps_all {
        tracing::warn!(
            name: "slot.unbounded",
            target: "fraiseql_subs",
            slot = &*state.slot,
            "max_slot_wal_keep_size is -1: while the bus is away, or no node runs, the replication slot \
             keeps all that is written, and can fill the disk of PostgreSQL; set it, for example to 10GB"
        );
    }
    let version = opened.version;
    let mut wire = opened.wire;
    let system = slot::identify(&mut wire).await?;
    let types = slot::types(&mut wire).await?;
    match find(state, &mut wire).await? {
        Found::Kept => {}
        Found::Missing => create(state, target, &mut wire, version).await?,
        Found::Lost(why) => {
            tracing::error!(
                name: "slot.lost",
                target: "fraiseql_subs",
                slot = &*state.slot,
                why,
                "the replication slot was lost, and with it events that were not published: all \
                 subscribers are told, and the slot is made again"
            );
            let drop = format!("DROP_REPLICATION_SLOT \"{}\"", state.slot);
            wire.query(&drop).await.map_err(of_slot)?;
            create(state, target, &mut wire, version).await?;
        }
    }
    let published = published_before(state, system.epoch);
    slot::begin(&mut wire, &state.config, &state.slot, published.end)
        .await
        .map_err(of_slot)?;
    Ok(Started {
        wire,
        system,
        types,
        published,
    })
}

/// What this node has published before; nothing if the log is another one.
fn published_before(state: &State, epoch: Epoch) -> Mark {
    let mut published = state.published.lock();
    *published = published.filter(|published| published.epoch == epoch);
    published
        .get_or_insert(Published {
            epoch,
            mark: Mark::default(),
        })
        .mark
}

/// The state of the slot.
enum Found {
    Kept,
    Missing,
    /// It exists, and PostgreSQL has removed what it needs.
    Lost(String),
}

async fn find(state: &State, wire: &mut Wire) -> Result<Found, Fault> {
    let query = format!(
        "SELECT plugin, (database = pg_catalog.current_database())::text, active_pid::text, wal_status, \
         pg_catalog.to_jsonb(s) ->> 'invalidation_reason' \
         FROM pg_catalog.pg_replication_slots AS s WHERE slot_name = '{}'",
        state.slot
    );
    let rows = wire.query(&query).await.map_err(Fault::of_link)?;
    let Some(row) = rows.first() else {
        return Ok(Found::Missing);
    };
    let text = |index: usize| row.get(index)?.as_deref();
    if text(0) != Some("pgoutput") || text(1) != Some("true") {
        return Err(Fault::configuration(format!(
            "the replication slot {} is of another program or database: choose another name by slot=, \
             or drop it",
            state.slot
        )));
    }
    if let Some(process) = text(2) {
        return Err(Fault::away(format!(
            "the replication slot {} is in use by process {process}, which is no node of this cluster: \
             end it, or choose another name by slot=",
            state.slot
        )));
    }
    match (text(3), text(4)) {
        (_, Some(reason)) => Ok(Found::Lost(reason.to_owned())),
        (Some("lost"), None) => Ok(Found::Lost(
            "it kept more log than max_slot_wal_keep_size".to_owned(),
        )),
        _ => Ok(Found::Kept),
    }
}

/// Makes the slot, after all subscribers were told that something may be missing.
async fn create(
    state: &State,
    target: &SourceTarget,
    wire: &mut Wire,
    version: u32,
) -> Result<(), Fault> {
    let name = &*state.slot;
    let new = format!("{name}_{:08x}", fastrand::u32(..));
    slot::create(wire, &new, |fault| state.away(fault)).await?;
    // What was published before is before the loss.
    *state.published.lock() = None;
    let note = format!("SELECT fraiseql_subs.begin_source('{name}')");
    let noted = wire.query(&note).await;
    let noted = noted.map_err(|fault| fault.of_link().advise(sql::INSTALL_AGAIN))?;
    let is_first = noted
        .iter()
        .flatten()
        .any(|text| text.as_deref() == Some("t"));
    let lost = if is_first {
        Lost::Beginning
    } else {
        state.has_lost();
        Lost::Events
    };
    target.losses.tell(lost).await;
    let copy =
        format!("SELECT pg_catalog.pg_copy_logical_replication_slot('{new}', '{name}', false)");
    wire.query(&copy).await.map_err(of_slot)?;
    if version >= HAS_FAILOVER {
        let follow = format!("ALTER_REPLICATION_SLOT \"{name}\" (FAILOVER)");
        wire.query(&follow).await.map_err(of_slot)?;
    }
    let drop = format!("DROP_REPLICATION_SLOT \"{new}\"");
    wire.query(&drop).await.map_err(of_slot)?;
    tracing::info!(
        name: "slot.made",
        target: "fraiseql_subs",
        slot = name,
        "the replication slot was made: what is committed from now on is kept until it is published"
    );
    Ok(())
}

/// A slot that is in use, or lost, is looked at again soon.
fn of_slot(fault: Fault) -> Fault {
    match fault.kind {
        FaultKind::Refused => Fault::away(fault.reason),
        _ => fault.of_link(),
    }
}
