//! Which node reads: the one that holds the lock. The others look at it again and again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bus::publishing::{OnUnavailable, PublishOptions, Publisher};
use bus::source::{Lost, SourceTarget};
use tokio::time::sleep;
use tokio_postgres::Client;

use super::super::fault::Fault;
use super::super::links::late;
use super::super::table_watch::{self, TableLog};
use super::super::{slot, sql};
use super::known_tables::KnownTables;
use super::lasting;
use super::lease::{Lease, Leased};
use super::reader;
use super::state::State;
use super::watch::{self, Lock, Warnings};
use crate::backoff::Backoff;

/// Takes part until the future is dropped.
pub(super) async fn run(state: &State, target: &SourceTarget) -> Infallible {
    let mut backoff = Backoff::new(state.config.times.pauses());
    loop {
        let mut start = Instant::now();
        let fault = link(state, target, &mut start).await.of_link();
        state.away(&fault);
        sleep(backoff.after(start.elapsed(), fault.is_configuration())).await;
    }
}

/// Connects for statements, and takes part until that link, or the one that reads, ends. Returns why.
async fn link(state: &State, target: &SourceTarget, start: &mut Instant) -> Fault {
    let (client, connection) = match sql::connect(&state.config).await {
        Ok(connected) => connected,
        Err(fault) => return fault,
    };
    let patience = state.config.times.connect;
    let work = async {
        match tokio::time::timeout(patience, sql::check(&client, &state.config)).await {
            Err(_) => return late(patience),
            Ok(Err(fault)) => return fault,
            Ok(Ok(())) => {}
        }
        *start = Instant::now();
        match take_part(state, target, &client).await {
            Ok(never) => match never {},
            Err(fault) => fault,
        }
    };
    tokio::select! {
        biased;
        fault = work => fault,
        fault = connection.ended() => fault,
    }
}

async fn take_part(
    state: &State,
    target: &SourceTarget,
    client: &Client,
) -> Result<Infallible, Fault> {
    loop {
        let seen = watch::look(state, client).await?;
        match seen.reader {
            Some(holder) if seen.is_no_node => state.away(&Fault::away(format!(
                "the advisory lock of the slot {} is held by {holder}, which is no node: end it by \
                 pg_terminate_backend",
                state.slot
            ))),
            Some(reader) => state.waits_for(reader),
            None => {
                let held = hold(state, target, client).await;
                state.ended();
                held?;
            }
        }
        // Random, so that nodes do not all try at the same moment.
        sleep(state.config.times.look.mul_f64(0.5 + fastrand::f64())).await;
    }
}

/// Takes the lock, and reads while this node has it. Returns without a fault if another node has it.
async fn hold(state: &State, target: &SourceTarget, client: &Client) -> Result<(), Fault> {
    let mut opened = slot::open(&state.config).await?;
    let taken = Lock::of(&state.slot).take();
    let rows = opened.wire.query(&taken).await.map_err(Fault::of_link)?;
    if rows
        .iter()
        .flatten()
        .next()
        .and_then(|text| text.as_deref())
        != Some("t")
    {
        return Ok(());
    }
    let watched = async {
        match keep_watch(state, target, client).await {
            Ok(never) => match never {},
            Err(fault) => Err(fault),
        }
    };
    tokio::select! {
        held = read(state, target, client, opened) => held,
        watched = watched => watched,
    }
}

async fn read(
    state: &State,
    target: &SourceTarget,
    client: &Client,
    opened: slot::Opened,
) -> Result<(), Fault> {
    let started = lasting::start(state, target, opened).await?;
    let lease = Arc::new(Lease::new(state.config.times.lease));
    let leased = Leased {
        engine: target.engine.clone(),
        lease: lease.clone(),
    };
    let options = PublishOptions {
        on_unavailable: OnUnavailable::Wait,
        repeats_always: true,
        ..PublishOptions::default()
    };
    let (publisher, driver) = Publisher::new(Arc::new(leased), &options);
    state.reads();
    tokio::select! {
        fault = reader::serve(state, target, client, started, publisher, &lease) => Err(fault),
        () = driver.run() => Err(Fault::away("publishing has ended")),
    }
}

/// Looks at the slot and the tables while this node reads.
async fn keep_watch(
    state: &State,
    target: &SourceTarget,
    client: &Client,
) -> Result<Infallible, Fault> {
    let config = &state.config;
    let mut warnings = Warnings::default();
    let mut known = KnownTables::ask(state, client).await?;
    let mut log = TableLog::default();
    loop {
        let found = table_watch::look(config, client).await?;
        log.update(Some(&state.slot), &found);
        if known.have_mended(config, &found) {
            // What was committed in the meantime was not published, and may have been of any channel.
            state.has_lost();
            target.losses.tell(Lost::Events).await;
        }
        known.note(state, client, &found).await?;
        sleep(config.times.watch.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
        let seen = watch::look(state, client).await?;
        warnings.update(&state.slot, seen.kept.as_ref());
    }
}
