//! Events out of what an engine has delivered.

use std::time::Instant;

use bytes::Bytes;

use super::counters::{LinkCounters, count};
use crate::envelope::Envelope;
use crate::{Draft, StreamKey};

/// What was delivered at one position.
#[derive(Debug, Clone)]
pub(super) struct Decoded {
    /// The event; `None`: it cannot be read, and the stream goes on after it.
    pub(super) draft: Option<Draft>,
    /// Its envelope (bytes).
    pub(super) bytes: usize,
}

/// Decodes what came on a stream, which decides channel and tenant. What cannot be read is counted.
pub(super) fn decode(key: &StreamKey, envelope: &Bytes, counters: &LinkCounters) -> Decoded {
    Decoded {
        draft: read(key, envelope, counters),
        bytes: envelope.len(),
    }
}

fn read(key: &StreamKey, bytes: &Bytes, counters: &LinkCounters) -> Option<Draft> {
    let unreadable = |error: &dyn std::error::Error| {
        count(&counters.unreadable);
        // A program of another version publishes many of them.
        if let Some(untold) = counters.unreadable_told.lock().admit(Instant::now()) {
            tracing::warn!(
                target: "fraiseql_subs",
                channel = &*key.channel,
                problem = %error,
                untold,
                "an event that came from another process cannot be read, and is skipped; further ones are counted in metrics().bus_unreadable, and told once a minute"
            );
        }
    };
    let envelope = match Envelope::read(bytes, false) {
        Ok(envelope) => envelope,
        Err(error) => {
            unreadable(&error);
            return None;
        }
    };
    let is_of_tenant = key.tenant.is_none() || envelope.tenant == key.tenant.as_deref();
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
    Some(Draft {
        channel: key.channel.clone(),
        event_type: envelope.event_type.map(Into::into),
        tenant_id: envelope.tenant.map(Into::into),
        id: envelope.id.map(Into::into),
        data,
    })
}
