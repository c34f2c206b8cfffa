//! Middleware actor: calls the application's `authenticate` hook for clients.
//!
//! One per worker, started with it. It has no state, so a restart loses nothing. Hooks of several
//! clients run concurrently: a slow one does not delay another client.

use std::sync::Arc;

use actix::{Actor, Context, Handler, ResponseFuture};

use super::Authenticator;
use super::Connect;

/// Passes clients to the application's `authenticate` hook.
pub(crate) struct AuthenticateActor {
    authenticator: Arc<dyn Authenticator>,
}

impl AuthenticateActor {
    /// Creates the actor for a hook.
    #[must_use]
    pub(crate) fn new(authenticator: Arc<dyn Authenticator>) -> Self {
        Self { authenticator }
    }
}

impl Actor for AuthenticateActor {
    type Context = Context<Self>;
}

impl Handler<Connect> for AuthenticateActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, connect: Connect, _: &mut Context<Self>) -> Self::Result {
        let Connect { client, mut reply } = connect;
        let asked = self.authenticator.authenticate(client);
        Box::pin(async move {
            if let Some(decision) = Connect::wanted(&mut reply, asked).await {
                // Fails only if the client has just disconnected.
                reply.send(decision).ok();
            }
        })
    }
}
