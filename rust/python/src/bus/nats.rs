//! Settings of `fraiseql_subs.Nats`.

use std::path::PathBuf;
use std::sync::Arc;

use brokers::Credentials;
use brokers::nats::{Config, Login};
use pyo3::prelude::*;

use super::login::{AskedLogin, PySecret, add_tls};

/// `fraiseql_subs.Nats`.
#[derive(FromPyObject)]
pub(crate) struct PyNats {
    pub(super) url: String,
    username: Option<String>,
    password: Option<PySecret>,
    token: Option<PySecret>,
    credentials: Option<PathBuf>,
    nkey: Option<PathBuf>,
    ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    partitions: Option<u32>,
    replicas: Option<usize>,
    max_bytes: Option<u64>,
    prefix: Option<String>,
    max_event_bytes: Option<usize>,
    pub(super) accept_raw: bool,
}

impl PyNats {
    /// Adds what the URL does not say, and replaces what both say; but for a login that has to be asked
    /// for, which it returns.
    pub(super) fn apply(mut self, config: &mut Config) -> Result<Option<AskedLogin>, String> {
        let asked = self.log_in(config)?;
        let identity = (self.client_cert, self.client_key);
        add_tls(config.tls.as_mut(), self.ca, identity, "tls://")?;
        config.partitions = self.partitions.unwrap_or(config.partitions);
        config.replicas = self.replicas.or(config.replicas);
        config.max_bytes = self.max_bytes.or(config.max_bytes);
        config.max_event_bytes = self.max_event_bytes.unwrap_or(config.max_event_bytes);
        if let Some(prefix) = self.prefix {
            config.prefix = prefix;
        }
        Ok(asked)
    }

    fn log_in(&mut self, config: &mut Config) -> Result<Option<AskedLogin>, String> {
        let user_of_url = match &config.login {
            Login::Password(credentials) => credentials.user_of_url(),
            Login::UserAlone(user) => Some(user.clone()),
            _ => None,
        };
        let ways = [
            self.username.is_some() || self.password.is_some(),
            self.token.is_some(),
            self.credentials.is_some(),
            self.nkey.is_some(),
        ];
        if ways.into_iter().filter(|is_set| *is_set).count() > 1 {
            return Err(
                "Nats(...) has two logins: set one of password=, token=, credentials= and nkey="
                    .to_owned(),
            );
        }
        if let Some(path) = self.credentials.take() {
            config.login = Login::Credentials(path);
        } else if let Some(path) = self.nkey.take() {
            config.login = Login::Nkey(path);
        } else if let Some(token) = self.token.take() {
            match token {
                PySecret::Text(text) => config.login = Login::Token(Credentials::fixed(None, text)),
                PySecret::Function(function) => {
                    return Ok(Some(AskedLogin {
                        user: None,
                        password: Arc::new(function),
                    }));
                }
            }
        } else if let Some(password) = self.password.take() {
            let user = self.username.take().or(user_of_url).ok_or(
                "Nats(password=...) needs a user: set username=, or token= in place of password=",
            )?;
            match password {
                PySecret::Text(text) => {
                    config.login = Login::Password(Credentials::fixed(Some(user), text));
                }
                PySecret::Function(function) => {
                    return Ok(Some(AskedLogin {
                        user: Some(user),
                        password: Arc::new(function),
                    }));
                }
            }
        } else if let Some(user) = self.username.take() {
            let credentials = match config.login.clone() {
                Login::Password(credentials) => credentials.of_user(user),
                _ => None,
            };
            let needs = "Nats(username=...) needs a password: set password=";
            config.login = Login::Password(credentials.ok_or(needs)?);
        }
        Ok(None)
    }
}
