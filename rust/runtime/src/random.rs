//! What tells nothing and cannot be guessed.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// 128 random bits of the system.
///
/// # Errors
///
/// The system has none.
pub fn random_key() -> Result<[u8; 16], getrandom::Error> {
    let mut key = [0; 16];
    getrandom::fill(&mut key)?;
    Ok(key)
}

/// Returns a random part of `limit`, so that what fails at once is not tried again at once.
pub(crate) fn random_part_of(limit: Duration) -> Duration {
    let mut random = [0; 4];
    // Without random bits all of it is waited.
    if getrandom::fill(&mut random).is_err() {
        return limit;
    }
    limit.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
}

/// An id for this process that does not tell how many there were before. It is no secret.
#[must_use]
pub fn opaque_id(kind: &str) -> String {
    static HASH: OnceLock<RandomState> = OnceLock::new();
    static LAST: AtomicU64 = AtomicU64::new(0);
    let hash = HASH.get_or_init(RandomState::new);
    format!("{kind}-{:016x}", hash.hash_one(LAST.fetch_add(1, Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_differ_and_do_not_count() {
        let ids: HashSet<_> = (0..10_000).map(|_| opaque_id("ws")).collect();
        assert_eq!(ids.len(), 10_000);
        let lengths: HashSet<_> = ids.iter().map(String::len).collect();
        assert_eq!(lengths, HashSet::from([19]));
    }
}
