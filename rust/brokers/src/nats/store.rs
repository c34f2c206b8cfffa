//! The JetStream stream of a partition: its settings, and which numbering its sequences belong to.
//!
//! JetStream calls it a stream; here it is a store, because a stream of the bus is something else.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::{
    Config as StoreConfig, DiscardPolicy, Info, Republish, RetentionPolicy, StorageType,
};
use bus::Epoch;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use super::config::Config;
use super::fault::{Fault, NO_STORE};
use super::link::Link;
use super::names::{Names, fnv};

/// How long JetStream recognizes an id that it has stored.
const DUPLICATES: Duration = Duration::from_mins(2);
/// What the description of a store begins with.
const MARK: &str = "fraiseql-subs";
/// How often a lower last sequence is asked for before it is believed, every 0.2 s.
const LOSS_CONFIRMATIONS: u32 = 3;
/// The same where copies are kept: a server that has become the leader is behind until it has handled
/// what the others have accepted.
const LOSS_CONFIRMATIONS_OF_LEADERS: u32 = 50;

/// The most deleted events that are asked for one by one.
const MAX_DELETED: u64 = 50_000;

#[derive(Serialize)]
struct Details {
    deleted_details: bool,
}

/// The JetStream stream of a partition.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) name: String,
    pub(super) partition: u32,
    subjects: String,
    delivered: String,
    known: Mutex<Known>,
    /// Notified when the epoch is another one.
    renumbered: Arc<Notify>,
}

/// What is known of a store.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// `None` before the server has answered.
    pub(super) epoch: Option<Epoch>,
    /// The highest sequence of this epoch that the servers have answered with. Sequences of messages that
    /// were delivered do not count: whoever may publish there can write any.
    newest: u64,
    /// On how many servers each event is kept; 0 before the server has answered.
    pub(super) replicas: usize,
    /// The epoch is another one, and the subscriber does not know it yet.
    is_renumbered: bool,
    /// The events that were deleted by hand, as they were last asked for.
    deleted: Deletions,
}

/// Events that were deleted by hand: by their sequences, or all of a subject. Those that are too old are
/// always the first of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Deletions {
    /// How many there are after the oldest event that is kept.
    count: u64,
    /// The sequence of that event. While it and the count are the same, so are the deleted events.
    first: u64,
    /// The highest sequence of a deleted event.
    newest: u64,
}

/// The state of a store.
#[derive(Debug)]
pub(super) struct StoreState {
    pub(super) epoch: Epoch,
    /// The sequence from which on every event is kept; one more than the last if there is none.
    pub(super) first: u64,
    /// The highest sequence.
    pub(super) last: u64,
}

/// For how long an event that is published again with the same id counts as one.
pub(super) fn idempotency(history: Duration) -> Duration {
    // The server refuses a window that is longer than it keeps events.
    DUPLICATES.min(history)
}

impl Store {
    pub(super) fn new(names: &Names, partition: u32, renumbered: Arc<Notify>) -> Self {
        Self {
            name: names.store(partition),
            partition,
            subjects: names.stored_in(partition),
            delivered: names.all_delivered(),
            known: Mutex::default(),
            renumbered,
        }
    }

    pub(super) fn known(&self) -> Known {
        *self.known.lock()
    }

    /// Notes the sequence of an event that was stored. `epoch`: the one that was known before.
    pub(super) fn note_answer(&self, epoch: Epoch, sequence: u64) {
        let mut known = self.known.lock();
        if known.epoch == Some(epoch) {
            known.newest = known.newest.max(sequence);
        }
    }

    /// Whether the epoch is another one since the last call.
    pub(super) fn take_renumbered(&self) -> bool {
        std::mem::take(&mut self.known.lock().is_renumbered)
    }

    /// Creates the store if it is absent, and checks its settings.
    pub(super) async fn ensure(&self, config: &Config, link: &Link) -> Result<StoreState, Fault> {
        let before = self.known();
        let info = match self.info(link).await? {
            Some(info) => self.correct(config, link, info).await?,
            None => self.create(config, link).await?,
        };
        self.judge(link, before, info).await
    }

    /// Asks the leader for the state of the store.
    pub(super) async fn refresh(&self, link: &Link) -> Result<StoreState, Fault> {
        let before = self.known();
        match self.info(link).await? {
            Some(info) => self.judge(link, before, info).await,
            None => Err(Fault::busy(format!(
                "the JetStream stream {} does not exist",
                self.name
            ))),
        }
    }

    async fn info(&self, link: &Link) -> Result<Option<Info>, Fault> {
        let subject = format!("STREAM.INFO.{}", self.name);
        match link.ask_jetstream::<_, Info>(&subject, &()).await? {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.detail == NO_STORE => Ok(None),
            Err(error) => Err(Fault::of_jetstream(&error)),
        }
    }

    async fn create(&self, config: &Config, link: &Link) -> Result<Info, Fault> {
        let wanted = self.wanted(config);
        let subject = format!("STREAM.CREATE.{}", self.name);
        match link.ask_jetstream(&subject, &wanted).await? {
            Ok(info) => Ok(info),
            Err(error) => {
                // Another node may have created it at the same moment, with other settings.
                let found = self.info(link).await?;
                let info = found.ok_or_else(|| Fault::of_jetstream(&error))?;
                self.correct(config, link, info).await
            }
        }
    }

    async fn update(&self, link: &Link, wanted: &StoreConfig) -> Result<Info, Fault> {
        let subject = format!("STREAM.UPDATE.{}", self.name);
        let answer = link.ask_jetstream(&subject, wanted).await?;
        answer.map_err(|error| Fault::of_jetstream(&error))
    }

    fn wanted(&self, config: &Config) -> StoreConfig {
        let age = config.history.unwrap_or_default();
        StoreConfig {
            name: self.name.clone(),
            description: Some(describe(config.by_tenant, 0)),
            subjects: vec![self.subjects.clone()],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            num_replicas: config.replicas.unwrap_or(1),
            max_age: age,
            max_bytes: config
                .max_bytes
                .map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(-1)),
            max_messages: -1,
            max_messages_per_subject: -1,
            max_consumers: -1,
            duplicate_window: idempotency(age),
            republish: Some(Republish {
                source: self.subjects.clone(),
                destination: self.delivered.clone(),
                headers_only: false,
            }),
            allow_direct: true,
            ..StoreConfig::default()
        }
    }

    /// Checks the settings of a store that exists, and changes those that can be changed. What another
    /// program keeps for longer stays.
    async fn correct(&self, config: &Config, link: &Link, info: Info) -> Result<Info, Fault> {
        let wanted = self.wanted(config);
        let mut found = info.config.clone();
        if let Some(setting) = wrong_setting(&found, &wanted) {
            return Err(Fault::configuration(format!(
                "the JetStream stream {} has another {setting} than the bus needs: correct it, \
                 delete the stream, or use another prefix",
                self.name
            )));
        }
        let (description, _) = described(found.description.as_deref());
        if description.is_some_and(|by_tenant| by_tenant != config.by_tenant) {
            return Err(Fault::configuration(format!(
                "other programs use the JetStream stream {} {} tenants: set the same isolation of \
                 tenants in all, or another prefix",
                self.name,
                if config.by_tenant { "without" } else { "with" }
            )));
        }
        found.allow_direct = true;
        if found.max_age > Duration::ZERO {
            found.max_age = found.max_age.max(wanted.max_age);
        }
        found.duplicate_window = found.duplicate_window.max(wanted.duplicate_window);
        if config.max_bytes.is_some() {
            found.max_bytes = wanted.max_bytes;
        }
        if config.replicas.is_some() {
            found.num_replicas = wanted.num_replicas;
        }
        if description.is_none() {
            found.description = wanted.description;
        }
        if found == info.config {
            return Ok(info);
        }
        self.update(link, &found).await
    }

    /// Decides which numbering the sequences belong to. `before`: what was known before the server was
    /// asked, as events that are stored after it may be newer than the answer.
    async fn judge(&self, link: &Link, before: Known, mut info: Info) -> Result<StoreState, Fault> {
        let is_short = |info: &Info| {
            before.epoch == Some(self.epoch(info)) && info.state.last_sequence < before.newest
        };
        let confirmations = match info.config.num_replicas {
            ..=1 => LOSS_CONFIRMATIONS,
            _ => LOSS_CONFIRMATIONS_OF_LEADERS,
        };
        let mut asked = 0;
        while is_short(&info) && asked < confirmations {
            asked += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
            info = self.info(link).await?.unwrap_or(info);
        }
        if is_short(&info) {
            info = self.renumber(link, info).await?;
        }
        let epoch = self.epoch(&info);
        let deleted = self.deleted(link, &info, before.deleted).await?;
        let mut known = self.known.lock();
        if known.epoch != before.epoch && known.epoch != Some(epoch) {
            // The answer may be older than what another task was told.
            return Err(Fault::busy("the numbering has just changed"));
        }
        let is_renumbered = known.epoch.is_some_and(|before| before != epoch);
        if is_renumbered {
            *known = Known {
                is_renumbered: true,
                ..Known::default()
            };
            self.renumbered.notify_one();
        }
        known.epoch = Some(epoch);
        known.deleted = deleted;
        known.newest = known.newest.max(info.state.last_sequence);
        known.replicas = info.config.num_replicas;
        Ok(StoreState {
            epoch,
            first: info.state.first_sequence.max(deleted.newest + 1),
            last: info.state.last_sequence,
        })
    }

    /// Which events were deleted by hand.
    async fn deleted(
        &self,
        link: &Link,
        info: &Info,
        before: Deletions,
    ) -> Result<Deletions, Fault> {
        let state = &info.state;
        let (first, last) = (state.first_sequence, state.last_sequence);
        let count = (last + 1)
            .saturating_sub(first)
            .saturating_sub(state.messages);
        if count == 0 {
            return Ok(Deletions::default());
        }
        if (count, first) == (before.count, before.first) {
            return Ok(before);
        }
        let mut newest = None;
        if count <= MAX_DELETED {
            let subject = format!("STREAM.INFO.{}", self.name);
            let details = Details {
                deleted_details: true,
            };
            let answer = link.ask_jetstream::<_, Info>(&subject, &details).await?;
            let info = answer.map_err(|error| Fault::of_jetstream(&error))?;
            newest = info.state.deleted.unwrap_or_default().into_iter().max();
        }
        Ok(Deletions {
            count,
            first,
            newest: newest.unwrap_or(last),
        })
    }

    /// Starts a new numbering: the servers have lost the newest events, and use their sequences again.
    async fn renumber(&self, link: &Link, info: Info) -> Result<Info, Fault> {
        let mut wanted = info.config;
        let (by_tenant, generation) = described(wanted.description.as_deref());
        wanted.description = Some(describe(by_tenant.unwrap_or_default(), generation + 1));
        tracing::warn!(
            name: "stream.lost",
            target: "fraiseql_subs",
            stream = self.name,
            "the NATS servers have lost the newest events of the bus"
        );
        self.update(link, &wanted).await
    }

    fn epoch(&self, info: &Info) -> Epoch {
        let created = info.created.unix_timestamp_nanos();
        let (_, generation) = described(info.config.description.as_deref());
        Epoch(fnv(
            format!("{created} {} {generation}", self.name).as_bytes()
        ))
    }
}

/// The name of a setting that does not fit, and that cannot be changed.
fn wrong_setting(found: &StoreConfig, wanted: &StoreConfig) -> Option<&'static str> {
    let republish = |config: &StoreConfig| {
        let republish = config.republish.clone()?;
        Some((
            republish.source,
            republish.destination,
            republish.headers_only,
        ))
    };
    let checks = [
        (found.subjects != wanted.subjects, "subjects"),
        (republish(found) != republish(wanted), "republish"),
        (found.retention != wanted.retention, "retention"),
        (found.discard != wanted.discard, "discard"),
        (found.max_messages > 0, "max_msgs"),
        (found.max_messages_per_subject > 0, "max_msgs_per_subject"),
        (
            found.max_age > Duration::ZERO && found.max_age < Duration::from_secs(1),
            "max_age",
        ),
        (found.no_ack, "no_ack"),
        (found.sealed, "sealed"),
        (found.mirror.is_some(), "mirror"),
        (found.sources.is_some(), "sources"),
        (found.subject_transform.is_some(), "subject_transform"),
    ];
    let wrong = checks.into_iter().find(|(is_wrong, _)| *is_wrong);
    wrong.map(|(_, name)| name)
}

/// The description of a store: whether tenants have their own streams, and how often the servers have
/// lost events.
fn describe(by_tenant: bool, generation: u64) -> String {
    let tenants = if by_tenant { "apart" } else { "together" };
    format!("{MARK}: tenants {tenants}, generation {generation}")
}

/// Reads a description. Without one, tenants are unknown.
fn described(description: Option<&str>) -> (Option<bool>, u64) {
    let read = || {
        let rest = description?
            .strip_prefix(MARK)?
            .strip_prefix(": tenants ")?;
        let (tenants, generation) = rest.split_once(", generation ")?;
        Some((tenants == "apart", generation.parse().ok()?))
    };
    match read() {
        Some((by_tenant, generation)) => (Some(by_tenant), generation),
        None => (None, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read_as_it_was_written() {
        for (by_tenant, generation) in [(true, 0), (false, 7)] {
            let text = describe(by_tenant, generation);
            assert_eq!(described(Some(&text)), (Some(by_tenant), generation));
        }
        assert_eq!(described(Some("mine")), (None, 0));
        assert_eq!(described(None), (None, 0));
    }
}
