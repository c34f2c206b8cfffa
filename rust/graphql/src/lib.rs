//! GraphQL subscriptions without I/O: schema, documents, plans, projection, introspection.
//!
//! A client's document becomes an [`Operation`]; a [`SubscriptionOperation`] holds a [`Plan`],
//! which turns every [`Value`] of the host into the bytes of a response.
//! Source: GraphQL specification, October 2021; details that it leaves open follow graphql-js 16.
//! Not here: sockets, clocks, resolvers (`runtime`), values of the host language (`python`).

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod cache;
mod coercion;
mod collect;
mod compile;
mod document;
mod error;
mod introspection;
mod json;
mod limits;
mod operation;
mod plan;
mod projection;
mod scalar;
mod schema;
mod source;
mod value;
mod write;

pub use cache::DocumentCache;
pub use document::Document;
pub use error::{
    CODE_BAD_USER_INPUT, CODE_OPERATION_RESOLUTION_FAILED, CODE_PARSE_FAILED,
    CODE_VALIDATION_FAILED, GraphQLError, Location, PathSegment, ResolverError, SchemaError,
    SchemaProblem, errors_to_json,
};
pub use introspection::QueryOperation;
pub use json::describe_string;
pub use limits::DocumentLimits;
pub use operation::{Operation, SubscriptionOperation};
pub use plan::Plan;
pub use schema::{ArgumentSignature, EnumType, FieldSignature, Schema, SchemaOptions};
pub use value::{Key, Scalar, Value};
pub use write::{write_float, write_integer, write_json, write_string};

/// A JSON object that keeps the order of its members.
pub type JsonMap = serde_json::Map<String, serde_json::Value>;
