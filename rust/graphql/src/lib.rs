//! GraphQL subscriptions without I/O: schema, documents, plans, projection, introspection.
//!
//! A client's document becomes an [`Operation`]. A [`SubscriptionOperation`] has a [`Plan`], which
//! writes each [`Value`] of the host as the bytes of a response.
//! Source: GraphQL specification, October 2021; details that it does not define follow graphql-js
//! 16.
//!
//! # Layout
//!
//! - `schema`: the schema, and the keys of its fields in values;
//! - `document`: documents of clients, their cache, trusted documents, operations;
//! - `reader`: the parser of the usual documents;
//! - `limits`: bounds of a document, checked before its validation;
//! - `rules`: the errors of a document, with the texts of graphql-js;
//! - `coercion`: variables and arguments;
//! - `plan`: compiled selections, and the projection of values along them;
//! - `introspection`: queries about the schema;
//! - `comparison`: comparison of values in filters and rules;
//! - `value`: the interface to a value of the host;
//! - `source`, `write`, `error`: locations in texts, JSON, errors of responses.
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

mod coercion;
mod comparison;
mod document;
mod error;
mod limits;
mod plan;
mod reader;
mod rules;
mod schema;
mod source;
mod value;
mod write;

pub use comparison::{Compared, Comparison, DataType, Member, spell};
pub use document::{
    CODE_DOCUMENT_NOT_TRUSTED, CODE_PERSISTED_QUERY_NOT_FOUND, Document, DocumentCache,
    DocumentReference, DocumentSummary, Operation, OperationKind, OperationSummary, QueryOperation,
    SubscriptionOperation, TrustedDocuments,
};
pub use error::{
    CODE_BAD_USER_INPUT, CODE_FORBIDDEN, CODE_OPERATION_RESOLUTION_FAILED, CODE_PARSE_FAILED,
    CODE_VALIDATION_FAILED, Fault, FieldFault, GraphQLError, Location, PathSegment, ResolverError,
    SchemaError, SchemaProblem, errors_to_json,
};
pub use limits::{DocumentLimits, OperationSize};
pub use plan::Plan;
pub use schema::{
    ArgumentSignature, FieldRequirement, FieldSignature, Returned, ReturnedKind, Schema,
    SchemaOptions,
};
pub use value::{EnumType, Key, Scalar, TypeName, Value, describe_string, is_alike};
pub use write::{
    SERIALIZED_MEMBER, TYPE_MEMBER, is_note, write_float, write_integer, write_json, write_string,
};

/// A JSON object that keeps the order of its members.
pub type JsonMap = serde_json::Map<String, serde_json::Value>;
