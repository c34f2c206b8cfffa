//! The actors of fraiseql-subs and what they share: routing, connections, subscriptions, drain.
//!
//! Not here: sockets and HTTP (`server`), Python (`python`), protocol rules (`protocol`),
//! GraphQL (`graphql`).

mod actors;
mod carriers;
mod catalog;
mod clock;
mod config;
mod connection;
mod definition;
mod engine;
mod error;
mod http;
mod index;
mod lane;
mod liveness;
mod messages;
mod metrics;
mod outbox;
mod places;
mod prometheus;
mod protection;
mod rates;
mod remote;
mod replay;
mod resolver;
mod response_stream;
mod roster;
mod runtime;
mod shard;
mod shared;
mod signal;
mod sink;
mod system;
mod token;
mod wakes;
mod worker;

pub use actors::{EventBusActor, ShardActor, SubscriptionActor};
pub use catalog::{Catalog, Prepared, PreparedOperation};
pub use clock::run_for;
pub use config::{Limits, SlowConsumer};
pub use connection::{Connection, Transport};
pub use definition::{ChannelTemplate, Definition, FilterValue, ResolverKind};
pub use engine::{Engine, EngineConfig};
pub use error::{DefinitionError, RuntimeError};
pub use http::{Body, Reply, Responder};
pub use index::{FieldPath, Key, Route, RoutingIndex, field_path};
pub use lane::{CallId, Lane, Outcome, Subject, SubscriptionInfo, Waiter};
pub use liveness::{Flow, stuck_time};
pub use messages::Selector;
pub use metrics::{Metrics, Snapshot};
pub use outbox::{Outbox, Outgoing};
pub use places::Place;
pub use prometheus::prometheus;
pub use rates::Buckets;
pub use remote::{CarrierHandle, Opening, Pulse, Remote};
pub use resolver::{Authenticator, BoxFuture, Client, Headers, Refused, Resolver};
pub use response_stream::{Response, ResponseStream};
pub use roster::{Connected, Roster};
pub use runtime::{Runtime, WorkerFactory};
pub use signal::SignalStream;
pub use token::{TokenSource, TokenVerifier};
pub use wakes::{Wake, Wakes};
pub use worker::Worker;
