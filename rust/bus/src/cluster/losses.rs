//! Events that were lost before they reached the engine: every node tells its subscribers.
//!
//! A loss is sent to the nodes that can be reached, which answer. One of any stream is also stored beside
//! revocations, for nodes that are cut off now, and for those that start later. All of them are one
//! entry, as revocations need the places: its remaining time says when the newest was. Who has told a
//! loss of any stream since then has told them all. Has no clock: the caller passes the time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hashbrown::HashMap;
use serde_json::{Value, json};

use crate::StreamKey;
use crate::source::Lost;

/// How long a loss is stored: a node that was cut off for longer does not learn of it.
pub(super) const STORED_FOR: Duration = Duration::from_hours(24);

/// How long clients that return are told, where their position may be from before the loss.
const LOSSY_FOR: Duration = Duration::from_hours(1);

/// The id of the entry that is stored.
const STORED_ID: u64 = 0;

/// How exactly the time of a stored loss is known after a read that was as long as that. After a longer
/// one a loss is rather told twice than never.
const EXACT: Duration = Duration::from_millis(500);

/// Limit of the losses that a node remembers (count). Past it, all are forgotten.
const MAX_KNOWN: usize = 4096;

/// Events were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LossNotice {
    /// Identifies the loss.
    pub(super) id: u64,
    /// The stream that lacks them; `None`: any stream may.
    pub(super) stream: Option<StreamKey>,
    /// Whether positions from before are of no use: they hide the loss.
    pub(super) is_of_history: bool,
}

/// The losses that this node has told its subscribers.
#[derive(Debug, Default)]
pub(super) struct KnownLosses {
    by_id: HashMap<u64, Instant>,
    /// When one of any stream was told last.
    of_any: Option<Instant>,
}

/// A read of what is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredRead {
    pub(super) begin: Instant,
    pub(super) end: Instant,
}

impl LossNotice {
    pub(super) fn new(lost: Lost) -> Self {
        let (stream, is_of_history) = match lost {
            Lost::Events => (None, true),
            Lost::EventsOf(stream) => (Some(stream), false),
            Lost::Beginning => (None, false),
        };
        Self {
            id: fastrand::u64(..),
            stream,
            is_of_history,
        }
    }

    /// Writes the members of a message or an entry.
    pub(super) fn written(&self) -> Value {
        let stream = self.stream.as_ref();
        json!({
            "id": format!("{:016x}", self.id),
            "tenant": stream.and_then(|stream| stream.tenant.as_deref()),
            "channel": stream.map(|stream| &*stream.channel),
            "history": self.is_of_history,
        })
    }

    pub(super) fn read(value: &Value) -> Option<Self> {
        let id = value.get("id")?.as_str()?;
        let text = |name: &str| match value.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(text.as_str())),
            Some(_) => None,
        };
        let (tenant, channel) = (text("tenant")?, text("channel")?);
        let stream = channel.map(|channel| StreamKey {
            tenant: tenant.map(Into::into),
            channel: channel.into(),
        });
        Some(Self {
            id: u64::from_str_radix(id, 16).ok()?,
            stream,
            is_of_history: value.get("history")?.as_bool()?,
        })
    }

    /// Encodes it as an engine stores it: each loss of any stream is the same entry.
    pub(super) fn encode(&self) -> Bytes {
        let stored = Self {
            id: STORED_ID,
            ..self.clone()
        };
        json!({ "lost": stored.written() }).to_string().into()
    }

    /// Decodes what an engine has stored.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        Self::read(value.get("lost")?)
    }
}

impl KnownLosses {
    /// Notes a loss that is told now. Returns whether it is new.
    pub(super) fn add(&mut self, loss: &LossNotice, now: Instant) -> bool {
        if loss.is_of_history {
            self.of_any = Some(now);
        }
        if self.by_id.len() >= MAX_KNOWN {
            self.by_id.clear();
        }
        self.by_id.insert(loss.id, now).is_none()
    }

    /// Notes the newest loss that is stored, which is told now if it is new. Returns whether it is.
    /// `age`: how old the engine says it is.
    pub(super) fn add_stored(&mut self, age: Duration, read: StoredRead) -> bool {
        let is_exact = read.end.saturating_duration_since(read.begin) <= EXACT;
        let asked = if is_exact { read.begin } else { read.end };
        let is_new = self
            .of_any
            .is_none_or(|told| asked.saturating_duration_since(told) > age);
        if is_new {
            self.of_any = Some(read.end);
        }
        is_new
    }

    /// Forgets losses of which no further message can come.
    pub(super) fn expire(&mut self, now: Instant) {
        self.by_id
            .retain(|_, since| now.saturating_duration_since(*since) <= STORED_FOR);
    }
}

/// How old a stored loss is. `left`: how long it is still stored.
pub(super) fn age(left: Duration) -> Duration {
    STORED_FOR.saturating_sub(left)
}

/// How long clients that return are still told of a loss of this age.
pub(super) fn lossy_for(age: Duration) -> Duration {
    LOSSY_FOR.saturating_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_read_as_it_was_written() {
        let losses = [
            Lost::Events,
            Lost::EventsOf(StreamKey::of_channel("c")),
            Lost::EventsOf(StreamKey::of_tenant("c", "t")),
            Lost::Beginning,
        ];
        for lost in losses {
            let loss = LossNotice::new(lost);
            assert_eq!(LossNotice::read(&loss.written()), Some(loss));
        }
        for text in ["", "{}", r#"{"lost":{}}"#, r#"{"lost":{"id":"x"}}"#] {
            assert_eq!(LossNotice::decode(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_loss_is_new_once() {
        let (mut known, now) = (KnownLosses::default(), Instant::now());
        let loss = LossNotice::new(Lost::Events);
        assert!(known.add(&loss, now));
        assert!(!known.add(&loss, now));
        assert!(known.add(&LossNotice::new(Lost::Events), now));
    }

    #[test]
    fn losses_of_any_stream_are_one_entry() {
        let [first, second] = [0, 1].map(|_| LossNotice::new(Lost::Events));
        assert_ne!(first.id, second.id);
        assert_eq!(first.encode(), second.encode());
        let stored = LossNotice::decode(&first.encode()).unwrap();
        assert!(stored.is_of_history && stored.stream.is_none());
    }

    #[test]
    fn a_stored_loss_is_new_unless_one_was_told_since() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let read = |at: u32, took: Duration| StoredRead {
            begin: start + at * second,
            end: start + at * second + took,
        };
        let moment = Duration::from_millis(2);
        let mut known = KnownLosses::default();
        assert!(
            known.add_stored(5 * second, read(10, moment)),
            "none was told"
        );
        assert!(
            !known.add_stored(35 * second, read(40, moment)),
            "it is the same"
        );
        assert!(known.add_stored(10 * second, read(70, moment)), "one at 60");
        known.add(&LossNotice::new(Lost::Events), start + 100 * second);
        assert!(!known.add_stored(10 * second + moment, read(110, moment)));
        // It may be from after the one that was told.
        assert!(known.add_stored(10 * second, read(109, 4 * second)));
    }
}
