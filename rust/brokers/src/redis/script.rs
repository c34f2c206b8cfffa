//! The scripts that run in Redis: their arguments and their answers.
//!
//! Not here: connections, and what an error means (`fault`).

use std::time::{Duration, SystemTime};

use bus::engine::{Outgoing, Page, ReadError};
use bus::{Epoch, Position, StreamKey};
use bytes::Bytes;
use redis::{Cmd, Value};

use super::config::Config;
use super::fault::Fault;
use super::master::Master;
use super::names::Names;

/// Limit of the events of one call (count).
pub(super) const BATCH: usize = 64;
/// A page of history ends at its first event beyond this size (bytes).
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Shortest time for which Redis keeps the counter of a stream.
const COUNTER_KEPT: Duration = Duration::from_hours(24);

/// The scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// Publishes a batch of one partition.
    Publish,
    /// Returns the newest positions of streams of one partition.
    Heads,
    /// Reads history of one stream.
    Read,
    /// Stores a revocation.
    Revoke,
    /// Reads the revocations.
    Revocations,
}

impl Script {
    pub(super) const ALL: [Self; 5] = [
        Self::Publish,
        Self::Heads,
        Self::Read,
        Self::Revoke,
        Self::Revocations,
    ];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Publish => concat!(
                include_str!("lua/stream.lua"),
                include_str!("lua/publish.lua")
            ),
            Self::Heads => concat!(
                include_str!("lua/stream.lua"),
                include_str!("lua/heads.lua")
            ),
            Self::Read => concat!(include_str!("lua/stream.lua"), include_str!("lua/read.lua")),
            Self::Revoke => include_str!("lua/revoke.lua"),
            Self::Revocations => include_str!("lua/revocations.lua"),
        }
    }
}

/// Builds script calls, with the state of the server and the settings that each call needs.
pub(super) struct Calls<'a> {
    pub(super) config: &'a Config,
    pub(super) names: &'a Names,
    pub(super) master: &'a Master,
    /// The run id of the connected server.
    pub(super) run: &'a str,
}

impl Calls<'_> {
    /// Builds a call that publishes events of one partition.
    pub(super) fn publish(&self, digest: &str, batch: &[Outgoing]) -> Result<Cmd, Fault> {
        let mut streams: Vec<&StreamKey> = Vec::new();
        let numbers: Vec<usize> = batch
            .iter()
            .map(|event| {
                let known = streams.iter().position(|stream| **stream == event.stream);
                known.unwrap_or_else(|| {
                    streams.push(&event.stream);
                    streams.len() - 1
                })
            })
            .collect();
        let names: Vec<_> = streams
            .iter()
            .map(|stream| self.names.stream(stream))
            .collect();
        let partition = names.first().map_or(0, |names| names.partition);

        let mut call = self.start(digest, 1 + 2 * names.len() + batch.len(), partition);
        for names in &names {
            call.arg(names.counter()).arg(names.history());
        }
        for (event, number) in batch.iter().zip(&numbers) {
            call.arg(names[*number].id(&event.id));
        }
        self.common(&mut call, partition)?;
        let history = self.config.history;
        call.arg(history.map_or(0, |history| history.events))
            .arg(history.map_or(1, |history| history.age.as_secs()))
            .arg(self.config.idempotency.as_secs())
            .arg(self.config.publish_command())
            .arg(names.len());
        for names in &names {
            call.arg(names.channel());
        }
        for (event, number) in batch.iter().zip(&numbers) {
            call.arg(number + 1).arg(&event.envelope[..]);
        }
        Ok(call)
    }

    /// Builds a call for the newest positions of streams of one partition.
    pub(super) fn heads(&self, digest: &str, streams: &[&StreamKey]) -> Result<Cmd, Fault> {
        let names: Vec<_> = streams
            .iter()
            .map(|stream| self.names.stream(stream))
            .collect();
        let partition = names.first().map_or(0, |names| names.partition);
        let mut call = self.start(digest, 1 + 2 * names.len(), partition);
        for names in &names {
            call.arg(names.counter()).arg(names.history());
        }
        self.common(&mut call, partition)?;
        Ok(call)
    }

    /// Builds a call for the events of a stream after a position.
    pub(super) fn read(
        &self,
        digest: &str,
        stream: &StreamKey,
        after: Position,
        limit: usize,
    ) -> Result<Cmd, Fault> {
        let names = self.names.stream(stream);
        let mut call = self.start(digest, 3, names.partition);
        call.arg(names.counter()).arg(names.history());
        self.common(&mut call, names.partition)?;
        call.arg(after.epoch.to_string())
            .arg(after.offset.major)
            .arg(limit)
            .arg(PAGE_BYTES);
        Ok(call)
    }

    fn start(&self, digest: &str, keys: usize, partition: u32) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(digest)
            .arg(keys)
            .arg(self.names.partition_key(partition));
        call
    }

    fn common(&self, call: &mut Cmd, partition: u32) -> Result<(), Fault> {
        let fresh = getrandom::u64()
            .map_err(|error| Fault::away(format!("the system has no random numbers: {error}")))?;
        let kept = self.counter_kept();
        // A counter is renewed eight times in its lifetime. Different clocks only renew it more often.
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let period = now.as_secs() / (kept.as_secs() / 8).max(1);
        call.arg(self.run)
            .arg(Epoch(fresh).to_string())
            .arg(period)
            .arg(kept.as_secs())
            .arg(self.master.former_run(partition).as_deref().unwrap_or(""));
        Ok(())
    }

    /// How long a counter is kept: longer than the events that it has counted, and than their ids.
    fn counter_kept(&self) -> Duration {
        let history = self
            .config
            .history
            .map_or(Duration::ZERO, |history| history.age);
        COUNTER_KEPT
            .max(history * 2)
            .max(self.config.idempotency * 2)
    }
}

/// Parses the positions in an answer: one for each element, or `Err` with the text of its error.
pub(super) fn positions(answer: Value) -> Result<Vec<Result<Position, String>>, Fault> {
    let Value::Array(elements) = answer else {
        return Err(unexpected());
    };
    elements
        .iter()
        .map(|element| {
            let text = text(element).ok_or_else(unexpected)?;
            match text.strip_prefix('!') {
                Some(error) => Ok(Err(error.to_owned())),
                None => text.parse().map(Ok).map_err(|_| unexpected()),
            }
        })
        .collect()
}

/// Parses the answer of [`Script::Read`].
pub(super) fn page(answer: Value, after: Position) -> Result<Result<Page, ReadError>, Fault> {
    let Value::Array(elements) = answer else {
        return Err(unexpected());
    };
    let mut elements = elements.into_iter();
    let word = elements.next().ok_or_else(unexpected)?;
    let head = elements.next().ok_or_else(unexpected)?;
    let head: Position = text(&head)
        .and_then(|text| text.parse().ok())
        .ok_or_else(unexpected)?;
    match text(&word) {
        Some("late") => return Ok(Err(ReadError::TooLate { head })),
        Some("epoch") => return Ok(Err(ReadError::OtherEpoch { head })),
        Some("found") => {}
        _ => return Err(unexpected()),
    }
    let Some(Value::Array(envelopes)) = elements.next() else {
        return Err(unexpected());
    };
    let mut events = Vec::with_capacity(envelopes.len());
    let mut at = after;
    for envelope in envelopes {
        let Value::BulkString(envelope) = envelope else {
            return Err(unexpected());
        };
        at.offset = at.offset.next();
        events.push((at, Bytes::from(envelope)));
    }
    Ok(Ok(Page { events, head }))
}

/// Parses a message: `<position> <envelope>`.
pub(super) fn message(payload: Vec<u8>) -> Option<(Position, Bytes)> {
    let end = payload.iter().take(64).position(|byte| *byte == b' ')?;
    let position = std::str::from_utf8(&payload[..end]).ok()?.parse().ok()?;
    Some((position, Bytes::from(payload).slice(end + 1..)))
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn unexpected() -> Fault {
    Fault::away("Redis has sent an answer that its scripts do not return")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_position_and_an_envelope() {
        let position = Position::new(Epoch(7), 12);
        let payload = format!("{position} a b").into_bytes();
        assert_eq!(
            message(payload),
            Some((position, Bytes::from_static(b"a b")))
        );
        for other in [
            "",
            " ",
            "x",
            "0000000000000007-1",
            "7-1 x",
            "0000000000000007-01 x",
        ] {
            assert_eq!(message(other.as_bytes().to_vec()), None, "{other}");
        }
    }
}
