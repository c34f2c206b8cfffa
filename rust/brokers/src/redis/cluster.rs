//! Follows a Redis Cluster: keeps track of which master has which partition.
//!
//! One task asks the servers, periodically and soon after anything has shown a change: an answer
//! `MOVED` or `CLUSTERDOWN`, a subscription that the server has ended, a link that has ended. Not here:
//! the links to new masters (`supervisor`), and partitions that have moved (`masters`, `subscriber`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::config::{Address, Topology};
use super::fault::{Fault, FaultKind};
use super::link::Link;
use super::publisher;
use super::shared::Shared;
use super::view::View;
use crate::backoff::Backoff;

/// How long a server has to answer before the next one is asked as well.
const HEAD_START: Duration = Duration::from_millis(200);

/// Why the masters of the partitions are unknown.
enum ViewError {
    /// No server has answered.
    Unknown(Fault),
    /// Other nodes use the bus with another number of partitions: nothing may be published or
    /// delivered.
    Disagreement(Fault),
}

/// Keeps `Shared::masters` up to date. Waits forever if the server is not a cluster.
pub(super) async fn follow(shared: &Arc<Shared>) -> Infallible {
    let Topology::Cluster { seeds } = &shared.config.topology else {
        return std::future::pending().await;
    };
    let times = shared.config.times;
    let mut backoff = Backoff::new(times.pauses());
    let mut is_agreed = false;
    loop {
        let answer = ask_servers(shared, seeds, is_agreed).await;
        match &answer {
            Ok(view) => {
                is_agreed = true;
                if apply(shared, view) {
                    backoff = Backoff::new(times.pauses());
                }
            }
            Err(ViewError::Disagreement(fault)) => {
                is_agreed = false;
                apply(shared, &View::default());
                shared.health.cluster(Some(fault), shared.arrivals());
            }
            Err(ViewError::Unknown(fault)) if shared.masters().all().is_empty() => {
                shared.health.cluster(Some(fault), shared.arrivals());
            }
            // The links report what is wrong with the known masters.
            Err(ViewError::Unknown(_)) => {}
        }
        let pause = match &answer {
            Err(ViewError::Disagreement(fault) | ViewError::Unknown(fault)) => {
                backoff.after(Duration::ZERO, fault.is_configuration())
            }
            Ok(_) if shared.masters().without_master() > 0 => backoff.after(Duration::ZERO, false),
            Ok(_) => {
                let start = Instant::now();
                let period = times.refresh_after.mul_f64(0.8 + fastrand::f64() * 0.4);
                let _ = tokio::time::timeout(period, shared.refresh.notified()).await;
                // All nodes notice a failover at once: a random part spreads their requests.
                backoff.after(start.elapsed(), false) + times.backoff.mul_f64(fastrand::f64())
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Applies the answer of a server. Returns whether a partition has another master.
fn apply(shared: &Shared, view: &View) -> bool {
    let before = shared.masters();
    let next = before.follow(view, &shared.names);
    let (is_new, without_master) = (!next.is_same(&before), next.without_master());
    if is_new {
        tracing::debug!(name: "bus.cluster_changed", target: "fraiseql_subs", masters = next.all().len(), "the cluster has changed");
        shared.health.follow(&next, shared.arrivals());
        shared.masters.send_replace(Arc::new(next));
    }
    let fault = (without_master > 0).then(|| {
        Fault::away(format!(
            "no server of the cluster has {without_master} of the {} partitions",
            shared.config.partitions
        ))
    });
    shared.health.cluster(fault.as_ref(), shared.arrivals());
    is_new
}

/// Asks the servers one after the other, each [`HEAD_START`] after the previous one. Returns the first
/// answer in which each partition has a master, otherwise the answer with the most of them.
async fn ask_servers(
    shared: &Arc<Shared>,
    seeds: &[Address],
    is_agreed: bool,
) -> Result<View, ViewError> {
    let known = shared.masters();
    let mut servers: Vec<&Address> = known
        .all()
        .iter()
        .filter_map(|master| master.address.as_ref())
        .collect();
    servers.extend(
        seeds
            .iter()
            .filter(|seed| !servers.contains(seed))
            .collect::<Vec<_>>(),
    );
    fastrand::shuffle(&mut servers);
    let mut answers: FuturesUnordered<_> = (0..)
        .zip(&servers)
        .map(|(place, server)| async move {
            tokio::time::sleep(HEAD_START * place).await;
            in_time(shared, server, ask(shared, server)).await
        })
        .collect();
    let mut best: Option<(usize, View)> = None;
    let mut fault: Option<Fault> = None;
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(view) => {
                let without_master = without_master(shared, &view);
                if best
                    .as_ref()
                    .is_none_or(|(least, _)| without_master < *least)
                {
                    best = Some((without_master, view));
                }
                if without_master == 0 {
                    break;
                }
            }
            Err(why) => {
                if fault.as_ref().is_none_or(|fault| !fault.is_configuration()) {
                    fault = Some(why);
                }
            }
        }
    }
    let Some((_, view)) = best else {
        let fault = fault.unwrap_or_else(|| Fault::configuration("the URL names no server"));
        return Err(ViewError::Unknown(fault));
    };
    match agree(shared, &view).await {
        Ok(Some(disagreement)) => Err(ViewError::Disagreement(disagreement)),
        Err(fault) if !is_agreed => Err(ViewError::Unknown(fault)),
        // It was checked before, and is checked again when its server is back.
        Ok(None) | Err(_) => Ok(view),
    }
}

async fn ask(shared: &Shared, server: &Address) -> Result<View, Fault> {
    let link = connect(shared, server).await?;
    let command = |name: &str| {
        let mut command = redis::cmd("CLUSTER");
        command.arg(name);
        command
    };
    let slots = async || View::of_slots(&link.ask(&command("SLOTS")).await?, server);
    let view = match link.ask(&command("SHARDS")).await {
        Ok(answer) => View::of_shards(&answer, server, shared.config.tls.is_some())?,
        Err(fault) if fault.kind == FaultKind::Refused => return slots().await,
        Err(fault) if fault.kind == FaultKind::NoCommand => {
            return Err(Fault::configuration(format!(
                "{server} is no server of a cluster: if it is a sentinel, write redis+sentinel:// ({})",
                fault.reason
            )));
        }
        Err(fault) => return Err(fault),
    };
    if without_master(shared, &view) == 0 {
        return Ok(view);
    }
    // After a failover servers of Redis 7.2 and later list the slots under the master that is away.
    match slots().await {
        Ok(other) if without_master(shared, &other) < without_master(shared, &view) => Ok(other),
        _ => Ok(view),
    }
}

/// The number of partitions without a master in a view.
fn without_master(shared: &Shared, view: &View) -> usize {
    let without = |slot: &u16| view.master_of(*slot).is_none();
    shared.names.slots().filter(without).count()
}

/// Compares the number of partitions with that of other nodes, on the master that has the key. Returns
/// the difference as a fault; `None` if there is none.
async fn agree(shared: &Shared, view: &View) -> Result<Option<Fault>, Fault> {
    let Some(server) = view.master_of(shared.names.layout_slot()) else {
        return Err(Fault::away(
            "no server of the cluster has the key of its layout",
        ));
    };
    let asked = async {
        let link = connect(shared, server).await?;
        publisher::disagreement(shared, &link).await
    };
    in_time(shared, server, asked).await
}

/// Waits for the answer of a server, at most the time allowed for a connection.
async fn in_time<T>(
    shared: &Shared,
    server: &Address,
    asked: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let answered = tokio::time::timeout(shared.config.times.connect, asked).await;
    let answered = answered.unwrap_or_else(|_| {
        let hint = match shared.config.tls {
            Some(_) => ": if that is no port for TLS, write tls-cluster yes in its configuration",
            None => "",
        };
        Err(Fault::away(format!("{server} does not answer{hint}")))
    });
    answered.map_err(Fault::of_link)
}

async fn connect(shared: &Shared, server: &Address) -> Result<Link, Fault> {
    let credentials = shared.config.credentials.as_ref();
    Link::connect(&shared.config, server, credentials, None).await
}
