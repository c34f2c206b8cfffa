//! Fetches the key set that verifies tokens.
//!
//! One per worker if the manager has a URL, started with the worker. The keys belong to the
//! manager, so one worker fetches for all; a restart loses nothing. It runs one fetch at a time,
//! and later requests wait for it.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use awc::Client as HttpClient;
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
    client: HttpClient,
}

impl KeySetActor {
    #[must_use]
    pub(crate) fn new(verifier: Arc<TokenVerifier>, url: Arc<str>) -> Self {
        let client = HttpClient::builder().timeout(TIMEOUT).finish();
        Self {
            verifier,
            url,
            client,
        }
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
        let (verifier, url, client) =
            (self.verifier.clone(), self.url.clone(), self.client.clone());
        Box::pin(async move {
            // The first of several waiting requests fetches for all.
            let _turn = verifier.fetching.lock().await;
            if !verifier.begin_fetch(is_known) {
                return;
            }
            match fetch(&client, &url).await {
                Ok(keys) => verifier.replace_keys(keys),
                Err(problem) => {
                    tracing::error!(target: "fraiseql_subs.jwt", url = &*url, problem, "the key set could not be fetched");
                }
            }
        })
    }
}

async fn fetch(client: &HttpClient, url: &str) -> Result<KeySet, String> {
    let mut response = client
        .get(url)
        .send()
        .await
        .map_err(|error| causes::of_request(&error))?;
    if !response.status().is_success() {
        return Err(format!("answered {}", response.status().as_u16()));
    }
    let body = response
        .body()
        .limit(MAX_BYTES)
        .await
        .map_err(|error| causes::of_body(&error))?;
    let text = std::str::from_utf8(&body).map_err(|_| "the answer is not UTF-8")?;
    KeySet::from_jwks(text).map_err(|error| error.to_string())
}
