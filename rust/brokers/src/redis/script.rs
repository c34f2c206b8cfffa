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
    /// Returns the commands that the user may not run.
    Permissions,
}

impl Script {
    pub(super) const ALL: [Self; 6] = [
        Self::Publish,
        Self::Heads,
        Self::Read,
        Self::Revoke,
        Self::Revocations,
        Self::Permissions,
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
            Self::Permissions => include_str!("lua/permissions.lua"),
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

/// The commands in the answer of [`Script::Permissions`].
pub(super) fn refused_commands(answer: Value) -> Result<Vec<String>, Fault> {
    let Value::Array(elements) = answer else {
        return Err(unexpected());
    };
    let name = |element: &Value| text(element).map(str::to_owned).ok_or_else(unexpected);
    elements.iter().map(name).collect()
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

/// The most bytes before the first envelope of a message.
const MAX_MESSAGE_HEAD: usize = 1024;

/// Parses a message: consecutive events of one stream, each with its position.
/// `<position> <envelope>`, or `<position of the first>*<length>,<length> <envelope><envelope>`.
pub(super) fn message(payload: Vec<u8>) -> Option<Vec<(Position, Bytes)>> {
    let end = payload
        .iter()
        .take(MAX_MESSAGE_HEAD)
        .position(|byte| *byte == b' ')?;
    let payload = Bytes::from(payload);
    let (head, mut rest) = (payload.slice(..end), payload.slice(end + 1..));
    let head = std::str::from_utf8(&head).ok()?;
    let Some((first, lengths)) = head.split_once('*') else {
        return Some(vec![(head.parse().ok()?, rest)]);
    };
    let mut at: Position = first.parse().ok()?;
    let mut events = Vec::with_capacity(BATCH);
    for length in lengths.split(',') {
        let length: usize = length.parse().ok()?;
        if length > rest.len() {
            return None;
        }
        events.push((at, rest.split_to(length)));
        at.offset = at.offset.next();
    }
    rest.is_empty().then_some(events)
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

    fn read(message: &str) -> Option<Vec<(Position, Bytes)>> {
        super::message(message.as_bytes().to_vec())
    }

    #[test]
    fn a_message_is_a_position_and_an_envelope() {
        let position = Position::new(Epoch(7), 12);
        let events = vec![(position, Bytes::from_static(b"a b"))];
        assert_eq!(read(&format!("{position} a b")), Some(events));
        let empty = vec![(position, Bytes::new())];
        assert_eq!(read(&format!("{position} ")), Some(empty));
        for other in [
            "",
            " ",
            "x",
            "0000000000000007-1",
            "7-1 x",
            "0000000000000007-01 x",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_message_of_several_events_has_the_position_of_the_first_and_all_lengths() {
        let at = |offset| Position::new(Epoch(7), offset);
        let events = vec![
            (at(9), Bytes::from_static(b"a b")),
            (at(10), Bytes::new()),
            (at(11), Bytes::from_static(b"\xff*,")),
        ];
        let mut message = b"0000000000000007-9*3,0,3 a b".to_vec();
        message.extend(b"\xff*,");
        assert_eq!(super::message(message), Some(events));
        let largest = u64::MAX;
        for other in [
            "0000000000000007-9* a",
            "0000000000000007-9*2 a",
            "0000000000000007-9*1 ab",
            "0000000000000007-9*1, a",
            "0000000000000007-9*-1 a",
            "0000000000000007-9*1,18446744073709551615 a",
            "0000000000000007-9*18446744073709551616 a",
            "*1 a",
            "0000000000000007-9*1*1 a",
            &format!("0000000000000007-9*{} a", "0,".repeat(600)),
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        let last = format!("0000000000000007-{largest}*1,1 ab");
        assert!(read(&last).is_none_or(|events| events.len() == 2));
    }
}
