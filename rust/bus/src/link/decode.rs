//! Decodes the events that an engine delivers.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::counters::{LinkCounters, count};
use crate::envelope::Envelope;
use crate::{Draft, StreamKey};

/// The event at one position.
#[derive(Debug, Clone)]
pub(super) struct Decoded {
    /// The event; `None` if it cannot be read. The stream continues after it.
    pub(super) draft: Option<Draft>,
    /// Its envelope (bytes).
    pub(super) bytes: usize,
    /// The transaction that it is part of.
    pub(super) transaction: Option<u64>,
    /// When it was published (ms since 1970); 0 where unknown.
    pub(super) published_at: u64,
}

/// Decodes the envelopes of an engine, and counts those that it cannot read.
#[derive(Debug, Clone)]
pub(super) struct Decoder {
    pub(super) counters: Arc<LinkCounters>,
    /// Whether bare JSON is accepted as an event.
    pub(super) accept_raw: bool,
}

impl Decoder {
    /// Decodes an envelope. The stream on which it arrived decides its channel and its tenant: an
    /// envelope that names others is dropped and counted, as is one that cannot be read.
    pub(super) fn decode(&self, key: &StreamKey, envelope: &Bytes) -> Decoded {
        let read = self.read(key, envelope);
        let published_at = read.as_ref().map_or(0, |(_, at)| *at);
        Decoded {
            draft: read.map(|(draft, _)| draft),
            bytes: envelope.len(),
            transaction: None,
            published_at,
        }
    }

    /// Returns the event, and when it was published.
    fn read(&self, key: &StreamKey, bytes: &Bytes) -> Option<(Draft, u64)> {
        let counters = &self.counters;
        let unreadable = |error: &dyn std::error::Error| {
            count(&counters.unreadable);
            // A program of another version may publish many of them: a log line for each would flood
            // the log.
            if let Some(suppressed) = counters.unreadable_log.lock().admit(Instant::now()) {
                tracing::warn!(
                    name: "event.unreadable",
                    target: "fraiseql_subs",
                    channel = &*key.channel,
                    problem = %error,
                    suppressed,
                    "an event from another process cannot be read and is skipped; further ones are counted in metrics().bus_unreadable and logged once a minute"
                );
            }
        };
        let mut envelope = match Envelope::read(bytes, self.accept_raw) {
            Ok(envelope) => envelope,
            Err(error) => {
                unreadable(&error);
                return None;
            }
        };
        // Bare JSON names neither channel nor tenant, so the stream decides both.
        let tenant = match envelope.channel {
            Some(_) => envelope.tenant,
            None => key.tenant.as_deref(),
        };
        let is_of_tenant = key.tenant.is_none() || tenant == key.tenant.as_deref();
        let is_of_channel = envelope
            .channel
            .is_none_or(|channel| *channel == *key.channel);
        if !is_of_tenant || !is_of_channel {
            count(&counters.other_stream);
            return None;
        }
        let data = envelope
            .json()
            .inspect_err(|error| unreadable(error))
            .ok()?;
        let draft = Draft {
            channel: key.channel.clone(),
            event_type: envelope.event_type.map(Into::into),
            tenant_id: tenant.map(Into::into),
            id: envelope.id.map(Into::into),
            data,
            trace: envelope.trace.take().map(Box::new),
        };
        Some((draft, envelope.published_at))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use serde_json::json;

    use super::*;

    fn decoder(accept_raw: bool) -> Decoder {
        Decoder {
            counters: Arc::default(),
            accept_raw,
        }
    }

    const RAW: Bytes = Bytes::from_static(br#"{"id": 7}"#);

    #[test]
    fn bare_json_is_an_event_of_its_stream_where_that_is_accepted() {
        for (key, tenant) in [
            (StreamKey::of_channel("orders"), None),
            (StreamKey::of_tenant("orders", "acme"), Some("acme")),
        ] {
            let draft = decoder(true).decode(&key, &RAW).draft.unwrap();
            assert_eq!(&*draft.channel, "orders");
            assert_eq!(draft.tenant_id.as_deref(), tenant);
            assert_eq!((draft.id, draft.event_type), (None, None));
            assert_eq!(draft.data, json!({"id": 7}));
            let refusing = decoder(false);
            assert_eq!(refusing.decode(&key, &RAW).draft, None);
            assert_eq!(refusing.counters.unreadable.load(Relaxed), 1);
        }
    }

    #[test]
    fn bare_json_that_cannot_be_read_is_counted() {
        let key = StreamKey::of_channel("orders");
        for bytes in ["{", r#"{"a":1e999}"#, "{} {}", "[1]", " {}", "7"] {
            let decoder = decoder(true);
            let decoded = decoder.decode(&key, &Bytes::from_static(bytes.as_bytes()));
            assert_eq!(decoded.draft, None, "{bytes}");
            assert_eq!(decoder.counters.unreadable.load(Relaxed), 1, "{bytes}");
        }
    }

    #[test]
    fn an_envelope_without_the_tenant_of_its_stream_is_dropped() {
        let draft = Draft {
            channel: "orders".into(),
            event_type: None,
            tenant_id: None,
            id: None,
            data: json!(1).into(),
            trace: None,
        };
        let envelope = Envelope::write(&draft, 0, 0).unwrap();
        let decoder = decoder(true);
        let key = StreamKey::of_tenant("orders", "acme");
        assert_eq!(decoder.decode(&key, &envelope).draft, None);
        assert_eq!(decoder.counters.other_stream.load(Relaxed), 1);
    }
}
