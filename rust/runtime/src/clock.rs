//! The system clock, which determines the end of identities, and the monotonic clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

/// Steps of a wait (count).
const STEPS: u32 = 4;

/// Minimum tolerance for the end of a step: the delay of timers and of a busy machine.
const LATENESS: Duration = Duration::from_millis(50);

/// How far tests have advanced the monotonic clock of this process (ns).
static AHEAD: AtomicU64 = AtomicU64::new(0);

/// How far tests have advanced the clock of the day (ns).
static DAY_AHEAD: AtomicU64 = AtomicU64::new(0);

/// Limit of both (ns): a hundred years, so that no sum of times overflows.
const FARTHEST: u64 = 100 * 365 * 24 * 3600 * 1_000_000_000;

/// Advances the clocks by which the age of events, the end of identities and rates are measured.
///
/// Timers are not advanced: what waits for one waits in real time.
pub fn advance(span: Duration) {
    let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let add = |ahead: u64| Some(ahead.saturating_add(span).min(FARTHEST));
    for clock in [&AHEAD, &DAY_AHEAD] {
        clock.fetch_update(Relaxed, Relaxed, add).ok();
    }
}

/// Sets the clock of the day back to the time of the system. The monotonic clock cannot go back.
pub fn reset_day() {
    DAY_AHEAD.store(0, Relaxed);
}

/// Returns how far tests have advanced the monotonic clock.
pub(crate) fn ahead() -> Duration {
    Duration::from_nanos(AHEAD.load(Relaxed))
}

/// Returns the current time on the monotonic clock.
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now() + ahead()
}

/// Waits for `time` in which this thread could run.
///
/// After a stopped process, a frozen container or a stalled machine continues, every timer is
/// overdue before input of clients is read. So a step that ends late by more than its own length is
/// not counted, and at least one step in time follows each such pause.
pub async fn run_for(time: Duration) {
    let step = time / STEPS;
    let mut left = STEPS;
    while left > 0 {
        let start = Instant::now();
        sleep(step).await;
        if start.elapsed().saturating_sub(step) <= step.max(LATENESS) {
            left -= 1;
        }
    }
}

fn since_epoch() -> Duration {
    // A clock before 1970 would make identities last longer; this does not occur in practice.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        + Duration::from_nanos(DAY_AHEAD.load(Relaxed))
}

/// Returns the seconds since the epoch.
pub(crate) fn epoch_seconds() -> f64 {
    since_epoch().as_secs_f64()
}

/// Returns the milliseconds since the epoch.
pub(crate) fn epoch_millis() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time since the first call, on the monotonic clock.
fn running() -> Duration {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed() + ahead()
}

/// Returns seconds of the monotonic clock.
pub(crate) fn running_seconds() -> f64 {
    running().as_secs_f64()
}

/// Returns milliseconds of the monotonic clock.
pub(crate) fn running_millis() -> u64 {
    u64::try_from(running().as_millis()).unwrap_or(u64::MAX)
}
