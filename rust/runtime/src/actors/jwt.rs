//! Middleware actor: verifies the token of a client, before the application is asked.
//!
//! One per worker, started with it. It keeps nothing, so a restart loses nothing.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Recipient, ResponseFuture};
use security::{Identity, TokenError};

use crate::clock::epoch_seconds;
use crate::messages::Connect;
use crate::resolver::{Client, Refused};
use crate::token::TokenVerifier;

/// Makes identities of tokens.
pub(crate) struct JwtActor {
    verifier: Arc<TokenVerifier>,
    next: Option<Recipient<Connect>>,
}

impl JwtActor {
    /// Makes the actor; clients that have passed go on to `next`.
    #[must_use]
    pub(crate) fn new(verifier: Arc<TokenVerifier>, next: Option<Recipient<Connect>>) -> Self {
        Self { verifier, next }
    }
}

impl Actor for JwtActor {
    type Context = Context<Self>;
}

impl Handler<Connect> for JwtActor {
    type Result = ResponseFuture<(Client, Result<(), Refused>)>;

    fn handle(&mut self, Connect(mut client): Connect, _: &mut Context<Self>) -> Self::Result {
        let (verifier, next) = (self.verifier.clone(), self.next.clone());
        Box::pin(async move {
            match verify(&verifier, &client) {
                Ok(identity) => client.identity = Some(identity),
                Err(error) => {
                    tracing::warn!(
                        target: "fraiseql_subs.audit",
                        check = "authentication",
                        connection_id = client.connection_id,
                        reason = %error,
                        "token refused"
                    );
                    return (client, Err(Refused));
                }
            }
            match next {
                None => (client, Ok(())),
                Some(next) => {
                    let answer = next.send(Connect(client)).await;
                    answer.unwrap_or_else(|_| (Client::default(), Err(Refused)))
                }
            }
        })
    }
}

fn verify(verifier: &TokenVerifier, client: &Client) -> Result<Identity, TokenError> {
    let token = verifier.source.find(client).ok_or(TokenError::Missing)?;
    verifier
        .rules
        .verify(token, &verifier.keys(), epoch_seconds())
}
