//! May it: what clients and subscriptions have to pass, as middleware actors.
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
    /// What the client is to read, in GraphQL's form; `None`: that it is refused.
    pub error: Option<JsonMap>,
}

/// A future that another thread completes.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Asks the host who a client is.
pub trait Authenticator: Send + Sync {
    /// Decides about the client. An error of the hook denies.
    fn authenticate(&self, client: Client) -> BoxFuture<(Client, Result<(), Refused>)>;
}

/// Command: decide whether this client may connect, and who it is.
/// Sender: a connection whose client has asked; then each check to the next. Reply: `()`; the
/// decision goes to `reply`. Its receiver is dropped when the client has left or its time is over,
/// and whatever is under way for it ends then.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Connect {
    pub(crate) client: Client,
    pub(crate) reply: oneshot::Sender<Decision>,
}

/// The client, completed, unless it is refused.
pub(crate) type Decision = (Client, Result<(), Refused>);

impl Connect {
    /// Does `work` for the client; `None` as soon as the decision is not awaited.
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

/// Query: may this subscription start, and what has to hold for its events?
/// Sender: `operation::Opener`; then each check to the next. Reply: the subscription with its
/// guard, or the errors that the client is sent.
#[derive(Debug, Message)]
#[rtype(result = "Result<Box<Subscribing>, Vec<GraphQLError>>")]
pub(crate) struct Subscribe(pub Box<Subscribing>);

/// Starts the actors that clients pass, and returns the first; `None`: everyone may connect.
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
