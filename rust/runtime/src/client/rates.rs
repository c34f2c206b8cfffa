//! Limits how often clients may start operations, send messages, receive results and be refused.
//!
//! Each client has an account of buckets. A connection looks up its account once, when it is
//! accepted; after that a decision is one compare-and-swap. Accounts are kept after their
//! connections until they are full again, so that reconnecting does not reset them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;
use security::{Rate, RateBy, Rates};

use super::Client;

mod account;
mod bucket;

use account::{Key, Keys, Owner};
pub use bucket::Bucket;
use bucket::{Moment, nanoseconds, now};

/// Accounts without a connection (count). Past it the ones that would be full soonest are dropped,
/// because this changes least. Each uses less than 300 bytes.
const MAX_IDLE: usize = 65_536;

/// Number of accounts below which no sweep runs.
const MIN_SWEPT: usize = 1024;

/// The buckets of clients that are counted together.
#[derive(Debug)]
pub struct Buckets {
    subscribes: Option<Bucket>,
    messages: Option<Bucket>,
    results: Option<Bucket>,
    refusals: Option<Bucket>,
}

impl Buckets {
    fn new(rates: &Rates) -> Self {
        let bucket = |rate: Option<Rate>| rate.map(Bucket::new);
        Self {
            subscribes: bucket(rates.subscribes),
            messages: bucket(rates.messages),
            results: bucket(rates.events),
            refusals: bucket(rates.refusals.or(rates.messages)),
        }
    }

    /// Takes one operation.
    ///
    /// # Errors
    ///
    /// Returns the time until the next one is allowed.
    pub(crate) fn subscribe(&self) -> Result<(), Duration> {
        take(self.subscribes.as_ref())
    }

    /// Takes one message.
    ///
    /// # Errors
    ///
    /// Returns the time until the next one is allowed.
    pub(crate) fn send(&self) -> Result<(), Duration> {
        take(self.messages.as_ref())
    }

    /// Whether results are limited.
    pub(crate) fn limits_results(&self) -> bool {
        self.results.is_some()
    }

    /// Whether another result may be sent now.
    #[must_use]
    pub(crate) fn may_receive(&self) -> bool {
        take(self.results.as_ref()).is_ok()
    }

    /// Returns when all buckets are full.
    fn full_at(&self) -> Moment {
        let all = [
            &self.subscribes,
            &self.messages,
            &self.results,
            &self.refusals,
        ];
        let moments = all.into_iter().flatten().map(Bucket::full_at);
        moments.max().unwrap_or_default()
    }
}

fn take(bucket: Option<&Bucket>) -> Result<(), Duration> {
    bucket.map_or(Ok(()), |bucket| bucket.take(now()))
}

/// All accounts of one manager.
#[derive(Debug)]
pub(crate) struct RateTable {
    rates: Rates,
    /// Whether an identity may become known after a request has arrived.
    authenticates: bool,
    keys: Keys,
    accounts: DashMap<Key, Arc<Buckets>>,
    /// Number of accounts at which the next sweep runs.
    limit: AtomicUsize,
    /// Time after which a sweep runs anyway (ns), and the time of the last sweep.
    period: u64,
    swept: Mutex<Moment>,
}

impl RateTable {
    pub(crate) fn new(rates: Rates, authenticates: bool) -> Self {
        let all = [rates.subscribes, rates.messages, rates.events];
        let all = all.into_iter().chain([rates.refusals]).flatten();
        let longest = all.map(|rate| rate.period).max().unwrap_or_default();
        Self {
            rates,
            authenticates,
            keys: Keys::default(),
            accounts: DashMap::new(),
            limit: AtomicUsize::new(MIN_SWEPT),
            period: nanoseconds(longest),
            swept: Mutex::new(now()),
        }
    }

    /// Creates the account of one connection, or of one whose client is not authenticated yet.
    pub(crate) fn of_connection(&self) -> Arc<Buckets> {
        Arc::new(Buckets::new(&self.rates))
    }

    /// The account that a client shares with others; `None`: that of its connection goes on.
    /// `is_request`: it is a request of HTTP, whose connection may have others.
    pub(crate) fn of_client(&self, client: &Client, is_request: bool) -> Option<Arc<Buckets>> {
        let peer = client.peer.as_deref();
        let owner = match (self.rates.by, &client.identity) {
            (RateBy::Connection, _) if is_request => Owner::HttpConnection(peer),
            (RateBy::Connection, _) => return None,
            (RateBy::Identity, Some(identity)) => Owner::identity(identity),
            (RateBy::Identity, None) | (RateBy::Address, _) => Owner::address(peer),
        };
        Some(self.account(&owner))
    }

    /// Returns the account of an in-process client, which is identified only by its identity.
    pub(crate) fn in_process(&self, client: &Client) -> Option<Arc<Buckets>> {
        let identity = client.identity.as_deref();
        let identity = identity.filter(|_| self.rates.by == RateBy::Identity)?;
        Some(self.account(&Owner::identity(identity)))
    }

    /// Whether the account of a request is known by its head.
    pub(crate) fn knows_by_head(&self) -> bool {
        self.rates.by != RateBy::Identity || !self.authenticates
    }

    /// Takes a message for an HTTP request, if its account is known.
    ///
    /// # Errors
    ///
    /// Returns the time until the next one is allowed.
    pub(crate) fn take_request(&self, peer: Option<&str>) -> Result<(), Duration> {
        if !self.knows_by_head() || self.rates.messages.is_none() {
            return Ok(());
        }
        let owner = match self.rates.by {
            RateBy::Connection => Owner::HttpConnection(peer),
            RateBy::Identity | RateBy::Address => Owner::address(peer),
        };
        self.account(&owner).send()
    }

    /// Checks whether unauthenticated clients of an address are allowed.
    ///
    /// # Errors
    ///
    /// Returns the time until they are allowed.
    pub(crate) fn look(&self, peer: Option<&str>) -> Result<(), Duration> {
        let key = self.keys.of(&Owner::address(peer));
        // Without an account nothing was counted yet.
        let account = self.accounts.get(&key);
        let refusals = account
            .as_ref()
            .and_then(|account| account.refusals.as_ref());
        refusals.map_or(Ok(()), |bucket| bucket.look(now()))
    }

    /// Counts a client that was refused, or has disconnected, before it was authenticated.
    pub(crate) fn refused(&self, peer: Option<&str>) {
        if self.rates.refusals.or(self.rates.messages).is_some() {
            let account = self.account(&Owner::address(peer));
            // Past the rate, `look` refuses.
            take(account.refusals.as_ref()).ok();
        }
    }

    fn account(&self, owner: &Owner<'_>) -> Arc<Buckets> {
        let key = self.keys.of(owner);
        if let Some(account) = self.accounts.get(&key) {
            return account.clone();
        }
        self.sweep(now());
        let account = self.accounts.entry(key);
        account.or_insert_with(|| self.of_connection()).clone()
    }

    /// Drops accounts that are not needed, rarely enough that the cost of a new account does not
    /// depend on their number.
    fn sweep(&self, now: Moment) {
        let Some(mut swept) = self.swept.try_lock() else {
            return;
        };
        let is_due = now.saturating_sub(*swept) >= self.period.max(1);
        if !is_due && self.accounts.len() < self.limit.load(Relaxed) {
            return;
        }
        *swept = now;
        self.forget(now);
    }

    /// Drops accounts whose buckets are full, and past [`MAX_IDLE`] others without a connection.
    fn forget(&self, now: Moment) {
        let mut idle = Vec::new();
        self.accounts.retain(|_, account| {
            let is_held = Arc::strong_count(account) > 1;
            let full_at = account.full_at();
            if !is_held && full_at > now {
                idle.push(full_at);
            }
            is_held || full_at > now
        });
        if idle.len() >= MAX_IDLE {
            let (_, &mut soon, _) = idle.select_nth_unstable(MAX_IDLE / 4);
            self.accounts
                .retain(|_, account| Arc::strong_count(account) > 1 || account.full_at() > soon);
        }
        let left = self.accounts.len();
        let held = left.saturating_sub(idle.len());
        let limit = (left * 2).min(MAX_IDLE + held).max(left + MIN_SWEPT);
        self.limit.store(limit, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use security::Identity;

    fn table(by: RateBy) -> RateTable {
        let rates = Rates {
            subscribes: Rate::parse("2/h").ok(),
            messages: Rate::parse("1/h").ok(),
            by,
            ..Rates::default()
        };
        RateTable::new(rates, true)
    }

    fn client(user: &str, peer: &str) -> Client {
        Client {
            peer: Some(peer.to_owned()),
            identity: Some(Box::new(Identity {
                user_id: user.to_owned(),
                ..Identity::default()
            })),
            ..Client::default()
        }
    }

    #[test]
    fn a_bucket_is_empty_after_its_count() {
        let buckets = table(RateBy::Connection).of_connection();
        assert!(buckets.subscribe().is_ok() && buckets.subscribe().is_ok());
        assert!(buckets.subscribe().is_err());
        assert!(buckets.send().is_ok() && buckets.may_receive());
    }

    #[test]
    fn connections_of_one_identity_or_one_address_share_an_account() {
        for (by, user, peer) in [
            (RateBy::Identity, "ada", "10.0.0.2:1"),
            (RateBy::Address, "bob", "10.0.0.1:2"),
        ] {
            let table = table(by);
            let of = |user, peer| table.of_client(&client(user, peer), false).unwrap();
            let first = of("ada", "10.0.0.1:1");
            assert!(Arc::ptr_eq(&first, &of(user, peer)));
            assert!(!Arc::ptr_eq(&first, &of("cem", "10.0.0.3:1")));
        }
        let table = table(RateBy::Connection);
        assert!(table.of_client(&client("ada", "x:1"), false).is_none());
        let request = |peer| table.of_client(&client("ada", peer), true).unwrap();
        assert!(Arc::ptr_eq(&request("x:1"), &request("x:1")));
        assert!(!Arc::ptr_eq(&request("x:1"), &request("x:2")));
    }

    #[test]
    fn an_account_outlives_its_connections_until_it_is_full() {
        let table = table(RateBy::Identity);
        let account = table.of_client(&client("ada", "x"), false).unwrap();
        account.subscribe().unwrap();
        let full_at = account.full_at();
        table.forget(full_at);
        assert_eq!(table.accounts.len(), 1, "a connection holds it");
        drop(account);
        table.forget(full_at - 1);
        assert_eq!(table.accounts.len(), 1);
        table.forget(full_at);
        assert!(table.accounts.is_empty());
    }

    #[test]
    fn accounts_are_bounded_however_many_names_and_addresses_come() {
        let table = table(RateBy::Identity);
        let held = table.of_client(&client("held", "x"), false).unwrap();
        held.subscribe().unwrap();
        for n in 0..2 * MAX_IDLE {
            let address = format!("[2001:db8:{:x}:{:x}::1]:9", n >> 16, n & 0xffff);
            table.refused(Some(&address));
            assert!(table.accounts.len() <= MAX_IDLE + 1 + MIN_SWEPT);
        }
        // The newest account, and those of open connections, are kept.
        let last = 2 * MAX_IDLE - 1;
        let last = format!("[2001:db8:{:x}:{:x}:9::9]:8", last >> 16, last & 0xffff);
        assert!(table.look(Some(&last)).is_err());
        let again = table.of_client(&client("held", "y"), false).unwrap();
        assert!(Arc::ptr_eq(&held, &again));
    }

    #[test]
    fn names_that_are_used_and_left_cost_nothing_once_they_are_full() {
        let rates = Rates {
            subscribes: Rate::parse("1000000000/s").ok(),
            ..Rates::default()
        };
        let table = RateTable::new(rates, true);
        for n in 0..10 * MIN_SWEPT {
            let account = table.of_client(&client(&n.to_string(), "x"), false);
            account.unwrap().subscribe().unwrap();
            assert!(table.accounts.len() <= 2 * MIN_SWEPT + 1);
        }
    }
}
