//! Whether this process was forked from one that used this module: its threads are not here.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Counted up in every forked child.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Forks from the first process to this one (count).
pub(crate) fn count() -> u32 {
    FORKS.load(Relaxed)
}

/// Whether this process was forked.
pub(crate) fn is_forked() -> bool {
    count() > 0
}

/// In a forked child: it is another process than the one that started what is in memory.
pub(crate) fn note() {
    FORKS.fetch_add(1, Relaxed);
}
