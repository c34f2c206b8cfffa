//! Fetches the key set that verifies tokens.
//!
//! One per worker if the manager has a URL, started with the worker. The keys belong to the
//! manager, so one worker fetches for all; a restart loses nothing. It runs one fetch at a time,
//! and later requests wait for it.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use rustls::{ClientConfig, RootCertStore};
use security::KeySet;

use crate::causes;
use crate::client::TokenVerifier;

/// Time limit of one fetch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Largest accepted key set (bytes).
const MAX_BYTES: usize = 1024 * 1024;

/// Command: fetch the keys if that is due.
/// Sender: `JwtActor`. Reply: `()` once there are new keys, or the fetch has failed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct RefreshKeys {
    /// Whether the current keys verify the token.
    pub(crate) is_known: bool,
}

/// Fetches the keys of a URL.
pub(crate) struct KeySetActor {
    verifier: Arc<TokenVerifier>,
    url: Arc<str>,
}

impl KeySetActor {
    #[must_use]
    pub(crate) fn new(verifier: Arc<TokenVerifier>, url: Arc<str>) -> Self {
        Self { verifier, url }
    }
}

impl Actor for KeySetActor {
    type Context = Context<Self>;
}

impl Handler<RefreshKeys> for KeySetActor {
    type Result = ResponseFuture<()>;

    fn handle(
        &mut self,
        RefreshKeys { is_known }: RefreshKeys,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let (verifier, url) = (self.verifier.clone(), self.url.clone());
        Box::pin(async move {
            // The first of several waiting requests fetches for all.
            let _turn = verifier.fetching.lock().await;
            if !verifier.begin_fetch(is_known) {
                return;
            }
            match fetch(&url).await {
                Ok(keys) => verifier.replace_keys(keys),
                Err(problem) => {
                    tracing::error!(name: "key_set.failed", target: "fraiseql_subs.jwt", url = without_secrets(&url), problem, "the key set could not be fetched");
                }
            }
        })
    }
}

/// Returns a URL without its user, password and query.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return String::new();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

async fn fetch(url: &Arc<str>) -> Result<KeySet, String> {
    let of_url = url.clone();
    // Certificates are read from files. A later fetch finds those that were added since.
    let client = actix_rt::task::spawn_blocking(move || client(&of_url))
        .await
        .map_err(|_| "it was interrupted")??;
    let response = client.get(&**url).send().await;
    let mut response = response.map_err(|error| causes::of_request(&error))?;
    if !response.status().is_success() {
        return Err(format!("answered {}", response.status().as_u16()));
    }
    let body = body(&mut response).await?;
    let text = std::str::from_utf8(&body).map_err(|_| "the answer is not UTF-8")?;
    KeySet::from_jwks(text).map_err(|error| error.to_string())
}

/// Creates a client for one fetch. It uses the proxy that the environment names, but not for a URL
/// without TLS, which is one of this machine and leads to no other.
fn client(url: &str) -> Result<Client, &'static str> {
    let has_tls = url.starts_with("https:");
    let mut builder = Client::builder()
        .timeout(TIMEOUT)
        .https_only(has_tls)
        // A query of the URL may be a secret.
        .referer(false)
        .tls_backend_preconfigured(tls()?);
    if !has_tls {
        builder = builder.no_proxy().redirect(Policy::none());
    }
    builder.build().map_err(|error| causes::of_request(&error))
}

/// Trusts the certificates of the system; in an image that has none, those of Mozilla. Not if the
/// environment names which are trusted: then others are not.
fn tls() -> Result<ClientConfig, &'static str> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        if ["SSL_CERT_FILE", "SSL_CERT_DIR"]
            .iter()
            .any(|name| env::var_os(name).is_some())
        {
            return Err("SSL_CERT_FILE or SSL_CERT_DIR names no readable certificate");
        }
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|_| "TLS could not be begun")?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

async fn body(response: &mut Response) -> Result<Vec<u8>, &'static str> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| causes::of_request(&error))?
    {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err("the answer is too large");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn a_url_in_the_log_has_no_secrets() {
        for (url, told) in [
            ("https://a.example/keys", "https://a.example/keys"),
            ("https://a.example", "https://a.example"),
            (
                "https://me:secret@a.example:8443/k?key=secret#x",
                "https://a.example:8443/k",
            ),
            ("https://me:se@cret@a.example", "https://a.example"),
            ("https://a.example/of@b", "https://a.example/of@b"),
        ] {
            assert_eq!(without_secrets(url), told);
        }
    }
}
