//! Keeps the links: connects, and connects again when a link has ended.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::engine::Role;

use super::fault::Fault;
use super::shared::{LinkPlace, Shared};
use super::{heads, publisher, slot, sql, subscriber};
use crate::backoff::Backoff;

/// Keeps all links. Never returns. They end when the future is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    tokio::join!(
        keep_client(&shared, Role::Publisher, &shared.publisher),
        keep_client(&shared, Role::Reader, &shared.reader),
        keep_subscriber(&shared),
        heads::watch(&shared),
    );
}

/// Keeps a link for statements.
async fn keep_client(shared: &Shared, role: Role, place: &LinkPlace) -> Infallible {
    let mut backoff = Backoff::new(shared.config.times.pauses());
    loop {
        let mut start = Instant::now();
        let fault = client(shared, role, place, &mut start).await.of_link();
        away(shared, role, &fault, &mut backoff, start.elapsed()).await;
    }
}

/// Makes a link for statements, and keeps it until it ends. Returns why.
async fn client(shared: &Shared, role: Role, place: &LinkPlace, start: &mut Instant) -> Fault {
    let (client, connection) = match sql::connect(&shared.config).await {
        Ok(connected) => connected,
        Err(fault) => return fault,
    };
    let patience = shared.config.times.connect;
    let work = async {
        let checks = async {
            sql::check(&client).await?;
            match role {
                Role::Publisher => publisher::check(&client).await,
                Role::Reader | Role::Subscriber => Ok(()),
            }
        };
        match tokio::time::timeout(patience, checks).await {
            Err(_) => return late(patience),
            Ok(Err(fault)) => return fault,
            Ok(Ok(())) => {}
        }
        *start = Instant::now();
        let (client, _placed) = place.put(client);
        shared.health.live(role, shared.arrivals());
        let times = shared.config.times;
        sql::silent(&client, times.ping, times.answer).await
    };
    tokio::select! {
        fault = work => fault,
        fault = connection.ended() => fault,
    }
}

/// Keeps the link that reads the log, from the time when it is needed: a program that only publishes
/// takes no slot of the server.
async fn keep_subscriber(shared: &Arc<Shared>) -> Infallible {
    while shared.control.get().is_none() && !shared.wants.were_used() {
        shared.health.live(Role::Subscriber, shared.arrivals());
        shared.wants.changed.notified().await;
    }
    let mut backoff = Backoff::new(shared.config.times.pauses());
    let mut link = 0;
    loop {
        let mut start = Instant::now();
        let fault = match slot::open(&shared.config).await {
            Err(fault) => fault,
            Ok(opened) => match slot::start(shared, opened).await {
                Err(fault) => fault,
                Ok(slot) => {
                    start = Instant::now();
                    link += 1;
                    subscriber::serve(shared, slot, link).await
                }
            },
        };
        away(
            shared,
            Role::Subscriber,
            &fault.of_link(),
            &mut backoff,
            start.elapsed(),
        )
        .await;
    }
}

/// Reports that there is no link, and pauses.
async fn away(shared: &Shared, role: Role, fault: &Fault, backoff: &mut Backoff, lived: Duration) {
    tracing::debug!(target: "fraiseql_subs", ?role, reason = fault.reason, "no link to PostgreSQL");
    shared.health.away(role, fault, shared.arrivals());
    tokio::time::sleep(backoff.after(lived, fault.is_configuration())).await;
}

fn late(patience: Duration) -> Fault {
    let seconds = patience.as_secs_f64();
    Fault::away(format!(
        "PostgreSQL has not answered within {seconds} seconds"
    ))
}
