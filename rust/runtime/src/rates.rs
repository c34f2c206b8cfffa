//! Token buckets: how often clients may subscribe, send messages and receive results.
//!
//! A connection looks its buckets up once, when it is accepted. From then on a decision is one
//! compare-and-swap on the buckets themselves. Buckets outlive their connections until they are
//! full again, so that connecting anew gains nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use security::{Rate, RateBy, Rates};

use crate::resolver::Client;

/// The buckets of those who are counted together.
#[derive(Debug)]
pub struct Buckets {
    subscribes: Option<DefaultDirectRateLimiter>,
    messages: Option<DefaultDirectRateLimiter>,
    results: Option<DefaultDirectRateLimiter>,
    /// Nobody has looked them up since the last sweep.
    is_idle: AtomicBool,
}

impl Buckets {
    fn new(rates: &Rates) -> Self {
        Self {
            subscribes: rates.subscribes.and_then(limiter),
            messages: rates.messages.and_then(limiter),
            results: rates.events.and_then(limiter),
            is_idle: AtomicBool::new(false),
        }
    }

    /// Whether another subscription may be made now.
    #[must_use]
    pub fn may_subscribe(&self) -> bool {
        may(self.subscribes.as_ref())
    }

    /// Whether another message is taken now.
    #[must_use]
    pub fn may_send(&self) -> bool {
        may(self.messages.as_ref())
    }

    /// Whether another result leaves now.
    #[must_use]
    pub fn may_receive(&self) -> bool {
        may(self.results.as_ref())
    }
}

fn limiter(rate: Rate) -> Option<DefaultDirectRateLimiter> {
    // A period is at least a second, and a count fits 32 bits: there is always a quota.
    let quota = Quota::with_period(rate.period / rate.count.get())?;
    Some(RateLimiter::direct(quota.allow_burst(rate.count)))
}

fn may(limiter: Option<&DefaultDirectRateLimiter>) -> bool {
    limiter.is_none_or(|limiter| limiter.check().is_ok())
}

/// All buckets of one manager.
#[derive(Debug)]
pub(crate) struct RateTable {
    rates: Rates,
    buckets: DashMap<String, Arc<Buckets>>,
    /// Time in which any bucket is full again.
    period: Duration,
    swept: Mutex<Instant>,
}

impl RateTable {
    pub(crate) fn new(rates: Rates) -> Self {
        let all = [rates.subscribes, rates.messages, rates.events];
        let longest = all.into_iter().flatten().map(|rate| rate.period).max();
        Self {
            rates,
            buckets: DashMap::new(),
            period: longest.unwrap_or_default(),
            swept: Mutex::new(Instant::now()),
        }
    }

    /// The buckets of a connection whose client is not known yet.
    pub(crate) fn of_connection(&self) -> Arc<Buckets> {
        Arc::new(Buckets::new(&self.rates))
    }

    /// The buckets that a client shares with others; `None`: those of its connection go on.
    pub(crate) fn of_client(&self, client: &Client) -> Option<Arc<Buckets>> {
        let address = || {
            let peer = client.peer.as_deref()?;
            let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
            Some(format!("address {host}"))
        };
        let key = match self.rates.by {
            RateBy::Connection => None,
            RateBy::Address => address(),
            RateBy::Identity => match &client.identity {
                Some(identity) => Some(format!(
                    "identity {:?} {:?}",
                    identity.tenant_id, identity.user_id
                )),
                None => address(),
            },
        }?;
        self.sweep(Instant::now());
        let buckets = self.buckets.entry(key);
        let buckets = buckets.or_insert_with(|| self.of_connection());
        buckets.is_idle.store(false, Relaxed);
        Some(buckets.clone())
    }

    /// Lets go of buckets that nobody has used for at least the longest period.
    fn sweep(&self, now: Instant) {
        let mut swept = self.swept.lock();
        if now.duration_since(*swept) < self.period {
            return;
        }
        *swept = now;
        drop(swept);
        self.buckets.retain(|_, buckets| {
            Arc::strong_count(buckets) > 1 || !buckets.is_idle.swap(true, Relaxed)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use security::Identity;

    fn table(by: RateBy) -> RateTable {
        RateTable::new(Rates {
            subscribes: Rate::parse("2/h").ok(),
            by,
            ..Rates::default()
        })
    }

    fn client(user: &str, peer: &str) -> Client {
        Client {
            peer: Some(peer.to_owned()),
            identity: Some(Identity {
                user_id: user.to_owned(),
                ..Identity::default()
            }),
            ..Client::default()
        }
    }

    #[test]
    fn a_bucket_is_empty_after_its_count() {
        let buckets = table(RateBy::Connection).of_connection();
        assert!(buckets.may_subscribe() && buckets.may_subscribe());
        assert!(!buckets.may_subscribe());
        assert!(buckets.may_send() && buckets.may_receive());
    }

    #[test]
    fn connections_of_one_identity_or_one_address_share_buckets() {
        for (by, user, peer) in [
            (RateBy::Identity, "ada", "10.0.0.2:1"),
            (RateBy::Address, "bob", "10.0.0.1:2"),
        ] {
            let table = table(by);
            let first = table.of_client(&client("ada", "10.0.0.1:1")).unwrap();
            let second = table.of_client(&client(user, peer)).unwrap();
            let other = table.of_client(&client("cem", "10.0.0.3:1")).unwrap();
            assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &other));
        }
        assert!(
            table(RateBy::Connection)
                .of_client(&client("ada", "x"))
                .is_none()
        );
    }

    #[test]
    fn buckets_outlive_their_connections_for_a_whole_period() {
        let table = table(RateBy::Identity);
        drop(table.of_client(&client("ada", "x")));
        let now = Instant::now();
        table.sweep(now + table.period);
        assert_eq!(table.buckets.len(), 1);
        table.sweep(now + table.period * 2);
        assert!(table.buckets.is_empty());
    }
}
