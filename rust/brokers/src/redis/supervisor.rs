//! Keeps the links: connects, puts a link where it is used, and connects again when it has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::engine::Role;
use redis::aio::AsyncPushSender;

use super::backoff::Backoff;
use super::config::{Address, Topology};
use super::delivery::Delivery;
use super::fault::Fault;
use super::link::Link;
use super::shared::Shared;
use super::{publisher, sentinel, subscriber};

/// Keeps the link of one role, for ever.
pub(super) async fn keep(shared: Arc<Shared>, role: Role) {
    let times = shared.config.times;
    let mut backoff = Backoff::new(times);
    loop {
        let mut lived = Duration::ZERO;
        let fault = match tokio::time::timeout(shared.config.patience(), open(&shared, role)).await
        {
            Err(_) => {
                let seconds = shared.config.patience().as_secs_f64();
                Fault::away(format!("Redis has not answered within {seconds} seconds"))
            }
            Ok(Err(fault)) => fault,
            Ok(Ok((link, delivery))) => {
                let start = Instant::now();
                let fault = serve(&shared, role, link, delivery).await;
                lived = start.elapsed();
                fault
            }
        };
        tracing::debug!(target: "fraiseql_subs", ?role, reason = fault.reason, "no link to Redis");
        shared.health.away(role, &fault, shared.arrivals());
        tokio::time::sleep(backoff.after(lived, fault.is_configuration())).await;
    }
}

async fn open(
    shared: &Arc<Shared>,
    role: Role,
) -> Result<(Arc<Link>, Option<Arc<Delivery>>), Fault> {
    let config = &shared.config;
    let addresses = match &config.topology {
        Topology::Single(address) => vec![address.clone()],
        Topology::Sentinel { sentinels, master } => {
            sentinel::masters(config, sentinels, master).await?
        }
        Topology::Cluster { .. } => {
            return Err(Fault::configuration(
                "redis+cluster:// cannot be used yet: write redis://",
            ));
        }
    };
    let delivery = (role == Role::Subscriber).then(|| Arc::new(Delivery::new(shared.clone())));
    let pushes = delivery
        .clone()
        .map(|delivery| delivery as Arc<dyn AsyncPushSender>);
    let link = connect(shared, &addresses, pushes).await?;
    if role == Role::Publisher {
        publisher::check(shared, &link).await?;
    }
    Ok((Arc::new(link), delivery))
}

/// Connects to the first of these servers that is a master. Each has a share of the time, so that one
/// that does not answer leaves some for the next.
async fn connect(
    shared: &Shared,
    addresses: &[Address],
    pushes: Option<Arc<dyn AsyncPushSender>>,
) -> Result<Link, Fault> {
    let config = &shared.config;
    // What asking the sentinels has left.
    let share = config.times.connect / 2 / addresses.len().max(1) as u32;
    let mut fault = Fault::away("no server is named");
    for address in addresses {
        let open = Link::open(config, address, pushes.clone());
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
    role: Role,
    link: Arc<Link>,
    delivery: Option<Arc<Delivery>>,
) -> Fault {
    let _placed = shared.slot(role).put(&link);
    match delivery {
        Some(delivery) => tokio::select! {
            fault = link.ended() => fault,
            fault = subscriber::serve(shared, &link, &delivery) => fault,
        },
        None => {
            shared.health.live(role, shared.arrivals());
            link.ended().await
        }
    }
}
