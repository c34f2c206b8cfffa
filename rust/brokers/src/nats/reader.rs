//! Reads kept events, and the newest positions.
//!
//! The newest position comes from the leader of the store, so it is never older than an event that has
//! arrived. Events come by Direct Get, which every server with a copy answers; from the leader if that
//! server lacks one.

use std::sync::Arc;

use async_nats::{Message, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bus::engine::{Page, ReadError, Role};
use bus::{Epoch, Position, StreamKey};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use super::fault::{Fault, NO_MESSAGE};
use super::link::Link;
use super::shared::Shared;
use super::store::{Store, StoreState};

/// Limit of the envelopes of a page (bytes).
const PAGE_BYTES: usize = 4 << 20;
/// Requests for heads that are in flight at once (count).
const AT_ONCE: usize = 32;

#[derive(Serialize)]
pub(super) struct LastOf<'a> {
    pub(super) last_by_subj: &'a str,
}

#[derive(Serialize)]
pub(super) struct NextOf<'a> {
    pub(super) seq: u64,
    pub(super) next_by_subj: &'a str,
}

/// The answer of the leader.
#[derive(Deserialize)]
struct Found {
    message: FoundMessage,
}

#[derive(Deserialize)]
struct FoundMessage {
    seq: u64,
    /// The event, as base64; absent if it is empty.
    #[serde(default)]
    data: String,
}

/// Reads events of a stream after a position.
pub(super) async fn read(
    shared: &Shared,
    stream: &StreamKey,
    after: Position,
    limit: usize,
) -> Result<Page, ReadError> {
    let partition = shared.names.partition(stream);
    let Some(store) = shared.stores.get(partition as usize) else {
        return Err(ReadError::Unavailable("the bus keeps no events".to_owned()));
    };
    let link = shared.link(Role::Reader)?;
    let state = store.refresh(&link).await?;
    let newest = newest(shared, &link, store, stream).await?;
    let head = |major| Position::new(state.epoch, major);
    if state.epoch != after.epoch {
        let head = head(newest.unwrap_or(state.last));
        return Err(ReadError::OtherEpoch { head });
    }
    let after = after.offset.major;
    if state.last < after {
        // The servers have lost the newest events.
        return Ok(Page {
            events: Vec::new(),
            head: head(state.last),
        });
    }
    if state.first > complete_to(shared, store, stream, after) + 1 {
        let head = head(newest.unwrap_or(state.last).max(after));
        return Err(ReadError::TooLate { head });
    }
    let newest = newest.unwrap_or(after).max(after);
    let events = events(
        shared,
        &link,
        store,
        stream,
        (after, newest),
        limit,
        state.epoch,
    )
    .await?;
    Ok(Page {
        events,
        head: head(newest),
    })
}

/// Up to which sequence the node has every event of a stream that it has up to `after`. Sequences count
/// the events of all streams, so a quiet stream would otherwise seem to have lost events when the oldest
/// are deleted.
fn complete_to(shared: &Shared, store: &Store, stream: &StreamKey, after: u64) -> u64 {
    let wanted = shared.wants.get(&shared.names.delivered(stream));
    let newest = wanted.and_then(|wanted| wanted.newest);
    if newest.is_some_and(|newest| newest <= after) {
        after.max(store.known().complete_to)
    } else {
        after
    }
}

async fn events(
    shared: &Shared,
    link: &Link,
    store: &Store,
    stream: &StreamKey,
    (mut after, newest): (u64, u64),
    limit: usize,
    epoch: Epoch,
) -> Result<Vec<(Position, Bytes)>, Fault> {
    let stored = shared.names.stored(stream);
    let mut events = Vec::new();
    let mut bytes = 0;
    while after < newest && events.len() < limit && bytes < PAGE_BYTES {
        let from = NextOf {
            seq: after + 1,
            next_by_subj: &stored,
        };
        let next = match next(link, &store.name, &from).await? {
            Some(next) => Some(next),
            // The server that has answered is behind.
            None => next_of_leader(link, store, &from).await?,
        };
        let Some((sequence, envelope)) = next else {
            break;
        };
        after = sequence;
        bytes += envelope.len();
        events.push((Position::new(epoch, sequence), envelope));
    }
    Ok(events)
}

/// Returns an event that a server with a copy of the store has.
pub(super) async fn next(
    link: &Link,
    store: &str,
    from: &NextOf<'_>,
) -> Result<Option<(u64, Bytes)>, Fault> {
    let Some(answer) = next_message(link, store, from).await? else {
        return Ok(None);
    };
    let sequence = number(&answer, "Nats-Sequence").ok_or_else(unexpected)?;
    Ok(Some((sequence, answer.payload)))
}

/// Returns a message that a server with a copy of the store has, with its sequence and time.
pub(super) async fn next_message(
    link: &Link,
    store: &str,
    from: &NextOf<'_>,
) -> Result<Option<Message>, Fault> {
    let subject = format!("$JS.API.DIRECT.GET.{store}");
    let question = serde_json::to_vec(from).map_err(|_| unexpected())?;
    let request = Request::new().payload(question.into());
    let answer = link.ask(&subject, request).await?;
    match answer.status {
        None | Some(StatusCode::OK) => Ok(Some(answer)),
        Some(StatusCode::NOT_FOUND) => Ok(None),
        Some(status) => Err(Fault::busy(format!("JetStream has answered {status}"))),
    }
}

/// Returns an event that the leader has.
async fn next_of_leader(
    link: &Link,
    store: &Store,
    from: &NextOf<'_>,
) -> Result<Option<(u64, Bytes)>, Fault> {
    let Some(found) = get(link, store, from).await? else {
        return Ok(None);
    };
    let envelope = BASE64.decode(found.data).map_err(|_| unexpected())?;
    Ok(Some((found.seq, envelope.into())))
}

/// Asks the leader for a message.
async fn get<Q: Serialize>(
    link: &Link,
    store: &Store,
    question: &Q,
) -> Result<Option<FoundMessage>, Fault> {
    let subject = format!("STREAM.MSG.GET.{}", store.name);
    match link.ask_jetstream::<_, Found>(&subject, question).await? {
        Ok(found) => Ok(Some(found.message)),
        Err(error) if error.detail == NO_MESSAGE => Ok(None),
        Err(error) => Err(Fault::of_jetstream(&error)),
    }
}

fn unexpected() -> Fault {
    Fault::away("JetStream has sent no event")
}

/// Asks on the link that delivers for the newest position of each stream.
pub(super) async fn heads(
    shared: &Arc<Shared>,
    streams: &[StreamKey],
) -> Vec<Result<Position, ReadError>> {
    let link = match shared.link(Role::Subscriber) {
        Ok(link) => link,
        Err(fault) => return vec![Err(fault.into()); streams.len()],
    };
    let heads = heads_on(shared, &link, streams).await;
    heads.into_iter().map(|head| Ok(head?)).collect()
}

/// Returns the newest position of each stream.
pub(super) async fn heads_on(
    shared: &Shared,
    link: &Link,
    streams: &[StreamKey],
) -> Vec<Result<Position, Fault>> {
    if !shared.has_history() {
        return streams
            .iter()
            .map(|stream| Ok(counted(shared, stream)))
            .collect();
    }
    let mut states: Vec<Option<Result<StoreState, Fault>>> = Vec::new();
    states.resize_with(shared.stores.len(), || None);
    for stream in streams {
        let partition = shared.names.partition(stream) as usize;
        if let (Some(state @ None), Some(store)) =
            (states.get_mut(partition), shared.stores.get(partition))
        {
            *state = Some(store.refresh(link).await);
        }
    }
    let states = &states;
    let heads = streams.iter().cloned().map(|stream| async move {
        let partition = shared.names.partition(&stream) as usize;
        let (Some(store), Some(Some(state))) =
            (shared.stores.get(partition), states.get(partition))
        else {
            return Err(Fault::away("the partition is not known"));
        };
        let state = state.as_ref().map_err(Clone::clone)?;
        head_of(shared, link, store, state, &stream).await
    });
    stream::iter(heads).buffered(AT_ONCE).collect().await
}

/// Without history: the newest position that this engine has assigned.
fn counted(shared: &Shared, stream: &StreamKey) -> Position {
    let wanted = shared.wants.get(&shared.names.delivered(stream));
    let newest = wanted.and_then(|wanted| wanted.newest);
    Position::new(shared.epoch, newest.unwrap_or_else(|| shared.count()))
}

async fn head_of(
    shared: &Shared,
    link: &Link,
    store: &Store,
    state: &StoreState,
    stream: &StreamKey,
) -> Result<Position, Fault> {
    let found = newest(shared, link, store, stream).await?;
    let wanted = shared.wants.get(&shared.names.delivered(stream));
    let before = wanted
        .and_then(|wanted| wanted.newest)
        .filter(|before| *before <= state.last && store.known().epoch == Some(state.epoch));
    let head = match (found, before) {
        // No event is kept. Nothing was published since if all that came since is still kept.
        (None, Some(before)) if state.first <= before.max(store.known().complete_to) + 1 => before,
        (None, _) => state.last,
        (Some(found), Some(before)) => found.max(before),
        (Some(found), None) => found,
    };
    Ok(Position::new(state.epoch, head))
}

/// Returns the sequence of the newest kept event of a stream.
async fn newest(
    shared: &Shared,
    link: &Link,
    store: &Store,
    stream: &StreamKey,
) -> Result<Option<u64>, Fault> {
    let stored = shared.names.stored(stream);
    let question = LastOf {
        last_by_subj: &stored,
    };
    let found = get(link, store, &question).await?;
    Ok(found.map(|found| found.seq))
}

/// Reads a number from a header of a message.
pub(super) fn number(message: &Message, name: &str) -> Option<u64> {
    let headers = message.headers.as_ref()?;
    headers.get(name)?.as_str().parse().ok()
}
