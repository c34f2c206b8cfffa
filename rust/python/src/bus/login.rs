//! How programs log in to an engine: passwords, tokens, and certificates.
//!
//! Not here: the settings of one engine (`nats`, `postgres`, `redis`).

use std::path::PathBuf;
use std::sync::Arc;

use brokers::Tls;
use pyo3::prelude::*;

/// A password or a token.
#[derive(FromPyObject)]
pub(super) enum PySecret {
    Text(String),
    Function(Py<PyAny>),
}

/// Who connects, where a function returns the password or the token.
#[derive(Clone)]
pub(super) struct AskedLogin {
    /// The user; `None`: the default of the engine, or a token.
    pub(super) user: Option<String>,
    pub(super) password: Arc<Py<PyAny>>,
}

/// Adds the files of TLS to those of a URL. `scheme`: what the URL has to begin with.
pub(super) fn add_tls(
    tls: Option<&mut Tls>,
    ca: Option<PathBuf>,
    identity: (Option<PathBuf>, Option<PathBuf>),
    scheme: &str,
) -> Result<(), String> {
    if ca.is_none() && identity == (None, None) {
        return Ok(());
    }
    let tls =
        tls.ok_or_else(|| format!("ca=, client_cert= and client_key= need TLS: write {scheme}"))?;
    tls.authorities = ca.or(tls.authorities.take());
    match identity {
        (None, None) => {}
        (Some(certificate), Some(key)) => tls.identity = Some((certificate, key)),
        _ => return Err("client_cert= and client_key= belong together: set both".to_owned()),
    }
    Ok(())
}
