//! Settings of `fraiseql_subs.Redis`.

use std::path::PathBuf;
use std::sync::Arc;

use brokers::Credentials;
use brokers::redis::Config;
use pyo3::prelude::*;

use super::login::{AskedLogin, PySecret, add_tls};

/// `fraiseql_subs.Redis`.
#[derive(FromPyObject)]
pub(crate) struct PyRedis {
    pub(super) url: String,
    username: Option<String>,
    password: Option<PySecret>,
    sentinel_password: Option<String>,
    ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    partitions: Option<u32>,
    prefix: Option<String>,
    max_event_bytes: Option<usize>,
    pub(super) accept_raw: bool,
}

impl PyRedis {
    /// Adds what the URL does not say, and replaces what both say; but for a login that has to be asked
    /// for, which it returns.
    pub(super) fn apply(self, config: &mut Config) -> Result<Option<AskedLogin>, String> {
        let of_url = config.credentials.take();
        let user_of_url = of_url.as_ref().and_then(Credentials::user_of_url);
        let mut asked = None;
        match (self.username, self.password) {
            (None, None) => config.credentials = of_url,
            (Some(user), None) => {
                let with_user = of_url.and_then(|of_url| of_url.of_user(user));
                let missing = "Redis(username=...) needs a password: set password=";
                config.credentials = Some(with_user.ok_or(missing)?);
            }
            (user, Some(PySecret::Text(text))) => {
                config.credentials = Some(Credentials::fixed(user.or(user_of_url), text));
            }
            (user, Some(PySecret::Function(function))) => {
                let (user, password) = (user.or(user_of_url), Arc::new(function));
                asked = Some(AskedLogin { user, password });
            }
        }
        if let Some(text) = self.sentinel_password {
            config.sentinel_credentials = Some(Credentials::fixed(None, text));
        }
        let identity = (self.client_cert, self.client_key);
        add_tls(config.tls.as_mut(), self.ca, identity, "rediss://")?;
        config.partitions = self.partitions.unwrap_or(config.partitions);
        config.max_event_bytes = self.max_event_bytes.unwrap_or(config.max_event_bytes);
        if let Some(prefix) = self.prefix {
            config.prefix = prefix;
        }
        Ok(asked)
    }
}
