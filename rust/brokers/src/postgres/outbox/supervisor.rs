//! Keeps the links of an engine with an outbox.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bus::engine::Role;

use super::super::links::Links;
use super::super::publisher::check;
use super::shared::OutboxShared;
use super::{publisher, subscriber, upkeep};
use crate::backoff::Backoff;

/// Keeps all links. Never returns. They end when the future is dropped.
pub(super) async fn run(shared: Arc<OutboxShared>) {
    let links = Links {
        config: &shared.config,
        health: &shared.health,
        arrivals: shared.arrivals(),
    };
    tokio::join!(
        links.keep(Role::Publisher, &shared.publisher, async |client| {
            check(client, publisher::CHECK).await
        }),
        links.keep(Role::Reader, &shared.reader, async |_| Ok(())),
        keep_subscriber(&shared, links),
    );
}

/// Keeps the link that reads new events, from the time when it is needed: a program that only
/// publishes has none.
async fn keep_subscriber(shared: &OutboxShared, links: Links<'_>) -> Infallible {
    while shared.control.get().is_none() && !shared.wants.were_used() {
        shared.health.live(Role::Subscriber, shared.arrivals());
        shared.wants.changed.notified().await;
    }
    let serve = async {
        let mut backoff = Backoff::new(shared.config.times.pauses());
        let mut read = None;
        loop {
            let mut start = Instant::now();
            let fault = subscriber::serve(shared, &mut read, &mut start).await;
            shared.progress.send_replace(None);
            let fault = fault.of_link();
            links
                .away(Role::Subscriber, &fault, &mut backoff, start.elapsed())
                .await;
        }
    };
    tokio::join!(serve, upkeep::run(shared)).0
}
