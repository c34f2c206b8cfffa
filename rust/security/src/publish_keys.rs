//! The keys of programs that publish over HTTP.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Keys of programs that publish. Keeps their digests only.
#[derive(Clone)]
pub struct PublishKeys(Arc<[[u8; 32]]>);

/// Why a request to publish has no valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishKeyError {
    /// There is no header `authorization`, or it has another scheme.
    #[error("the key is missing: send `authorization: Bearer <key>`")]
    Missing,
    /// No key is equal to it.
    #[error("the key is wrong")]
    Wrong,
}

impl PublishKeys {
    /// Takes the keys that are valid, in any order.
    #[must_use]
    pub fn new<'k>(keys: impl IntoIterator<Item = &'k str>) -> Self {
        Self(keys.into_iter().map(digest).collect())
    }

    /// Checks the value of the header `authorization`. Its time depends neither on the keys nor on
    /// how much of one is right.
    ///
    /// # Errors
    ///
    /// [`PublishKeyError`]: it has none of the keys.
    pub fn check(&self, authorization: Option<&str>) -> Result<(), PublishKeyError> {
        let key = authorization.and_then(bearer);
        let found = digest(key.ok_or(PublishKeyError::Missing)?);
        let is_equal = |any: Choice, known: &[u8; 32]| any | known.ct_eq(&found);
        let is_any = self.0.iter().fold(Choice::from(0), is_equal);
        if bool::from(is_any) {
            Ok(())
        } else {
            Err(PublishKeyError::Wrong)
        }
    }
}

impl fmt::Debug for PublishKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublishKeys(hidden)")
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Returns the credentials of the scheme `Bearer` (RFC 6750, section 2.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, key) = authorization.trim().split_once(' ')?;
    let key = key.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_keys_is_valid_and_nothing_else() {
        let keys = PublishKeys::new(["0123456789abcdef", "another-key-of-16"]);
        for right in [
            "Bearer 0123456789abcdef",
            "bearer  another-key-of-16",
            " BEARER 0123456789abcdef ",
        ] {
            assert_eq!(keys.check(Some(right)), Ok(()), "{right}");
        }
        for wrong in [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcdef another-key-of-16",
        ] {
            assert_eq!(
                keys.check(Some(wrong)),
                Err(PublishKeyError::Wrong),
                "{wrong}"
            );
        }
        for missing in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("0123456789abcdef"),
            Some("Basic 0123456789abcdef"),
        ] {
            assert_eq!(keys.check(missing), Err(PublishKeyError::Missing));
        }
    }

    #[test]
    fn without_keys_nothing_is_valid() {
        let keys = PublishKeys::new([]);
        assert_eq!(keys.check(Some("Bearer x")), Err(PublishKeyError::Wrong));
    }

    #[test]
    fn keys_are_not_shown() {
        let keys = PublishKeys::new(["0123456789abcdef"]);
        assert_eq!(format!("{keys:?}"), "PublishKeys(hidden)");
    }
}
