//! The time of day, in which identities say when they end.

use std::time::{SystemTime, UNIX_EPOCH};

fn since_epoch() -> std::time::Duration {
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
