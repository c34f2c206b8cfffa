//! Asks JetStream for single messages.
//!
//! Direct Get is answered by any server with a copy, which may be behind. The leader is never behind.

use async_nats::{Message, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::fault::{Fault, NO_MESSAGE};
use super::link::Link;

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
pub(super) struct FoundMessage {
    pub(super) seq: u64,
    /// The content, as base64; absent if it is empty.
    #[serde(default)]
    data: String,
}

/// Returns an event that a server with a copy of the store has.
pub(super) async fn next(
    link: &Link,
    store: &str,
    from: &NextOf<'_>,
) -> Result<Option<(u64, Bytes)>, Fault> {
    let subject = format!("$JS.API.DIRECT.GET.{store}");
    let question = serde_json::to_vec(from).map_err(|_| unexpected())?;
    let request = Request::new().payload(question.into());
    let answer = link.ask(&subject, request).await?;
    match answer.status {
        None | Some(StatusCode::OK) => {}
        Some(StatusCode::NOT_FOUND) => return Ok(None),
        Some(status) => return Err(Fault::busy(format!("JetStream has answered {status}"))),
    }
    let sequence = number(&answer, "Nats-Sequence").ok_or_else(unexpected)?;
    Ok(Some((sequence, answer.payload)))
}

/// Returns an event that the leader has.
pub(super) async fn next_of_leader(
    link: &Link,
    store: &str,
    from: &NextOf<'_>,
) -> Result<Option<(u64, Bytes)>, Fault> {
    let Some(found) = get(link, store, from).await? else {
        return Ok(None);
    };
    let envelope = BASE64.decode(found.data).map_err(|_| unexpected())?;
    Ok(Some((found.seq, envelope.into())))
}

/// Asks the leader for a message.
pub(super) async fn get<Q: Serialize>(
    link: &Link,
    store: &str,
    question: &Q,
) -> Result<Option<FoundMessage>, Fault> {
    let subject = format!("STREAM.MSG.GET.{store}");
    match link.ask_jetstream::<_, Found>(&subject, question).await? {
        Ok(found) => Ok(Some(found.message)),
        Err(error) if error.detail == NO_MESSAGE => Ok(None),
        Err(error) => Err(Fault::of_jetstream(&error)),
    }
}

fn unexpected() -> Fault {
    Fault::away("JetStream has sent no event")
}

/// Reads a number from a header of a message.
pub(super) fn number(message: &Message, name: &str) -> Option<u64> {
    let headers = message.headers.as_ref()?;
    headers.get(name)?.as_str().parse().ok()
}
