//! The time of day, in which identities say when they end, and time that passes, however the clock
//! is set.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

/// Steps of a time that is waited for (count).
const STEPS: u32 = 4;

/// How late the end of a step may come at least: what timers and a busy machine need.
const LATENESS: Duration = Duration::from_millis(50);

/// Waits for `time` in which this thread could run.
///
/// A stopped process, a frozen container or a stalled machine lets every timer be overdue when it
/// goes on, before what clients have sent in between is read. So a step that ends late by more than
/// its own length is not counted, and at least one in time comes after each such pause.
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
    // A clock before 1970 makes identities last longer; none is set so.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Seconds since the epoch.
pub(crate) fn epoch_seconds() -> f64 {
    since_epoch().as_secs_f64()
}

/// Milliseconds since the epoch.
pub(crate) fn epoch_millis() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// Time since this was first asked, on a clock that is never set.
fn running() -> Duration {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// Seconds of a clock that is never set.
pub(crate) fn running_seconds() -> f64 {
    running().as_secs_f64()
}

/// Milliseconds of a clock that is never set.
pub(crate) fn running_millis() -> u64 {
    u64::try_from(running().as_millis()).unwrap_or(u64::MAX)
}
