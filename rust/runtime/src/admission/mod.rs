//! The checks that clients and subscriptions have to pass, as middleware actors.
//!
//! Connections send [`Connect`], operations send [`Subscribe`] to the first actor of a chain.

mod authenticate;
mod checks;
mod jwt;
mod key_set;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use actix::{Actor, Message, Recipient};
use futures_util::future::{Either, select};
use graphql::{GraphQLError, JsonMap};
use tokio::sync::oneshot;

use crate::client::{Client, TokenVerifier};

use authenticate::AuthenticateActor;
use jwt::JwtActor;

pub(crate) use checks::{Checks, Subscribing, start_chain};

/// Why an authentication hook refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
#[error("authentication refused")]
pub struct Refused {
    /// The GraphQL error for the client; `None`: the default text.
    pub error: Option<JsonMap>,
}

/// A future that another thread completes.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Authenticates clients with the host's hook.
pub trait Authenticator: Send + Sync {
    /// Accepts or refuses the client. An error of the hook refuses it.
    fn authenticate(&self, client: Client) -> BoxFuture<(Client, Result<(), Refused>)>;
}

/// Command: authenticate this client.
/// Sender: the client's connection; then each check to the next. Reply: `()`; the decision goes to
/// `reply`. Its receiver is dropped when the client disconnects or its time is over, which cancels
/// the running checks.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Connect {
    pub(crate) client: Client,
    pub(crate) reply: oneshot::Sender<Decision>,
}

/// The client, completed, unless it is refused.
pub(crate) type Decision = (Client, Result<(), Refused>);

impl Connect {
    /// Runs `work` for the client; `None` as soon as the decision is no longer awaited.
    pub(crate) async fn wanted<T>(
        reply: &mut oneshot::Sender<Decision>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        match select(pin!(work), pin!(reply.closed())).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }
}

/// Query: whether this subscription may start, and the guard for its events.
/// Sender: `operation::Opener`; then each check to the next. Reply: the subscription with its
/// guard, or the errors for the client.
#[derive(Debug, Message)]
#[rtype(result = "Result<Box<Subscribing>, Vec<GraphQLError>>")]
pub(crate) struct Subscribe(pub Box<Subscribing>);

/// Starts the actors that authenticate clients, and returns the first; `None`: every client may
/// connect.
pub(crate) fn start_authentication(
    tokens: Option<Arc<TokenVerifier>>,
    authenticator: Option<Arc<dyn Authenticator>>,
) -> Option<Recipient<Connect>> {
    let hook = authenticator.map(|hook| AuthenticateActor::new(hook).start().recipient());
    match tokens {
        Some(tokens) => Some(JwtActor::new(tokens, hook).start().recipient()),
        None => hook,
    }
}
