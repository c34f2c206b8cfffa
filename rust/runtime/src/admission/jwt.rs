//! Middleware actor: verifies the token of a client, before the application's hook is called.
//!
//! One per worker, started with it. It has no state, so a restart loses nothing.

use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Recipient, ResponseFuture};
use security::{Identity, TokenError};

use super::Connect;
use super::Refused;
use super::key_set::{KeySetActor, RefreshKeys};
use crate::audit;
use crate::client::Client;
use crate::client::TokenVerifier;
use crate::clock::epoch_seconds;

/// Converts tokens to identities.
pub(crate) struct JwtActor {
    verifier: Arc<TokenVerifier>,
    next: Option<Recipient<Connect>>,
    keys: Option<Addr<KeySetActor>>,
}

impl JwtActor {
    /// Creates the actor; it passes accepted clients on to `next`.
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
    type Result = ResponseFuture<()>;

    fn handle(&mut self, connect: Connect, _: &mut Context<Self>) -> Self::Result {
        let Connect {
            mut client,
            mut reply,
        } = connect;
        let (verifier, next) = (self.verifier.clone(), self.next.clone());
        let keys = self.keys.clone();
        Box::pin(async move {
            let verified = verify(&verifier, keys, &client);
            let Some(verified) = Connect::wanted(&mut reply, verified).await else {
                return;
            };
            let decision = match (verified, next) {
                (Ok(identity), next) => {
                    client.identity = Some(Box::new(identity));
                    if let Some(next) = next {
                        return next.do_send(Connect { client, reply });
                    }
                    Ok(())
                }
                (Err(error), _) => {
                    audit::token_refused(&client.connection_id, &verifier.explain(error));
                    Err(Refused::default())
                }
            };
            // Fails only if the client has just disconnected.
            reply.send((client, decision)).ok();
        })
    }
}

/// Verifies the token; if its key is unknown, or the keys are old, again with new keys.
async fn verify(
    verifier: &TokenVerifier,
    keys: Option<Addr<KeySetActor>>,
    client: &Client,
) -> Result<Identity, TokenError> {
    let now = epoch_seconds();
    let result = verifier.verify(client, now);
    let is_known = !matches!(result, Err(TokenError::UnknownKey));
    match keys {
        // Also waits for a fetch that another client has started.
        Some(keys) if !is_known || verifier.is_fetch_due(is_known) => {
            let refreshed = keys.send(RefreshKeys { is_known });
            if is_known {
                // A client whose token is verified need not wait for new keys.
                actix::spawn(async move { refreshed.await.ok() });
                return result;
            }
            refreshed.await.ok();
            verifier.verify(client, now)
        }
        _ => result,
    }
}
