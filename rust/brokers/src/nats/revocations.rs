//! Revocations, in a JetStream stream of their own: one message for each.
//!
//! They need JetStream also where the bus keeps no events. They end by the clock of the server, as the
//! clocks of nodes differ: a message has how long it lasts, and JetStream notes when it was stored. What
//! the time is, a message without content shows, which is stored for that. Not here: their content
//! (`bus::cluster`).

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{Config as StoreConfig, Info, RawMessage, StorageType};
use async_nats::{HeaderMap, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bus::engine::{ControlError, MAX_REVOCATIONS, Role};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use super::fault::{Answer, Fault, NO_MESSAGE, NO_STORE, NOT_LAST_OF_SUBJECT};
use super::link::Link;
use super::messages::LastOf;
use super::shared::Shared;

/// Revocations that are asked for at once (count).
const AT_ONCE: usize = 64;
/// How often a revocation is stored that another node has stored at the same time.
const ATTEMPTS: usize = 10;

#[derive(Serialize)]
struct Delete {
    seq: u64,
    no_erase: bool,
}

#[derive(Deserialize)]
struct Deleted {}

#[derive(Serialize)]
struct OfSubjects {
    subjects_filter: String,
}

/// Which subjects have a message.
#[derive(Deserialize)]
struct Subjects {
    state: SubjectsState,
}

#[derive(Deserialize)]
struct SubjectsState {
    #[serde(default)]
    subjects: Option<HashMap<String, u64>>,
}

/// The answer of the leader.
#[derive(Deserialize)]
struct FoundRevocation {
    message: RawMessage,
}

/// A stored revocation.
struct Stored {
    sequence: u64,
    /// When it ends, by the clock of the server (ms since 1970).
    until: u64,
    /// `None` if another program has stored something else.
    entry: Option<Bytes>,
}

/// Returns all revocations, each with its remaining time.
pub(super) async fn all(shared: &Shared) -> Result<Vec<(Bytes, Duration)>, ControlError> {
    let link = shared.link(Role::Publisher)?;
    let all = match stored(shared, &link).await {
        // Live events alone need no JetStream. Without it nothing can have been revoked.
        Err(fault) if shared.stores.is_empty() && fault.is_configuration() => Vec::new(),
        stored => stored?,
    };
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let now = now(shared, &link).await?;
    let unreadable = all.iter().filter(|one| one.entry.is_none()).count();
    if unreadable > 0 {
        tracing::warn!(
            name: "revocations.unreadable",
            target: "fraiseql_subs",
            stream = shared.names.revocations(),
            unreadable,
            "messages among the revocations cannot be read: another program has stored them"
        );
    }
    let current = all.into_iter().filter(|one| one.until > now);
    Ok(current
        .filter_map(|one| Some((one.entry?, Duration::from_millis(one.until - now))))
        .collect())
}

/// Stores a revocation, for the longer of its time and that of the same one before.
pub(super) async fn add(
    shared: &Shared,
    entry: Bytes,
    lasts: Duration,
) -> Result<(), ControlError> {
    let link = shared.link(Role::Publisher)?;
    let info = match info(shared, &link).await? {
        Some(info) => info,
        None => create(shared, &link).await?,
    };
    let subject = shared.names.revocation(&entry);
    let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    for _ in 0..ATTEMPTS {
        let before = get(shared, &link, &subject).await?;
        let is_full = before.is_none() && info.state.messages >= MAX_REVOCATIONS as u64;
        if is_full && !delete_expired(shared, &link).await? {
            return Err(ControlError::Full);
        }
        let mut lasts = lasts;
        if let Some(before) = &before {
            let left = before.until.saturating_sub(now(shared, &link).await?);
            lasts = lasts.max(left);
        }
        let mut text = BytesMut::with_capacity(8 + entry.len());
        text.put_u64_le(lasts);
        text.put(entry.clone());
        let mut headers = HeaderMap::new();
        headers.insert(
            "Nats-Expected-Last-Subject-Sequence",
            before.map_or(0, |before| before.sequence).to_string(),
        );
        let request = Request::new().headers(headers).payload(text.freeze());
        let answer = link.ask(&subject, request).await?;
        let answer = serde_json::from_slice::<Answer<PublishAck>>(&answer.payload);
        match answer.map_err(|_| unexpected())? {
            Answer::Ok(_) => return Ok(()),
            // Another node has stored it at the same time, perhaps for longer.
            Answer::Err { error } if error.detail == NOT_LAST_OF_SUBJECT => {}
            Answer::Err { error } => return Err(Fault::of_jetstream(&error).into()),
        }
    }
    Err(Fault::busy("other nodes store the same revocation").into())
}

/// Returns the state of the stream of revocations; `None` if it does not exist.
async fn info(shared: &Shared, link: &Link) -> Result<Option<Info>, Fault> {
    let subject = format!("STREAM.INFO.{}", shared.names.revocations());
    match link
        .ask_jetstream(&subject, &())
        .await
        .map_err(without_jetstream)?
    {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.detail == NO_STORE => Ok(None),
        Err(error) => Err(without_jetstream(Fault::of_jetstream(&error))),
    }
}

fn without_jetstream(fault: Fault) -> Fault {
    let reason = format!("revocations are kept in JetStream: {}", fault.reason);
    Fault { reason, ..fault }
}

async fn create(shared: &Shared, link: &Link) -> Result<Info, Fault> {
    let name = shared.names.revocations();
    let subject = format!("STREAM.CREATE.{name}");
    let wanted = StoreConfig {
        name,
        description: Some("fraiseql-subs: revocations".to_owned()),
        subjects: vec![shared.names.all_revocations()],
        storage: StorageType::File,
        num_replicas: shared.config.replicas.unwrap_or(1),
        max_messages_per_subject: 1,
        max_messages: -1,
        max_bytes: -1,
        max_consumers: -1,
        allow_direct: true,
        ..StoreConfig::default()
    };
    let answer = link.ask_jetstream(&subject, &wanted).await?;
    answer.map_err(|error| Fault::of_jetstream(&error))
}

/// Returns all stored revocations, oldest first.
async fn stored(shared: &Shared, link: &Link) -> Result<Vec<Stored>, Fault> {
    let question = OfSubjects {
        subjects_filter: shared.names.all_revocations(),
    };
    let subject = format!("STREAM.INFO.{}", shared.names.revocations());
    let asked = link.ask_jetstream::<_, Subjects>(&subject, &question).await;
    let subjects = match asked.map_err(without_jetstream)? {
        Ok(found) => found.state.subjects.unwrap_or_default(),
        Err(error) if error.detail == NO_STORE => return Ok(Vec::new()),
        Err(error) => return Err(without_jetstream(Fault::of_jetstream(&error))),
    };
    let clock = shared.names.clock();
    let subjects = subjects.into_keys().filter(|subject| *subject != clock);
    let asked = subjects.map(|subject| async move { get(shared, link, &subject).await });
    let mut asked = stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut all = Vec::new();
    while let Some(found) = asked.next().await {
        all.extend(found?);
    }
    all.sort_unstable_by_key(|one| one.sequence);
    Ok(all)
}

/// Returns the revocation of a subject.
async fn get(shared: &Shared, link: &Link, subject: &str) -> Result<Option<Stored>, Fault> {
    let Some(message) = newest(shared, link, subject).await? else {
        return Ok(None);
    };
    let content = BASE64.decode(&message.payload).map_err(|_| unexpected())?;
    let mut content = Bytes::from(content);
    let lasts = content.try_get_u64_le().ok();
    Ok(Some(Stored {
        sequence: message.sequence,
        until: stored_at(&message)?.saturating_add(lasts.unwrap_or_default()),
        entry: lasts.map(|_| content),
    }))
}

/// Returns the message of a subject; there is one at most. The leader answers, which is never behind.
async fn newest(shared: &Shared, link: &Link, subject: &str) -> Result<Option<RawMessage>, Fault> {
    let question = LastOf {
        last_by_subj: subject,
    };
    let subject = format!("STREAM.MSG.GET.{}", shared.names.revocations());
    match link
        .ask_jetstream::<_, FoundRevocation>(&subject, &question)
        .await?
    {
        Ok(found) => Ok(Some(found.message)),
        Err(error) if error.detail == NO_MESSAGE => Ok(None),
        Err(error) => Err(Fault::of_jetstream(&error)),
    }
}

/// Deletes revocations that have ended. Returns whether there were any.
async fn delete_expired(shared: &Shared, link: &Link) -> Result<bool, Fault> {
    let subject = format!("STREAM.MSG.DELETE.{}", shared.names.revocations());
    let now = now(shared, link).await?;
    let mut is_any = false;
    for one in stored(shared, link).await? {
        if one.until <= now {
            let delete = Delete {
                seq: one.sequence,
                no_erase: true,
            };
            let answer = link.ask_jetstream::<_, Deleted>(&subject, &delete).await?;
            is_any |= answer.is_ok();
        }
    }
    Ok(is_any)
}

fn unexpected() -> Fault {
    Fault::away("JetStream has sent no revocation")
}

/// The time of the server; that of this node, if it may not ask for it (ms since 1970).
async fn now(shared: &Shared, link: &Link) -> Result<u64, Fault> {
    match time_of_server(shared, link).await {
        Err(fault) if fault.is_configuration() => Ok(time_of_node()),
        time => time,
    }
}

async fn time_of_server(shared: &Shared, link: &Link) -> Result<u64, Fault> {
    let clock = shared.names.clock();
    let answer = link.ask(&clock, Request::new()).await?;
    let answer = serde_json::from_slice::<Answer<PublishAck>>(&answer.payload);
    if let Answer::Err { error } = answer.map_err(|_| unexpected())? {
        return Err(Fault::of_jetstream(&error));
    }
    // Another node may have stored a newer one.
    let newest = newest(shared, link, &clock).await?;
    stored_at(&newest.ok_or_else(unexpected)?)
}

fn time_of_node() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// When a message was stored (ms since 1970).
fn stored_at(message: &RawMessage) -> Result<u64, Fault> {
    let stored = message.time.unix_timestamp_nanos() / 1_000_000;
    u64::try_from(stored).map_err(|_| unexpected())
}
