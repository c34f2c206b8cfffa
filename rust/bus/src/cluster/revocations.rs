//! The revocations that this node knows. Has no clock: the caller passes the time.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::selector::{Owner, Selector};
use crate::engine::MAX_REVOCATIONS;

/// The code and the reason with which connections are closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// Close code: 1000, or 3000 to 4999.
    pub code: u16,
    /// Close reason, at most 123 bytes.
    pub reason: Arc<str>,
}

/// Closes connections, and refuses them afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Which connections to close.
    pub selector: Selector,
    /// How to close them.
    pub closing: Closing,
}

/// The revocations that a node knows, at most [`MAX_REVOCATIONS`].
#[derive(Debug, Default)]
pub struct Revocations(RwLock<HashMap<Selector, Entry>>);

#[derive(Debug)]
struct Entry {
    closing: Closing,
    until: Instant,
}

/// The limit of revocations is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

impl Revocations {
    /// Adds a revocation that lasts until `until`. If one with the same selector is known, the later
    /// end and the newer code apply.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] beyond [`MAX_REVOCATIONS`].
    pub fn add(&self, revocation: Revocation, until: Instant, now: Instant) -> Result<(), NoRoom> {
        let mut entries = self.0.write();
        let Revocation { selector, closing } = revocation;
        if let Some(known) = entries.get_mut(&selector) {
            known.until = known.until.max(until);
            known.closing = closing;
            return Ok(());
        }
        if entries.len() >= MAX_REVOCATIONS {
            entries.retain(|_, entry| entry.until > now);
        }
        if entries.len() >= MAX_REVOCATIONS {
            return Err(NoRoom);
        }
        entries.insert(selector, Entry { closing, until });
        Ok(())
    }

    /// Returns how a connection is to be closed; `None`: it may stay.
    #[must_use]
    pub fn find(&self, owner: Owner<'_>, now: Instant) -> Option<Closing> {
        let entries = self.0.read();
        if entries.is_empty() {
            return None;
        }
        Selector::of(owner).find_map(|selector| {
            let entry = entries.get(&selector)?;
            (entry.until > now).then(|| entry.closing.clone())
        })
    }

    /// Removes the revocations that have ended.
    pub fn expire(&self, now: Instant) {
        if !self.is_empty() {
            self.0.write().retain(|_, entry| entry.until > now);
        }
    }

    /// The number of revocations, including those that have ended and were not removed yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn revocation(user_id: &str, code: u16) -> Revocation {
        Revocation {
            selector: Selector {
                user_id: Some(user_id.to_owned()),
                ..Selector::default()
            },
            closing: Closing {
                code,
                reason: "Forbidden".into(),
            },
        }
    }

    fn of(user_id: &str) -> Owner<'_> {
        Owner {
            user_id: Some(user_id),
            tenant_id: Some("a"),
            connection_id: "c",
        }
    }

    #[test]
    fn a_user_is_refused_until_the_revocation_ends() {
        let (known, now) = (Revocations::default(), Instant::now());
        let minute = Duration::from_mins(1);
        known
            .add(revocation("ada", 4403), now + minute, now)
            .unwrap();
        let code = |user, at| known.find(of(user), at).map(|closing| closing.code);
        assert_eq!(code("ada", now), Some(4403));
        assert_eq!(code("bob", now), None);
        assert_eq!(code("ada", now + minute), None);
        known.expire(now + minute);
        assert!(known.is_empty());
    }

    #[test]
    fn the_longer_time_and_the_newer_code_win() {
        let (known, now) = (Revocations::default(), Instant::now());
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        for (code, lasts) in [(4403, minute), (4401, second)] {
            known
                .add(revocation("ada", code), now + lasts, now)
                .unwrap();
        }
        let found = known.find(of("ada"), now + 2 * second).unwrap();
        assert_eq!(found.code, 4401);
        assert_eq!(known.len(), 1);
    }

    #[test]
    fn revocations_are_bounded_and_ended_ones_are_replaced_first() {
        let (known, now) = (Revocations::default(), Instant::now());
        let minute = Duration::from_mins(1);
        for user in 0..MAX_REVOCATIONS {
            let one = revocation(&user.to_string(), 4403);
            known.add(one, now + minute, now).unwrap();
        }
        let more = || revocation("one more", 4403);
        assert_eq!(known.add(more(), now + 2 * minute, now), Err(NoRoom));
        assert_eq!(known.len(), MAX_REVOCATIONS);
        let again = revocation("7", 4403);
        assert_eq!(known.add(again, now + minute, now), Ok(()));
        assert_eq!(known.add(more(), now + 2 * minute, now + minute), Ok(()));
        assert_eq!(known.len(), 1);
    }
}
