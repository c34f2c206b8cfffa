//! The seam to the host language: how resolvers and authentication hooks are called.
//!
//! Nothing here blocks and nothing here knows the host. The Python bridge implements these traits.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bus::Event;
use bytes::Bytes;
use graphql::{JsonMap, Plan};
use security::Identity;
use tokio::sync::oneshot;

use crate::definition::Definition;

/// What is known about the client of an operation.
#[derive(Debug, Default)]
pub struct Client {
    /// Id of the connection.
    pub connection_id: String,
    /// Payload of `connection_init`.
    pub connection_params: Option<JsonMap>,
    /// Headers of the handshake, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Address of the peer.
    pub peer: Option<String>,
    /// Who it is, once authenticated.
    pub identity: Option<Identity>,
    /// The host language's view, built when first needed.
    pub host: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// What stays the same for all resolver calls of one subscription.
#[derive(Debug)]
pub struct SubscriptionInfo {
    /// What is called.
    pub definition: Arc<Definition>,
    /// Coerced arguments by GraphQL name.
    pub arguments: JsonMap,
    /// How values become responses.
    pub plan: Arc<Plan>,
    /// Name of the operation in the client's document.
    pub operation_name: Option<String>,
    /// Who subscribed.
    pub client: Arc<Client>,
    /// The host language's state of this subscription.
    pub host: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// Identifies a call for cancellation; unique within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(pub u64);

/// One resolver call.
#[derive(Debug)]
pub struct Call {
    /// For [`Resolver::cancel`].
    pub id: CallId,
    /// Whose call it is.
    pub subscription: Arc<SubscriptionInfo>,
    /// The event to resolve.
    pub event: Arc<Event>,
    /// Where the outcome goes. Dropped unsent: the host is gone, the subscription ends.
    pub reply: oneshot::Sender<Outcome>,
}

/// How a resolver call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// One response, already serialised.
    Response(Bytes),
    /// One response that says what went wrong.
    Failed(Bytes),
    /// Nothing is sent for this event.
    Skip,
}

/// Calls resolvers of the host language.
pub trait Resolver: Send + Sync {
    /// Queues a call; returns at once and never fails. The outcome comes through `call.reply`.
    fn call(&self, call: Call);
    /// Cancels a call that has not ended.
    fn cancel(&self, id: CallId);
}

/// Why an authentication hook refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("authentication refused")]
pub struct Refused;

/// A future that another thread completes.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Asks the host who a client is.
pub trait Authenticator: Send + Sync {
    /// Decides about the client. An error of the hook denies.
    fn authenticate(&self, client: Client) -> BoxFuture<(Client, Result<(), Refused>)>;
}
