//! Logs queued events that were lost. Their publishers have a receipt already, so only the log and the
//! counter report the loss.

use std::time::Instant;

use crate::{StreamKey, Throttle};

/// One lost event to log, and the number of those that were not logged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loss {
    stream: StreamKey,
    reason: String,
    /// Events that were lost and not logged since the last line (count).
    suppressed: Option<u64>,
}

/// Limits the log of losses: the first one, and then one a minute.
#[derive(Debug, Default)]
pub(super) struct LossLog {
    throttle: Throttle,
    loss: Option<Loss>,
}

impl LossLog {
    /// Notes that a queued event was lost.
    pub(super) fn note(&mut self, stream: StreamKey, reason: &str) {
        if let Some(suppressed) = self.throttle.admit(Instant::now()) {
            let reason = reason.to_owned();
            self.loss = Some(Loss {
                stream,
                reason,
                suppressed,
            });
        }
    }

    pub(super) fn take(&mut self) -> Option<Loss> {
        self.loss.take()
    }
}

impl Loss {
    pub(super) fn log(&self) {
        tracing::warn!(
            name: "event.lost",
            target: "fraiseql_subs",
            channel = &*self.stream.channel,
            reason = self.reason,
            suppressed = self.suppressed,
            "a queued event is lost; further ones are counted in metrics().bus_lost and logged once a minute"
        );
    }
}
