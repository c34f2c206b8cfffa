//! How a link logs in: secrets, and files. They are read for each link.

use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::spawn_blocking;

use super::config::{Config, Login};
use super::fault::{Fault, FaultKind};
use crate::credentials::Credentials;
use crate::tls::{Tls, TlsError};

/// Reads the files and asks for the secrets of the login, on a thread that may block.
pub(super) async fn log_in(config: &Config) -> Result<ConnectOptions, Fault> {
    let login = config.login.clone();
    let options = spawn_blocking(move || {
        let options = ConnectOptions::new();
        let ask = |credentials: Credentials| credentials.ask().map_err(|why| no_password(&why));
        let read = |path: &std::path::Path| {
            std::fs::read_to_string(path).map_err(|error| {
                Fault::configuration(format!("{} cannot be read: {error}", path.display()))
            })
        };
        Ok(match login {
            Login::Anonymous | Login::UserAlone(_) => options,
            Login::Password(credentials) => {
                let (user, password) = ask(credentials)?;
                options.user_and_password(user.unwrap_or_default(), password)
            }
            Login::Token(credentials) => options.token(ask(credentials)?.1),
            Login::Credentials(path) => options.credentials(&read(&path)?).map_err(|_| {
                Fault::configuration(format!(
                    "{} has no credentials: write a file of nsc",
                    path.display()
                ))
            })?,
            Login::Nkey(path) => options.nkey(read(&path)?.trim().to_owned()),
        })
    });
    let wait = config.times.password.max(Duration::from_millis(1));
    match tokio::time::timeout(wait, options).await {
        Ok(Ok(options)) => options,
        Ok(Err(_)) => Err(no_password("asking for it has failed")),
        Err(_) => {
            let seconds = wait.as_secs_f64();
            Err(no_password(&format!(
                "it was not returned within {seconds} seconds"
            )))
        }
    }
}

fn no_password(why: &str) -> Fault {
    Fault::away(format!("there is no password: {why}"))
}

/// Reads the files of TLS. Without settings, a server that requires TLS is verified as well.
pub(super) async fn tls(config: &Config) -> Result<ClientConfig, Fault> {
    let settings = config.tls.clone();
    let is_required = settings.is_some();
    let settings: Tls = settings.unwrap_or_default();
    let config = spawn_blocking(move || settings.client_config()).await;
    match config {
        Ok(Ok(config)) => Ok(config),
        Ok(Err(TlsError::NoAuthorities)) if !is_required => trusts_nothing(),
        Ok(Err(error)) => Err(Fault {
            kind: FaultKind::Configuration,
            reason: error.to_string(),
        }),
        Err(_) => Err(Fault::away("the files of TLS were not read")),
    }
}

fn trusts_nothing() -> Result<ClientConfig, Fault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::configuration(error.to_string()))?;
    Ok(builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}
