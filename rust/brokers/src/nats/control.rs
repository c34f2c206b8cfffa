//! Messages between nodes, on subjects, and revocations, in a JetStream stream of their own.
//!
//! Revocations need JetStream also where the bus keeps no events. They end by the clock of the server, as
//! the clocks of nodes differ: a message has how long it lasts, and JetStream notes when it was stored.
//! What the time is, a message without content shows, which is stored for that. Not here: their content
//! (`bus::cluster`).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::Request;
use async_nats::datetime::parse_rfc3339;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{Config as StoreConfig, Info, StorageType};
use bus::engine::{Control, ControlArrivals, ControlError, MAX_REVOCATIONS, Pending, Role};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::Nats;
use super::fault::{Answer, Fault, FaultKind, NO_MESSAGE, NO_STORE};
use super::link::Link;
use super::reader::{LastOf, NextOf, next_message, number};
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
    subject: String,
    /// When it ends, by the clock of the server (ms since 1970).
    until: u64,
    entry: Bytes,
}

/// The answer of the leader with the newest message of the clock.
#[derive(Deserialize)]
struct Shown {
    message: ShownMessage,
}

#[derive(Deserialize)]
struct ShownMessage {
    time: String,
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
            let all = stored(&shared, &link).await?;
            if all.is_empty() {
                return Ok(Vec::new());
            }
            let now = now(&shared, &link).await?;
            let all = all.into_iter();
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
    let mut lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    let before = last(shared, &link, &subject).await?;
    let is_full = before.is_none() && info.state.messages >= MAX_REVOCATIONS as u64;
    if is_full && !delete_expired(shared, &link).await? {
        return Err(ControlError::Full);
    }
    if let Some(before) = before {
        let left = before.until.saturating_sub(now(shared, &link).await?);
        lasts = lasts.max(left);
    }
    let mut text = BytesMut::with_capacity(8 + entry.len());
    text.put_u64_le(lasts);
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
    let clock = shared.names.clock();
    let mut from = 1;
    while let Some(one) = get(shared, link, from, &subjects).await? {
        from = one.sequence + 1;
        if *one.subject != *clock {
            all.push(one);
        }
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
    let found = next_message(link, &shared.names.revocations(), &from).await?;
    let Some(message) = found else {
        return Ok(None);
    };
    let text = |name: &str| {
        let headers = message.headers.as_ref()?;
        Some(headers.get(name)?.as_str().to_owned())
    };
    let sequence = number(&message, "Nats-Sequence").ok_or_else(unexpected)?;
    let subject = text("Nats-Subject").ok_or_else(unexpected)?;
    let stored = text("Nats-Time-Stamp").ok_or_else(unexpected)?;
    let mut entry = message.payload;
    let lasts = entry.try_get_u64_le().unwrap_or_default();
    Ok(Some(Stored {
        sequence,
        subject,
        until: milliseconds(&stored)?.saturating_add(lasts),
        entry,
    }))
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
    Fault {
        kind: FaultKind::Away,
        reason: "JetStream has sent no revocation".to_owned(),
    }
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
    let newest = LastOf {
        last_by_subj: &clock,
    };
    let subject = format!("STREAM.MSG.GET.{}", shared.names.revocations());
    match link.ask_jetstream::<_, Shown>(&subject, &newest).await? {
        Ok(shown) => milliseconds(&shown.message.time),
        Err(error) if error.detail == NO_MESSAGE => Err(unexpected()),
        Err(error) => Err(Fault::of_jetstream(&error)),
    }
}

fn time_of_node() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Reads a time as servers write it (ms since 1970).
fn milliseconds(time: &str) -> Result<u64, Fault> {
    let time = parse_rfc3339(time).map_err(|_| unexpected())?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).map_err(|_| unexpected())
}
