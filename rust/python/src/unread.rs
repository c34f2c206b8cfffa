//! What becomes of published events that nothing awaits: a failure goes to the log, as nothing else
//! tells of it.
//!
//! Not here: events that were queued and are lost (`bus::publishing`).

use std::sync::Arc;
use std::time::Instant;

use bus::Throttle;
use parking_lot::Mutex;

/// The failures of one manager that nothing awaits.
#[derive(Default)]
pub(crate) struct UnreadFailures(Mutex<Notices>);

#[derive(Default)]
struct Notices {
    /// How often failures are told.
    throttle: Throttle,
    /// Calls that have no answer, and that nothing awaits (count).
    unanswered: u64,
    /// The channel of one of them.
    channel: Option<Arc<str>>,
    /// Whether the manager has ended.
    is_over: bool,
}

/// Whether something awaits the outcome of one call, and what it was.
pub(crate) struct Outcome {
    channel: Arc<str>,
    failures: Arc<UnreadFailures>,
    state: Mutex<OutcomeState>,
}

enum OutcomeState {
    /// Nothing has awaited it yet. `None`: there is no answer.
    Unread(Option<Settled>),
    /// It was dropped before there was an answer, and nothing had awaited it.
    Dropped,
    /// Something awaits it, or all that is to be told was told.
    Over,
}

/// Why publishing has failed; `None`: it has not.
type Settled = Option<String>;

/// The end of an outcome that can be awaited.
pub(crate) struct Reader(Arc<Outcome>);

impl Outcome {
    /// The outcome of publishing to a channel, the first one of a batch.
    pub(crate) fn new(channel: Arc<str>, failures: Arc<UnreadFailures>) -> Arc<Self> {
        Arc::new(Self {
            channel,
            failures,
            state: Mutex::new(OutcomeState::Unread(None)),
        })
    }

    /// Publishing has succeeded or failed. `is_closing`: while the manager ends.
    pub(crate) fn settle(&self, failure: Settled, is_closing: bool) {
        let mut state = self.state.lock();
        match &mut *state {
            OutcomeState::Unread(settled) => *settled = Some(failure),
            OutcomeState::Dropped => {
                *state = OutcomeState::Over;
                drop(state);
                self.failures
                    .settled(&self.channel, failure.as_deref(), is_closing);
            }
            OutcomeState::Over => {}
        }
    }
}

impl Reader {
    pub(crate) fn new(outcome: &Arc<Outcome>) -> Self {
        Self(outcome.clone())
    }

    /// The outcome is awaited.
    pub(crate) fn read(&self) {
        *self.0.state.lock() = OutcomeState::Over;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Outcome {
            channel,
            failures,
            state,
        } = &*self.0;
        let mut state = state.lock();
        match std::mem::replace(&mut *state, OutcomeState::Over) {
            OutcomeState::Unread(None) => {
                *state = OutcomeState::Dropped;
                failures.unanswered(channel);
            }
            OutcomeState::Unread(Some(Some(reason))) => failures.tell(channel, &reason),
            OutcomeState::Unread(Some(None)) | OutcomeState::Dropped | OutcomeState::Over => {}
        }
    }
}

impl UnreadFailures {
    /// The manager has ended: tells how many calls have no answer, and will have none.
    pub(crate) fn end(&self) {
        let mut notices = self.0.lock();
        notices.is_over = true;
        let calls = std::mem::take(&mut notices.unanswered);
        let channel = notices.channel.take();
        drop(notices);
        if calls > 0 {
            tracing::warn!(
                name: "publishing.unawaited",
                target: "fraiseql_subs",
                channel = channel.as_deref().unwrap_or_default(),
                calls,
                "the manager has ended before events were published, and nothing awaits what publish() has returned: they may be lost; await it, or close the manager with a drain"
            );
        }
    }

    fn unanswered(&self, channel: &Arc<str>) {
        let mut notices = self.0.lock();
        if notices.is_over {
            drop(notices);
            return self.tell(channel, "the manager has ended");
        }
        notices.unanswered += 1;
        notices.channel.get_or_insert_with(|| channel.clone());
    }

    fn settled(&self, channel: &str, failure: Option<&str>, is_closing: bool) {
        let mut notices = self.0.lock();
        // What the end of the manager cuts off is told as one.
        if notices.is_over || (is_closing && failure.is_some()) {
            return;
        }
        notices.unanswered = notices.unanswered.saturating_sub(1);
        if notices.unanswered == 0 {
            notices.channel = None;
        }
        drop(notices);
        if let Some(reason) = failure {
            self.tell(channel, reason);
        }
    }

    fn tell(&self, channel: &str, reason: &str) {
        let suppressed = self.0.lock().throttle.admit(Instant::now());
        if let Some(suppressed) = suppressed {
            tracing::warn!(
                name: "publishing.unawaited",
                target: "fraiseql_subs",
                channel,
                reason,
                suppressed,
                "an event was not published, and nothing awaits what publish() has returned: await it to be told; further ones are told once a minute"
            );
        }
    }
}
