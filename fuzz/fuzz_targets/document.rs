//! Any text as a document: no panic, and what is accepted projects any value to JSON.

#![no_main]

use std::sync::{Arc, LazyLock};

use graphql::{Document, DocumentLimits, JsonMap, Operation, Schema, SchemaOptions};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const SDL: &str = "type Subscription { node(id: ID, where: Where): Node order: Order }
interface Node { id: ID } union Any = Order | User enum Status { OPEN PAID } scalar JSON
input Where { a: Int b: [Status!] where: Where }
type Order implements Node { id: ID status: Status total: Float! user: User any: [Any] json: JSON }
type User implements Node { id: ID name: String! orders: [Order!] }";

static SCHEMA: LazyLock<Arc<Schema>> =
    LazyLock::new(|| Arc::new(Schema::parse(SDL, SchemaOptions::default()).unwrap()));

fuzz_target!(|text: &str| {
    let Ok(document) = Document::parse(SCHEMA.clone(), DocumentLimits::default(), text) else {
        return;
    };
    let Ok(operation) = Arc::new(document).operation(None, JsonMap::new()) else {
        return;
    };
    match operation {
        Operation::Subscription(operation) => {
            let is_denied = |type_name: &str, field: &str| type_name == "User" && field == "name";
            let plans = [Some((*operation.plan).clone()), operation.plan.without(&is_denied)];
            let value = json!({"__typename": "Order", "id": 1, "status": "PAID", "total": 1.5,
                "user": {"id": 2, "name": "secret-name"}, "any": [{"__typename": "User"}]});
            for (index, plan) in plans.into_iter().flatten().enumerate() {
                let mut out = Vec::new();
                plan.project(&value, &mut out);
                let response: Value = serde_json::from_slice(&out).unwrap();
                assert!(index == 0 || !response.to_string().contains("secret-name"));
            }
        }
        Operation::Query(query) => {
            serde_json::from_slice::<Value>(&query.execute()).unwrap();
        }
        Operation::Mutation => {}
    }
});
