//! GraphQL subscriptions without I/O: schema, documents, plans, projection, introspection.
//!
//! A client's document becomes an [`Operation`]; a [`SubscriptionOperation`] holds a [`Plan`],
//! which turns every [`Value`] of the host into the bytes of a response.
//! Source: GraphQL specification, October 2021; details that it leaves open follow graphql-js 16.
//!
//! ```
//! use std::sync::Arc;
//! use graphql::{Document, DocumentLimits, JsonMap, Operation, Schema, SchemaOptions};
//!
//! let sdl = "type Subscription { orderUpdated: Order } type Order { id: ID! totalAmount: Float }";
//! let schema = Arc::new(Schema::parse(sdl, SchemaOptions::default())?);
//! let text = "subscription { orderUpdated { total: totalAmount } }";
//! let document = Arc::new(Document::parse(schema, DocumentLimits::default(), text).unwrap());
//! let operation = document.operation(None, JsonMap::new()).unwrap();
//! if let Operation::Subscription(operation) = operation {
//!     let value = serde_json::json!({"id": 7, "total_amount": 12.5});
//!     let mut response = Vec::new();
//!     operation.plan.project(&value, &mut response);
//!     assert_eq!(response, br#"{"data":{"orderUpdated":{"total":12.5}}}"#);
//! }
//! # Ok::<(), graphql::SchemaError>(())
//! ```
//!
//! Not here: sockets, clocks, resolvers (`runtime`), values of the host language (`python`).

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod cache;
mod canonical;
mod coercion;
mod collect;
mod compared;
mod comparison;
mod compile;
mod defaults;
mod diagnostics;
mod directives;
mod document;
mod enums;
mod error;
mod introspection;
mod json;
mod limits;
mod literal;
mod operation;
mod plan;
mod projection;
mod reference;
mod restrict;
mod returned;
mod rules;
mod scalar;
mod schema;
mod shape;
mod source;
mod value;
mod write;

pub use cache::DocumentCache;
pub use compared::DataType;
pub use comparison::{Compared, Comparison, Member, spell};
pub use directives::FieldRequirement;
pub use document::Document;
pub use enums::EnumType;
pub use error::{
    CODE_BAD_USER_INPUT, CODE_FORBIDDEN, CODE_OPERATION_RESOLUTION_FAILED, CODE_PARSE_FAILED,
    CODE_VALIDATION_FAILED, Fault, FieldFault, GraphQLError, Location, PathSegment, ResolverError,
    SchemaError, SchemaProblem, errors_to_json,
};
pub use introspection::QueryOperation;
pub use json::{SERIALIZED_MEMBER, TYPE_MEMBER, describe_string, is_note};
pub use limits::DocumentLimits;
pub use operation::{Operation, OperationKind, SubscriptionOperation};
pub use plan::Plan;
pub use reference::{
    CODE_DOCUMENT_NOT_TRUSTED, CODE_PERSISTED_QUERY_NOT_FOUND, DocumentReference, TrustedDocuments,
};
pub use returned::{Kind, Returned};
pub use schema::{ArgumentSignature, FieldSignature, Schema, SchemaOptions};
pub use value::{Key, Scalar, TypeName, Value};
pub use write::{write_float, write_integer, write_json, write_string};

/// A JSON object that keeps the order of its members.
pub type JsonMap = serde_json::Map<String, serde_json::Value>;
