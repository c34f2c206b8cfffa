//! Keeps the links: connects, and connects again when a link has ended.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bus::engine::Role;

use super::links::Links;
use super::shared::Shared;
use super::{heads, publisher, slot, subscriber, table_watch};
use crate::backoff::Backoff;

/// Keeps all links. Never returns. They end when the future is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let links = Links {
        config: &shared.config,
        health: &shared.health,
        arrivals: shared.arrivals(),
    };
    tokio::join!(
        links.keep(Role::Publisher, &shared.publisher, async |client| {
            publisher::check(client, publisher::CHECK).await
        }),
        links.keep(Role::Reader, &shared.reader, async |_| Ok(())),
        keep_subscriber(&shared, links),
        heads::watch(&shared),
        table_watch::watch(&shared),
    );
}

/// Keeps the link that reads the log, from the time when it is needed: a program that only publishes
/// takes no slot of the server.
async fn keep_subscriber(shared: &Arc<Shared>, links: Links<'_>) -> Infallible {
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
        // What is wrong with the database says more than what replication lacks.
        let of_reader = shared.health.fault(Role::Reader);
        let fault = if of_reader.is_configuration() {
            of_reader
        } else {
            fault.of_link()
        };
        links
            .away(Role::Subscriber, &fault, &mut backoff, start.elapsed())
            .await;
    }
}
