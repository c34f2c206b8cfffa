//! How publishing waits: settings, and their defaults.

use std::sync::Arc;
use std::time::Duration;

/// How long a publisher waits for the engine where nothing else is said.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// What happens to what is published while the engine cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnavailable {
    /// The publisher waits until its deadline.
    #[default]
    Wait,
    /// The publisher is told at once.
    Fail,
    /// Publishers never wait: events are queued, and lost when the engine does not come back in time.
    Queue,
}

/// Returns the pause before an attempt; the first attempt after a failed one has number 1.
pub type Pause = Arc<dyn Fn(u32) -> Duration + Send + Sync>;

/// How publishing waits.
#[derive(Clone)]
pub struct PublishOptions {
    /// What happens while the engine cannot be reached.
    pub on_unavailable: OnUnavailable,
    /// The most events that are queued and under way (count, default 16,384). Each partition of the
    /// engine has room for one event besides.
    pub max_events: usize,
    /// What their envelopes may take (bytes, default 16 MiB), but for that one event.
    pub max_bytes: usize,
    /// How long an event is tried whose publisher does not wait ([`OnUnavailable::Queue`], default 60 s).
    pub queue_timeout: Duration,
    /// The pause before an event is tried again (default [`full_jitter`]); at least 1 ms is kept.
    pub pause: Pause,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            on_unavailable: OnUnavailable::default(),
            max_events: 16_384,
            max_bytes: 16 << 20,
            queue_timeout: Duration::from_mins(1),
            pause: Arc::new(full_jitter),
        }
    }
}

/// Returns a random pause between 0 and 50 ms, twice as much for each further attempt, and 1 s at most.
#[must_use]
pub fn full_jitter(attempt: u32) -> Duration {
    let doubled = attempt.saturating_sub(1).min(10);
    let longest = Duration::from_millis(50 << doubled).min(Duration::from_secs(1));
    longest.mul_f64(fastrand::f64())
}
