//! Users and passwords of engines.
//!
//! Not here: when they are asked for. No type here shows a secret in `Debug`.

use std::fmt;
use std::sync::Arc;

/// Provides a user (`None`: the engine's default) and a password before each connection.
///
/// If there is none, the error says why, for the log and without a secret.
#[derive(Clone)]
pub struct Credentials {
    ask: Arc<dyn Fn() -> Answer + Send + Sync>,
    may_wait: bool,
    /// The user of a URL that has no password; the password is added, or the configuration is refused.
    user_alone: Option<String>,
}

/// A user and a password, or why there are none.
type Answer = Result<(Option<String>, String), String>;

impl Credentials {
    /// Creates credentials from a callable, which is called before each connection so that a password
    /// may change. It may block: it is called on a separate thread.
    pub fn from_callable(
        ask: impl Fn() -> Result<(Option<String>, String), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            ask: Arc::new(ask),
            may_wait: true,
            user_alone: None,
        }
    }

    /// Creates credentials that do not change.
    #[must_use]
    pub fn fixed(user: Option<String>, password: String) -> Self {
        Self {
            ask: Arc::new(move || Ok((user.clone(), password.clone()))),
            may_wait: false,
            user_alone: None,
        }
    }

    /// The user of a URL whose password is missing.
    pub(crate) fn of_user_alone(user: String) -> Self {
        Self {
            ask: Arc::new(|| Err("the URL has none".to_owned())),
            may_wait: false,
            user_alone: Some(user),
        }
    }

    /// Returns the user in the URL; `None`: the URL has none.
    ///
    /// Only for credentials that were read from a URL: others may have to be asked for.
    #[must_use]
    pub fn user_of_url(&self) -> Option<String> {
        match &self.user_alone {
            Some(user) => Some(user.clone()),
            None if self.may_wait => None,
            None => self.ask().ok().and_then(|(user, _)| user),
        }
    }

    /// Returns these credentials with another user; `None`: they have no password.
    #[must_use]
    pub fn of_user(self, user: String) -> Option<Self> {
        if self.user_alone.is_some() {
            return None;
        }
        let ask = self.ask;
        Some(Self {
            ask: Arc::new(move || Ok((Some(user.clone()), ask()?.1))),
            may_wait: self.may_wait,
            user_alone: None,
        })
    }

    /// Whether it has a user, and no password.
    pub(crate) fn is_user_alone(&self) -> bool {
        self.user_alone.is_some()
    }

    /// Whether [`Self::ask`] may block.
    pub(crate) fn may_wait(&self) -> bool {
        self.may_wait
    }

    pub(crate) fn ask(&self) -> Answer {
        (self.ask)()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}
