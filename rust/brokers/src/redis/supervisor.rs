//! Keeps the links: connects, puts a link where it is used, and connects again when it has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::AsyncPushSender;

use super::backoff::Backoff;
use super::config::Topology;
use super::delivery::Delivery;
use super::fault::Fault;
use super::link::Link;
use super::shared::Shared;
use super::slot::Role;
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
    let address = match &config.topology {
        Topology::Single(address) => address.clone(),
        Topology::Sentinel { sentinels, master } => {
            sentinel::master(config, sentinels, master).await?
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
    let link = Link::open(config, &address, pushes).await?;
    if role == Role::Publisher {
        publisher::check(shared, &link).await?;
    }
    Ok((Arc::new(link), delivery))
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
