//! Events that were lost before they reached the engine: every node tells its subscribers.
//!
//! A loss is sent to the nodes that can be reached, which answer. It is also stored beside revocations,
//! for nodes that are cut off now, and for those that start later. Has no clock: the caller passes the
//! time.

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

/// Limit of the losses that a node remembers (count). Past it, all are forgotten, and those that are
/// still stored are told again.
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
pub(super) struct KnownLosses(HashMap<u64, Instant>);

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

    /// Encodes it as an engine stores it.
    pub(super) fn encode(&self) -> Bytes {
        json!({ "lost": self.written() }).to_string().into()
    }

    /// Decodes what an engine has stored.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        Self::read(value.get("lost")?)
    }
}

impl KnownLosses {
    /// Notes a loss. Returns whether it is new.
    pub(super) fn add(&mut self, loss: &LossNotice, now: Instant) -> bool {
        if self.0.len() >= MAX_KNOWN {
            self.0.clear();
        }
        self.0.insert(loss.id, now).is_none()
    }

    /// Forgets losses that are not stored any more.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0
            .retain(|_, since| now.saturating_duration_since(*since) <= STORED_FOR * 2);
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
            assert_eq!(LossNotice::decode(&loss.encode()), Some(loss));
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
}
