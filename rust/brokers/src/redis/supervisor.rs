//! Keeps the links: connects, registers each link, and connects again when it has ended.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::engine::Role;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::AsyncPushSender;

use super::config::{Address, Topology};
use super::delivery::Delivery;
use super::fault::Fault;
use super::link::Link;
use super::master::Master;
use super::shared::Shared;
use super::{cluster, publisher, sentinel, subscriber};
use crate::backoff::Backoff;

/// Keeps the links to all masters. Never returns. All links end when the future is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    tokio::join!(cluster::follow(&shared), keep_all(&shared));
}

async fn keep_all(shared: &Arc<Shared>) -> Infallible {
    let mut masters = shared.masters.subscribe();
    let mut kept: HashSet<u64> = HashSet::new();
    let mut links = FuturesUnordered::new();
    loop {
        let now = masters.borrow_and_update().clone();
        kept.retain(|number| now.all().iter().any(|master| master.number == *number));
        for master in now.all() {
            if kept.insert(master.number) {
                links.extend(Role::ALL.map(|role| keep(shared, master.clone(), role)));
            }
        }
        tokio::select! {
            _ = masters.changed() => {}
            Some(()) = links.next() => {}
        }
    }
}

/// Keeps the link of one role to a master, as long as the master has partitions.
async fn keep(shared: &Arc<Shared>, master: Arc<Master>, role: Role) {
    tokio::select! {
        () = master.left() => {}
        never = connect_again(shared, &master, role) => match never {},
    }
}

async fn connect_again(shared: &Arc<Shared>, master: &Arc<Master>, role: Role) -> Infallible {
    let times = shared.config.times;
    let mut backoff = Backoff::new(times.pauses());
    loop {
        let mut lived = Duration::ZERO;
        let opened = tokio::time::timeout(shared.config.patience(), open(shared, master, role));
        let fault = match opened.await {
            Err(_) => {
                let seconds = shared.config.patience().as_secs_f64();
                Fault::away(format!("Redis has not answered within {seconds} seconds"))
            }
            Ok(Err(fault)) => fault,
            Ok(Ok((link, delivery))) => {
                let start = Instant::now();
                let fault = serve(shared, master, role, link, delivery).await;
                lived = start.elapsed();
                fault
            }
        }
        .of_link();
        tracing::debug!(name: "bus.link_lost", target: "fraiseql_subs", ?role, reason = fault.reason, "no link to Redis");
        shared.health.away(master, role, &fault, shared.arrivals());
        shared.refresh_masters();
        tokio::time::sleep(backoff.after(lived, fault.is_configuration())).await;
    }
}

async fn open(
    shared: &Arc<Shared>,
    master: &Arc<Master>,
    role: Role,
) -> Result<(Arc<Link>, Option<Arc<Delivery>>), Fault> {
    let config = &shared.config;
    let addresses = match (&config.topology, &master.address) {
        (Topology::Sentinel { sentinels, master }, _) => {
            sentinel::masters(config, sentinels, master).await?
        }
        (_, Some(address)) => vec![address.clone()],
        (_, None) => return Err(Fault::away("the address of the server is not known")),
    };
    let delivery = (role == Role::Subscriber).then(|| Arc::new(Delivery::new(shared.clone())));
    let pushes = delivery
        .clone()
        .map(|delivery| delivery as Arc<dyn AsyncPushSender>);
    let link = connect(shared, &addresses, pushes).await?;
    master.has_run(&link.server.run);
    if role == Role::Publisher {
        let partitions = shared.masters().partitions_of(master);
        let partition = partitions.first().copied().unwrap_or(0);
        publisher::check(shared, &link, partition).await?;
    }
    Ok((Arc::new(link), delivery))
}

/// Connects to the first of these servers that is a master. Each may use an equal share of the time, so
/// that one without an answer leaves time for the next.
async fn connect(
    shared: &Shared,
    addresses: &[Address],
    pushes: Option<Arc<dyn AsyncPushSender>>,
) -> Result<Link, Fault> {
    let config = &shared.config;
    // The other half of the time is for asking the sentinels.
    let share = config.times.connect / 2 / addresses.len().max(1) as u32;
    let mut fault = Fault::away("no server is named");
    for address in addresses {
        let open = Link::open(config, address, pushes.clone(), shared.refresh.clone());
        let opened = if addresses.len() > 1 {
            let late = Fault::away(format!("{address} does not answer"));
            tokio::time::timeout(share, open).await.unwrap_or(Err(late))
        } else {
            open.await
        };
        match opened {
            Ok(link) => return Ok(link),
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

/// Does the work of a link until it ends.
async fn serve(
    shared: &Arc<Shared>,
    master: &Arc<Master>,
    role: Role,
    link: Arc<Link>,
    delivery: Option<Arc<Delivery>>,
) -> Fault {
    let _placed = master.slot(role).put(&link);
    match delivery {
        Some(delivery) => tokio::select! {
            fault = link.ended() => fault,
            fault = subscriber::serve(shared, master, &link, &delivery) => fault,
        },
        None => {
            shared.health.live(master, role, shared.arrivals());
            // A cluster is asked for its masters periodically, and its settings are stored again then.
            if role == Role::Publisher && !shared.is_cluster() {
                tokio::select! {
                    fault = link.ended() => fault,
                    never = publisher::keep_settings(shared, &link) => match never {},
                }
            } else {
                link.ended().await
            }
        }
    }
}
