//! What a request comes to, once its operation is chosen and its variables are coerced.

use std::sync::Arc;

use crate::JsonMap;
use crate::introspection::QueryOperation;
use crate::plan::Plan;

/// An operation that is ready to run.
#[derive(Debug)]
pub enum Operation {
    /// A subscription to one field.
    Subscription(SubscriptionOperation),
    /// A query: introspection is answered, all else refused.
    Query(QueryOperation),
    /// A mutation, which only the host's own server can run.
    Mutation,
}

/// The kinds of operations of the specification, section 2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Reads.
    Query,
    /// Changes something.
    Mutation,
    /// Goes on.
    Subscription,
}

/// A subscription to one field.
#[derive(Debug, Clone)]
pub struct SubscriptionOperation {
    /// Name of the operation in the document.
    pub name: Option<Arc<str>>,
    /// Name of the field in the schema.
    pub field_name: Arc<str>,
    /// Name of the field in responses: its alias, if it has one.
    pub response_key: Arc<str>,
    /// Coerced arguments by GraphQL name, in the order of the schema.
    pub arguments: JsonMap,
    /// Arguments that are null because the client left them out: null is their default.
    pub left_out: Vec<Arc<str>>,
    /// How values become responses.
    pub plan: Arc<Plan>,
}
