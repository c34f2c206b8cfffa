//! Messages between nodes, on subjects, and revocations, in a JetStream stream of their own.
//!
//! Revocations need JetStream also where the bus keeps no events. Not here: their content
//! (`bus::cluster`).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::Request;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{Config as StoreConfig, Info, StorageType};
use bus::engine::{Control, ControlArrivals, ControlError, MAX_REVOCATIONS, Pending, Role};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::Nats;
use super::fault::{Answer, Fault, FaultKind, NO_STORE};
use super::link::Link;
use super::reader::{NextOf, next};
use super::shared::{Joined, Shared};

#[derive(Serialize)]
struct Delete {
    seq: u64,
    no_erase: bool,
}

#[derive(Deserialize)]
struct Deleted {}

/// A stored revocation.
struct Stored {
    sequence: u64,
    /// When it ends (ms since 1970).
    until: u64,
    entry: Bytes,
}

impl Control for Nats {
    fn join(&self, node: &str, arrivals: Arc<dyn ControlArrivals>) {
        let names = &self.shared.names;
        let subjects = [names.control(None), names.control(Some(node))];
        // A node joins once.
        self.shared.control.set(Joined { subjects, arrivals }).ok();
    }

    fn send(&self, to: Option<&str>, message: Bytes) -> Pending<Result<Option<u64>, ControlError>> {
        let shared = self.shared.clone();
        let subject = shared.names.control(to);
        Box::pin(async move {
            let link = shared.link(Role::Publisher)?;
            let before = link.denials();
            let sent = link.client.publish(subject.clone(), message).await;
            sent.map_err(|error| Fault::refused(error.to_string()))?;
            link.round_trip().await?;
            match link.denial(&subject, before) {
                Some(denied) => Err(denied.into()),
                // NATS does not say how many have received it.
                None => Ok(None),
            }
        })
    }

    fn revoke(&self, entry: Bytes, lasts: Duration) -> Pending<Result<(), ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move { revoke(&shared, entry, lasts).await })
    }

    fn revocations(&self) -> Pending<Result<Vec<(Bytes, Duration)>, ControlError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let link = shared.link(Role::Publisher)?;
            if info(&shared, &link).await?.is_none() {
                return Ok(Vec::new());
            }
            let now = now();
            let all = stored(&shared, &link).await?.into_iter();
            let current = all.filter(|one| one.until > now);
            Ok(current
                .map(|one| (one.entry, Duration::from_millis(one.until - now)))
                .collect())
        })
    }
}

async fn revoke(shared: &Shared, entry: Bytes, lasts: Duration) -> Result<(), ControlError> {
    let link = shared.link(Role::Publisher)?;
    let info = match info(shared, &link).await? {
        Some(info) => info,
        None => create(shared, &link).await?,
    };
    let subject = shared.names.revocation(&entry);
    let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    let mut until = now().saturating_add(lasts);
    let before = last(shared, &link, &subject).await?;
    let is_full = before.is_none() && info.state.messages >= MAX_REVOCATIONS as u64;
    if is_full && !delete_expired(shared, &link).await? {
        return Err(ControlError::Full);
    }
    until = until.max(before.map_or(0, |before| before.until));
    let mut text = BytesMut::with_capacity(8 + entry.len());
    text.put_u64_le(until);
    text.put(entry);
    let request = Request::new().payload(text.freeze());
    let answer = link.ask(&subject, request).await?;
    let answer = serde_json::from_slice::<Answer<PublishAck>>(&answer.payload);
    match answer.map_err(|_| unexpected())? {
        Answer::Ok(_) => Ok(()),
        Answer::Err { error } => Err(Fault::of_jetstream(&error).into()),
    }
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

/// Returns the newest revocation of a subject.
async fn last(shared: &Shared, link: &Link, subject: &str) -> Result<Option<Stored>, Fault> {
    get(shared, link, 1, subject).await
}

/// Returns all stored revocations.
async fn stored(shared: &Shared, link: &Link) -> Result<Vec<Stored>, Fault> {
    let subjects = shared.names.all_revocations();
    let mut all = Vec::new();
    let mut from = 1;
    while let Some(one) = get(shared, link, from, &subjects).await? {
        from = one.sequence + 1;
        all.push(one);
    }
    Ok(all)
}

/// Returns the first revocation from a sequence on; there is one at most for each subject.
async fn get(
    shared: &Shared,
    link: &Link,
    from: u64,
    subjects: &str,
) -> Result<Option<Stored>, Fault> {
    let from = NextOf {
        seq: from,
        next_by_subj: subjects,
    };
    let found = next(link, &shared.names.revocations(), &from).await?;
    let Some((sequence, mut entry)) = found else {
        return Ok(None);
    };
    if entry.len() < 8 {
        return Err(unexpected());
    }
    Ok(Some(Stored {
        sequence,
        until: entry.get_u64_le(),
        entry,
    }))
}

/// Deletes revocations that have ended. Returns whether there were any.
async fn delete_expired(shared: &Shared, link: &Link) -> Result<bool, Fault> {
    let subject = format!("STREAM.MSG.DELETE.{}", shared.names.revocations());
    let now = now();
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
    Fault {
        kind: FaultKind::Away,
        reason: "JetStream has sent no revocation".to_owned(),
    }
}

/// The time (ms since 1970).
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
