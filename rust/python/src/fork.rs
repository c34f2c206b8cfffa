//! Detects that this process was forked from one that used this module, whose threads do not exist
//! here.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Incremented in every forked child.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Returns the number of forks from the first process to this one.
pub(crate) fn count() -> u32 {
    FORKS.load(Relaxed)
}

/// Whether this process was forked.
pub(crate) fn is_forked() -> bool {
    count() > 0
}

/// Records, in a forked child, that managers in memory belong to the parent process.
pub(crate) fn note() {
    FORKS.fetch_add(1, Relaxed);
}
