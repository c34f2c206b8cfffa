//! Helpers shared by the tests: one schema, and functions that turn a document into a response.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part, and may panic"
)]

use std::sync::Arc;

use graphql::{
    Document, DocumentLimits, GraphQLError, JsonMap, Operation, Schema, SchemaOptions,
    SubscriptionOperation,
};
use serde_json::{Value, json};

pub(crate) const SDL: &str = r#"
type Subscription {
  order(id: ID, status: Status = OPEN, filter: Filter): Order
  strictOrder: Order!
  items: [Item!]
  matrix: [[Int!]]
  node: Node
  found: Found
  tick(every: Int! = 5, tags: [String!]): Int
  scalars: Scalars
  any: JSON
  typed(json: JSON, defaults: [Defaults!]): Int
}
type Query { version: String strict: Int! }
type Mutation { noop: Boolean }
type Order implements Node {
  id: ID!
  status: Status
  totalAmount: Float
  customer: Customer
  items: [Item!]!
  notes: [String!]
  parent: Order
}
type Item { sku: String! quantity: Int! price: Float }
type Customer implements Node { id: ID! firstName: String email: String! }
type Scalars { int: Int float: Float string: String boolean: Boolean id: ID json: JSON status: Status }
interface Node { id: ID! }
union Found = Order | Customer
enum Status { OPEN PAID }
scalar JSON
input Filter { minTotal: Float = 1.5 statuses: [Status!] region: String! }
input Defaults { a: Int = 1 b: String = "x" }
"#;

pub(crate) fn schema() -> Arc<Schema> {
    Arc::new(Schema::parse(SDL, SchemaOptions::default()).unwrap())
}

pub(crate) fn object(value: Value) -> JsonMap {
    value.as_object().cloned().unwrap()
}

pub(crate) fn parse(text: &str) -> Result<Arc<Document>, Vec<GraphQLError>> {
    Document::parse(schema(), DocumentLimits::default(), text).map(Arc::new)
}

pub(crate) fn try_subscribe(
    text: &str,
    variables: Value,
) -> Result<SubscriptionOperation, Vec<GraphQLError>> {
    match parse(text)?.operation(None, object(variables))? {
        Operation::Subscription(operation) => Ok(operation),
        other => panic!("no subscription: {other:?}"),
    }
}

pub(crate) fn subscribe(text: &str) -> SubscriptionOperation {
    try_subscribe(text, json!({})).unwrap()
}

pub(crate) fn project(text: &str, value: Value) -> String {
    project_with(text, json!({}), value)
}

pub(crate) fn project_with(text: &str, variables: Value, value: Value) -> String {
    let mut out = Vec::new();
    let operation = try_subscribe(text, variables).unwrap();
    operation.plan.project(&value, &mut out);
    // The data of an event has the same result.
    let mut of_event = Vec::new();
    let data = indexed_json::IndexedJson::from(&value);
    operation.plan.project(data.root(), &mut of_event);
    assert_eq!(
        String::from_utf8_lossy(&of_event),
        String::from_utf8_lossy(&out)
    );
    String::from_utf8(out).unwrap()
}

/// Returns the `data` member of a response without errors.
pub(crate) fn data(text: &str, value: Value) -> Value {
    let response: Value = serde_json::from_str(&project(text, value)).unwrap();
    assert!(response.get("errors").is_none(), "{response}");
    response["data"].clone()
}

/// Returns the first error of a refused document.
pub(crate) fn refusal(text: &str) -> GraphQLError {
    try_subscribe(text, json!({})).unwrap_err().remove(0)
}
