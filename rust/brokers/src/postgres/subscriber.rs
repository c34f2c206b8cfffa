//! The link that reads the log: passes on what is wanted, and confirms what was read.
//!
//! Each link has a temporary slot of its own, which starts at now. What was committed before is never
//! read: each stream becomes ready again, at a head after all that was delivered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::engine::Role;
use tokio::time::{MissedTickBehavior, interval};

use super::fault::Fault;
use super::log::Log;
use super::shared::Shared;
use super::slot::StartedSlot;
use super::tables::Types;
use super::wire::Wire;

/// How many messages are handled before other work has its turn (count).
const TURN: usize = 256;
/// Pause while the receiver has no room.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// Pause between two attempts to ask for types.
const LEARN_PAUSE: Duration = Duration::from_millis(50);
/// After this time without a byte the link ends. The server is silent while it decodes a large
/// transaction, but ends a link itself after a minute (`wal_sender_timeout`).
const SILENT: Duration = Duration::from_secs(90);

/// Reads the log until the link ends. `link`: its number.
pub(super) async fn serve(shared: &Arc<Shared>, slot: StartedSlot, link: u64) -> Fault {
    let arrivals = shared.arrivals().clone();
    let (mut wire, mut log) = Log::new(shared.clone(), slot, link);
    let _read = log.begin();
    // The new heads are after all that was delivered: what is between is reported as missed, once.
    shared.wants.ask_again();
    shared.health.live(Role::Subscriber, &arrivals);
    if let Some((_, control)) = shared.control.get() {
        control.joined();
    }
    match read(shared, &mut wire, &mut log).await {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

async fn read(
    shared: &Arc<Shared>,
    wire: &mut Wire,
    log: &mut Log,
) -> Result<std::convert::Infallible, Fault> {
    let arrivals = shared.arrivals().clone();
    let times = shared.config.times;
    let mut ticks = interval(times.confirm);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut heard, mut asked) = (Instant::now(), Instant::now());
    let mut confirmed = 0;
    loop {
        let head = log.position();
        for stream in shared.wants.answer(head) {
            arrivals.ready(&stream, head);
        }
        let mut wants_reply = false;
        let mut is_due = false;
        tokio::select! {
            frame = wire.frame() => {
                wants_reply |= log.take(frame?)?;
                let mut count = 1;
                // The types of a new definition are asked for before its rows are read.
                while count < TURN
                    && !arrivals.is_full()
                    && !log.tables.has_unknown_types()
                    && let Some(frame) = wire.buffered()?
                {
                    wants_reply |= log.take(frame)?;
                    count += 1;
                }
                while arrivals.is_full() {
                    // What is committed in this time waits in the server.
                    tokio::select! {
                        () = tokio::time::sleep(FULL_PAUSE) => {}
                        _ = ticks.tick() => wire.confirm(log.end, false).await?,
                    }
                }
                // Not before: nothing was read while there was no room.
                heard = Instant::now();
            }
            _ = ticks.tick() => is_due = true,
            () = shared.wants.changed.notified() => {}
            () = shared.look.notified() => wire.confirm(log.end, true).await?,
        }
        log.tell_missing();
        if log.tables.has_unknown_types() {
            learn_types(shared, log).await?;
        }
        let silent_for = heard.elapsed();
        if silent_for > SILENT {
            return Err(Fault::away("PostgreSQL has been silent for 90 seconds"));
        }
        if silent_for > times.ping && asked.elapsed() > times.ping {
            asked = Instant::now();
            wire.confirm(log.end, true).await?;
        } else if wants_reply || (is_due && log.end > confirmed) {
            confirmed = log.end;
            wire.confirm(confirmed, false).await?;
        }
    }
}

/// Asks for types that were made after the slot had started. Their rows wait; if there is no answer for long,
/// the link ends.
async fn learn_types(shared: &Shared, log: &mut Log) -> Result<(), Fault> {
    let until = Instant::now() + shared.config.times.answer;
    loop {
        match types(shared).await {
            Ok(types) => {
                log.tables.learn(types);
                return Ok(());
            }
            Err(fault) if Instant::now() > until => return Err(fault),
            Err(_) => tokio::time::sleep(LEARN_PAUSE).await,
        }
    }
}

async fn types(shared: &Shared) -> Result<Types, Fault> {
    let client = shared.link(Role::Reader)?;
    Types::ask(&client, shared.config.times.answer).await
}
