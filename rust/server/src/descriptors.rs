//! Detects that the process has no free file descriptor, and logs it once.
//!
//! The listener continues by itself: it retries twice a second, and clients wait until then.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use runtime::Metrics;
use socket2::{Domain, Socket, Type};
use tokio::time::{MissedTickBehavior, interval};

/// Interval of the checks for a free descriptor.
const INTERVAL: Duration = Duration::from_millis(500);

/// Checks until it is dropped.
pub(crate) async fn watch(metrics: Arc<Metrics>) {
    let mut interval = interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_exhausted = false;
    loop {
        interval.tick().await;
        let is_exhausted = is_exhausted();
        if is_exhausted && !was_exhausted {
            metrics.descriptors_exhausted.add(1);
            tracing::error!(
                name: "descriptors.exhausted",
                "no file descriptor is left: clients that are connected are served, further ones \
                 wait; raise the limit of open files, or set `Limits.max_connections` below it"
            );
        } else if was_exhausted && !is_exhausted {
            tracing::warn!(name: "descriptors.available", "file descriptors are available again: further clients are accepted");
        }
        was_exhausted = is_exhausted;
    }
}

/// Whether the process, or the system, has no free descriptor.
fn is_exhausted() -> bool {
    // `EMFILE` and `ENFILE`, which have no `ErrorKind`.
    const CODES: [i32; 2] = [24, 23];
    let error = Socket::new(Domain::UNIX, Type::DGRAM, None).err();
    let code = error.as_ref().and_then(io::Error::raw_os_error);
    code.is_some_and(|code| CODES.contains(&code))
}
