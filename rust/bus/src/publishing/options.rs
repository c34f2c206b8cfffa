//! Settings of publishing, and their defaults.

use std::sync::Arc;
use std::time::Duration;

/// Default time that a publisher waits for the engine.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// What happens to events that are published while the engine cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnavailable {
    /// The publisher waits until its deadline.
    #[default]
    Wait,
    /// The publisher receives an error at once.
    Fail,
    /// Publishers never wait. Events are queued, and lost if the engine is not back in time.
    Queue,
}

/// Returns the pause before an attempt; the first attempt after a failed one has number 1.
pub type Pause = Arc<dyn Fn(u32) -> Duration + Send + Sync>;

/// Settings of publishing.
#[derive(Clone)]
pub struct PublishOptions {
    /// What happens while the engine cannot be reached.
    pub on_unavailable: OnUnavailable,
    /// Limit of the events that are queued or in flight (count, default 16,384). A partition without
    /// events accepts one event beyond the limit.
    pub max_events: usize,
    /// Limit of the size of their envelopes (bytes, default 16 MiB), without the events beyond the
    /// limit.
    pub max_bytes: usize,
    /// How long a queued event is tried if its publisher does not wait ([`OnUnavailable::Queue`],
    /// default 60 s).
    pub queue_timeout: Duration,
    /// Whether an event without an answer is sent again until there is one, also when the engine may not
    /// recognize its id any more: twice rather than never. For publishers that have the event elsewhere
    /// and cannot go on without it.
    pub repeats_always: bool,
    /// The pause before an event is tried again (default [`full_jitter`], at least 1 ms).
    pub pause: Pause,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            on_unavailable: OnUnavailable::default(),
            max_events: 16_384,
            max_bytes: 16 << 20,
            queue_timeout: Duration::from_mins(1),
            repeats_always: false,
            pause: Arc::new(full_jitter),
        }
    }
}

/// Returns a random pause. The maximum is 50 ms for the first attempt, doubles with each further one,
/// and ends at 1 s.
#[must_use]
pub fn full_jitter(attempt: u32) -> Duration {
    let doubled = attempt.saturating_sub(1).min(10);
    let longest = Duration::from_millis(50 << doubled).min(Duration::from_secs(1));
    longest.mul_f64(fastrand::f64())
}
