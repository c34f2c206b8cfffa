//! The actors of fraiseql-subs and what they share: routing, connections, subscriptions, drain.
//!
//! # Layout
//!
//! Each folder uses those below it only:
//!
//! - `manager`: a started manager, its bus actor, its threads, drain and end;
//! - `transport`: handles of connections on other threads, HTTP, event streams, in-process results;
//! - `worker`: one thread, and the actor in front of its subscriptions and connections;
//! - `connection`: one client, and the registry of a worker's connections;
//! - `operation`: opens operations;
//! - `state`: what all threads of a manager share;
//! - `subscription`: which events reach a subscription, its calls, its results in order;
//! - `admission`: the middleware actors;
//! - `client`: who asks;
//! - `catalog`: what is served;
//! - `timings`: what has ended, for spans of tracing;
//! - `routing`: the index that finds the subscriptions of an event.
//!
//! Not here: sockets and HTTP (`server`), Python (`python`), protocol rules (`protocol`),
//! GraphQL (`graphql`).

mod admission;
mod audit;
mod background;
mod bounded_queue;
mod budget;
mod catalog;
pub mod causes;
mod client;
mod clock;
mod config;
mod connection;
mod error;
mod journal;
mod manager;
mod metrics;
mod operation;
mod places;
mod random;
mod readiness;
mod routing;
mod state;
mod subscription;
mod timings;
mod transport;
mod worker;

pub use admission::{Authenticator, BoxFuture, Refused};
pub use budget::{ByteBudget, KeptBytes};
pub use catalog::{
    Catalog, ChannelTemplate, Condition, Definition, FilterValue, Parameter, Planned,
    PlannedOperation, PreparedRequest, ResolverKind,
};
pub use client::{
    Bucket, Buckets, Client, ConnectionInfo, Headers, Roster, TokenSource, TokenVerifier,
};
pub use clock::{advance as advance_clock, reset_day as reset_clock, run_for};
pub use config::{CLOSE_TIMEOUT, INTAKE_CAPACITY, Limits, SlowConsumer};
pub use connection::{
    Connection, Flow, Outbox, Outgoing, Registry, SignalStream, Transport, stuck_time,
};
pub use error::{DefinitionError, RuntimeError};
pub use journal::CONNECTIONS;
pub use manager::{
    Disconnected, DrainOptions, EnginePublisher, Listed, Reached, Runtime, WorkerFactory,
};
pub use metrics::{Exemplar, Family, Format, Kind, Metrics, Sample, Snapshot, UNWRITTEN, Value};
pub use places::Place;
pub use random::{opaque_id, random_key};
pub use readiness::Readiness;
pub use routing::{FieldPath, RequiredValue, Route, field_path};
pub use state::{EngineConfig, Page, RuntimeConfig, RuntimeState};
pub use subscription::{
    BatchedWakes, CallId, CallInput, Callback, Lane, Outcome, Resolver, Settled, Started,
    SubscriptionActor, SubscriptionInfo, Wake,
};
pub use timings::{Selected, Timed, Timing, Timings};
pub use transport::{
    Body, ConnectionConfig, ConnectionHandle, Pulse, Reply, Responder, Response, ResponseStream,
    TransportHandle,
};
pub use worker::{ShardActor, Worker};
