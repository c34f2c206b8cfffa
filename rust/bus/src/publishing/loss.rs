//! What the log says of queued events that were lost: their publishers have a receipt, and nothing else
//! tells of them.

use std::time::Instant;

use crate::{StreamKey, Throttle};

/// Events that were queued and are lost.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loss {
    stream: StreamKey,
    reason: String,
    /// Others that were lost since the last that was told (count).
    untold: Option<u64>,
}

/// Which losses are told: the first, and then one a minute.
#[derive(Debug, Default)]
pub(super) struct LossNotices {
    throttle: Throttle,
    loss: Option<Loss>,
}

impl LossNotices {
    /// A queued event is lost.
    pub(super) fn note(&mut self, stream: StreamKey, reason: &str) {
        if let Some(untold) = self.throttle.admit(Instant::now()) {
            let reason = reason.to_owned();
            self.loss = Some(Loss {
                stream,
                reason,
                untold,
            });
        }
    }

    pub(super) fn take(&mut self) -> Option<Loss> {
        self.loss.take()
    }
}

impl Loss {
    /// Writes it to the log.
    pub(super) fn tell(&self) {
        tracing::warn!(
            target: "fraiseql_subs",
            channel = &*self.stream.channel,
            reason = self.reason,
            untold = self.untold,
            "a queued event is lost; further ones are counted in metrics().bus_lost, and told once a minute"
        );
    }
}
