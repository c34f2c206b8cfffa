//! What becomes of published events that nothing awaits: a failure goes to the log, as nothing else
//! tells of it.
//!
//! Not here: events that were queued and are lost (`bus::publishing`).

use std::sync::Arc;
use std::time::Instant;

use bus::Throttle;
use parking_lot::Mutex;

/// How often failures are told that nothing has awaited: of one manager.
#[derive(Default)]
pub(crate) struct UnreadFailures(Mutex<Throttle>);

/// Whether something awaits the outcome of one call, and what it was.
pub(crate) struct Outcome {
    channel: Arc<str>,
    notices: Arc<UnreadFailures>,
    state: Mutex<OutcomeState>,
}

enum OutcomeState {
    /// Nothing has awaited it yet.
    Unread { failure: Option<String> },
    /// It was dropped, and nothing had awaited it.
    Dropped,
    /// Something awaits it, or has been told.
    Read,
}

/// The end of an outcome that can be awaited.
pub(crate) struct Reader(Arc<Outcome>);

impl Outcome {
    /// The outcome of publishing to a channel, the first one of a batch.
    pub(crate) fn new(channel: Arc<str>, notices: Arc<UnreadFailures>) -> Arc<Self> {
        Arc::new(Self {
            channel,
            notices,
            state: Mutex::new(OutcomeState::Unread { failure: None }),
        })
    }

    /// Publishing has failed.
    pub(crate) fn fail(&self, reason: &str) {
        let is_dropped = match &mut *self.state.lock() {
            OutcomeState::Unread { failure } => {
                *failure = Some(reason.to_owned());
                false
            }
            OutcomeState::Dropped => true,
            OutcomeState::Read => false,
        };
        if is_dropped {
            self.notices.tell(&self.channel, reason);
        }
    }
}

impl Reader {
    pub(crate) fn new(outcome: &Arc<Outcome>) -> Self {
        Self(outcome.clone())
    }

    /// The outcome is awaited.
    pub(crate) fn read(&self) {
        *self.0.state.lock() = OutcomeState::Read;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        let OutcomeState::Unread { failure } = &mut *state else {
            return;
        };
        let failure = failure.take();
        *state = OutcomeState::Dropped;
        drop(state);
        if let Some(reason) = failure {
            self.0.notices.tell(&self.0.channel, &reason);
        }
    }
}

impl UnreadFailures {
    fn tell(&self, channel: &str, reason: &str) {
        let untold = self.0.lock().admit(Instant::now());
        if let Some(untold) = untold {
            tracing::warn!(
                target: "fraiseql_subs",
                channel,
                reason,
                untold,
                "an event was not published, and nothing awaits what publish() has returned: await it to be told; further ones are told once a minute"
            );
        }
    }
}
