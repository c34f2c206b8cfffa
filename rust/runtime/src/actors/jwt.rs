//! Middleware actor: verifies the token of a client, before the application is asked.
//!
//! One per worker, started with it. It keeps nothing, so a restart loses nothing.

use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Recipient, ResponseFuture};
use security::{Identity, TokenError};

use crate::actors::key_set::{KeySetActor, RefreshKeys};
use crate::clock::epoch_seconds;
use crate::messages::Connect;
use crate::resolver::{Client, Refused};
use crate::token::TokenVerifier;

/// Makes identities of tokens.
pub(crate) struct JwtActor {
    verifier: Arc<TokenVerifier>,
    next: Option<Recipient<Connect>>,
    keys: Option<Addr<KeySetActor>>,
}

impl JwtActor {
    /// Makes the actor; clients that have passed go on to `next`.
    #[must_use]
    pub(crate) fn new(verifier: Arc<TokenVerifier>, next: Option<Recipient<Connect>>) -> Self {
        let url = verifier.url.clone();
        let keys = url.map(|url| KeySetActor::new(verifier.clone(), url).start());
        Self {
            verifier,
            next,
            keys,
        }
    }
}

impl Actor for JwtActor {
    type Context = Context<Self>;
}

impl Handler<Connect> for JwtActor {
    type Result = ResponseFuture<(Client, Result<(), Refused>)>;

    fn handle(&mut self, Connect(mut client): Connect, _: &mut Context<Self>) -> Self::Result {
        let (verifier, next) = (self.verifier.clone(), self.next.clone());
        let keys = self.keys.clone();
        Box::pin(async move {
            match verify(&verifier, keys, &client).await {
                Ok(identity) => client.identity = Some(identity),
                Err(error) => {
                    tracing::warn!(
                        target: "fraiseql_subs.audit",
                        check = "authentication",
                        connection_id = client.connection_id,
                        reason = %error,
                        "token refused"
                    );
                    return (client, Err(Refused::default()));
                }
            }
            match next {
                None => (client, Ok(())),
                Some(next) => {
                    let answer = next.send(Connect(client)).await;
                    answer.unwrap_or_else(|_| (Client::default(), Err(Refused::default())))
                }
            }
        })
    }
}

/// Verifies the token; when its key is not known, or keys are old, once more with new ones.
async fn verify(
    verifier: &TokenVerifier,
    keys: Option<Addr<KeySetActor>>,
    client: &Client,
) -> Result<Identity, TokenError> {
    let now = epoch_seconds();
    let result = verifier.verify(client, now);
    let is_known = !matches!(result, Err(TokenError::UnknownKey));
    match keys {
        // A fetch that another client has begun is waited for as well.
        Some(keys) if !is_known || verifier.is_fetch_due(now, is_known) => {
            let refreshed = keys.send(RefreshKeys { is_known });
            if is_known {
                // Who is known need not wait.
                actix::spawn(async move { refreshed.await.ok() });
                return result;
            }
            refreshed.await.ok();
            verifier.verify(client, now)
        }
        _ => result,
    }
}
