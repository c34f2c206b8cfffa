//! Publishes batches.
//!
//! With history each event is a request to JetStream. Events of one stream are in flight at once, but
//! each names the one before it, and is stored only if that is the newest: none overtakes one that has to
//! be sent again. Where copies are kept, events of one stream are sent one after the other. Without
//! history a batch is sent without waiting, and a message to this program itself follows
//! it: when it comes back, the server has accepted the batch.

use std::sync::Arc;

use async_nats::jetstream::publish::PublishAck;
use async_nats::{HeaderMap, Request};
use bus::engine::{AttemptError, Outgoing, Role};
use bus::{Position, StreamKey};
use futures_util::future::join_all;
use hashbrown::HashMap;

use super::fault::{Answer, Fault, FaultKind, NO_STORE, NOT_LAST};
use super::link::Link;
use super::names::message_id;
use super::shared::Shared;
use super::store::Store;

type Attempt = Result<Position, AttemptError>;

/// Publishes the events of one partition.
pub(super) async fn publish(shared: &Arc<Shared>, batch: &[Outgoing]) -> Vec<Attempt> {
    let Some(first) = batch.first() else {
        return Vec::new();
    };
    let link = match shared.link(Role::Publisher) {
        Ok(link) => link,
        Err(fault) => return vec![Err(fault.of_attempt(false)); batch.len()],
    };
    let partition = shared.names.partition(&first.stream);
    match shared.stores.get(partition as usize) {
        Some(store) => store_all(shared, &link, store, batch).await,
        None => send_all(shared, &link, batch).await,
    }
}

async fn store_all(
    shared: &Shared,
    link: &Link,
    store: &Store,
    batch: &[Outgoing],
) -> Vec<Attempt> {
    let mut streams: HashMap<&StreamKey, Vec<usize>> = HashMap::new();
    for (index, event) in batch.iter().enumerate() {
        streams.entry(&event.stream).or_default().push(index);
    }
    let stored = streams
        .into_values()
        .map(|indices| store_stream(shared, link, store, batch, indices));
    let mut answers: Vec<(usize, Attempt)> = join_all(stored).await.into_iter().flatten().collect();
    answers.sort_unstable_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Stores the events of one stream, in their order.
async fn store_stream(
    shared: &Shared,
    link: &Link,
    store: &Store,
    batch: &[Outgoing],
    indices: Vec<usize>,
) -> Vec<(usize, Attempt)> {
    let mut answers: Vec<(usize, Attempt)> = Vec::with_capacity(indices.len());
    let mut rest = &indices[..];
    let mut window = rest.len();
    let mut is_stopped = false;
    while !rest.is_empty() && !is_stopped {
        // Servers with copies may judge differently whether a message follows another one.
        let count = if store.known().replicas == 1 {
            window.clamp(1, rest.len())
        } else {
            1
        };
        // They are sent in their order, as each is sent when it is first polled.
        let sent = rest[..count].iter().enumerate().map(|(place, index)| {
            let before = place.checked_sub(1).map(|before| &batch[rest[before]]);
            store_one(shared, link, store, &batch[*index], before)
        });
        let stored = join_all(sent).await;
        let mut done = 0;
        for (index, answer) in rest.iter().zip(stored) {
            let answer = match answer {
                None | Some(Err(AttemptError::Busy(_) | AttemptError::Denied(_))) if is_stopped => {
                    Err(behind_another())
                }
                Some(answer) => answer,
                // Another program has stored an event in between.
                None => break,
            };
            // An event that is refused for good is not sent again.
            is_stopped |= !matches!(answer, Ok(_) | Err(AttemptError::Refused(_)));
            answers.push((*index, answer));
            done += 1;
        }
        window = if done == count { count * 2 } else { done };
        rest = &rest[done..];
    }
    answers.extend(rest.iter().map(|index| (*index, Err(behind_another()))));
    answers
}

fn behind_another() -> AttemptError {
    let reason = "an event before it in its stream was not published";
    AttemptError::NotSent(reason.to_owned())
}

/// Stores an event. With `before`, it is stored only if that is the newest event of the store; `None`:
/// it is not.
async fn store_one(
    shared: &Shared,
    link: &Link,
    store: &Store,
    event: &Outgoing,
    before: Option<&Outgoing>,
) -> Option<Attempt> {
    // If the numbering changes before the answer, the position is of an epoch that has ended.
    let Some(epoch) = store.known().epoch else {
        shared.create.notify_one();
        let reason = format!("the JetStream stream {} has not answered yet", store.name);
        return Some(Err(AttemptError::Busy(reason)));
    };
    let subject = shared.names.stored(&event.stream);
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", message_id(&subject, &event.id));
    headers.insert("Nats-Expected-Stream", store.name.as_str());
    if let Some(before) = before {
        let expected = message_id(&subject, &before.id);
        headers.insert("Nats-Expected-Last-Msg-Id", expected);
    }
    let request = Request::new()
        .headers(headers)
        .payload(event.envelope.clone());
    let stored = async {
        let answer = link.ask(&subject, request).await;
        let answer = answer.map_err(|fault| match fault.kind {
            FaultKind::Busy => Fault::busy(format!(
                "the JetStream stream {} is missing, or has no leader",
                store.name
            )),
            _ => fault,
        })?;
        let answer = serde_json::from_slice(&answer.payload)
            .map_err(|_| Fault::away("JetStream has sent no valid answer"))?;
        match answer {
            Answer::Ok(PublishAck { sequence, .. }) => Ok(Some(sequence)),
            Answer::Err { error } if before.is_some() && error.detail == NOT_LAST => Ok(None),
            Answer::Err { error } => {
                if error.detail == NO_STORE {
                    shared.create.notify_one();
                }
                Err(Fault::of_jetstream(&error))
            }
        }
    };
    match stored.await {
        Ok(sequence) => sequence.map(|sequence| {
            store.note_answer(epoch, sequence);
            Ok(Position::new(epoch, sequence))
        }),
        Err(fault) => {
            if fault.kind == FaultKind::Busy {
                // Such as no leader, or no store.
                shared.create.notify_one();
            }
            Some(Err(fault.of_attempt(true)))
        }
    }
}

async fn send_all(shared: &Shared, link: &Link, batch: &[Outgoing]) -> Vec<Attempt> {
    let before = link.denials();
    let mut answers: Vec<Attempt> = Vec::with_capacity(batch.len());
    for event in batch {
        let subject = shared.names.delivered(&event.stream);
        let sent = link.client.publish(subject, event.envelope.clone()).await;
        answers.push(match sent {
            Ok(()) => Ok(Position::new(shared.epoch, shared.count())),
            Err(error) => Err(Fault::of_publishing(error.kind()).of_attempt(false)),
        });
    }
    let accepted = link.round_trip().await;
    for (event, answer) in batch.iter().zip(&mut answers) {
        if answer.is_err() {
            continue;
        }
        let subject = shared.names.delivered(&event.stream);
        if let Some(denied) = link.denial(&subject, before) {
            *answer = Err(denied.of_attempt(true));
        } else if let Err(fault) = &accepted {
            // Whatever the reason, the event was sent.
            *answer = Err(AttemptError::Unknown(fault.reason.clone()));
        }
    }
    answers
}
