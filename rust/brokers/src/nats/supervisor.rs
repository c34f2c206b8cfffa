//! Keeps the links: connects, registers each link, and connects again when it has ended.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::engine::Role;
use futures_util::future::join_all;

use super::config::Address;
use super::fault::{Fault, FaultKind};
use super::link::Link;
use super::shared::Shared;
use super::subscriber;
use crate::backoff::Backoff;

/// The shortest pause between two attempts to create a store.
const CREATE_PAUSE: Duration = Duration::from_millis(200);

/// Keeps all links. Never returns. All links end when the future is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let reader = async {
        if shared.has_history() {
            keep(&shared, Role::Reader).await;
        }
    };
    tokio::join!(
        keep(&shared, Role::Publisher),
        keep(&shared, Role::Subscriber),
        reader
    );
}

async fn keep(shared: &Arc<Shared>, role: Role) -> Infallible {
    let times = shared.config.times;
    let mut backoff = Backoff::new(times.pauses());
    let mut servers: Vec<Address> = Vec::new();
    loop {
        if servers.is_empty() {
            servers = shared.servers();
        }
        let Some(address) = servers.pop() else {
            continue;
        };
        let mut lived = Duration::ZERO;
        // Resolving the name has no timeout of its own.
        let patience = times.connect * 2 + times.password;
        let opened = tokio::time::timeout(patience, Link::open(shared, role, &address)).await;
        let fault = match opened {
            Err(_) => Fault::away(format!("{address} has not answered in time")),
            Ok(Err(fault)) => fault,
            Ok(Ok(link)) => {
                let start = Instant::now();
                let fault = serve(shared, role, link).await;
                lived = start.elapsed();
                fault
            }
        };
        tracing::debug!(name: "bus.link_lost", target: "fraiseql_subs", ?role, reason = fault.reason, "no link to NATS");
        shared.health.away(role, &fault, shared.arrivals());
        if role == Role::Subscriber && !shared.has_history() {
            shared.health.away(Role::Reader, &fault, shared.arrivals());
        }
        tokio::time::sleep(backoff.after(lived, fault.is_configuration())).await;
    }
}

/// Serves a link until it ends. Returns why.
async fn serve(shared: &Arc<Shared>, role: Role, link: Arc<Link>) -> Fault {
    let work = async {
        match role {
            Role::Publisher => publisher(shared, &link).await,
            Role::Subscriber => {
                let _registered = Registered::new(shared, role, &link);
                subscriber::serve(shared, &link).await
            }
            Role::Reader => {
                let _registered = Registered::new(shared, role, &link);
                shared.health.live(role, shared.arrivals());
                std::future::pending().await
            }
        }
    };
    tokio::select! {
        fault = link.ended() => fault,
        fault = work => fault,
    }
}

/// Creates the stores, also when they are missing later. Nothing is published to a store that has not
/// answered yet.
async fn publisher(shared: &Arc<Shared>, link: &Arc<Link>) -> Fault {
    let mut registered = None;
    loop {
        let stores = shared.stores.iter();
        let ensured = join_all(stores.map(|store| store.ensure(&shared.config, link))).await;
        let is_any_ready = ensured.is_empty() || ensured.iter().any(Result::is_ok);
        for fault in ensured.into_iter().filter_map(Result::err) {
            if !fault.is_of_store() || (registered.is_none() && !is_any_ready) {
                return fault;
            }
            if fault.kind == FaultKind::Late
                && let Err(fault) = link.round_trip().await
            {
                return fault;
            }
            shared.create.notify_one();
        }
        if registered.is_none() {
            registered = Some(Registered::new(shared, Role::Publisher, link));
            shared.health.live(Role::Publisher, shared.arrivals());
        }
        tokio::time::sleep(CREATE_PAUSE).await;
        shared.create.notified().await;
    }
}

/// Registers a link while it is served.
struct Registered<'a> {
    shared: &'a Shared,
    role: Role,
}

impl<'a> Registered<'a> {
    fn new(shared: &'a Shared, role: Role, link: &Arc<Link>) -> Self {
        shared.set_link(role, Some(link.clone()));
        Self { shared, role }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.set_link(self.role, None);
    }
}
